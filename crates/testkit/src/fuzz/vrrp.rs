//! VRRP's codec: it reads any message without a panic, writes what it has read as the same message again, and
//! the data plane takes the same messages for good ones.

use std::net::{IpAddr, Ipv4Addr, SocketAddrV4};
use std::sync::atomic::Ordering::SeqCst;

use etherparse::checksum::Sum16BitWords;
use etherparse::{IpNumber, Ipv4Header};
use evenkeel_datapath::Verdict;
use evenkeel_wire::vrrp::{self, Advert, Coverage, Outgoing, Version};

use super::input::Input;
use crate::packet;
use crate::tables::NativeTables;

const SOURCE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 3);
const GROUP: Ipv4Addr = Ipv4Addr::from_octets(vrrp::GROUP);
/// Length of the headers before a message.
const HEADERS: usize = 14 + 20;
/// No longer messages come by Ethernet.
const LEN_MAX: usize = 1500 - 20;

/// The first byte says which checksum the message gets: 0 and above 2 its own, 1 that of the message, 2 that of
/// the message with a pseudo-header. The rest is the message.
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
    match kind {
        1 => sign(&mut message, Coverage::Message),
        2 => sign(&mut message, Coverage::PseudoHeader),
        _ => {}
    }
    let read = vrrp::parse(&message, SOURCE.into(), GROUP.into());
    // From elsewhere: only a panic would be wrong.
    let _elsewhere = vrrp::parse(&message, GROUP.into(), SOURCE.into()).is_ok();
    let heard = is_heard_by_the_data_plane(&message);
    assert_eq!(
        heard,
        read.is_ok(),
        "user space and data plane differ: {read:?}"
    );
    if let Ok(advert) = read {
        write_again(&message, &advert);
    }
}

fn sum(message: &[u8], coverage: Coverage) -> u16 {
    let mut sum = Sum16BitWords::new().add_slice(message);
    if coverage == Coverage::PseudoHeader {
        let len = u16::try_from(message.len()).expect("it fits a packet");
        sum = sum
            .add_4bytes(SOURCE.octets())
            .add_4bytes(GROUP.octets())
            .add_2bytes([0, 112])
            .add_2bytes(len.to_be_bytes());
    }
    sum.ones_complement()
}

/// Writes the checksum.
fn sign(message: &mut [u8], coverage: Coverage) {
    if let Some(place) = message.get_mut(6..8) {
        place.fill(0);
        let sum = sum(message, coverage);
        message[6..8].copy_from_slice(&sum.to_ne_bytes());
    }
}

fn write_again(message: &[u8], read: &Advert<'_>) {
    let coverage = match sum(message, Coverage::Message) {
        0 => Coverage::Message,
        _ => Coverage::PseudoHeader,
    };
    let addresses: Vec<IpAddr> = read.addresses().collect();
    let advert = Outgoing {
        source: SOURCE.into(),
        destination: GROUP.into(),
        version: read.version,
        virtual_router: read.virtual_router,
        priority: read.priority,
        interval: read.interval,
        addresses: &addresses,
        coverage,
    };
    let mut buffer = [0xaa; vrrp::PACKET_LEN_MAX];
    let len = vrrp::write(&advert, &mut buffer).expect("what was read can be written");
    let written = &buffer[20..len];
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
    sign(&mut expected, coverage);
    assert_eq!(written, expected, "what is written");
    let again =
        vrrp::parse(written, SOURCE.into(), GROUP.into()).expect("what is written can be read");
    let unauthenticated = again == *read || read.authentication != 0;
    assert!(unauthenticated, "{again:?} was {read:?}");
    let (header, rest) = Ipv4Header::from_slice(&buffer[..len]).expect("an IP header");
    assert_eq!(header.header_checksum, header.calc_header_checksum());
    assert_eq!(usize::from(header.total_len), len, "total length");
    assert_eq!(rest, written, "no options");
    assert_eq!((header.protocol.0, header.time_to_live), (112, 255));
    let ends = (header.source, header.destination);
    assert_eq!(ends, (SOURCE.octets(), GROUP.octets()), "addresses");
}

/// Whether the data plane notes the message as another director's good advertisement.
fn is_heard_by_the_data_plane(message: &[u8]) -> bool {
    let tables = NativeTables::new(1, 1);
    for router in &tables.routers {
        router.used.store(1, SeqCst);
    }
    let len = u16::try_from(message.len()).expect("it fits a packet");
    let (source, group) = (SOURCE.octets(), GROUP.octets());
    let mut ip = Ipv4Header::new(len, 255, IpNumber(112), source, group).expect("it fits a packet");
    ip.header_checksum = ip.calc_header_checksum();
    let mut frame = Vec::with_capacity(HEADERS + message.len());
    frame.extend(vrrp::GROUP_MAC);
    frame.extend(packet::ROUTER);
    frame.extend([0x08, 0x00]);
    frame.extend(ip.to_bytes());
    frame.extend(message);
    assert_eq!(tables.judged(&frame).0, Verdict::Pass, "the stack gets all");
    tables
        .routers
        .iter()
        .any(|router| router.heard.load(SeqCst) != 0)
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
    // What other protocols' packets look like, and too little.
    let peer = SocketAddrV4::new(SOURCE, 112);
    let datagram = packet::Datagram::new(peer, peer).frame();
    seeds.push([&[0], &datagram[HEADERS..]].concat());
    seeds.push(vec![1]);
    seeds
}
