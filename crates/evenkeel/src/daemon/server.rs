//! The API server: HTTP on a unix socket, each request put to the event loop and answered from there.
//!
//! It decides nothing and holds no state but the way to the event loop.

use std::io;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use evenkeel_api::{
    API_VERSION, CONNECTIONS_PATH, Connections, ConnectionsQuery, EDIT_PATH, EDITS_MAX,
    EVENTS_PATH, EVENTS_WAIT_MS_MAX, EditAnswer, EditRequest, ErrorAnswer, ErrorKind, Events,
    EventsQuery, HANDOVER_PATH, HandoverAnswer, HandoverRequest, RELOAD_PATH, ReloadAnswer,
    ReloadQuery, SERVICES_PATH, STATUS_PATH, Services, Status, TRACE_PATH, TraceAnswer, TraceQuery,
};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, timeout_at};

/// Requests that may wait for the event loop.
const QUEUE: usize = 16;

/// Largest request: well above [`EDITS_MAX`] edits at some 300 bytes each.
const BODY_BYTES_MAX: usize = 8 << 20;

/// An answer, or why there is none.
pub(crate) type Answer<T> = Result<T, ErrorAnswer>;

/// What a client asks the event loop.
#[derive(Debug)]
pub(crate) enum Request {
    Status(oneshot::Sender<Answer<Status>>),
    Services(oneshot::Sender<Answer<Services>>),
    Connections(ConnectionsQuery, oneshot::Sender<Answer<Connections>>),
    Reload(ReloadQuery, oneshot::Sender<Answer<ReloadAnswer>>),
    Edit(EditRequest, oneshot::Sender<Answer<EditAnswer>>),
    HandOver(HandoverRequest, oneshot::Sender<Answer<HandoverAnswer>>),
    Trace(TraceQuery, oneshot::Sender<Answer<TraceAnswer>>),
    /// What happened after the event of this number.
    Events(u64, oneshot::Sender<Answer<Events>>),
}

/// Why the socket could not be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BindError {
    /// Another daemon answers on it.
    #[error("a daemon is running already: it listens on `{}`", socket.display())]
    InUse {
        /// The socket.
        socket: PathBuf,
    },
    /// Its directory could not be made, or it could not be bound.
    #[error("cannot listen on the socket `{}`", socket.display())]
    Failed {
        /// The socket.
        socket: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// The bound socket, which is removed when this is dropped.
#[derive(Debug)]
pub(crate) struct Socket {
    listener: Option<UnixListener>,
    path: PathBuf,
}

impl Socket {
    /// Binds the socket, for its owner and group; one that a dead daemon left is replaced.
    pub(crate) async fn bind(path: &Path) -> Result<Self, BindError> {
        let failed = |source| BindError::Failed {
            socket: path.to_owned(),
            source,
        };
        if let Some(directory) = path.parent() {
            std::fs::create_dir_all(directory).map_err(failed)?;
        }
        match UnixStream::connect(path).await {
            Ok(_somebody) => {
                return Err(BindError::InUse {
                    socket: path.to_owned(),
                });
            }
            // So it is with any file that is not a socket, and that is left alone.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                if std::fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket())
                {
                    std::fs::remove_file(path).map_err(failed)?;
                }
            }
            // Whatever else is in the way, the next call tells.
            Err(_) => {}
        }
        let listener = UnixListener::bind(path).map_err(failed)?;
        let socket = Self {
            listener: Some(listener),
            path: path.to_owned(),
        };
        let owner_and_group = std::fs::Permissions::from_mode(0o660);
        std::fs::set_permissions(path, owner_and_group).map_err(failed)?;
        Ok(socket)
    }

    /// Serves from now on, on a task of its own; requests come through the receiver. `happened` tells
    /// when there is a new event.
    pub(crate) fn serve(&mut self, happened: watch::Receiver<u64>) -> mpsc::Receiver<Request> {
        let (requests, receiver) = mpsc::channel(QUEUE);
        if let Some(listener) = self.listener.take() {
            tokio::spawn(async move {
                if let Err(error) = axum::serve(listener, router(requests, happened)).await {
                    tracing::error!(%error, "the API server ended");
                }
            });
        }
        receiver
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::debug!(%error, socket = %self.path.display(), "cannot remove the socket");
        }
    }
}

fn router(requests: mpsc::Sender<Request>, happened: watch::Receiver<u64>) -> Router {
    let events = Router::new()
        .route(EVENTS_PATH, get(events))
        .with_state((requests.clone(), happened));
    Router::new()
        .route(STATUS_PATH, get(status))
        .route(SERVICES_PATH, get(services))
        .route(CONNECTIONS_PATH, get(connections))
        .route(TRACE_PATH, get(trace))
        .route(RELOAD_PATH, post(reload))
        .route(EDIT_PATH, post(edit))
        .route(HANDOVER_PATH, post(hand_over))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .fallback(not_found)
        .with_state(requests)
        .merge(events)
}

