//! Long-lived connections, each with one small request after the other: how long they stalled, and
//! which of them broke.
//!
//! Their stalls are longer than an outage, because a client that waits for an answer sends again only
//! when its retransmission timer runs out.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use http_body_util::{BodyExt as _, Empty};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::HOST;
use hyper_util::rt::TokioIo;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::error::LabError;
use crate::load::{Ports, Target, bind};
use crate::namespace::NetnsThread;
use crate::node::NodeHandle;
use crate::silence::{Silence, longest_silence};

/// Pause between an answer and the next request.
const PAUSE: Duration = Duration::from_millis(5);

type Error = Box<dyn std::error::Error + Send + Sync>;

/// One connection, as it went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stream {
    /// Port it came from; 0: there was no free one.
    pub client_port: u16,
    /// When answers were complete.
    pub answers: Vec<Instant>,
    /// When and why it broke; `None`: it ran until it was told to end.
    pub broke: Option<(Instant, String)>,
}

impl Stream {
    /// The longest time between two answers.
    #[must_use]
    pub fn longest_stall(&self, from: Instant, to: Instant) -> Silence {
        longest_silence(self.answers.iter().copied(), from, to)
    }
}

/// Running connections.
#[derive(Debug)]
pub struct Streams {
    thread: NetnsThread<Vec<Stream>>,
    stop: watch::Sender<bool>,
    answers: Arc<AtomicU64>,
}

impl Streams {
    /// Opens `count` connections from a node and keeps all of them busy. None that breaks is opened
    /// again. The target's deadline does not count: a stream waits for its answer.
    ///
    /// # Errors
    /// The node is off.
    pub fn start(
        node: NodeHandle<'_>,
        target: &Target,
        ports: &Arc<Ports>,
        count: usize,
    ) -> Result<Self, LabError> {
        let (stop, stopped) = watch::channel(false);
        let answers = Arc::new(AtomicU64::new(0));
        let (target, ports) = (Arc::new(target.clone()), Arc::clone(ports));
        let counter = Arc::clone(&answers);
        let thread = node.task(move || run(target, ports, count, counter, stopped))?;
        Ok(Self {
            thread,
            stop,
            answers,
        })
    }

    /// Answers that came so far, to all of them.
    #[must_use]
    pub fn answers(&self) -> u64 {
        self.answers.load(Ordering::Relaxed)
    }

    /// Ends them, also where an answer is awaited; all of them, as they went.
    ///
    /// # Errors
    /// Their thread could not enter the node.
    pub fn stop(self) -> Result<Vec<Stream>, LabError> {
        self.stop.send_replace(true);
        self.thread.join().map_err(|source| LabError::Start {
            what: "the streams in the node's namespace",
            source,
        })
    }
}

async fn run(
    target: Arc<Target>,
    ports: Arc<Ports>,
    count: usize,
    answers: Arc<AtomicU64>,
    stopped: watch::Receiver<bool>,
) -> Vec<Stream> {
    let mut running = JoinSet::new();
    for _ in 0..count {
        let (target, ports) = (Arc::clone(&target), Arc::clone(&ports));
        let (answers, stopped) = (Arc::clone(&answers), stopped.clone());
        running.spawn(async move { one(&target, &ports, &answers, stopped).await });
    }
    running.join_all().await
}

async fn one(
    target: &Target,
    ports: &Ports,
    answers: &AtomicU64,
    mut stopped: watch::Receiver<bool>,
) -> Stream {
    let mut stream = Stream::default();
    let ended = tokio::select! {
        // A dropped sender ends the streams as well.
        _ = stopped.changed() => Ok(()),
        ended = converse(target, ports, answers, &mut stream) => ended,
    };
    if let Err(error) = ended {
        stream.broke = Some((Instant::now(), error.to_string()));
    }
    stream
}

/// Asks until the connection breaks.
async fn converse(
    target: &Target,
    ports: &Ports,
    answers: &AtomicU64,
    stream: &mut Stream,
) -> Result<(), Error> {
    let (port, socket) = bind(ports)?;
    stream.client_port = port;
    let connected = socket.connect(target.address).await?;
    connected.set_nodelay(true)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(connected)).await?;
    let ask = async {
        loop {
            let request = hyper::Request::get(&target.path)
                .header(HOST, target.address.to_string())
                .body(Empty::<Bytes>::new())?;
            sender.ready().await?;
            let response = sender.send_request(request).await?;
            let status = response.status();
            response.into_body().collect().await?;
            if !status.is_success() {
                return Err(Error::from(format!("status {status}")));
            }
            stream.answers.push(Instant::now());
            answers.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(PAUSE).await;
        }
    };
    tokio::select! {
        broken = ask => broken,
        // It only moves while it is polled, and says best why it broke.
        ended = connection => match ended {
            Ok(()) => Err(Error::from("the server closed the connection")),
            Err(error) => Err(with_cause(&error)),
        },
    }
}

/// The error's own words are only that there was one.
fn with_cause(error: &hyper::Error) -> Error {
    match std::error::Error::source(error) {
        Some(cause) => Error::from(format!("{error}: {cause}")),
        None => Error::from(error.to_string()),
    }
}

#[cfg(test)]
mod tests;
