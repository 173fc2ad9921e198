//! `[[service]]`: virtual services and their real servers.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;

use evenkeel_model::{
    Check, Forwarding, Fragments, OnFailure, Protocol, RealServer, Scheduler, ServiceKey,
    ServiceOptions, VirtualService, Weight,
};

use crate::check::CheckedPort;
use crate::diagnostic::{Faults, Reported};
use crate::listen::{Taken, Taking};
use crate::overlap::{Addresses, Host};
use crate::reader::{Field, Section};
use crate::{address, check, keys, listen, options};

/// IPVS's other forwarding methods, by their names here, in ipvsadm and in ldirectord.
const PLANNED_FORWARDING: [&str; 6] = [
    "tunnel",
    "masquerade",
    "masquerading",
    "nat",
    "masq",
    "ipip",
];
/// Names of the forwarding method that nobody configures.
const LOCAL_FORWARDING: [&str; 2] = ["local", "localnode"];

/// Most real servers of one service.
const SERVERS_MAX: usize = 1_024;

/// What the services have in common: things that no two may share.
#[derive(Default)]
struct Shared<'t> {
    names: BTreeMap<&'t str, Range<usize>>,
    taken: Taken,
    /// Addresses and protocols whose fragments a service places by addresses.
    fragments: BTreeMap<(IpAddr, Protocol), Range<usize>>,
}

/// Reads all services, in the order of the file.
pub(crate) fn read_all(
    field: &Field<'_>,
    addresses: &mut Addresses,
    faults: &mut Faults<'_>,
) -> Result<Vec<VirtualService>, Reported> {
    let sections = field.sections(&keys::SERVICE, "[[service]]", faults)?;
    let mut shared = Shared::default();
    let services: Vec<Result<VirtualService, Reported>> = sections
        .iter()
        .map(|section| read(section, &mut shared, addresses, faults))
        .collect();
    services.into_iter().collect()
}

fn read<'t>(
    section: &Section<'t>,
    shared: &mut Shared<'t>,
    addresses: &mut Addresses,
    faults: &mut Faults<'_>,
) -> Result<VirtualService, Reported> {
    let name = section
        .require(&keys::NAME, faults)
        .and_then(|field| field.unique_name("service", &mut shared.names, faults));
    let taking = listen::read(section, &mut shared.taken, addresses, faults);
    let taking = taking.as_ref().map_err(|reported| *reported);
    let scheduler = match section.get(&keys::SCHEDULER) {
        Some(field) => {
            let supported = Scheduler::ALL.map(|scheduler| (scheduler.name(), scheduler));
            field.choice("scheduler", &supported, &[], faults)
        }
        None => Ok(Scheduler::RoundRobin),
    };
    let options = options::read(section, taking, scheduler, faults);
    let forwarding = match section.get(&keys::FORWARD) {
        Some(field) => read_forwarding(&field, faults),
        None => Ok(Forwarding::DirectRouting),
    };
    let on_failure = match section.get(&keys::ON_FAILURE) {
        Some(field) => {
            let supported = [
                ("remove", OnFailure::Remove),
                ("quiesce", OnFailure::Quiesce),
            ];
            field.choice("action", &supported, &[], faults)
        }
        None => Ok(OnFailure::Remove),
    };
    let fragments = match section.get(&keys::FRAGMENTS) {
        Some(field) => read_fragments(&field, taking, shared, faults),
        None => Ok(Fragments::Follow),
    };
    let one_packet = match section.get(&keys::ONE_PACKET) {
        Some(field) => read_one_packet(&field, taking, faults),
        None => Ok(false),
    };
    let check = read_check(section, taking, faults);
    let servers = section
        .require(&keys::SERVERS, faults)
        .and_then(|field| read_servers(&field, taking, forwarding, addresses, faults));
    let taking = taking?;
    Ok(VirtualService {
        name: name?.to_owned(),
        key: taking.key,
        group: taking.group.clone(),
        scheduler: scheduler?,
        options: ServiceOptions {
            one_packet: one_packet?,
            fragments: fragments?,
            ..options?
        },
        on_failure: on_failure?,
        check: check?,
        servers: servers?,
    })
}

