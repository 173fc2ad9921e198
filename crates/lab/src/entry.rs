//! The hidden subcommands by which a program runs itself anew as part of a lab.

use std::convert::Infallible;
use std::ffi::OsString;
use std::io::{self, Write as _};
use std::process::ExitCode;

use crate::{crowd, echo, http_server, keeper, node_init};

/// First process of a node.
pub(crate) const NODE_INIT: &str = "lab-init";

/// Keeper of a detached lab.
pub(crate) const KEEPER: &str = "lab-keeper";

/// A real server's web server: `lab-http NAME PORT`.
pub(crate) const HTTP_SERVER: &str = "lab-http";

/// A real server's UDP echo server: `lab-echo ADDRESS PORT`.
pub(crate) const ECHO_SERVER: &str = "lab-echo";

/// One of a real server's servers of many connections: `lab-crowd-server NAME PORT`.
pub(crate) const CROWD_SERVER: &str = "lab-crowd-server";

/// A client of many connections.
pub(crate) const CROWD_CLIENT: &str = "lab-crowd-client";

/// Runs the hidden subcommand that the arguments (without the program's name) ask for, to its end;
/// `None` where they ask for none.
///
/// To be called first thing in `main`, before there is any other thread.
#[must_use]
pub fn run(mut arguments: impl Iterator<Item = OsString>) -> Option<ExitCode> {
    match arguments.next()?.to_str()? {
        NODE_INIT => Some(node_init::run()),
        KEEPER => Some(keeper::run_detached()),
        HTTP_SERVER => Some(http_server::run(arguments)),
        ECHO_SERVER => Some(echo::run(arguments)),
        CROWD_SERVER => Some(crowd::run_server(arguments)),
        CROWD_CLIENT => Some(crowd::run_client()),
        _ => None,
    }
}

/// Runs a server of a node with the two words that it was started with, the second of which is a port, until it
/// fails; the node's log is all there is to write to.
pub(crate) fn serve(
    what: &str,
    arguments: impl Iterator<Item = OsString>,
    serve: impl FnOnce(&str, u16) -> io::Result<Infallible>,
) -> ExitCode {
    let words: Vec<String> = arguments
        .filter_map(|word| word.into_string().ok())
        .collect();
    let served = match words.as_slice() {
        [first, port] => match port.parse() {
            Ok(port) => serve(first, port),
            Err(err) => Err(io::Error::other(err)),
        },
        _ => Err(io::ErrorKind::InvalidInput.into()),
    };
    let Err(err) = served;
    let _unheard = writeln!(io::stderr(), "lab: {what}: {err}");
    ExitCode::FAILURE
}
