//! `[[service]]`: virtual services and their real servers.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::Range;

use evenkeel_model::{
    Check, Forwarding, Fragments, OnFailure, Protocol, RealServer, Scheduler, ServiceKey,
    ServiceOptions, Thresholds, VirtualService, Weight,
};

use crate::diagnostic::{Faults, Reported};
use crate::overlap::{Addresses, Host, Virtual};
use crate::reader::{Field, Section};
use crate::{address, check, keys};

/// Schedulers of IPVS that this version does not have.
const PLANNED_SCHEDULERS: [&str; 2] = ["lblc", "lblcr"];
const PLANNED_PROTOCOLS: [&str; 1] = ["sctp"];
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
    keys: BTreeMap<ServiceKey, Range<usize>>,
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
    let protocol = match section.get(&keys::PROTOCOL) {
        Some(field) => {
            let supported = [("tcp", Protocol::Tcp), ("udp", Protocol::Udp)];
            field.choice("protocol", &supported, &PLANNED_PROTOCOLS, faults)
        }
        None => Ok(Protocol::Tcp),
    };
    let listen = section
        .require(&keys::LISTEN, faults)
        .and_then(|field| read_listen(&field, protocol, shared, addresses, faults));
    let scheduler = match section.get(&keys::SCHEDULER) {
        Some(field) => {
            let supported = Scheduler::ALL.map(|scheduler| (scheduler.name(), scheduler));
            field.choice("scheduler", &supported, &PLANNED_SCHEDULERS, faults)
        }
        None => Ok(Scheduler::RoundRobin),
    };
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
        Some(field) => read_fragments(&field, protocol, listen, shared, faults),
        None => Ok(Fragments::Follow),
    };
    let check = read_check(section, protocol, faults);
    let servers = section
        .require(&keys::SERVERS, faults)
        .and_then(|field| read_servers(&field, listen, forwarding, addresses, faults));
    Ok(VirtualService {
        name: name?.to_owned(),
        key: ServiceKey {
            protocol: protocol?,
            address: listen?,
        },
        scheduler: scheduler?,
        options: ServiceOptions {
            fragments: fragments?,
            ..ServiceOptions::default()
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
    protocol: Result<Protocol, Reported>,
    listen: Result<SocketAddr, Reported>,
    shared: &mut Shared<'_>,
    faults: &mut Faults<'_>,
) -> Result<Fragments, Reported> {
    let supported = [
        ("follow", Fragments::Follow),
        ("3-tuple", Fragments::ByAddress),
    ];
    let fragments = field.choice("way of fragments", &supported, &[], faults)?;
    if let (Fragments::ByAddress, Ok(protocol), Ok(listen)) = (fragments, protocol, listen) {
        let key = (listen.ip(), protocol);
        if let Some(first) = shared.fragments.get(&key) {
            let line = faults.line_at(first.start);
            return Err(field.fault(
                format!(
                    "two {} services of `{}` place fragments by addresses",
                    protocol.name(),
                    listen.ip()
                ),
                "`\"3-tuple\"` at one service of an address and protocol, for fragments have no ports",
                format!("the first is on line {line}; write `fragments = \"follow\"` here"),
                faults,
            ));
        }
        shared.fragments.insert(key, field.span.clone());
    }
    Ok(fragments)
}

/// Reads `check`; a UDP service must say what is checked, for its own port speaks no TCP.
fn read_check(
    section: &Section<'_>,
    protocol: Result<Protocol, Reported>,
    faults: &mut Faults<'_>,
) -> Result<Option<Check>, Reported> {
    let udp = protocol.is_ok_and(|protocol| protocol == Protocol::Udp);
    if let Some(field) = section.get(&keys::CHECK) {
        return check::read(&field, udp, faults);
    }
    if !udp {
        return Ok(Some(check::default_check()));
    }
    Err(section.misspelled(&keys::CHECK).unwrap_or_else(|| {
        faults.add(
            section.span.clone(),
            "a UDP service has no `check`",
            "the key `check`",
            "UDP ports are not checked yet: add `check = \"none\"`, or check a TCP port of the \
             servers: `check = { tcp = true, port = 80 }`",
        )
    }))
}

fn read_listen(
    field: &Field<'_>,
    protocol: Result<Protocol, Reported>,
    shared: &mut Shared<'_>,
    addresses: &mut Addresses,
    faults: &mut Faults<'_>,
) -> Result<SocketAddr, Reported> {
    let address = address::read_with_port(field, faults)?;
    addresses.add_virtual(*address.ip(), Virtual::Listen, field.span.clone());
    let address = SocketAddr::V4(address);
    let Ok(protocol) = protocol else {
        return Ok(address);
    };
    let key = ServiceKey { protocol, address };
    if let Some(first) = shared.keys.get(&key) {
        let line = faults.line_at(first.start);
        return Err(field.fault(
            format!("two {} services listen on `{address}`", protocol.name()),
            "an address and port that no other service of its protocol has",
            format!("the first is on line {line}; choose another port or address, or join the two services"),
            faults,
        ));
    }
    shared.keys.insert(key, field.span.clone());
    Ok(address)
}

fn read_servers(
    field: &Field<'_>,
    listen: Result<SocketAddr, Reported>,
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
    let mut seen: BTreeMap<Ipv4Addr, Range<usize>> = BTreeMap::new();
    let servers: Vec<Result<RealServer, Reported>> = sections
        .iter()
        .map(|section| {
            let address = section
                .require(&keys::ADDRESS, faults)
                .and_then(|field| read_server_address(&field, listen, &mut seen, faults));
            let weight = match section.get(&keys::WEIGHT) {
                Some(field) => field.integer::<Weight>(0..=i64::from(u16::MAX), faults),
                None => Ok(Weight::ONE),
            };
            Ok(RealServer {
                address: SocketAddr::from((address?, listen?.port())),
                weight: weight?,
                forwarding: forwarding?,
                thresholds: Thresholds::default(),
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
    listen: Result<SocketAddr, Reported>,
    seen: &mut BTreeMap<Ipv4Addr, Range<usize>>,
    faults: &mut Faults<'_>,
) -> Result<Ipv4Addr, Reported> {
    let (address, port) = address::read(field, faults)?;
    if let (Some(port), Ok(listen)) = (port, listen)
        && port != listen.port()
    {
        return Err(field.fault(
            format!("port {port} is not the service's port"),
            format!("port {}, or none", listen.port()),
            format!("direct routing can't change the port: write `address = \"{address}\"`"),
            faults,
        ));
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
