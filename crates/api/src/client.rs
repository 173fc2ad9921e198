//! The client of the daemon's API: one connection and one request per call.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use crate::{
    API_VERSION, CONNECTIONS_PATH, Connections, ConnectionsQuery, EDIT_PATH, EVENTS_PATH,
    EVENTS_WAIT_MS_MAX, EditAnswer, EditRequest, ErrorAnswer, Events, HANDOVER_PATH,
    HandoverAnswer, HandoverRequest, RELOAD_PATH, ReloadAnswer, ReloadQuery, SERVICES_PATH,
    STATUS_PATH, Services, Status, TRACE_PATH, TraceAnswer, TraceQuery,
};

/// Longest wait for an answer. The daemon answers from memory and maps; a full table of a million
/// connections takes a few seconds to read.
const DEADLINE: Duration = Duration::from_secs(30);

/// Longest wait for a handover, beside the time that the partner is given: at the longest intervals of
/// version 2, 255 s, a successor has 17 minutes.
const HANDOVER_DEADLINE: Duration = Duration::from_secs(18 * 60);

/// Largest answer that is read: well above a million connections at some 200 bytes each.
const ANSWER_BYTES_MAX: usize = 1 << 30;

/// Why the daemon's answer could not be had.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// There is no socket, or nobody listens on it.
    #[error("the daemon is not running: nobody listens on `{}`", socket.display())]
    NotRunning {
        /// The socket that was tried.
        socket: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The socket may not be opened by this user.
    #[error("the daemon's socket `{}` may not be opened by this user", socket.display())]
    PermissionDenied {
        /// The socket that was tried.
        socket: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Connecting failed in another way.
    #[error("cannot connect to the daemon's socket `{}`", socket.display())]
    Connect {
        /// The socket that was tried.
        socket: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The HTTP exchange broke off.
    #[error("the exchange with the daemon on `{}` broke off", socket.display())]
    Http {
        /// The socket.
        socket: PathBuf,
        /// What hyper said.
        #[source]
        source: hyper::Error,
    },
    /// The answer was cut off or larger than this client reads.
    #[error("the daemon's answer on `{}` could not be read: {reason}", socket.display())]
    Answer {
        /// The socket.
        socket: PathBuf,
        /// Why.
        reason: String,
    },
    /// The daemon did not answer in time.
    #[error("the daemon on `{}` did not answer within {} s", socket.display(), waited.as_secs())]
    Timeout {
        /// The socket.
        socket: PathBuf,
        /// How long it had.
        waited: Duration,
    },
    /// The answer is not what this version understands.
    #[error("the answer of the daemon on `{}` is not understood by this client", socket.display())]
    NotUnderstood {
        /// The socket.
        socket: PathBuf,
        /// Where decoding stopped.
        #[source]
        source: serde_json::Error,
    },
    /// The daemon speaks another version of the API.
    #[error("the daemon speaks version {found} of the API, this client {API_VERSION}")]
    Version {
        /// The daemon's version.
        found: u32,
    },
    /// The daemon answered with an error.
    #[error("{}", .0.error)]
    Refused(ErrorAnswer),
}

/// The version that every answer carries, read before the rest is.
#[derive(Deserialize)]
struct Versioned {
    api_version: u32,
}

/// Speaks to the daemon behind one socket.
#[derive(Clone, Debug)]
pub struct Client {
    socket: PathBuf,
}

impl Client {
    /// Makes a client; nothing is opened before the first call.
    #[must_use]
    pub fn new(socket: impl Into<PathBuf>) -> Self {
        Self {
            socket: socket.into(),
        }
    }

    /// The socket that this client speaks to.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Asks for the director's state.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn status(&self) -> Result<Status, ClientError> {
        self.call(Method::GET, STATUS_PATH, DEADLINE).await
    }

    /// Asks for the services as the data plane holds them.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn services(&self) -> Result<Services, ClientError> {
        self.call(Method::GET, SERVICES_PATH, DEADLINE).await
    }

    /// Asks for the connections that the director remembers.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn connections(&self) -> Result<Connections, ClientError> {
        self.connections_of(&ConnectionsQuery::default()).await
    }

    /// Asks for some of the connections that the director remembers.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn connections_of(&self, of: &ConnectionsQuery) -> Result<Connections, ClientError> {
        let path = format!("{CONNECTIONS_PATH}{}", query(of));
        self.call(Method::GET, &path, DEADLINE).await
    }

    /// Asks for the events after the one with number `after`; where there are none yet, the daemon waits for
    /// the first of them for at most `wait` (in whole milliseconds, at most [`EVENTS_WAIT_MS_MAX`]).
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn events(&self, after: u64, wait: Duration) -> Result<Events, ClientError> {
        let longest = Duration::from_millis(EVENTS_WAIT_MS_MAX);
        let wait = wait.min(longest);
        let path = format!("{EVENTS_PATH}?after={after}&wait_ms={}", wait.as_millis());
        self.call(Method::GET, &path, DEADLINE + wait).await
    }

    /// Asks where a packet would go, and why.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn trace(&self, packet: &TraceQuery) -> Result<TraceAnswer, ClientError> {
        let TraceQuery {
            protocol,
            client,
            virtual_address,
            flags,
        } = packet;
        let path = format!(
            "{TRACE_PATH}?protocol={}&client={client}&virtual_address={virtual_address}&flags={flags}",
            protocol.word()
        );
        self.call(Method::GET, &path, DEADLINE).await
    }

    /// Has the daemon read its config file again.
    ///
    /// # Errors
    /// [`ClientError::Refused`] where the file is bad; else see [`ClientError`].
    pub async fn reload(&self, how: ReloadQuery) -> Result<ReloadAnswer, ClientError> {
        let path = format!("{RELOAD_PATH}?forget_edits={}", how.forget_edits);
        self.call(Method::POST, &path, DEADLINE).await
    }

    /// Makes edits by hand; the answer may be that some are refused.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn edit(&self, request: &EditRequest) -> Result<EditAnswer, ClientError> {
        let body = serde_json::to_vec(request).map_err(|error| self.answer(error.to_string()))?;
        let exchange = self.exchange(Method::POST, EDIT_PATH, Bytes::from(body));
        self.within(DEADLINE, exchange).await
    }

    /// Hands virtual routers over, or ends what kept them back; the answer comes when all of it is over.
    ///
    /// # Errors
    /// [`ClientError::Refused`] where there is nothing to hand over; else see [`ClientError`].
    pub async fn hand_over(
        &self,
        request: &HandoverRequest,
    ) -> Result<HandoverAnswer, ClientError> {
        let body = serde_json::to_vec(request).map_err(|error| self.answer(error.to_string()))?;
        let patience = Duration::from_millis(request.patience_ms.unwrap_or(0));
        let exchange = self.exchange(Method::POST, HANDOVER_PATH, Bytes::from(body));
        self.within(HANDOVER_DEADLINE + patience, exchange).await
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        deadline: Duration,
    ) -> Result<T, ClientError> {
        self.within(deadline, self.exchange(method, path, Bytes::new()))
            .await
    }

    async fn within<T>(
        &self,
        deadline: Duration,
        exchange: impl Future<Output = Result<T, ClientError>>,
    ) -> Result<T, ClientError> {
        tokio::time::timeout(deadline, exchange)
            .await
            .unwrap_or_else(|_elapsed| {
                Err(ClientError::Timeout {
                    socket: self.socket.clone(),
                    waited: deadline,
                })
            })
    }

    async fn exchange<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<T, ClientError> {
        let http = |source| ClientError::Http {
            socket: self.socket.clone(),
            source,
        };
        let stream = self.connect().await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(http)?;
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = path
            .parse()
            .map_err(|error: hyper::http::uri::InvalidUri| self.answer(error.to_string()))?;
        let headers = request.headers_mut();
        headers.insert(
            hyper::header::HOST,
            hyper::header::HeaderValue::from_static("evenkeel"),
        );
        headers.insert(
            hyper::header::CONTENT_TYPE,
            hyper::header::HeaderValue::from_static("application/json"),
        );
        let conversation = async {
            let answer = sender.send_request(request).await.map_err(http)?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX)
                .collect()
                .await
                .map_err(|error| self.answer(error.to_string()))?
                .to_bytes();
            Ok((status, body))
        };
        // The connection must be driven for the conversation to get on; its own end says nothing more.
        let drive = async {
            drop(connection.await);
            std::future::pending::<()>().await;
        };
        let (status, body) = tokio::select! {
            result = conversation => result?,
            () = drive => return Err(self.answer("the connection was closed".to_owned())),
        };
        self.decode(status, &body)
    }

    async fn connect(&self) -> Result<UnixStream, ClientError> {
        UnixStream::connect(&self.socket).await.map_err(|source| {
            let socket = self.socket.clone();
            let kind = source.kind();
            let nobody = [io::ErrorKind::NotFound, io::ErrorKind::ConnectionRefused];
            if nobody.contains(&kind) {
                ClientError::NotRunning { socket, source }
            } else if kind == io::ErrorKind::PermissionDenied {
                ClientError::PermissionDenied { socket, source }
            } else {
                ClientError::Connect { socket, source }
            }
        })
    }

    fn decode<T: DeserializeOwned>(
        &self,
        status: StatusCode,
        body: &[u8],
    ) -> Result<T, ClientError> {
        let not_understood = |source| ClientError::NotUnderstood {
            socket: self.socket.clone(),
            source,
        };
        let Versioned { api_version } = serde_json::from_slice(body).map_err(not_understood)?;
        if api_version != API_VERSION {
            return Err(ClientError::Version { found: api_version });
        }
        if status.is_success() {
            serde_json::from_slice(body).map_err(not_understood)
        } else {
            serde_json::from_slice(body)
                .map_err(not_understood)
                .and_then(|refusal| Err(ClientError::Refused(refusal)))
        }
    }

    fn answer(&self, reason: String) -> ClientError {
        ClientError::Answer {
            socket: self.socket.clone(),
            reason,
        }
    }
}

/// Conditions as the query of a request.
fn query(of: &ConnectionsQuery) -> String {
    let ConnectionsQuery {
        protocol,
        virtual_address,
        group,
        server,
        client,
        prefix,
        state,
        limit,
    } = of;
    // A state has the word of its JSON.
    let state = state.and_then(|state| serde_json::to_value(state).ok());
    let state = state.as_ref().and_then(serde_json::Value::as_str);
    let pairs = [
        ("protocol", protocol.map(|p| p.word().to_owned())),
        ("virtual_address", virtual_address.map(|a| a.to_string())),
        ("group", group.map(|number| number.to_string())),
        ("server", server.map(|address| address.to_string())),
        ("client", client.map(|address| address.to_string())),
        ("prefix", prefix.map(|bits| bits.to_string())),
        ("state", state.map(str::to_owned)),
        ("limit", limit.map(|most| most.to_string())),
    ];
    let given = pairs
        .into_iter()
        .filter_map(|(name, value)| Some(format!("{name}={}", value?)));
    let given: Vec<String> = given.collect();
    if given.is_empty() {
        String::new()
    } else {
        format!("?{}", given.join("&"))
    }
}

#[cfg(test)]
mod tests;
