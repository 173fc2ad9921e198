//! The hidden subcommands by which a program runs itself anew as part of a lab.

use std::ffi::OsString;
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
