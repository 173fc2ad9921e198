//! What a client process is told on its standard input and tells on its standard output, a line of JSON
//! each.

use std::io;
use std::net::SocketAddrV4;
use std::time::Duration;

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
    /// To every later one: every connection that was asked, by its port.
    Asked(Vec<Asked>),
}

/// How a connection was opened: the name of its server, or why there is none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Opened {
    pub(crate) port: u16,
    pub(crate) server: Result<String, String>,
}

/// What came of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Asked {
    pub(crate) port: u16,
    /// When it was sent, by [`monotonic`].
    pub(crate) sent: Duration,
    pub(crate) outcome: Outcome,
}

/// What came of a request on a connection that was whole until then; all but the first break it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Outcome {
    /// Its server answered, at that time by [`monotonic`].
    Answered(Duration),
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
