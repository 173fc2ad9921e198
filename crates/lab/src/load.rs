//! Client load: real HTTP requests, each on a connection of its own, each recorded, none retried.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, HOST};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use crate::error::LabError;
use crate::namespace::NetnsThread;
use crate::node::NodeHandle;
use crate::silence::longest_silence;

/// Largest body of an answer, in bytes.
const BODY_MAX: usize = 64 * 1024;

/// What is requested, and how.
#[derive(Clone, Debug)]
pub struct Target {
    /// Where to connect to.
    pub address: SocketAddr,
    /// Path, beginning with `/`.
    pub path: String,
    /// Total deadline of one request, from connect to the last byte.
    pub deadline: Duration,
}

/// One request, as it went.
#[derive(Clone, Debug)]
pub struct Record {
    /// Port it came from; unique among the load's last 50,000 requests. 0: there was no free one.
    pub client_port: u16,
    /// When its connection was asked for.
    pub started: Instant,
    /// When its outcome was known.
    pub finished: Instant,
    /// The answer's body, trimmed (the server's name), or why there was none.
    pub outcome: Result<String, String>,
}

/// Client ports used one after the other, so that a connection is known by its port.
#[derive(Debug)]
pub struct Ports(AtomicUsize);

impl Ports {
    const FIRST: u16 = 10_000;
    const LAST: u16 = 59_999;

    /// Ports from the first on.
    #[must_use]
    pub const fn new() -> Self {
        Self(AtomicUsize::new(0))
    }

    fn next(&self) -> u16 {
        let count = usize::from(Self::LAST - Self::FIRST) + 1;
        let place = self.0.fetch_add(1, Ordering::Relaxed) % count;
        Self::FIRST + u16::try_from(place).unwrap_or(0)
    }
}

impl Default for Ports {
    fn default() -> Self {
        Self::new()
    }
}

/// Sends `count` requests from a node, each after the last one's end.
///
/// # Errors
/// The node is off. Failed requests are in the records.
pub fn sequential(
    node: NodeHandle<'_>,
    target: &Target,
    ports: &Arc<Ports>,
    count: usize,
) -> Result<Vec<Record>, LabError> {
    let target = target.clone();
    let ports = Arc::clone(ports);
    let thread = node.task(move || async move {
        let mut records = Vec::with_capacity(count);
        for _ in 0..count {
            records.push(request(&target, &ports).await);
        }
        records
    })?;
    ended(thread)
}

/// A load that starts a request on every tick, whatever becomes of those before.
#[derive(Debug)]
pub struct OpenLoad {
    thread: NetnsThread<Vec<Record>>,
    stop: watch::Sender<bool>,
    sent: Arc<AtomicU64>,
}

impl OpenLoad {
    /// Starts one request every `every` from a node.
    ///
    /// # Errors
    /// The node is off.
    pub fn start(
        node: NodeHandle<'_>,
        target: &Target,
        ports: &Arc<Ports>,
        every: Duration,
    ) -> Result<Self, LabError> {
        Self::start_lingering(node, target, ports, every, Duration::ZERO)
    }

    /// As [`start`](Self::start), but the connection of a request that failed at its deadline stays
    /// open for `linger` more, so that what its client retransmits is part of the load.
    ///
    /// # Errors
    /// The node is off.
    pub fn start_lingering(
        node: NodeHandle<'_>,
        target: &Target,
        ports: &Arc<Ports>,
        every: Duration,
        linger: Duration,
    ) -> Result<Self, LabError> {
        let (stop, stopped) = watch::channel(false);
        let sent = Arc::new(AtomicU64::new(0));
        let load = Load {
            target: target.clone(),
            ports: Arc::clone(ports),
            every,
            linger,
            sent: Arc::clone(&sent),
        };
        Ok(Self {
            thread: node.task(move || load.run(stopped))?,
            stop,
            sent,
        })
    }

    /// Requests started so far.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Starts no more requests and waits for those under way, at most one deadline; all records, in
    /// the order of their start.
    ///
    /// # Errors
    /// The load's thread could not enter the node.
    pub fn stop(self) -> Result<Vec<Record>, LabError> {
        self.stop.send_replace(true);
        ended(self.thread)
    }
}

struct Load {
    target: Target,
    ports: Arc<Ports>,
    every: Duration,
    linger: Duration,
    sent: Arc<AtomicU64>,
}

