//! VRRP's codec: it reads any message without a panic, writes what it has read as the same message again, and
//! the data plane takes the same messages for good ones.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddrV4};
use std::sync::atomic::Ordering::SeqCst;

use etherparse::checksum::Sum16BitWords;
use etherparse::{IpNumber, Ipv4Header, Ipv6FlowLabel, Ipv6Header};
use evenkeel_abi::{ROUTERS6, Router};
use evenkeel_datapath::Verdict;
use evenkeel_wire::vrrp::{self, Advert, Coverage, Outgoing, Version};

use super::input::Input;
use crate::packet;
use crate::tables::NativeTables;

/// Where a message comes from and goes to.
#[derive(Clone, Copy)]
struct Ends {
    source: IpAddr,
    group: IpAddr,
    group_mac: [u8; 6],
}

const V4: Ends = Ends {
    source: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 3)),
    group: IpAddr::V4(Ipv4Addr::from_octets(vrrp::GROUP)),
    group_mac: vrrp::GROUP_MAC,
};
const V6: Ends = Ends {
    source: IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 3)),
    group: IpAddr::V6(Ipv6Addr::from_octets(vrrp::GROUP6)),
    group_mac: vrrp::GROUP6_MAC,
};

/// Length of the headers before a message.
const HEADERS: usize = 14 + 20;
const HEADERS6: usize = 14 + 40;
/// No longer messages come by Ethernet.
const LEN_MAX: usize = 1500 - 20;

/// The first byte says which checksum the message gets: 1 that of the message, 2 that of the message with a
/// pseudo-header, 3 and 4 its own and the one with a pseudo-header over IPv6, others its own. The rest is the message.
///
/// # Panics
///
/// If the codec has a bug.
pub fn run(input: &[u8]) {
    let mut input = Input::new(input);
    let Some(kind) = input.byte() else {
        return;
    };
    let mut message = input.take(LEN_MAX).to_vec();
    let ends = if matches!(kind, 3 | 4) { V6 } else { V4 };
    match kind {
        1 => sign(&mut message, ends, Coverage::Message),
        2 | 4 => sign(&mut message, ends, Coverage::PseudoHeader),
        _ => {}
    }
    let read = vrrp::parse(&message, ends.source, ends.group);
    // From elsewhere, and of the other family: only a panic would be wrong.
    let other = if ends.source.is_ipv6() { V4 } else { V6 };
    for (source, group) in [(ends.group, ends.source), (other.source, other.group)] {
        let _elsewhere = vrrp::parse(&message, source, group).is_ok();
    }
    let heard = is_heard_by_the_data_plane(&message, ends);
    assert_eq!(
        heard,
        read.is_ok(),
        "user space and data plane differ: {read:?}"
    );
    if let Ok(advert) = read {
        write_again(&message, &advert, ends);
    }
}

fn sum(message: &[u8], ends: Ends, coverage: Coverage) -> u16 {
    let mut sum = Sum16BitWords::new().add_slice(message);
    if coverage == Coverage::PseudoHeader {
        let len = u16::try_from(message.len()).expect("it fits a packet");
        for address in [ends.source, ends.group] {
            sum = match address {
                IpAddr::V4(address) => sum.add_4bytes(address.octets()),
                IpAddr::V6(address) => sum.add_16bytes(address.octets()),
            };
        }
        sum = sum.add_2bytes([0, 112]).add_2bytes(len.to_be_bytes());
    }
    sum.ones_complement()
}

/// Writes the checksum.
fn sign(message: &mut [u8], ends: Ends, coverage: Coverage) {
    if let Some(place) = message.get_mut(6..8) {
        place.fill(0);
        let sum = sum(message, ends, coverage);
        message[6..8].copy_from_slice(&sum.to_ne_bytes());
    }
}

fn write_again(message: &[u8], read: &Advert<'_>, ends: Ends) {
    let is_alone = ends.source.is_ipv4() && sum(message, ends, Coverage::Message) == 0;
    let coverage = match is_alone {
        true => Coverage::Message,
        false => Coverage::PseudoHeader,
    };
    let addresses: Vec<IpAddr> = read.addresses().collect();
    let advert = Outgoing {
        source: ends.source,
        destination: ends.group,
        version: read.version,
        virtual_router: read.virtual_router,
        priority: read.priority,
        interval: read.interval,
        addresses: &addresses,
        coverage,
    };
    let mut buffer = [0xaa; vrrp::PACKET_LEN_MAX];
    let len = vrrp::write(&advert, &mut buffer).expect("what was read can be written");
    let written = judged(&buffer[..len], ends);
    // Reserved bits and authentication are not written.
    let mut expected = message.to_vec();
    match read.version {
        Version::V2 => {
            expected[4] = 0;
            let data = expected.len() - 8;
            expected[data..].fill(0);
        }
        Version::V3 => expected[4] &= 0x0f,
    }
    sign(&mut expected, ends, coverage);
    assert_eq!(written, expected, "what is written");
    let again = vrrp::parse(written, ends.source, ends.group).expect("what is written can be read");
    let unauthenticated = again == *read || read.authentication != 0;
    assert!(unauthenticated, "{again:?} was {read:?}");
}