fn read_forwarding(field: &Field<'_>, faults: &mut Faults<'_>) -> Result<Forwarding, Reported> {
    let text = field.text(faults)?;
    if LOCAL_FORWARDING.contains(&text) {
        return Err(field.fault(
            format!("forwarding method `{text}` can't be configured"),
            "`direct`",
            "remove `forward`: a server whose address is one of this director's own is local by itself",
            faults,
        ));
    }
    let supported = [("direct", Forwarding::DirectRouting)];
    field.choice("forwarding method", &supported, &PLANNED_FORWARDING, faults)
}

/// Reads `fragments`; addresses alone can name but one service of an address and protocol.
fn read_fragments(
    field: &Field<'_>,
    taking: Result<&Taking, Reported>,
    shared: &mut Shared<'_>,
    faults: &mut Faults<'_>,
) -> Result<Fragments, Reported> {
    let supported = [
        ("follow", Fragments::Follow),
        ("3-tuple", Fragments::ByAddress),
    ];
    let fragments = field.choice("way of fragments", &supported, &[], faults)?;
    let (Fragments::ByAddress, Ok(taking)) = (fragments, taking) else {
        return Ok(fragments);
    };
    if taking.has(Protocol::Sctp) {
        return Err(field.fault(
            "fragments of SCTP follow their first one alone",
            "`\"follow\"` in a service of SCTP",
            "remove `fragments`: SCTP finds the path's MTU and sends none",
            faults,
        ));
    }
    let places = taking.listens.iter();
    let places: BTreeSet<_> = places
        .map(|listen| (listen.address, listen.protocol))
        .collect();
    for (address, protocol) in places {
        if let Some(first) = shared.fragments.get(&(address, protocol)) {
            let line = faults.line_at(first.start);
            return Err(field.fault(
                format!(
                    "two {} services of `{address}` place fragments by addresses",
                    protocol.name()
                ),
                "`\"3-tuple\"` at one service of an address and protocol, for fragments have no ports",
                format!("the first is on line {line}; write `fragments = \"follow\"` here"),
                faults,
            ));
        }
        shared
            .fragments
            .insert((address, protocol), field.span.clone());
    }
    Ok(fragments)
}

/// Reads `one-packet`, which makes no sense where there are connections.
fn read_one_packet(
    field: &Field<'_>,
    taking: Result<&Taking, Reported>,
    faults: &mut Faults<'_>,
) -> Result<bool, Reported> {
    let one_packet = field.boolean(faults)?;
    let others = [Protocol::Tcp, Protocol::Sctp];
    let other = others
        .into_iter()
        .find(|other| taking.is_ok_and(|taking| taking.has(*other)));
    if let Some(other) = other.filter(|_| one_packet) {
        return Err(field.fault(
            format!("packets of {} can't be scheduled one by one", other.name()),
            "`true` in a service of UDP alone",
            "remove `one-packet`, or write `protocol = \"udp\"`",
            faults,
        ));
    }
    Ok(one_packet)
}

/// Reads `check`; a service whose own port speaks no TCP, or that has any port, must say what is checked.
fn read_check(
    section: &Section<'_>,
    taking: Result<&Taking, Reported>,
    faults: &mut Faults<'_>,
) -> Result<Option<Check>, Reported> {
    let port = taking.map_or(CheckedPort::Own, |taking| {
        match (taking.has(Protocol::Tcp), taking.key, taking.first_port) {
            (false, ..) if taking.has(Protocol::Sctp) => CheckedPort::Sctp,
            (false, ..) => CheckedPort::Udp,
            (true, ServiceKey::Single { .. }, _) => CheckedPort::Own,
            (true, ServiceKey::Group(_), Some(port)) => CheckedPort::First(port),
            (true, ServiceKey::Group(_), None) => CheckedPort::Any,
        }
    });
    if let Some(field) = section.get(&keys::CHECK) {
        return check::read(&field, port, faults);
    }
    let (message, why) = match port {
        CheckedPort::Own => return Ok(Some(check::default_check(None))),
        CheckedPort::First(port) => return Ok(Some(check::default_check(Some(port)))),
        CheckedPort::Udp => (
            "a UDP service has no `check`",
            "UDP ports are not checked yet",
        ),
        CheckedPort::Sctp => (
            "an SCTP service has no `check`",
            "SCTP ports are not checked yet",
        ),
        CheckedPort::Any => (
            "a service of any port has no `check`",
            "any port is none to check",
        ),
    };
    Err(section.misspelled(&keys::CHECK).unwrap_or_else(|| {
        faults.add(
            section.span.clone(),
            message,
            "the key `check`",
            format!(
                "{why}: add `check = \"none\"`, or check a TCP port of the servers: \
                 `check = {{ tcp = true, port = 80 }}`"
            ),
        )
    }))
}