impl Load {
    async fn run(self, mut stopped: watch::Receiver<bool>) -> Vec<Record> {
        let mut ticks = tokio::time::interval(self.every);
        // A late tick is made up for: the rate is the load's, not the machine's.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let mut requests = JoinSet::new();
        let mut records = Vec::new();
        loop {
            tokio::select! {
                // A dropped sender ends the load as well.
                _ = stopped.changed() => break,
                _ = ticks.tick() => {
                    self.sent.fetch_add(1, Ordering::Relaxed);
                    let target = self.target.clone();
                    let ports = Arc::clone(&self.ports);
                    let linger = self.linger;
                    requests.spawn(async move { attempt(&target, &ports, linger).await });
                }
                Some(ended) = requests.join_next() => records.extend(ended),
            }
        }
        while let Some(ended) = requests.join_next().await {
            records.extend(ended);
        }
        records.sort_by_key(|record| record.started);
        records
    }
}

/// Sends one request on a connection of its own.
pub async fn request(target: &Target, ports: &Ports) -> Record {
    attempt(target, ports, Duration::ZERO).await
}

async fn attempt(target: &Target, ports: &Ports, linger: Duration) -> Record {
    let started = Instant::now();
    let (client_port, outcome) = match bind(ports) {
        Ok((port, socket)) => {
            let mut exchange = Box::pin(exchange(target.clone(), socket));
            let answer = tokio::time::timeout(target.deadline, &mut exchange).await;
            let outcome = answer.unwrap_or_else(|_elapsed| {
                if linger > Duration::ZERO {
                    // Too late to count, whatever comes of it.
                    tokio::spawn(async move { drop(tokio::time::timeout(linger, exchange).await) });
                }
                Err(String::from("deadline passed"))
            });
            (port, outcome)
        }
        Err(err) => (0, Err(format!("bind: {err}"))),
    };
    Record {
        client_port,
        started,
        finished: Instant::now(),
        outcome,
    }
}

/// The longest time without a successful end of a request, from the first start to the last end.
#[must_use]
pub fn longest_gap(records: &[Record]) -> Duration {
    let from = records.iter().map(|record| record.started).min();
    let to = records.iter().map(|record| record.finished).max();
    let (Some(from), Some(to)) = (from, to) else {
        return Duration::ZERO;
    };
    let answers = records
        .iter()
        .filter(|record| record.outcome.is_ok())
        .map(|record| record.finished);
    longest_silence(answers, from, to).length
}

/// A socket on the next port that is free.
pub(crate) fn bind(ports: &Ports) -> io::Result<(u16, TcpSocket)> {
    /// Neighbouring ports taken by others before giving up.
    const TRIES: usize = 100;
    let mut result = Err(io::ErrorKind::AddrInUse.into());
    for _ in 0..TRIES {
        let port = ports.next();
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        match socket.bind((Ipv4Addr::UNSPECIFIED, port).into()) {
            Ok(()) => return Ok((port, socket)),
            Err(err) => result = Err(err),
        }
    }
    result
}

async fn exchange(target: Target, socket: TcpSocket) -> Result<String, String> {
    let stream = socket
        .connect(target.address)
        .await
        .map_err(|err| format!("connect: {err}"))?;
    get(&target, stream).await.map_err(|err| err.to_string())
}

async fn get(
    target: &Target,
    stream: TcpStream,
) -> Result<String, Box<dyn std::error::Error + Send + Sync>> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let request = hyper::Request::get(&target.path)
        .header(HOST, target.address.to_string())
        .header(CONNECTION, "close")
        .body(Empty::<Bytes>::new())?;
    let answer = async {
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), BODY_MAX)
            .collect()
            .await?
            .to_bytes();
        if !status.is_success() {
            return Err(format!("status {status}").into());
        }
        Ok(String::from_utf8_lossy(&body).trim().to_owned())
    };
    // The connection only moves while it is polled, and ends after the answer.
    let (answer, _ended) = tokio::join!(answer, connection);
    answer
}

fn ended<T>(thread: NetnsThread<T>) -> Result<T, LabError> {
    thread.join().map_err(|source| LabError::Start {
        what: "a load in the node's namespace",
        source,
    })
}

#[cfg(test)]
mod tests;
