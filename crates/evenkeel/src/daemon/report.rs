//! The core's reports as log lines.

use std::net::SocketAddr;

use evenkeel_api::EventRecord;
use evenkeel_control::Report;

use crate::daemon::vrrp::ThreadView;

/// Logs a report, with a name for machines.
pub(crate) fn log(report: &Report) {
    let event = name(report);
    if report.is_warning() {
        tracing::warn!(event, "{report}");
    } else {
        tracing::info!(event, "{report}");
    }
}

/// A report as `evenkeel events` shows it.
pub(crate) fn record(report: &Report, seq: u64, time_ms: u64) -> EventRecord {
    let about = about(report);
    EventRecord {
        seq,
        time_ms,
        kind: name(report).to_owned(),
        message: report.to_string(),
        warning: report.is_warning(),
        virtual_router: about.virtual_router,
        service: about.service,
        server: about.server,
    }
}

/// What a report is about.
#[derive(Default)]
struct About {
    virtual_router: Option<String>,
    service: Option<String>,
    server: Option<SocketAddr>,
}

fn about(report: &Report) -> About {
    let of_service = |name: &str| About {
        service: Some(name.to_owned()),
        ..About::default()
    };
    let of_router = |name: &str| About {
        virtual_router: Some(name.to_owned()),
        ..About::default()
    };
    match report {
        Report::ServiceAdded(service)
        | Report::ServiceRemoved(service)
        | Report::ServiceAdopted { service, .. }
        | Report::ServiceChanged { service, .. } => of_service(&service.name),
        Report::ServerGated { service, server }
        | Report::SorryServerIn { service, server }
        | Report::SorryServerOut { service, server }
        | Report::ServerHeld { service, server }
        | Report::ServerForwarding {
            service, server, ..
        }
        | Report::ServerUp {
            service, server, ..
        }
        | Report::ServerDown {
            service, server, ..
        } => About {
            server: Some(*server),
            ..of_service(service)
        },
        Report::RouterAdded(router)
        | Report::RouterRemoved(router)
        | Report::RouterChanged { router, .. }
        | Report::RoleChanged { router, .. }
        | Report::FlowsUnknown { router, .. }
        | Report::RouterOrdered { router, .. }
        | Report::RouterTrouble { router, .. } => of_router(&router.name),
        Report::LeftoverRemoved(_)
        | Report::Edited(_)
        | Report::EditedAtOnce(_)
        | Report::EditTakenBack(_)
        | Report::EditsForgotten
        | Report::Sync { .. }
        | Report::RestartNeeded(_)
        | Report::Maintenance(_)
        | Report::NothingChanged
        | Report::NeighbourFound { .. }
        | Report::NeighbourChanged { .. }
        | Report::NeighbourUnknown { .. }
        | Report::CommandFailed { .. } => About::default(),
    }
}

/// Logs what the VRRP thread does without, and what that costs.
pub(crate) fn limits(thread: &ThreadView) {
    if let Some(reason) = &thread.no_real_time {
        tracing::warn!(
            event = "no-real-time",
            "no real-time priority for the VRRP thread ({reason}): on a busy machine advertisements may be \
             late and partners may take over without need; give the service LimitRTPRIO or CAP_SYS_NICE"
        );
    }
    if let Some(reason) = &thread.no_locked_memory {
        tracing::warn!(
            event = "no-locked-memory",
            "the VRRP thread's memory is not locked ({reason}): a machine short of memory may page it out \
             and delay advertisements; give the service LimitMEMLOCK or CAP_IPC_LOCK"
        );
    }
}

const fn name(report: &Report) -> &'static str {
    match report {
        Report::ServiceAdded(_) => "service-added",
        Report::ServiceAdopted { .. } => "service-adopted",
        Report::ServiceRemoved(_) => "service-removed",
        Report::LeftoverRemoved(_) => "leftover-removed",
        Report::ServiceChanged { .. } => "service-changed",
        Report::Edited(_) | Report::EditedAtOnce(_) => "edited-by-hand",
        Report::EditTakenBack(_) => "edits-taken-back",
        Report::EditsForgotten => "edits-forgotten",
        Report::Sync { .. } => "sync",
        Report::RestartNeeded(_) => "restart-needed",
        Report::NothingChanged => "nothing-changed",
        Report::ServerGated { .. } => "server-gated",
        Report::ServerUp { .. } => "server-up",
        Report::ServerDown { .. } => "server-down",
        Report::ServerHeld { .. } => "server-held",
        Report::SorryServerIn { .. } => "sorry-server-in",
        Report::SorryServerOut { .. } => "sorry-server-out",
        Report::NeighbourFound { .. } => "neighbour-found",
        Report::NeighbourChanged { .. } => "neighbour-changed",
        Report::NeighbourUnknown { .. } => "neighbour-unknown",
        Report::CommandFailed { .. } => "command-failed",
        Report::ServerForwarding { .. } => "server-forwarding",
        Report::RouterAdded(_) => "virtual-router-added",
        Report::RouterRemoved(_) => "virtual-router-removed",
        Report::RouterChanged { .. } => "virtual-router-changed",
        Report::RoleChanged { .. } => "role-changed",
        Report::FlowsUnknown { .. } => "flows-unknown",
        Report::RouterTrouble { .. } => "virtual-router-trouble",
        Report::RouterOrdered { .. } => "virtual-router-ordered",
        Report::Maintenance(_) => "maintenance",
    }
}
