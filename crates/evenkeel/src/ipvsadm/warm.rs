//! What a director holds but does not act for: services whose gate is not open.
//!
//! ipvsadm knows nothing of the kind, so standard output lists only the other services, and one line on
//! standard error tells of these.

use evenkeel_api::{GateStatus, Role, ServiceId, ServiceListing};

/// Parts the services that this director acts for from those that it only holds.
pub(crate) fn part(services: Vec<ServiceListing>) -> (Vec<ServiceListing>, Vec<ServiceListing>) {
    services
        .into_iter()
        .partition(|service| service.gate == GateStatus::Open)
}

/// What is said of services that are held and left out of a listing; `None` where there are none.
pub(crate) fn left_out(held: &[ServiceListing]) -> Option<String> {
    note(held, "held warm, not listed")
}

/// What is said of services that are listed though they are only held, because they were asked for.
pub(crate) fn listed(held: &[ServiceListing]) -> Option<String> {
    note(held, "held warm")
}

fn note(held: &[ServiceListing], what: &str) -> Option<String> {
    let services = match held.len() {
        0 => return None,
        1 => "1 service".to_owned(),
        count => format!("{count} services"),
    };
    let mut reasons: Vec<String> = Vec::new();
    for service in held {
        let reason = reason(service);
        if !reasons.contains(&reason) {
            reasons.push(reason);
        }
    }
    let reasons = reasons.join("; ");
    Some(format!("{services} {what}: {reasons}\n"))
}

fn reason(service: &ServiceListing) -> String {
    let Some(router) = &service.virtual_router else {
        let (gate, is) = match service.service {
            ServiceId::Single { address, .. } => (format!("gate of {}", address.ip()), "is"),
            ServiceId::Group { group } => (format!("gates of group {group}"), "are"),
        };
        return match service.gate {
            GateStatus::Open => format!("the {gate} {is} open"),
            GateStatus::Draining => format!("the {gate} {is} draining"),
            GateStatus::Closed => format!("the {gate} {is} closed"),
        };
    };
    let name = &router.name;
    match router.role {
        Role::Backup => format!("this director is Backup of virtual router \"{name}\""),
        Role::Initialize => format!("this director takes no part in virtual router \"{name}\""),
        Role::Active => format!("the gate of virtual router \"{name}\" is not open yet"),
    }
}

#[cfg(test)]
mod tests;
