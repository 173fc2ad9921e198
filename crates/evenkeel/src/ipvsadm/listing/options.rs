//! What a service does beside its scheduler, as ipvsadm writes it.

use std::net::Ipv4Addr;

use evenkeel_api::{Persistence, ServiceListing};

/// Behind the scheduler in a listing.
pub(super) fn listed(service: &ServiceListing) -> String {
    let mut out = match flags(service) {
        flags if flags.is_empty() => String::new(),
        flags => format!(" ({})", flags.join(",")),
    };
    if let Some(persistence) = service.options.persistence {
        out += &format!(" persistent {}", persistence.timeout_s);
        if let Some(mask) = mask(service, persistence) {
            out += &format!(" mask {mask}");
        }
    }
    if service.options.one_packet {
        out += " ops";
    }
    out
}

/// Behind the scheduler in a saved table.
pub(super) fn rule(service: &ServiceListing) -> String {
    let mut out = String::new();
    if let Some(persistence) = service.options.persistence {
        out += &format!(" -p {}", persistence.timeout_s);
        if let Some(mask) = mask(service, persistence) {
            out += &format!(" -M {mask}");
        }
    }
    if service.options.one_packet {
        out += " -o";
    }
    let flags = flags(service);
    if !flags.is_empty() {
        out += &format!(" -b {}", flags.join(","));
    }
    out
}

/// Names of the flags, those of the scheduler where it has any.
fn flags(service: &ServiceListing) -> Vec<&'static str> {
    let [fallback, port] = match service.scheduler.as_str() {
        "sh" => ["sh-fallback", "sh-port"],
        "mh" => ["mh-fallback", "mh-port"],
        _ => ["flag-1", "flag-2"],
    };
    let options = service.options;
    let given = [(options.fallback, fallback), (options.port, port)];
    let given = given.into_iter().filter(|(given, _)| *given);
    given.map(|(_, name)| name).collect()
}

/// The mask of a client's network; `None`: each address is a client of its own.
fn mask(service: &ServiceListing, persistence: Persistence) -> Option<String> {
    let prefix = persistence.prefix;
    if super::is_ipv6(service) {
        return (prefix < 128).then(|| prefix.to_string());
    }
    let host_bits = 32_u32.saturating_sub(prefix.into());
    let mask = u32::MAX.checked_shl(host_bits).unwrap_or(0);
    (prefix < 32).then(|| Ipv4Addr::from_bits(mask).to_string())
}
