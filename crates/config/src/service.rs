//! `[[service]]`: virtual services and their real servers.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;

use evenkeel_model::{
    Forwarding, OnFailure, Protocol, RealServer, Scheduler, ServiceKey, VirtualService, Weight,
};

use crate::diagnostic::{Faults, Reported};
use crate::reader::{Field, Section};
use crate::{address, check, keys};

/// Schedulers of IPVS that this version does not have.
const PLANNED_SCHEDULERS: [&str; 13] = [
    "wrr", "lc", "wlc", "lblc", "lblcr", "dh", "sh", "sed", "nq", "fo", "ovf", "mh", "twos",
];
const PLANNED_PROTOCOLS: [&str; 2] = ["udp", "sctp"];
/// IPVS's other forwarding methods, by their names here, in ipvsadm and in ldirectord.
const PLANNED_FORWARDING: [&str; 8] = [
    "tunnel",
    "masquerade",
    "masquerading",
    "local",
    "localnode",
    "nat",
    "masq",
    "ipip",
];

/// What the services have in common: things that no two may share.
#[derive(Default)]
struct Shared<'t> {
    names: BTreeMap<&'t str, Range<usize>>,
    keys: BTreeMap<ServiceKey, Range<usize>>,
    servers: Vec<(IpAddr, Range<usize>)>,
}

/// Reads all services, in the order of the file.
pub(crate) fn read_all(
    field: &Field<'_>,
    faults: &mut Faults<'_>,
) -> Result<Vec<VirtualService>, Reported> {
    let sections = field.sections(&keys::SERVICE, "[[service]]", faults)?;
    let mut shared = Shared::default();
    let services: Vec<Result<VirtualService, Reported>> = sections
        .iter()
        .map(|section| read(section, &mut shared, faults))
        .collect();
    for (address, span) in &shared.servers {
        let virtual_address = shared
            .keys
            .iter()
            .find(|(key, _)| key.address.ip() == *address);
        if let Some((_, listen)) = virtual_address {
            let line = faults.line_at(listen.start);
            faults.add(
                span.clone(),
                format!("`{address}` is a virtual address of this director, not a real server"),
                "the real server's own address",
                format!("clients connect to `{address}` (line {line}); write the address of the server's interface"),
            );
        }
    }
    services.into_iter().collect()
}

fn read<'t>(
    section: &Section<'t>,
    shared: &mut Shared<'t>,
    faults: &mut Faults<'_>,
) -> Result<VirtualService, Reported> {
    let name = section
        .require(&keys::NAME, faults)
        .and_then(|field| read_name(&field, shared, faults));
    let protocol = match section.get(&keys::PROTOCOL) {
        Some(field) => {
            let supported = [("tcp", Protocol::Tcp)];
            field.choice("protocol", &supported, &PLANNED_PROTOCOLS, faults)
        }
        None => Ok(Protocol::Tcp),
    };
    let listen = section
        .require(&keys::LISTEN, faults)
        .and_then(|field| read_listen(&field, protocol, shared, faults));
    let scheduler = match section.get(&keys::SCHEDULER) {
        Some(field) => {
            let supported = Scheduler::ALL.map(|scheduler| (scheduler.name(), scheduler));
            field.choice("scheduler", &supported, &PLANNED_SCHEDULERS, faults)
        }
        None => Ok(Scheduler::RoundRobin),
    };
    let forwarding = match section.get(&keys::FORWARD) {
        Some(field) => {
            let supported = [("direct", Forwarding::DirectRouting)];
            field.choice("forwarding method", &supported, &PLANNED_FORWARDING, faults)
        }
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
    let check = match section.get(&keys::CHECK) {
        Some(field) => check::read(&field, faults),
        None => Ok(Some(check::default_check())),
    };
    let servers = section
        .require(&keys::SERVERS, faults)
        .and_then(|field| read_servers(&field, listen, forwarding, shared, faults));
    Ok(VirtualService {
        name: name?.to_owned(),
        key: ServiceKey {
            protocol: protocol?,
            address: listen?,
        },
        scheduler: scheduler?,
        on_failure: on_failure?,
        check: check?,
        servers: servers?,
    })
}

fn read_name<'t>(
    field: &Field<'t>,
    shared: &mut Shared<'t>,
    faults: &mut Faults<'_>,
) -> Result<&'t str, Reported> {
    let name = field.word(faults)?;
    if let Some(first) = shared.names.get(name) {
        let line = faults.line_at(first.start);
        return Err(field.fault(
            format!("two services have the name `{name}`"),
            "a name that no other service has",
            format!("the first is on line {line}; give this one another name"),
            faults,
        ));
    }
    shared.names.insert(name, field.span.clone());
    Ok(name)
}

fn read_listen(
    field: &Field<'_>,
    protocol: Result<Protocol, Reported>,
    shared: &mut Shared<'_>,
    faults: &mut Faults<'_>,
) -> Result<SocketAddr, Reported> {
    let address = address::read_with_port(field, faults)?;
    let Ok(protocol) = protocol else {
        return Ok(address);
    };
    let key = ServiceKey { protocol, address };
    if let Some(first) = shared.keys.get(&key) {
        let line = faults.line_at(first.start);
        return Err(field.fault(
            format!("two services listen on `{address}`"),
            "an address and port that no other service has",
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
    shared: &mut Shared<'_>,
    faults: &mut Faults<'_>,
) -> Result<Vec<RealServer>, Reported> {
    let example = "{ address = \"198.18.14.12\" }";
    let sections = field.sections(&keys::SERVER, example, faults)?;
    let mut seen: BTreeMap<IpAddr, Range<usize>> = BTreeMap::new();
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
            })
        })
        .collect();
    shared.servers.extend(seen);
    servers.into_iter().collect()
}

fn read_server_address(
    field: &Field<'_>,
    listen: Result<SocketAddr, Reported>,
    seen: &mut BTreeMap<IpAddr, Range<usize>>,
    faults: &mut Faults<'_>,
) -> Result<IpAddr, Reported> {
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
    let address = IpAddr::V4(address);
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