/// The message of a packet that was written, whose header is as it has to be.
fn judged(packet: &[u8], Ends { source, group, .. }: Ends) -> &[u8] {
    if source.is_ipv6() {
        let (header, rest) = Ipv6Header::from_slice(packet).expect("an IPv6 header");
        assert_eq!(usize::from(header.payload_length), rest.len(), "length");
        assert_eq!((header.next_header.0, header.hop_limit), (112, 255));
        let ends = (
            header.source_addr().into(),
            header.destination_addr().into(),
        );
        assert_eq!(ends, (source, group), "addresses");
        return rest;
    }
    let (header, rest) = Ipv4Header::from_slice(packet).expect("an IP header");
    assert_eq!(header.header_checksum, header.calc_header_checksum());
    assert_eq!(usize::from(header.total_len), packet.len(), "total length");
    assert_eq!((header.protocol.0, header.time_to_live), (112, 255));
    let ends = [header.source, header.destination].map(IpAddr::from);
    assert_eq!(ends, [source, group], "addresses");
    assert!(header.options.is_empty(), "no options");
    rest
}

/// Whether the data plane notes the message as another director's good advertisement.
fn is_heard_by_the_data_plane(message: &[u8], ends: Ends) -> bool {
    let tables = NativeTables::new(1, 1);
    for router in &tables.routers {
        router.used.store(1, SeqCst);
    }
    let mut frame = Vec::with_capacity(HEADERS6 + message.len());
    frame.extend(ends.group_mac);
    frame.extend(packet::ROUTER);
    let len = u16::try_from(message.len()).expect("it fits a packet");
    match (ends.source, ends.group) {
        (IpAddr::V4(source), IpAddr::V4(group)) => {
            let (source, group) = (source.octets(), group.octets());
            let mut ip =
                Ipv4Header::new(len, 255, IpNumber(112), source, group).expect("it fits a packet");
            ip.header_checksum = ip.calc_header_checksum();
            frame.extend([0x08, 0x00]);
            frame.extend(ip.to_bytes());
        }
        (IpAddr::V6(source), IpAddr::V6(group)) => {
            let ip = Ipv6Header {
                traffic_class: 0,
                flow_label: Ipv6FlowLabel::ZERO,
                payload_length: len,
                next_header: IpNumber(112),
                hop_limit: 255,
                source: source.octets(),
                destination: group.octets(),
            };
            frame.extend([0x86, 0xdd]);
            frame.extend(ip.to_bytes());
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => {
            panic!("ends of one family")
        }
    }
    frame.extend(message);
    assert_eq!(tables.judged(&frame).0, Verdict::Pass, "the stack gets all");
    let (of_v4, of_v6) = tables.routers.split_at(ROUTERS6 as usize);
    let is_heard = |routers: &[Router]| {
        let mut heard = routers.iter().map(|router| router.heard.load(SeqCst));
        heard.any(|heard| heard != 0)
    };
    let (own, others) = match ends.source {
        IpAddr::V4(_) => (of_v4, of_v6),
        IpAddr::V6(_) => (of_v6, of_v4),
    };
    assert!(!is_heard(others), "the other family's hear nothing");
    is_heard(own)
}

/// Inputs to begin with.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let address = |last| Ipv4Addr::new(198, 18, 14, last);
    let mut seeds = Vec::new();
    for version in [2, 3, 4] {
        for count in [0, 1, 2, 255] {
            let addresses: Vec<_> = (0..count).map(address).collect();
            let frame = packet::Advert::new(version, 51, &addresses).frame();
            let message = &frame[HEADERS..];
            seeds.extend((0..3).map(|kind| [&[kind], message].concat()));
        }
    }
    for version in [2, 3] {
        for count in [0, 1, 90] {
            let frame = packet::advert6(51, count, (version, 255));
            let message = &frame[HEADERS6..];
            seeds.extend((3..5).map(|kind| [&[kind], message].concat()));
        }
    }
    // What other protocols' packets look like, and too little.
    let peer = SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 3), 112);
    let datagram = packet::Datagram::new(peer, peer).frame();
    seeds.push([&[0], &datagram[HEADERS..]].concat());
    seeds.push(vec![1]);
    seeds
}
