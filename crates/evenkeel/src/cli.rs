//! The command line. The doc comments of these types are the help texts.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::commands::{
    check, connections, drain, events, generate, handover, ipvsadm, lab, purge, reload, run,
    status, trace,
};

/// Keeps a network service on an even keel: an XDP load balancer with health checks.
#[derive(Debug, Parser)]
#[command(name = "evenkeel", version, arg_required_else_help = true)]
pub(crate) struct Cli {
    /// The daemon's socket [default: $EVENKEEL_SOCKET, else /run/evenkeel/evenkeel.sock].
    #[arg(long, global = true, value_name = "PATH")]
    pub(crate) socket: Option<PathBuf>,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Run(run::Args),
    Status(status::Args),
    Events(events::Args),
    Connections(connections::Args),
    Drain(drain::Args),
    Ready(drain::ReadyArgs),
    Trace(trace::Args),
    Failover(handover::FailoverArgs),
    Standby(handover::StandbyArgs),
    Maintenance(handover::MaintenanceArgs),
    Reload(reload::Args),
    Check(check::Args),
    Purge(purge::Args),
    /// Print a commented config file to start from.
    PrintDefaultConfig,
    Ipvsadm(ipvsadm::Args),
    Lab(lab::Args),
    #[command(hide = true)]
    Generate(generate::Args),
}

/// The socket to use: as given, else by the environment, else the default.
pub(crate) fn socket(given: Option<PathBuf>) -> PathBuf {
    given
        .or_else(|| {
            std::env::var_os(evenkeel_api::SOCKET_VARIABLE)
                .filter(|path| !path.is_empty())
                .map(PathBuf::from)
        })
        .unwrap_or_else(|| PathBuf::from(evenkeel_api::DEFAULT_SOCKET))
}
