//! `[[virtual-router]]`: addresses that this director shares with others by VRRP.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use evenkeel_model::{AdvertChecksum, Priority, VirtualRouter, VirtualRouterId, VrrpVersion};

use crate::diagnostic::{Faults, Reported};
use crate::overlap::{Addresses, Host, Virtual};
use crate::reader::{Field, Section};
use crate::{address, duration, failback, keys};

const ADVERTS: Duration = Duration::from_secs(1);
/// Version 3 counts hundredths of a second in 12 bits (RFC 9568 §5.2.7).
const ADVERTS_V3: RangeInclusive<Duration> =
    Duration::from_millis(10)..=Duration::from_millis(40_950);
const HUNDREDTH_MS: u128 = 10;
/// Version 2 counts seconds in 8 bits (RFC 3768 §5.3.7).
const ADVERTS_V2: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(255);
const ANNOUNCE_AGAIN_MAX: Duration = Duration::from_secs(3600);
/// An advertisement counts its addresses in 8 bits, in both versions (RFC 9568 §5.2.5, RFC 3768
/// §5.3.5); that many fit into one Ethernet frame.
const ADDRESSES_MAX: usize = 255;
/// So many addresses of IPv6 fit into an Ethernet frame.
const ADDRESSES6_MAX: usize = (1500 - 40 - 8) / 16;

/// What no two virtual routers may share, with the place of the first.
#[derive(Default)]
struct Shared<'t> {
    names: BTreeMap<&'t str, Range<usize>>,
    ids: BTreeMap<VirtualRouterId, Range<usize>>,
    addresses: BTreeMap<IpAddr, Range<usize>>,
}

/// What a virtual router says, and how often.
struct Adverts {
    version: VrrpVersion,
    interval: Duration,
    checksum: AdvertChecksum,
}

/// Reads all virtual routers, in the order of the file.
pub(crate) fn read_all(
    field: &Field<'_>,
    addresses: &mut Addresses,
    faults: &mut Faults<'_>,
) -> Result<Vec<VirtualRouter>, Reported> {
    let sections = field.sections(&keys::ROUTER, "[[virtual-router]]", faults)?;
    let mut shared = Shared::default();
    let routers: Vec<Result<VirtualRouter, Reported>> = sections
        .iter()
        .map(|section| read(section, &mut shared, addresses, faults))
        .collect();
    for (address, span) in shared.addresses {
        addresses.add_virtual(address, Virtual::Router, span);
    }
    routers.into_iter().collect()
}

fn read<'t>(
    section: &Section<'t>,
    shared: &mut Shared<'t>,
    addresses: &mut Addresses,
    faults: &mut Faults<'_>,
) -> Result<VirtualRouter, Reported> {
    let name = section
        .require(&keys::NAME, faults)
        .and_then(|field| field.unique_name("virtual router", &mut shared.names, faults));
    let id = section
        .require(&keys::ID, faults)
        .and_then(|field| read_id(&field, &mut shared.ids, faults));
    let virtual_addresses = section
        .require(&keys::ADDRESSES, faults)
        .and_then(|field| read_addresses(&field, &mut shared.addresses, faults));
    let priority = match section.get(&keys::PRIORITY) {
        Some(field) => field.integer(1..=255, faults),
        None => Ok(Priority::DEFAULT),
    };
    let is_ipv6 = virtual_addresses
        .as_ref()
        .is_ok_and(|addresses| addresses.iter().any(IpAddr::is_ipv6));
    let adverts = read_adverts(section, is_ipv6, faults);
    let (preempt, preempt_delay) = failback::read(section, priority, faults);
    let source = match section.get(&keys::SOURCE) {
        Some(field) => read_source(&field, is_ipv6, addresses, faults).map(Some),
        None => Ok(None),
    };
    let peers = match section.get(&keys::PEERS) {
        Some(field) => read_peers(&field, is_ipv6, addresses, faults),
        None => Ok(Vec::new()),
    };
    let announcements = match section.get(&keys::ANNOUNCEMENTS) {
        Some(field) => field.integer(1..=100, faults),
        None => Ok(VirtualRouter::ANNOUNCEMENTS),
    };
    let announce_again = match section.get(&keys::ANNOUNCE_AGAIN) {
        Some(field) => field.duration(Duration::ZERO..=ANNOUNCE_AGAIN_MAX, faults),
        None => Ok(VirtualRouter::ANNOUNCE_AGAIN),
    };
    let adverts = adverts?;
    Ok(VirtualRouter {
        name: name?.to_owned(),
        id: id?,
        version: adverts.version,
        priority: priority?,
        advert_interval: adverts.interval,
        preempt: preempt?,
        preempt_delay: preempt_delay?,
        addresses: virtual_addresses?,
        peers: peers?,
        source: source?,
        checksum: adverts.checksum,
        announcements: announcements?,
        announce_again: announce_again?,
    })
}

