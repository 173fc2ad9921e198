//! Many connections at once: the programs that hold both ends of them, each process at most
//! [`DESCRIPTORS`] of them.
//!
//! A request is eight bytes; the answer to it is the same bytes and the server's name, in a frame of one
//! length. Nothing else is ever said on a connection; but a request may ask for its answer over and over.

mod client;
mod limits;
mod server;
mod words;

pub(crate) use client::run as run_client;
pub(crate) use server::{READY, run as run_server};
pub(crate) use words::{
    Asked, ClientSpec, Habit, Opened, Order, Outcome, Reported, instants, monotonic,
};

use std::io;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::net::tcp::OwnedReadHalf;

/// Most descriptors of one process.
pub(crate) const DESCRIPTORS: u32 = 15_000;

/// Bytes of a request.
const REQUEST: usize = 8;

/// Bytes of a server's name, zeroes behind it; names of nodes have one less.
const NAME: usize = 16;

/// Bytes of an answer.
const ANSWER: usize = REQUEST + NAME;

/// The first bit of a request that asks for a stream: its answer now, and again every [`EVERY`].
const STREAM: u8 = 0x80;

/// Time from one answer of a stream to the next, and from one request to the next where a connection's
/// habit is to ask: thousands of them are a small part of what one processor does.
const EVERY: Duration = Duration::from_secs(2);

/// The request of that round on the connection from that port.
fn request(port: u16, round: u32) -> [u8; REQUEST] {
    (u64::from(port) << 32 | u64::from(round)).to_be_bytes()
}

/// The request that asks for a stream.
fn stream_request(port: u16) -> [u8; REQUEST] {
    let mut request = request(port, 0);
    request[0] |= STREAM;
    request
}

/// The answer of the server of that name.
fn answer(request: [u8; REQUEST], name: &str) -> [u8; ANSWER] {
    let mut answer = [0; ANSWER];
    let bytes = request.into_iter().chain(name.bytes().take(NAME - 1));
    for (place, byte) in answer.iter_mut().zip(bytes) {
        *place = byte;
    }
    answer
}

/// The request that is answered, and the name of who answers; `None` where it is no answer.
fn parts(answer: &[u8; ANSWER]) -> Option<([u8; REQUEST], &str)> {
    let (request, name) = answer.split_first_chunk()?;
    let end = name.iter().position(|byte| *byte == 0)?;
    Some((*request, std::str::from_utf8(name.get(..end)?).ok()?))
}

/// Reads a frame, and gives the reader back: to be waited for beside other things, without a byte lost.
async fn read_frame<const LENGTH: usize>(
    mut reader: OwnedReadHalf,
) -> io::Result<(OwnedReadHalf, [u8; LENGTH])> {
    let mut frame = [0; LENGTH];
    reader.read_exact(&mut frame).await?;
    Ok((reader, frame))
}

#[cfg(test)]
mod tests;