fn read_servers(
    field: &Field<'_>,
    taking: Result<&Taking, Reported>,
    forwarding: Result<Forwarding, Reported>,
    addresses: &mut Addresses,
    faults: &mut Faults<'_>,
) -> Result<Vec<RealServer>, Reported> {
    let example = "{ address = \"198.18.14.12\" }";
    let sections = field.sections(&keys::SERVER, example, faults)?;
    let count = field.value.as_array().map_or(0, |array| array.len());
    if count > SERVERS_MAX {
        field.fault(
            format!("`servers` has {count} entries"),
            format!("at most {SERVERS_MAX} servers"),
            "spread them over several services",
            faults,
        );
    }
    let mut seen: BTreeMap<IpAddr, Range<usize>> = BTreeMap::new();
    let servers: Vec<Result<RealServer, Reported>> = sections
        .iter()
        .map(|section| {
            let address = section
                .require(&keys::ADDRESS, faults)
                .and_then(|field| read_server_address(&field, taking, &mut seen, faults));
            let weight = match section.get(&keys::WEIGHT) {
                Some(field) => field.integer::<Weight>(0..=i64::from(u16::MAX), faults),
                None => Ok(Weight::ONE),
            };
            let thresholds = options::read_thresholds(section, faults);
            Ok(RealServer {
                address: SocketAddr::from((address?, taking?.key.port())),
                weight: weight?,
                forwarding: forwarding?,
                thresholds: thresholds?,
            })
        })
        .collect();
    for (address, span) in seen {
        addresses.add_host(address, Host::Server, span);
    }
    servers.into_iter().collect()
}

fn read_server_address(
    field: &Field<'_>,
    taking: Result<&Taking, Reported>,
    seen: &mut BTreeMap<IpAddr, Range<usize>>,
    faults: &mut Faults<'_>,
) -> Result<IpAddr, Reported> {
    let (address, port) = address::read(field, faults)?;
    if let Ok(taking) = taking
        && taking.is_ipv6() != address.is_ipv6()
    {
        let (own, other) = if taking.is_ipv6() {
            ("IPv6", "IPv4")
        } else {
            ("IPv4", "IPv6")
        };
        return Err(field.fault(
            format!("a service of {own} can't have the server `{address}`"),
            format!("the server's {own} address"),
            format!("write that, or list it in a service with an {other} address in `listen`"),
            faults,
        ));
    }
    if let (Some(port), Ok(taking)) = (port, taking)
        && port != taking.key.port()
    {
        let (message, expected) = match taking.key {
            ServiceKey::Single { address, .. } => (
                format!("port {port} is not the service's port"),
                format!("port {}, or none", address.port()),
            ),
            ServiceKey::Group(_) => (
                "a server of several ports has a port of its own".to_owned(),
                "an address without a port".to_owned(),
            ),
        };
        let hint = format!("direct routing can't change the port: write `address = \"{address}\"`");
        return Err(field.fault(message, expected, hint, faults));
    }
    if let Some(first) = seen.get(&address) {
        let line = faults.line_at(first.start);
        return Err(field.fault(
            format!("the server `{address}` is listed twice"),
            "each server once in a service",
            format!("the first is on line {line}; remove one of the two"),
            faults,
        ));
    }
    seen.insert(address, field.span.clone());
    Ok(address)
}
