//! The part of `evenkeel status` that tells of virtual routers.

use evenkeel_api::{
    GateStatus, Role, ServerState, ServiceStatus, Stance, Status, VirtualRouterStatus,
    VrrpThreadStatus,
};

use super::{add, render_table, span};

/// The scheduler that places a flow alike on every director.
const STATELESS: &str = "maglev";

/// Share of wake-ups whose lateness is told.
const SHARE: u8 = 99;

/// All virtual routers, then the thread that runs them.
pub(crate) fn render(out: &mut String, status: &Status) {
    for router in &status.virtual_routers {
        add(
            out,
            format_args!(
                "\nvirtual router {}: {} for {}, priority {}, id {}, VRRP {}{}\n",
                router.name,
                router.role.name(),
                span(router.since_s),
                router.priority,
                router.id,
                router.version,
                match (router.stopping, router.handing_over) {
                    (true, _) => ", stopping",
                    (false, true) => ", handing over",
                    (false, false) => "",
                },
            ),
        );
        render_table(out, &rows(router, &status.services));
    }
    if let Some(thread) = &status.vrrp_thread {
        render_thread(out, thread);
    }
}

fn rows(router: &VirtualRouterStatus, services: &[ServiceStatus]) -> Vec<[String; 2]> {
    let mut rows = Vec::new();
    let mut row = |label: &str, text: String| rows.push([label.to_owned(), text]);
    row("reason", router.reason.clone());
    if let Some(text) = stance(router) {
        row("stands back", text);
    }
    let addresses: Vec<String> = router.addresses.iter().map(ToString::to_string).collect();
    row("addresses", addresses.join(", "));
    row(
        "partner",
        match &router.partner {
            Some(partner) => format!(
                "{}, priority {}, every {}, heard {} ago",
                partner.address,
                partner.priority,
                time(partner.interval_ms.saturating_mul(1_000)),
                time(partner.last_heard_ms.saturating_mul(1_000)),
            ),
            None => "none heard".to_owned(),
        },
    );
    let preempt = if router.preempt { "" } else { "no " };
    row(
        "timers",
        format!(
            "advertises every {}, the Active counts as gone after {} of silence, {preempt}preemption",
            time(router.advert_interval_ms.saturating_mul(1_000)),
            time(router.master_down_us),
        ),
    );
    if !router.may_take_over {
        let text = "takes nothing over before its first round of checks is complete";
        row("waits", text.to_owned());
    }
    for text in holdings(router, services) {
        row("services", text);
    }
    let counts: Vec<String> = router
        .counters
        .iter()
        .filter(|counter| counter.count > 0)
        .map(|counter| format!("{} {}", counter.kind, counter.count))
        .collect();
    if !counts.is_empty() {
        row("counters", counts.join(", "));
    }
    for holder in &router.address_held_by {
        row(
            "trouble",
            format!(
                "{} answers for {}, a host outside this virtual router",
                holder.mac, holder.address
            ),
        );
    }
    for trouble in &router.troubles {
        row("trouble", trouble.clone());
    }
    rows
}

/// Why it does not take over as its priority says.
fn stance(router: &VirtualRouterStatus) -> Option<String> {
    let text = match router.stance {
        Stance::Ordinary => return None,
        Stance::HandedOver => {
            "handed over by command: does not preempt until it was Active again, or `evenkeel standby --off`"
                .to_owned()
        }
        Stance::Standby => {
            let priority = router.priority_in_force.unwrap_or(router.priority);
            format!(
                "standby: takes over only while nobody else is there (with priority {priority}), until \
                 `evenkeel standby --off`"
            )
        }
        Stance::Maintenance => {
            "maintenance: takes nothing over until `evenkeel maintenance off`".to_owned()
        }
    };
    Some(text)
}

