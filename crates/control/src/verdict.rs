//! What a target's verdict means for the servers that use it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use evenkeel_health::Start;
use evenkeel_model::ServiceKey;

use crate::report::Report;
use crate::service::{Server, Service};
use crate::targets::User;
use crate::view::ServerHealth;

pub(crate) fn server_of<'a>(
    services: &'a mut BTreeMap<ServiceKey, Service>,
    (key, address): &User,
) -> Option<&'a mut Server> {
    services.get_mut(key)?.servers.get_mut(address)
}

/// What a new target may take for granted: what one of its users knows.
pub(crate) fn start(services: &BTreeMap<ServiceKey, Service>, users: &BTreeSet<User>) -> Start {
    let known = |(key, address): &User| Some(services.get(key)?.servers.get(address)?.start());
    let starts: Vec<Start> = users.iter().filter_map(known).collect();
    let preferred = [Start::Adopted, Start::AdoptedDown];
    let found = preferred.into_iter().find(|start| starts.contains(start));
    found.unwrap_or(Start::Gated)
}

/// Gives a server its verdict, and returns what to report where it is news.
pub(crate) fn judge(
    services: &mut BTreeMap<ServiceKey, Service>,
    (key, address): &User,
    up: bool,
    reason: &str,
    now: Instant,
) -> Option<Report> {
    let service = services.get_mut(key)?;
    let server = service.servers.get_mut(address)?;
    let health = if up {
        ServerHealth::Up
    } else {
        ServerHealth::Down
    };
    if !server.set_health(health, reason, now) {
        return None;
    }
    service.dirty = true;
    let (service_name, reason) = (service.config.name.clone(), reason.to_owned());
    Some(if up {
        Report::ServerUp {
            service: service_name,
            server: *address,
            reason,
        }
    } else {
        Report::ServerDown {
            service: service_name,
            server: *address,
            action: service.config.on_failure,
            reason,
        }
    })
}
