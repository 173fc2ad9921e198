//! `listen`, `protocol` and `number`: what a service takes.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;

use evenkeel_model::{GroupNumber, Listen, Listens, Ports, Protocol, ServiceKey};

use crate::diagnostic::{Faults, Reported};
use crate::overlap::{Addresses, Virtual};
use crate::reader::{Field, Section};
use crate::{address, keys};

/// Most entries of one `listen`.
const LISTEN_MAX: usize = 1_024;

/// Ports, and where the file says so.
type Claimed = (Ports, Range<usize>);

/// What services take, with the places where they say so.
#[derive(Default)]
pub(crate) struct Taken {
    ports: BTreeMap<(IpAddr, Protocol), Vec<Claimed>>,
    numbers: BTreeMap<GroupNumber, Range<usize>>,
}

/// What one service takes.
#[derive(Clone, Debug)]
pub(crate) struct Taking {
    pub(crate) key: ServiceKey,
    /// Empty unless the service is a group.
    pub(crate) group: Listens,
    /// All of it.
    pub(crate) listens: Listens,
    /// The first port that the file names; `None`: any port alone.
    pub(crate) first_port: Option<u16>,
}

impl Taking {
    /// Whether its addresses are of IPv6.
    pub(crate) fn is_ipv6(&self) -> bool {
        self.listens.iter().any(|listen| listen.address.is_ipv6())
    }

    /// Whether it takes a protocol.
    pub(crate) fn has(&self, protocol: Protocol) -> bool {
        let mut listens = self.listens.iter();
        listens.any(|listen| listen.protocol == protocol)
    }
}

/// Reads what a service takes.
pub(crate) fn read(
    section: &Section<'_>,
    taken: &mut Taken,
    addresses: &mut Addresses,
    faults: &mut Faults<'_>,
) -> Result<Taking, Reported> {
    let protocols = match section.get(&keys::PROTOCOL) {
        Some(field) => read_protocols(&field, faults),
        None => Ok(vec![Protocol::Tcp]),
    };
    let number = section
        .get(&keys::NUMBER)
        .map(|field| read_number(&field, taken, faults))
        .transpose();
    let field = section.require(&keys::LISTEN, faults)?;
    let entries = if field.value.as_array().is_some() {
        read_entries(&field, faults)?
    } else {
        vec![field.clone()]
    };
    let mut read = Vec::with_capacity(entries.len());
    for entry in &entries {
        let (address, ports) = address::read_with_ports(entry, faults)?;
        addresses.add_virtual(address, Virtual::Listen, entry.span.clone());
        read.push((address, ports, entry));
    }
    check_families(&read, faults)?;
    let (protocols, number) = (protocols?, number?);
    let own = entries.iter().map(|entry| entry.span.start);
    let own: Vec<usize> = own.collect();
    let mut listens = Vec::new();
    for (address, ports, entry) in read {
        for protocol in &protocols {
            let listen = Listen {
                address,
                protocol: *protocol,
                ports,
            };
            claim(&listen, entry, &own, taken, faults)?;
            listens.push(listen);
        }
    }
    let mut ports = listens.iter().map(|listen| listen.ports);
    let first_port = ports.find(|ports| !ports.is_any()).map(Ports::first);
    let single = match listens.as_slice() {
        [Listen { ports, .. }] => ports.single(),
        _ => None,
    };
    let key = match (number, single, listens.as_slice()) {
        (Some(number), ..) => ServiceKey::Group(number),
        (
            None,
            Some(port),
            [
                Listen {
                    protocol, address, ..
                },
            ],
        ) => ServiceKey::single(*protocol, SocketAddr::new(*address, port)),
        (None, ..) => return Err(report_no_number(section, &field, taken, faults)),
    };
    let listens = Listens::new(listens);
    Ok(Taking {
        group: match key {
            ServiceKey::Single { .. } => Listens::default(),
            ServiceKey::Group(_) => listens.clone(),
        },
        key,
        listens,
        first_port,
    })
}