type Requests = State<mpsc::Sender<Request>>;

async fn status(State(requests): Requests) -> Response {
    ask(&requests, Request::Status).await
}

async fn services(State(requests): Requests) -> Response {
    ask(&requests, Request::Services).await
}

async fn connections(
    State(requests): Requests,
    query: Result<Query<ConnectionsQuery>, QueryRejection>,
) -> Response {
    match query {
        Ok(Query(of)) => respond(put(&requests, |sender| Request::Connections(of, sender)).await),
        Err(bad) => not_understood("which connections", &bad.body_text()),
    }
}

async fn reload(
    State(requests): Requests,
    query: Result<Query<ReloadQuery>, QueryRejection>,
) -> Response {
    match query {
        Ok(Query(how)) => respond(put(&requests, |sender| Request::Reload(how, sender)).await),
        Err(bad) => not_understood("the way to reload", &bad.body_text()),
    }
}

async fn edit(
    State(requests): Requests,
    body: Result<Json<EditRequest>, JsonRejection>,
) -> Response {
    match body {
        Ok(Json(EditRequest { edits })) if edits.len() > EDITS_MAX => not_understood(
            "the request",
            &format!("it has more than {EDITS_MAX} edits"),
        ),
        Ok(Json(edit)) => respond(put(&requests, |sender| Request::Edit(edit, sender)).await),
        Err(bad) => not_understood("the request", &bad.body_text()),
    }
}

async fn hand_over(
    State(requests): Requests,
    body: Result<Json<HandoverRequest>, JsonRejection>,
) -> Response {
    match body {
        Ok(Json(asked)) => respond(put(&requests, |sender| Request::HandOver(asked, sender)).await),
        Err(bad) => not_understood("the order", &bad.body_text()),
    }
}

async fn trace(
    State(requests): Requests,
    query: Result<Query<TraceQuery>, QueryRejection>,
) -> Response {
    match query {
        Ok(Query(packet)) => respond(put(&requests, |sender| Request::Trace(packet, sender)).await),
        Err(bad) => not_understood("the packet to trace", &bad.body_text()),
    }
}

fn not_understood(what: &str, why: &str) -> Response {
    let answer = failed(format!("{what} is not understood: {why}"));
    (StatusCode::BAD_REQUEST, Json(answer)).into_response()
}

async fn events(
    State((requests, mut happened)): State<(mpsc::Sender<Request>, watch::Receiver<u64>)>,
    Query(query): Query<EventsQuery>,
) -> Response {
    let wait = Duration::from_millis(query.wait_ms.min(EVENTS_WAIT_MS_MAX));
    let until = Instant::now() + wait;
    loop {
        happened.mark_unchanged();
        let answer = put(&requests, |sender| Request::Events(query.after, sender)).await;
        // A number that does not exist yet is another daemon's, which whoever asks should know at once.
        let waits = matches!(&answer, Ok(e) if e.events.is_empty() && query.after <= e.next);
        if !waits || !matches!(timeout_at(until, happened.changed()).await, Ok(Ok(()))) {
            return respond(answer);
        }
    }
}

async fn not_found(uri: axum::http::Uri) -> Response {
    refuse(ErrorAnswer {
        api_version: API_VERSION,
        kind: ErrorKind::NotFound,
        error: format!("this daemon has no `{}`", uri.path()),
        hints: Vec::new(),
    })
}

async fn ask<T: serde::Serialize>(
    requests: &mpsc::Sender<Request>,
    request: fn(oneshot::Sender<Answer<T>>) -> Request,
) -> Response {
    respond(put(requests, request).await)
}

/// Puts a request to the event loop.
async fn put<T>(
    requests: &mpsc::Sender<Request>,
    request: impl FnOnce(oneshot::Sender<Answer<T>>) -> Request,
) -> Answer<T> {
    let (sender, receiver) = oneshot::channel();
    // Where the event loop has ended, the receiver tells.
    drop(requests.send(request(sender)).await);
    let ended = |_| Err(failed("the daemon is stopping"));
    receiver.await.unwrap_or_else(ended)
}

fn respond<T: serde::Serialize>(answer: Answer<T>) -> Response {
    match answer {
        Ok(answer) => Json(answer).into_response(),
        Err(error) => refuse(error),
    }
}

/// An answer that tells what could not be done.
pub(crate) fn failed(error: impl Into<String>) -> ErrorAnswer {
    ErrorAnswer {
        api_version: API_VERSION,
        kind: ErrorKind::Failed,
        error: error.into(),
        hints: Vec::new(),
    }
}

fn refuse(error: ErrorAnswer) -> Response {
    let status = match error.kind {
        ErrorKind::Config => StatusCode::UNPROCESSABLE_ENTITY,
        ErrorKind::Failed => StatusCode::INTERNAL_SERVER_ERROR,
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
    };
    (status, Json(error)).into_response()
}

#[cfg(test)]
mod tests;
