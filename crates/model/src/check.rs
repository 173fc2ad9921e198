//! Health checks, as configured.

use std::time::Duration;

/// When checks run and how many results decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cadence {
    /// Time from the start of one check to the start of the next.
    pub every: Duration,
    /// Total deadline of one check, from connect to the last byte.
    pub timeout: Duration,
    /// Failed checks in a row that take a server out, at least 1.
    pub fall: u32,
    /// Successful checks in a row that put it back, at least 1.
    pub rise: u32,
}

/// What the answer's body must contain.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BodyMatch(pub String);

/// What a check does.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CheckKind {
    /// A TCP connection must be accepted.
    Tcp,
    /// An HTTP/1.1 GET must be answered.
    Http {
        /// Path, beginning with `/`.
        path: String,
        /// Value of the Host header; `None`: the checked address.
        host: Option<String>,
        /// Expected status; `None`: any from 200 to 299.
        status: Option<u16>,
        /// Text that the body (its first 64 KiB) must contain.
        body: Option<BodyMatch>,
    },
}

/// A check of a real server.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Check {
    /// What it does.
    pub kind: CheckKind,
    /// Port to check; `None`: the real server's.
    pub port: Option<u16>,
    /// When it runs.
    pub cadence: Cadence,
}