/// Refuses a service of both versions of IP.
fn check_families(
    entries: &[(IpAddr, Ports, &Field<'_>)],
    faults: &mut Faults<'_>,
) -> Result<(), Reported> {
    let Some((first, ..)) = entries.first() else {
        return Ok(());
    };
    let mut others = entries
        .iter()
        .filter(|(address, ..)| address.is_ipv4() != first.is_ipv4());
    match others.next() {
        None => Ok(()),
        Some((other, _, entry)) => Err(entry.fault(
            format!("`{other}` is not of the family of `{first}`"),
            "addresses of IPv4 alone, or of IPv6 alone",
            "write one service for IPv4 and one for IPv6",
            faults,
        )),
    }
}

fn read_protocols(field: &Field<'_>, faults: &mut Faults<'_>) -> Result<Vec<Protocol>, Reported> {
    let supported = [
        ("tcp", Protocol::Tcp),
        ("udp", Protocol::Udp),
        ("sctp", Protocol::Sctp),
    ];
    let mut read = |field: &Field<'_>| field.choice("protocol", &supported, &[], faults);
    if field.value.as_array().is_none() {
        return Ok(vec![read(field)?]);
    }
    let entries = field.entries(&keys::PROTOCOL_ENTRY, faults)?;
    let mut protocols: Vec<Protocol> = Vec::new();
    for entry in &entries {
        let protocol = entry.choice("protocol", &supported, &[], faults)?;
        if protocols.contains(&protocol) {
            return Err(entry.fault(
                format!(
                    "the protocol `{}` is listed twice",
                    protocol.name().to_lowercase()
                ),
                "each protocol once",
                "remove one of the two",
                faults,
            ));
        }
        protocols.push(protocol);
    }
    if protocols.contains(&Protocol::Sctp) && protocols.contains(&Protocol::Tcp) {
        return Err(field.fault(
            "one service can't have TCP and SCTP",
            "protocols whose connections have the same timeouts",
            "write one service for TCP and one for SCTP",
            faults,
        ));
    }
    if protocols.is_empty() {
        return Err(field.fault(
            "`protocol` names no protocol",
            "one protocol, or an array of them",
            "write `protocol = [\"tcp\", \"udp\"]`",
            faults,
        ));
    }
    Ok(protocols)
}

fn read_number(
    field: &Field<'_>,
    taken: &mut Taken,
    faults: &mut Faults<'_>,
) -> Result<GroupNumber, Reported> {
    let number: u32 = field.integer(1..=i64::from(u32::MAX), faults)?;
    let Some(number) = GroupNumber::new(number) else {
        return Err(field.wrong_type(faults));
    };
    if let Some(first) = taken.numbers.get(&number) {
        let line = faults.line_at(first.start);
        return Err(field.fault(
            format!("two services have the number {}", number.get()),
            "a number that no other service has",
            format!(
                "the first is on line {line}; write `number = {}`",
                taken.free_number()
            ),
            faults,
        ));
    }
    taken.numbers.insert(number, field.span.clone());
    Ok(number)
}

impl Taken {
    /// The smallest number that no service has so far.
    fn free_number(&self) -> u32 {
        let numbers = self.numbers.keys().map(|number| number.get());
        (1..)
            .zip(numbers)
            .find(|(free, used)| free != used)
            .map_or_else(
                || u32::try_from(self.numbers.len()).map_or(u32::MAX, |used| used + 1),
                |(free, _)| free,
            )
    }
}

fn read_entries<'t>(
    field: &Field<'t>,
    faults: &mut Faults<'_>,
) -> Result<Vec<Field<'t>>, Reported> {
    let entries = field.entries(&keys::LISTEN_ENTRY, faults)?;
    let count = field.value.as_array().map_or(0, |array| array.len());
    if count == 0 || count > LISTEN_MAX {
        return Err(field.fault(
            format!("`listen` has {count} entries"),
            format!("1 to {LISTEN_MAX} addresses with their ports"),
            "write `listen = [\"198.18.14.146:80\", \"198.18.14.147:8000-8099\"]`",
            faults,
        ));
    }
    Ok(entries)
}

/// Notes what a service takes, which nobody may have taken before.
fn claim(
    listen: &Listen,
    field: &Field<'_>,
    own: &[usize],
    taken: &mut Taken,
    faults: &mut Faults<'_>,
) -> Result<(), Reported> {
    let place = (listen.address, listen.protocol);
    let before = taken.ports.entry(place).or_default();
    let collides = |ports: Ports| listen.collides(&Listen { ports, ..*listen });
    let Some((ports, first)) = before.iter().find(|(ports, _)| collides(*ports)) else {
        before.push((listen.ports, field.span.clone()));
        return Ok(());
    };
    let line = faults.line_at(first.start);
    let protocol = listen.protocol.name();
    let text = format!("{}:{}", listen.address, listen.ports);
    if own.contains(&first.start) {
        return Err(field.fault(
            format!("`{text}` is in `listen` twice"),
            "each address and port once",
            format!(
                "`{}:{ports}` on line {line} has it too; remove one of the two",
                listen.address
            ),
            faults,
        ));
    }
    if *ports == listen.ports {
        return Err(field.fault(
            format!("two {protocol} services listen on `{text}`"),
            "an address and port that no other service of its protocol has",
            format!("the first is on line {line}; choose another port or address, or join the two services"),
            faults,
        ));
    }
    Err(field.fault(
        format!("two {protocol} services listen on ports of `{text}`"),
        "ports that no other service of the address and protocol has",
        format!(
            "the first has `{}:{ports}`, on line {line}; choose ports that are apart",
            listen.address
        ),
        faults,
    ))
}

fn report_no_number(
    section: &Section<'_>,
    listen: &Field<'_>,
    taken: &Taken,
    faults: &mut Faults<'_>,
) -> Reported {
    let number = taken.free_number();
    section.misspelled(&keys::NUMBER).unwrap_or_else(|| {
        listen.fault(
            "a service of several addresses, ports or protocols has no `number`",
            "the key `number`",
            format!("add `number = {number}`: `ipvsadm -f {number}` names the service by it"),
            faults,
        )
    })
}
