//! The core's reports as log lines.

use evenkeel_control::Report;

/// Logs a report, with a name for machines.
pub(crate) fn log(report: &Report) {
    let event = name(report);
    if report.is_warning() {
        tracing::warn!(event, "{report}");
    } else {
        tracing::info!(event, "{report}");
    }
}

const fn name(report: &Report) -> &'static str {
    match report {
        Report::ServiceAdded(_) => "service-added",
        Report::ServiceAdopted { .. } => "service-adopted",
        Report::ServiceRemoved(_) => "service-removed",
        Report::LeftoverRemoved(_) => "leftover-removed",
        Report::ServiceChanged { .. } => "service-changed",
        Report::RestartNeeded(_) => "restart-needed",
        Report::NothingChanged => "nothing-changed",
        Report::ServerGated { .. } => "server-gated",
        Report::ServerUp { .. } => "server-up",
        Report::ServerDown { .. } => "server-down",
        Report::NeighbourFound { .. } => "neighbour-found",
        Report::NeighbourChanged { .. } => "neighbour-changed",
        Report::NeighbourUnknown { .. } => "neighbour-unknown",
        Report::CommandFailed { .. } => "command-failed",
    }
}