/// Which services a director acts for, and which it only holds warm.
fn holdings(router: &VirtualRouterStatus, services: &[ServiceStatus]) -> Vec<String> {
    let closed = match router.role {
        Role::Active => "not served yet",
        Role::Backup | Role::Initialize => "held warm",
    };
    let lines: Vec<String> = [
        (GateStatus::Open, "served"),
        (GateStatus::Draining, "draining"),
        (GateStatus::Closed, closed),
    ]
    .into_iter()
    .filter_map(|(gate, how)| {
        let services: Vec<&ServiceStatus> = services
            .iter()
            .filter(|service| service.virtual_router.as_ref() == Some(&router.name))
            .filter(|service| service.gate == gate)
            .collect();
        (!services.is_empty()).then(|| format!("{how}: {}", summary(&services)))
    })
    .collect();
    if lines.is_empty() {
        vec!["none listens on its addresses".to_owned()]
    } else {
        lines
    }
}

/// Names, and how many of all their servers are up.
fn summary(services: &[&ServiceStatus]) -> String {
    let names: Vec<&str> = services
        .iter()
        .map(|service| service.name.as_str())
        .collect();
    let servers = services.iter().flat_map(|service| &service.servers);
    let up = servers
        .clone()
        .filter(|server| server.state == ServerState::Up);
    let (up, all) = (up.count(), servers.count());
    format!("{}; {up} of {all} servers up", names.join(", "))
}

fn render_thread(out: &mut String, thread: &VrrpThreadStatus) {
    let timers = match thread.within_us(SHARE) {
        Some(bound) => format!(
            ", {SHARE}% of its timers at most {} late, the worst {}",
            time(bound),
            time(thread.max_us)
        ),
        None => String::new(),
    };
    let scheduling = if thread.real_time {
        "real-time"
    } else {
        "not real-time"
    };
    let memory = if thread.memory_locked {
        "memory locked"
    } else {
        "memory not locked"
    };
    add(
        out,
        format_args!("\nVRRP thread: {scheduling}, {memory}{timers}\n"),
    );
    let because = |reason: &Option<String>| match reason {
        Some(reason) => format!(" ({reason})"),
        None => String::new(),
    };
    if !thread.real_time {
        add(
            out,
            format_args!(
                "  not real-time{}: while the processors are busy its advertisements may be late, and the partner\n  \
                 may take over without need; it needs LimitRTPRIO=50 in its unit, or CAP_SYS_NICE\n",
                because(&thread.real_time_reason)
            ),
        );
    }
    if !thread.memory_locked {
        add(
            out,
            format_args!(
                "  memory not locked{}: while memory is short it may wait for the disk, with the same cost;\n  \
                 it needs LimitMEMLOCK=infinity in its unit, or CAP_IPC_LOCK\n",
                because(&thread.memory_locked_reason)
            ),
        );
    }
}

/// Says which services lose their connections at a takeover, if any.
pub(crate) fn render_takeovers(out: &mut String, status: &Status) {
    let stateful: Vec<String> = status
        .services
        .iter()
        .filter(|service| service.virtual_router.is_some() && service.scheduler != STATELESS)
        .map(|service| format!("{} ({})", service.name, service.scheduler))
        .collect();
    if stateful.is_empty() {
        return;
    }
    add(
        out,
        format_args!(
            "\ntakeovers\n  \
             connections do not survive one under {}: there is no connection sync yet, and the new Active\n  \
             counts their packets as event unknown-flow; its UDP flows are placed anew. Under scheduler\n  \
             {STATELESS} both survive, but for those of a server whose weight was 0 at either time\n",
            stateful.join(", ")
        ),
    );
}

/// A short time in the unit that suits it, with one decimal.
fn time(us: u64) -> String {
    let (unit, size) = match us {
        0..1_000 => return format!("{us} us"),
        1_000..1_000_000 => ("ms", 1_000),
        1_000_000.. => ("s", 1_000_000),
    };
    let (whole, tenth) = (us / size, us % size * 10 / size);
    if tenth == 0 {
        format!("{whole} {unit}")
    } else {
        format!("{whole}.{tenth} {unit}")
    }
}

#[cfg(test)]
mod tests;
