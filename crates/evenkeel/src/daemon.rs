//! The director daemon: joins netlink, probes, signals and API requests to the control core, and
//! executes the core's commands.
//!
//! One task on the main thread owns the core and the data plane; the data plane's calls block, so
//! probes, netlink and the API server run on a worker thread beside it. Core orders, daemon obeys: no
//! decision is made here.

mod arp;
mod connections;
mod durable;
pub(crate) mod edits;
mod event_loop;
pub(crate) mod handover;
mod hands;
mod journal;
pub(crate) mod logging;
mod notify;
mod problems;
mod rates;
mod report;
mod roles;
mod server;
mod start;
mod sync;
mod trace;
mod view;
mod view_routers;
mod vrrp;
pub(crate) mod ways;

use std::path::PathBuf;

use crate::command_error::CommandError;

/// What the daemon is started with.
#[derive(Debug)]
pub(crate) struct Setup {
    /// The config file.
    pub(crate) config: PathBuf,
    /// The API's socket.
    pub(crate) socket: PathBuf,
    /// Directory of the pins.
    pub(crate) pins: PathBuf,
}

/// Runs the daemon until it is told to end; pins and addresses stay.
pub(crate) fn run(setup: Setup) -> Result<(), CommandError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|error| {
            CommandError::new(anyhow::Error::new(error).context("cannot start the async runtime"))
        })?;
    let ended = runtime.block_on(async { start::start(setup).await?.run().await });
    // Probes and look-ups that still run are not waited for.
    runtime.shutdown_background();
    ended
}
