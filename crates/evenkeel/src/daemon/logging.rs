//! Structured logs on standard error.

use std::io;

use tracing_subscriber::EnvFilter;

/// Environment variable with another filter, as tracing reads it.
const FILTER_VARIABLE: &str = "EVENKEEL_LOG";

/// Shape of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// Starts logging.
pub(crate) fn start(format: LogFormat) {
    // Netlink's decoder warns about every attribute that is newer than it.
    let filter = EnvFilter::try_from_env(FILTER_VARIABLE)
        .unwrap_or_else(|_unset| EnvFilter::new("info,netlink_packet_route=error"));
    // The journal has the time of every line already.
    let journal = std::env::var_os("JOURNAL_STREAM").is_some();
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(false)
        .with_target(false);
    match (format, journal) {
        (LogFormat::Text, false) => builder.init(),
        (LogFormat::Text, true) => builder.without_time().init(),
        (LogFormat::Json, _) => builder.json().init(),
    }
}
