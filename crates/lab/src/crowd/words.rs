//! What a client process is told on its standard input and tells on its standard output, a line of JSON
//! each.

use std::io;
use std::net::SocketAddrV4;
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

/// The first line: what to open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ClientSpec {
    pub(crate) service: SocketAddrV4,
    /// The first port; the others follow it.
    pub(crate) first_port: u16,
    pub(crate) connections: u16,
    /// At most so many connections are begun in a second, at least 1.
    pub(crate) rate: u32,
    /// What the connections do while nothing is ordered, one after the other and from the first again.
    pub(crate) habits: Vec<Habit>,
    /// Whether the first order ends the opening; only then are the connections reported as opened.
    pub(crate) until_asked: bool,
}

/// What a connection does by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Habit {
    /// Nothing.
    Idle,
    /// Its server sends something now and then.
    Streaming,
    /// Its client asks something now and then.
    Asking,
}

/// Every later line: each connection that is whole sends a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Order {
    /// The time over which the requests are spread.
    pub(crate) spread: Duration,
    /// How long each waits for its answer.
    pub(crate) patience: Duration,
}

/// The answer to each line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Reported {
    /// To the first one: every connection, by its port.
    Opened(Vec<Opened>),
    /// To every later one: every connection that was whole at the order before, by its port.
    Asked(Vec<Asked>),
}

/// How a connection was opened: the name of its server, or what came instead of its first answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Opened {
    pub(crate) port: u16,
    /// When its handshake was complete, by [`monotonic`]; `None`: it never was.
    pub(crate) established: Option<Duration>,
    /// When that was known.
    pub(crate) known: Duration,
    pub(crate) server: Result<String, Outcome>,
}

/// What came of a request, or what had broken its connection before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Asked {
    pub(crate) port: u16,
    /// When it was sent, by [`monotonic`]; as `known` where its connection broke before.
    pub(crate) sent: Duration,
    /// When the outcome was known.
    pub(crate) known: Duration,
    pub(crate) outcome: Outcome,
}

/// What came of a connection; all but the first break it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Outcome {
    /// Its server answered.
    Answered,
    /// It was reset or closed.
    Reset,
    /// Something else answered than the server that it was opened with.
    OtherServer,
    /// Nothing came in time.
    Unanswered,
}

/// The time by the clock that all processes of this machine share.
pub(crate) fn monotonic() -> io::Result<Duration> {
    Ok(clock_gettime(ClockId::CLOCK_MONOTONIC)?.into())
}

/// What makes this process's instants of times by [`monotonic`] that are past.
pub(crate) fn instants() -> io::Result<impl Fn(Duration) -> Instant> {
    let clock = monotonic()?;
    let now = Instant::now();
    Ok(move |when| now.checked_sub(clock.saturating_sub(when)).unwrap_or(now))
}
