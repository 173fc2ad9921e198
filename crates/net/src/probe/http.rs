//! An HTTP/1.1 GET, judged by status and body. It follows no redirect and keeps no connection.

use std::error::Error as _;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;

use http_body_util::{BodyExt as _, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::{Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;

use super::{Deadline, connect, describe};

/// Bytes of a body that are read and searched.
const BODY_MAX: usize = 64 * 1024;
/// Bytes of status line and headers that are read.
const HEADER_MAX: usize = 16 * 1024;
const USER_AGENT: &str = concat!("evenkeel/", env!("CARGO_PKG_VERSION"));

/// What is asked, and what is expected.
pub(super) struct HttpCheck<'a> {
    pub path: &'a str,
    pub host: Option<&'a str>,
    pub status: Option<u16>,
    pub body: Option<&'a str>,
}

/// Runs the check.
pub(super) async fn run(
    check: &HttpCheck<'_>,
    address: SocketAddr,
    deadline: Deadline,
) -> Result<(), String> {
    let request = request(check, address)?;
    let stream = connect(address, deadline).await?;
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(HEADER_MAX)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| explain(&error))?;
    let exchange = async {
        let answered = async { sender.send_request(request).await.map_err(|e| explain(&e)) };
        let response = deadline.wait("no answer", answered).await?;
        judge_status(check.status, response.status())?;
        let complete = "answer not complete";
        let body = deadline.wait(complete, read_body(response)).await?;
        judge_body(check.body, &body)
    };
    let mut exchange = pin!(exchange);
    tokio::select! {
        verdict = &mut exchange => verdict,
        // The connection has ended, by a fault too; what it read before that decides.
        _ended = connection => exchange.await,
    }
}

fn request(check: &HttpCheck<'_>, address: SocketAddr) -> Result<Request<Empty<Bytes>>, String> {
    let host = check.host.map_or_else(|| host_of(address), str::to_owned);
    Request::get(check.path)
        .header(header::HOST, host)
        .header(header::USER_AGENT, USER_AGENT)
        .header(header::ACCEPT, "*/*")
        .header(header::CONNECTION, "close")
        .body(Empty::new())
        .map_err(|error| format!("can't ask for `{}`: {error}", check.path))
}

/// The address as a Host header, without the port where it is HTTP's own (RFC 9110 §7.2).
fn host_of(address: SocketAddr) -> String {
    match address {
        SocketAddr::V4(address) if address.port() == 80 => address.ip().to_string(),
        SocketAddr::V6(address) if address.port() == 80 => format!("[{}]", address.ip()),
        SocketAddr::V4(_) | SocketAddr::V6(_) => address.to_string(),
    }
}

/// Reads the body to its end or to the most that is searched.
async fn read_body(response: Response<Incoming>) -> Result<Vec<u8>, String> {
    let mut body = response.into_body();
    let mut read = Vec::new();
    while read.len() < BODY_MAX {
        let Some(frame) = body.frame().await else {
            break;
        };
        let frame = frame.map_err(|error| explain(&error))?;
        if let Some(data) = frame.data_ref() {
            let room = BODY_MAX - read.len();
            read.extend_from_slice(data.get(..room).unwrap_or(data));
        }
    }
    Ok(read)
}

fn judge_status(expected: Option<u16>, status: StatusCode) -> Result<(), String> {
    let found = status.as_u16();
    match expected {
        Some(expected) if found != expected => Err(format!("status {found}, expected {expected}")),
        None if !status.is_success() => Err(format!("status {found}, expected 2xx")),
        Some(_) | None => Ok(()),
    }
}

fn judge_body(expected: Option<&str>, body: &[u8]) -> Result<(), String> {
    let Some(text) = expected.filter(|text| !text.is_empty()) else {
        return Ok(());
    };
    let found = body
        .windows(text.len())
        .any(|window| window == text.as_bytes());
    if found {
        Ok(())
    } else {
        Err(format!("body does not contain `{text}`"))
    }
}

/// A fault of the exchange in a few words.
fn explain(error: &hyper::Error) -> String {
    if error.is_parse_too_large() {
        return format!("answer's header is larger than {} KiB", HEADER_MAX / 1024);
    }
    if error.is_parse() {
        return "answer is not HTTP/1".to_owned();
    }
    let cause = error
        .source()
        .and_then(|cause| cause.downcast_ref::<io::Error>());
    let torn = cause.is_some_and(|cause| cause.kind() == io::ErrorKind::UnexpectedEof);
    if torn || error.is_incomplete_message() || error.is_canceled() || error.is_closed() {
        return "connection closed before the answer was complete".to_owned();
    }
    if let Some(cause) = cause {
        return describe(cause);
    }
    // Cause first: hyper's own words only say at which step it was.
    error
        .source()
        .map_or_else(|| error.to_string(), ToString::to_string)
}
