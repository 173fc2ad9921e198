//! `[[service]]`: virtual services and their real servers.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::ops::Range;

use evenkeel_model::{
    Check, Fragments, OnFailure, Protocol, Scheduler, ServiceKey, ServiceOptions, VirtualService,
};

use crate::check::CheckedPort;
use crate::diagnostic::{Faults, Reported};
use crate::listen::{Taken, Taking};
use crate::overlap::Addresses;
use crate::reader::{Field, Section};
use crate::{check, keys, listen, options, server};

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
    let (servers, sorry_server) = server::read_all(section, taking, addresses, faults);
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
        sorry_server: sorry_server?,
    })
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