fn read_id(
    field: &Field<'_>,
    ids: &mut BTreeMap<VirtualRouterId, Range<usize>>,
    faults: &mut Faults<'_>,
) -> Result<VirtualRouterId, Reported> {
    let id = field.integer(1..=255, faults)?;
    if let Some(first) = ids.get(&id) {
        let line = faults.line_at(first.start);
        return Err(field.fault(
            format!("two virtual routers have the id {id}"),
            "an id that no other virtual router on the link has",
            format!("the first is on line {line}; give this one another id, the same on all its directors"),
            faults,
        ));
    }
    ids.insert(id, field.span.clone());
    Ok(id)
}

fn read_addresses(
    field: &Field<'_>,
    seen: &mut BTreeMap<IpAddr, Range<usize>>,
    faults: &mut Faults<'_>,
) -> Result<Vec<IpAddr>, Reported> {
    let entries = field.entries(&keys::ADDRESSES_ENTRY, faults)?;
    let count = field.value.as_array().map_or(0, |array| array.len());
    if count == 0 || count > ADDRESSES_MAX {
        let (message, hint) = if count == 0 {
            let hint = format!("write `{}`", keys::ADDRESSES.example);
            ("`addresses` is empty".to_owned(), hint)
        } else {
            let hint = "spread them over several virtual routers: an advertisement counts its \
                        addresses in one byte (RFC 9568, section 5.2.5)";
            (format!("`addresses` has {count} entries"), hint.to_owned())
        };
        let expected = format!("1 to {ADDRESSES_MAX} addresses");
        return Err(field.fault(message, expected, hint, faults));
    }
    let addresses: Vec<Result<IpAddr, Reported>> = entries
        .iter()
        .map(|entry| {
            let address = address::read_alone(entry, faults)?;
            if let Some(first) = seen.get(&address) {
                let line = faults.line_at(first.start);
                return Err(entry.fault(
                    format!("the virtual address `{address}` is listed twice"),
                    "each address once, in one virtual router",
                    format!("the first is on line {line}; remove one of the two"),
                    faults,
                ));
            }
            seen.insert(address, entry.span.clone());
            Ok(address)
        })
        .collect();
    let addresses: Vec<IpAddr> = addresses.into_iter().collect::<Result<_, _>>()?;
    check_family(&entries, &addresses, faults)?;
    Ok(addresses)
}

