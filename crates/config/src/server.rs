//! `servers`, `sorry-server` and `forward` of a service: whom its packets go to, and how.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;

use evenkeel_model::{Forwarding, RealServer, ServiceKey, Thresholds, Weight};

use crate::diagnostic::{Faults, Reported};
use crate::listen::Taking;
use crate::overlap::{Addresses, Host};
use crate::reader::{Field, Section};
use crate::{address, keys, options};

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

/// Reads the real servers and the sorry server.
pub(crate) fn read_all(
    section: &Section<'_>,
    taking: Result<&Taking, Reported>,
    addresses: &mut Addresses,
    faults: &mut Faults<'_>,
) -> (
    Result<Vec<RealServer>, Reported>,
    Result<Option<RealServer>, Reported>,
) {
    let forwarding = match section.get(&keys::FORWARD) {
        Some(field) => read_forwarding(&field, faults),
        None => Ok(Forwarding::DirectRouting),
    };
    let sorry = section.get(&keys::SORRY_SERVER);
    let most = SERVERS_MAX - usize::from(sorry.is_some());
    let mut seen: BTreeMap<IpAddr, Range<usize>> = BTreeMap::new();
    let servers = section
        .require(&keys::SERVERS, faults)
        .and_then(|field| read_servers(&field, taking, forwarding, most, &mut seen, faults));
    let sorry_server = sorry
        .map(|field| {
            let address = read_sorry(&field, taking, &seen, faults)?;
            seen.insert(address, field.span);
            Ok(RealServer {
                address: SocketAddr::from((address, taking?.key.port())),
                weight: Weight::ONE,
                forwarding: forwarding?,
                thresholds: Thresholds::default(),
                drained: false,
            })
        })
        .transpose();
    for (address, span) in seen {
        addresses.add_host(address, Host::Server, span);
    }
    (servers, sorry_server)
}

fn read_servers(
    field: &Field<'_>,
    taking: Result<&Taking, Reported>,
    forwarding: Result<Forwarding, Reported>,
    most: usize,
    seen: &mut BTreeMap<IpAddr, Range<usize>>,
    faults: &mut Faults<'_>,
) -> Result<Vec<RealServer>, Reported> {
    let example = "{ address = \"198.18.14.12\" }";
    let sections = field.sections(&keys::SERVER, example, faults)?;
    let count = field.value.as_array().map_or(0, |array| array.len());
    if count > most {
        let beside = if most < SERVERS_MAX {
            " beside a sorry server"
        } else {
            ""
        };
        field.fault(
            format!("`servers` has {count} entries"),
            format!("at most {most} servers{beside}"),
            "spread them over several services",
            faults,
        );
    }
    let servers: Vec<Result<RealServer, Reported>> = sections
        .iter()
        .map(|section| {
            let address = section
                .require(&keys::ADDRESS, faults)
                .and_then(|field| read_server_address(&field, taking, seen, faults));
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
                drained: false,
            })
        })
        .collect();
    servers.into_iter().collect()
}

fn read_server_address(
    field: &Field<'_>,
    taking: Result<&Taking, Reported>,
    seen: &mut BTreeMap<IpAddr, Range<usize>>,
    faults: &mut Faults<'_>,
) -> Result<IpAddr, Reported> {
    let address = read_host(field, taking, faults)?;
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

fn read_sorry(
    field: &Field<'_>,
    taking: Result<&Taking, Reported>,
    seen: &BTreeMap<IpAddr, Range<usize>>,
    faults: &mut Faults<'_>,
) -> Result<IpAddr, Reported> {
    let text = field.text(faults)?;
    let parsed = text.parse::<SocketAddr>().map(|address| address.ip());
    let parsed = parsed.or_else(|_alone| text.parse::<IpAddr>());
    if parsed.is_ok_and(|address| address.is_loopback()) {
        // What other balancers are told where the director itself says sorry.
        return Err(field.fault(
            format!("`{text}` is a loopback address"),
            "the sorry server's own address",
            "where that is this director, write the address of its interface",
            faults,
        ));
    }
    let address = read_host(field, taking, faults)?;
    let Some(server) = seen.get(&address) else {
        return Ok(address);
    };
    let line = faults.line_at(server.start);
    Err(field.fault(
        format!("the sorry server `{address}` is one of the service's servers"),
        "a host that serves when none of `servers` can",
        format!(
            "it is listed on line {line}; write another host's address, or remove one of the two"
        ),
        faults,
    ))
}

/// Reads the own address of a host that the service's packets go to.
fn read_host(
    field: &Field<'_>,
    taking: Result<&Taking, Reported>,
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
        let key = field.key.name;
        let hint = format!("direct routing can't change the port: write `{key} = \"{address}\"`");
        return Err(field.fault(message, expected, hint, faults));
    }
    Ok(address)
}
