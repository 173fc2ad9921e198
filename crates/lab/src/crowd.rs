//! Many connections at once: the programs that hold both ends of them, each process at most
//! [`DESCRIPTORS`] of them.
//!
//! A request is eight bytes; the answer to it is the same bytes and the server's name, in a frame of one
//! length. Nothing else is ever said on a connection.

mod client;
mod limits;
mod server;
mod words;

pub(crate) use client::run as run_client;
pub(crate) use server::{READY, run as run_server};
pub(crate) use words::{Asked, ClientSpec, Opened, Order, Outcome, Reported, monotonic};

/// Most descriptors of one process.
pub(crate) const DESCRIPTORS: u32 = 15_000;

/// Bytes of a request.
const REQUEST: usize = 8;

/// Bytes of a server's name, zeroes behind it; names of nodes have one less.
const NAME: usize = 16;

/// Bytes of an answer.
const ANSWER: usize = REQUEST + NAME;

/// The answer of the server of that name.
fn answer(request: [u8; REQUEST], name: &str) -> [u8; ANSWER] {
    let mut answer = [0; ANSWER];
    let bytes = request.into_iter().chain(name.bytes().take(NAME - 1));
    for (place, byte) in answer.iter_mut().zip(bytes) {
        *place = byte;
    }
    answer
}

/// The name in an answer to the request; `None` where it answers another one, or is no answer.
fn name_in(answer: &[u8; ANSWER], request: [u8; REQUEST]) -> Option<String> {
    let name = answer.strip_prefix(&request)?;
    let end = name.iter().position(|byte| *byte == 0)?;
    String::from_utf8(name.get(..end)?.to_vec()).ok()
}

#[cfg(test)]
mod tests;
