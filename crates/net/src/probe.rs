//! The probes of the health checks: one connection each, one deadline over everything.
//!
//! A probe answers whether the server served, in words for the operator; what that means for the
//! server is the health core's business. What it reads of an answer is bounded, because a real server
//! may be broken in any way.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use evenkeel_model::CheckKind;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

mod http;
#[cfg(test)]
mod tests;

/// Runs one check against the address, for at most `timeout` from connect to the last byte.
///
/// Opens its socket in the network namespace of the thread that polls it. Cancel-safe: dropped, it
/// closes the connection. The error is a short text such as `connection refused`.
pub async fn run(kind: &CheckKind, address: SocketAddr, timeout: Duration) -> Result<(), String> {
    let deadline = Deadline {
        at: Instant::now() + timeout,
        timeout,
    };
    match kind {
        CheckKind::Tcp => tcp(address, deadline).await,
        CheckKind::Http {
            path,
            host,
            status,
            body,
        } => {
            let check = http::HttpCheck {
                path,
                host: host.as_deref(),
                status: *status,
                body: body.as_ref().map(|text| text.0.as_str()),
            };
            http::run(&check, address, deadline).await
        }
    }
}

async fn tcp(address: SocketAddr, deadline: Deadline) -> Result<(), String> {
    let mut stream = connect(address, deadline).await?;
    // Accepted is what was asked; how the connection ends does not matter.
    let _ = stream.shutdown().await;
    Ok(())
}

/// The end of a probe's time.
#[derive(Clone, Copy, Debug)]
struct Deadline {
    at: Instant,
    timeout: Duration,
}

impl Deadline {
    /// Waits for one step; `missing` says what was not there in time.
    async fn wait<T>(
        self,
        missing: &str,
        step: impl Future<Output = Result<T, String>>,
    ) -> Result<T, String> {
        timeout_at(self.at, step)
            .await
            .unwrap_or_else(|_elapsed| Err(format!("{missing} within {:?}", self.timeout)))
    }
}

async fn connect(address: SocketAddr, deadline: Deadline) -> Result<TcpStream, String> {
    let connected = async {
        TcpStream::connect(address)
            .await
            .map_err(|error| describe(&error))
    };
    deadline.wait("no connection", connected).await
}

/// An IO error in a few words.
fn describe(error: &io::Error) -> String {
    let words = match error.raw_os_error() {
        Some(libc::ECONNREFUSED) => "connection refused",
        Some(libc::ECONNRESET) => "connection reset",
        Some(libc::EPIPE) => "connection closed",
        Some(libc::EHOSTUNREACH) => "host unreachable",
        Some(libc::ENETUNREACH) => "network unreachable",
        Some(libc::ETIMEDOUT) => "connection timed out",
        Some(libc::EADDRNOTAVAIL) => "no free local port",
        Some(libc::EMFILE | libc::ENFILE) => "too many open files on the director",
        Some(_) | None => return error.to_string(),
    };
    words.to_owned()
}