/// A virtual router is of one family; of IPv6 it begins with a link-local address (RFC 9568 §5.2.9).
fn check_family(
    entries: &[Field<'_>],
    addresses: &[IpAddr],
    faults: &mut Faults<'_>,
) -> Result<(), Reported> {
    let Some(first) = addresses.first() else {
        return Ok(());
    };
    for (entry, address) in entries.iter().zip(addresses) {
        if address.is_ipv6() != first.is_ipv6() {
            return Err(entry.fault(
                format!("`{address}` is not of the family of `{first}`"),
                "addresses of IPv4 alone, or of IPv6 alone",
                "write one virtual router for IPv4 and one for IPv6",
                faults,
            ));
        }
    }
    if first.is_ipv6()
        && let Some(entry) = entries.get(ADDRESSES6_MAX)
    {
        return Err(entry.fault(
            format!("a virtual router of IPv6 has {} addresses", addresses.len()),
            format!("1 to {ADDRESSES6_MAX} addresses"),
            "spread them over several virtual routers: an advertisement has to fit one Ethernet frame",
            faults,
        ));
    }
    match entries.first() {
        Some(entry) if first.is_ipv6() && !address::is_link_local(*first) => Err(entry.fault(
            format!("the first address of a virtual router of IPv6 is link-local, and `{first}` is not"),
            "a link-local address first",
            "put one before it, the same on all its directors: `\"fe80::1:51\"` (RFC 9568, section 5.2.9)",
            faults,
        )),
        Some(_) | None => Ok(()),
    }
}

/// Refuses an address of another family than the virtual router's.
fn check_own_family(
    field: &Field<'_>,
    address: IpAddr,
    is_ipv6: bool,
    faults: &mut Faults<'_>,
) -> Result<(), Reported> {
    if address.is_ipv6() == is_ipv6 {
        return Ok(());
    }
    let family = if is_ipv6 { "IPv6" } else { "IPv4" };
    Err(field.fault(
        format!("`{address}` is not of the virtual router's family"),
        format!("an {family} address"),
        format!("write the director's {family} address"),
        faults,
    ))
}

fn read_adverts(
    section: &Section<'_>,
    is_ipv6: bool,
    faults: &mut Faults<'_>,
) -> Result<Adverts, Reported> {
    let version = match section.get(&keys::VERSION) {
        Some(field) => read_version(&field, is_ipv6, faults),
        None => Ok(VrrpVersion::V3),
    };
    let interval = match section.get(&keys::ADVERTS) {
        Some(field) => read_interval(&field, version, faults),
        None => Ok(ADVERTS),
    };
    let checksum = match section.get(&keys::CHECKSUM) {
        Some(field) => read_checksum(&field, version, is_ipv6, faults),
        None => Ok(AdvertChecksum::PseudoHeader),
    };
    Ok(Adverts {
        version: version?,
        interval: interval?,
        checksum: checksum?,
    })
}

fn read_version(
    field: &Field<'_>,
    is_ipv6: bool,
    faults: &mut Faults<'_>,
) -> Result<VrrpVersion, Reported> {
    match field.integer::<u8>(2..=3, faults)? {
        2 if is_ipv6 => Err(field.fault(
            "version 2 knows no IPv6",
            "3 with addresses of IPv6",
            "write `version = 3`, or remove it",
            faults,
        )),
        2 => Ok(VrrpVersion::V2),
        _ => Ok(VrrpVersion::V3),
    }
}

fn read_interval(
    field: &Field<'_>,
    version: Result<VrrpVersion, Reported>,
    faults: &mut Faults<'_>,
) -> Result<Duration, Reported> {
    match version {
        Ok(VrrpVersion::V2) => read_interval_v2(field, faults),
        Ok(VrrpVersion::V3) => read_interval_v3(field, faults),
        // Of the version that was meant nothing is known: what either allows is no second mistake.
        Err(_) => field.duration(*ADVERTS_V3.start()..=*ADVERTS_V2.end(), faults),
    }
}

fn read_interval_v2(field: &Field<'_>, faults: &mut Faults<'_>) -> Result<Duration, Reported> {
    let written = field.value.as_str().map(duration::parse);
    if let Some(Ok(interval)) = written
        && interval.subsec_nanos() != 0
    {
        let whole = interval.as_secs().max(1);
        return Err(field.fault(
            format!(
                "version 2 advertises in whole seconds, not every {}",
                duration::show(interval)
            ),
            "a duration from `1s` to `255s` in whole seconds",
            format!(
                "write `version = 3` here and on the other directors, or `adverts = \"{whole}s\"`"
            ),
            faults,
        ));
    }
    field.duration(ADVERTS_V2, faults)
}

fn read_interval_v3(field: &Field<'_>, faults: &mut Faults<'_>) -> Result<Duration, Reported> {
    let interval = field.duration(ADVERTS_V3, faults)?;
    let ms = interval.as_millis();
    if !ms.is_multiple_of(HUNDREDTH_MS) {
        let below = ms - ms % HUNDREDTH_MS;
        return Err(field.fault(
            format!("`adverts` is not in steps of 10ms: {ms}ms"),
            "a duration from `10ms` to `40950ms` in steps of `10ms`",
            format!(
                "write `adverts = \"{below}ms\"` or `adverts = \"{}ms\"`",
                below + HUNDREDTH_MS
            ),
            faults,
        ));
    }
    Ok(interval)
}

fn read_checksum(
    field: &Field<'_>,
    version: Result<VrrpVersion, Reported>,
    is_ipv6: bool,
    faults: &mut Faults<'_>,
) -> Result<AdvertChecksum, Reported> {
    let meaningless = match version {
        Ok(VrrpVersion::V2) => Some("`checksum` has no meaning in version 2"),
        Ok(VrrpVersion::V3) | Err(_) if is_ipv6 => Some("`checksum` has no meaning with IPv6"),
        Ok(VrrpVersion::V3) | Err(_) => None,
    };
    if let Some(message) = meaningless {
        return Err(faults.add(
            field.key_span.clone(),
            message,
            "no `checksum`",
            "remove `checksum`: only version 3 over IPv4 has a choice",
        ));
    }
    let supported = [
        ("pseudo-header", AdvertChecksum::PseudoHeader),
        ("rfc9568", AdvertChecksum::Rfc9568),
    ];
    field.choice("checksum", &supported, &[], faults)
}

fn read_source(
    field: &Field<'_>,
    is_ipv6: bool,
    addresses: &mut Addresses,
    faults: &mut Faults<'_>,
) -> Result<IpAddr, Reported> {
    let source = address::read_alone(field, faults)?;
    check_own_family(field, source, is_ipv6, faults)?;
    if is_ipv6 && !address::is_link_local(source) {
        return Err(field.fault(
            format!(
                "advertisements over IPv6 come from a link-local address, and `{source}` is not one"
            ),
            "a link-local address of this director's interface",
            "remove `source`: the interface's own is taken (RFC 9568, section 5.1.2.1)",
            faults,
        ));
    }
    addresses.add_host(source, Host::Source, field.span.clone());
    Ok(source)
}

fn read_peers(
    field: &Field<'_>,
    is_ipv6: bool,
    addresses: &mut Addresses,
    faults: &mut Faults<'_>,
) -> Result<Vec<IpAddr>, Reported> {
    let entries = field.entries(&keys::PEERS_ENTRY, faults)?;
    if field.value.as_array().is_some_and(|array| array.is_empty()) {
        return Err(field.fault(
            "`peers` is empty",
            "the addresses of the other directors",
            format!(
                "write `{}`, or remove `peers` for multicast",
                keys::PEERS.example
            ),
            faults,
        ));
    }
    let mut seen = BTreeMap::new();
    let peers: Vec<Result<IpAddr, Reported>> = entries
        .iter()
        .map(|entry| {
            let peer = read_peer(entry, &mut seen, faults)?;
            check_own_family(entry, peer, is_ipv6, faults)?;
            addresses.add_host(peer, Host::Peer, entry.span.clone());
            Ok(peer)
        })
        .collect();
    peers.into_iter().collect()
}

fn read_peer(
    entry: &Field<'_>,
    seen: &mut BTreeMap<IpAddr, Range<usize>>,
    faults: &mut Faults<'_>,
) -> Result<IpAddr, Reported> {
    let text = entry.text(faults)?;
    if text
        .parse()
        .is_ok_and(|address: IpAddr| address.is_multicast())
    {
        return Err(entry.fault(
            format!("`{text}` is a multicast address, not another director"),
            "the other director's own address",
            "remove `peers`: without it advertisements go to VRRP's group",
            faults,
        ));
    }
    let peer = address::read_alone(entry, faults)?;
    if let Some(first) = seen.get(&peer) {
        let line = faults.line_at(first.start);
        return Err(entry.fault(
            format!("the peer `{peer}` is listed twice"),
            "each peer once in a virtual router",
            format!("the first is on line {line}; remove one of the two"),
            faults,
        ));
    }
    seen.insert(peer, entry.span.clone());
    Ok(peer)
}
