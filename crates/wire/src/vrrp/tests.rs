extern crate std;

use core::time::Duration;
use std::vec::Vec;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const SOURCE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));
const MULTICAST: IpAddr = IpAddr::V4(Ipv4Addr::from_octets(GROUP));
const ADDRESSES_OF_51: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, 100)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, 101)),
];

/// keepalived 2.2.7: version 3, multicast, advert_int 0.25.
const KEEPALIVED_V3: &str = "3133960200191152c0000264c0000265";
/// The same, stopping.
const KEEPALIVED_V3_STOP: &str = "313300020019a752c0000264c0000265";
/// keepalived 2.2.7: version 3, unicast to [`PEER`], advert_int 0.01.
const KEEPALIVED_V3_UNICAST: &str = "3133960200012f7ac0000264c0000265";
/// keepalived 2.2.7: version 2, advert_int 1.
const KEEPALIVED_V2: &str = "213396020001c3fec0000264c0000265 0000000000000000";
/// keepalived 2.2.7: version 2, `auth_type PASS`, `auth_pass secret`.
const KEEPALIVED_V2_PASS: &str = "21339602010186b2c0000264c0000265 7365637265740000";

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex
        .chars()
        .filter_map(|c| c.to_digit(16))
        .map(|digit| u8::try_from(digit).unwrap())
        .collect();
    digits
        .chunks(2)
        .map(|pair| pair[0] << 4 | pair[1])
        .collect()
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Writes the right checksum, pseudo-header and all for version 3.
fn with_checksum(mut message: Vec<u8>) -> Vec<u8> {
    message[CHECKSUM..CHECKSUM + 2].fill(0);
    let mut total = sum(0, &message);
    if message[0] >> 4 == 3 {
        total = pseudo_header(total, SOURCE, MULTICAST, message.len());
    }
    message[CHECKSUM..CHECKSUM + 2].copy_from_slice(&checksum::finish(total).to_be_bytes());
    message
}

fn outgoing(version: Version, addresses: &[IpAddr]) -> Outgoing<'_> {
    Outgoing {
        source: SOURCE,
        destination: MULTICAST,
        version,
        virtual_router: 51,
        priority: 150,
        interval: Duration::from_secs(1),
        addresses,
        coverage: Coverage::PseudoHeader,
    }
}

#[test]
fn keepalived_is_understood() {
    let cases = [
        (KEEPALIVED_V3, MULTICAST, Version::V3, 150, ms(250), 0),
        (KEEPALIVED_V3_STOP, MULTICAST, Version::V3, 0, ms(250), 0),
        (KEEPALIVED_V3_UNICAST, PEER, Version::V3, 150, ms(10), 0),
        (KEEPALIVED_V2, MULTICAST, Version::V2, 150, ms(1_000), 0),
        (
            KEEPALIVED_V2_PASS,
            MULTICAST,
            Version::V2,
            150,
            ms(1_000),
            1,
        ),
    ];
    for (hex, destination, version, priority, interval, authentication) in cases {
        let message = bytes(hex);
        let advert = parse(&message, SOURCE, destination).expect(hex);
        assert_eq!(advert.version, version, "{hex}");
        assert_eq!(advert.virtual_router, 51, "{hex}");
        assert_eq!(advert.priority, priority, "{hex}");
        assert_eq!(advert.interval, interval, "{hex}");
        assert_eq!(advert.authentication, authentication, "{hex}");
        assert!(advert.addresses().eq(ADDRESSES_OF_51), "{hex}");
    }
}

#[test]
fn what_is_written_equals_keepalived_but_for_identification_and_dont_fragment() {
    let ip_v3 = "45c00024 00004000 ff70d895 c0000201 e0000012";
    let ip_v2 = "45c0002c 00004000 ff70d88d c0000201 e0000012";
    let cases = [
        (Version::V3, ms(250), ip_v3, KEEPALIVED_V3),
        (Version::V2, ms(1_000), ip_v2, KEEPALIVED_V2),
    ];
    for (version, interval, header, message) in cases {
        let advert = Outgoing {
            interval,
            ..outgoing(version, &ADDRESSES_OF_51)
        };
        let mut buffer = [0xaa; PACKET_LEN_MAX];
        let len = write(&advert, &mut buffer).unwrap();
        let mut expected = bytes(header);
        expected.extend(bytes(message));
        assert_eq!(buffer[..len], expected);
        assert!(buffer[len..].iter().all(|byte| *byte == 0xaa));
    }
}

#[test]
fn a_checksum_without_pseudo_header_is_written_and_accepted() {
    let advert = Outgoing {
        coverage: Coverage::Message,
        ..outgoing(Version::V3, &ADDRESSES_OF_51)
    };
    let mut buffer = [0; PACKET_LEN_MAX];
    let len = write(&advert, &mut buffer).unwrap();
    let message = &buffer[ipv4::MIN_LEN..len];
    assert_eq!(checksum::finish(sum(0, message)), 0);
    // It covers no addresses of the header.
    assert!(parse(message, PEER, SOURCE).is_ok());
}

#[test]
fn a_pseudo_header_ties_the_message_to_its_addresses() {
    let message = bytes(KEEPALIVED_V3);
    assert_eq!(
        parse(&message, PEER, MULTICAST),
        Err(Malformed::Checksum),
        "another source"
    );
    assert_eq!(
        parse(&message, SOURCE, PEER),
        Err(Malformed::Checksum),
        "another destination"
    );
}

#[test]
fn version_2_has_no_pseudo_header() {
    let mut message = bytes(KEEPALIVED_V2);
    message[CHECKSUM..CHECKSUM + 2].fill(0);
    let total = pseudo_header(sum(0, &message), SOURCE, MULTICAST, message.len());
    message[CHECKSUM..CHECKSUM + 2].copy_from_slice(&checksum::finish(total).to_be_bytes());
    let parsed = parse(&message, SOURCE, MULTICAST);
    assert_eq!(parsed, Err(Malformed::Checksum));
}

#[test]
fn each_kind_of_malformed_message_is_told_apart() {
    let v3 = bytes(KEEPALIVED_V3);
    let v2 = bytes(KEEPALIVED_V2);
    let changed = |message: &[u8], at: usize, byte: u8| {
        let mut message = message.to_vec();
        message[at] = byte;
        with_checksum(message)
    };
    let longer = |message: &[u8]| {
        let mut message = message.to_vec();
        message.extend([0; 4]);
        with_checksum(message)
    };
    let mut damaged = v3.clone();
    damaged[9] ^= 1;
    let mut empty = v3[..8].to_vec();
    empty[COUNT] = 0;
    let length = |got, expected| Malformed::Length { got, expected };
    let cases = [
        (Vec::new(), length(0, 8)),
        (v3[..7].to_vec(), length(7, 8)),
        (v3[..8].to_vec(), length(8, 16)),
        (v3[..15].to_vec(), length(15, 16)),
        (longer(&v3), length(20, 16)),
        (v2[..16].to_vec(), length(16, 24)),
        (longer(&v2), length(28, 24)),
        (changed(&v3, COUNT, 3), length(16, 20)),
        (changed(&v3, VERSION_TYPE, 0x41), Malformed::Version(4)),
        (changed(&v3, VERSION_TYPE, 0x11), Malformed::Version(1)),
        (changed(&v3, VERSION_TYPE, 0x32), Malformed::Type(2)),
        (changed(&v2, VERSION_TYPE, 0x20), Malformed::Type(0)),
        (damaged, Malformed::Checksum),
        (with_checksum(empty), Malformed::NoAddress),
        (changed(&v3, INTERVAL_V3 + 1, 0), Malformed::NoInterval),
        (changed(&v2, INTERVAL_V2, 0), Malformed::NoInterval),
    ];
    for (message, expected) in cases {
        let parsed = parse(&message, SOURCE, MULTICAST);
        assert_eq!(parsed, Err(expected), "{message:02x?}");
    }
}

#[test]
fn reserved_bits_are_ignored() {
    let mut message = bytes(KEEPALIVED_V3);
    message[INTERVAL_V3] |= 0xf0;
    let message = with_checksum(message);
    let advert = parse(&message, SOURCE, MULTICAST).unwrap();
    assert_eq!(advert.interval, ms(250));
    assert_eq!(advert.authentication, 0);
}

#[test]
fn what_does_not_fit_is_an_error_and_leaves_the_buffer() {
    let address = [SOURCE; 256];
    let v3 = outgoing(Version::V3, &address[..2]);
    let v2 = outgoing(Version::V2, &address[..2]);
    let with = |advert: Outgoing<'static>, interval| Outgoing { interval, ..advert };
    let base = |version| outgoing(version, &ADDRESSES_OF_51);
    let (base3, base2) = (base(Version::V3), base(Version::V2));
    let interval = |interval| WriteError::Interval(interval);
    let nano = Duration::from_nanos(1);
    let cases = [
        (with(base3, ms(0)), interval(ms(0))),
        (with(base3, ms(9)), interval(ms(9))),
        (with(base3, ms(15)), interval(ms(15))),
        (with(base3, ms(10) + nano), interval(ms(10) + nano)),
        (with(base3, ms(40_960)), interval(ms(40_960))),
        (with(base3, Duration::MAX), interval(Duration::MAX)),
        (with(base2, ms(0)), interval(ms(0))),
        (with(base2, ms(1_500)), interval(ms(1_500))),
        (with(base2, ms(256_000)), interval(ms(256_000))),
        (outgoing(Version::V3, &[]), WriteError::Addresses(0)),
        (outgoing(Version::V3, &address), WriteError::Addresses(256)),
    ];
    for (advert, expected) in cases {
        let mut buffer = [0xaa; PACKET_LEN_MAX + 8];
        assert_eq!(write(&advert, &mut buffer), Err(expected));
        assert!(buffer.iter().all(|byte| *byte == 0xaa), "{expected}");
    }
    let mut buffer = [0; 100];
    for (advert, needed) in [(v3, 36), (v2, 44)] {
        let short = write(&advert, &mut buffer[..needed - 1]);
        assert_eq!(short, Err(WriteError::Buffer { needed }));
        assert_eq!(write(&advert, &mut buffer[..needed]), Ok(needed));
    }
    let longest = [IpAddr::V6(Ipv6Addr::LOCALHOST); 255];
    let longest = Outgoing {
        source: longest[0],
        destination: longest[0],
        ..outgoing(Version::V3, &longest)
    };
    let mut buffer = [0; PACKET_LEN_MAX];
    assert_eq!(write(&longest, &mut buffer), Ok(PACKET_LEN_MAX));
}

#[test]
fn families_are_not_mixed_and_version_2_is_of_ipv4_alone() {
    let v6 = IpAddr::V6(Ipv6Addr::LOCALHOST);
    let (of_v6, of_both) = ([v6], [SOURCE, v6]);
    let base = outgoing(Version::V3, &of_v6);
    let ends = Outgoing {
        source: v6,
        destination: v6,
        ..base
    };
    let old = Outgoing {
        version: Version::V2,
        ..ends
    };
    let mixed = Outgoing {
        addresses: &of_both,
        ..ends
    };
    let mut buffer = [0; PACKET_LEN_MAX];
    for refused in [base, old, mixed] {
        assert_eq!(write(&refused, &mut buffer), Err(WriteError::Family));
    }
    let len = write(&ends, &mut buffer).unwrap();
    let message = &mut buffer[ipv6::LEN..len];
    assert!(parse(message, v6, v6).is_ok());
    // Without the pseudo-header it is good over IPv4 alone.
    message[CHECKSUM..CHECKSUM + 2].fill(0);
    let alone = checksum::finish(sum(0, message)).to_be_bytes();
    message[CHECKSUM..CHECKSUM + 2].copy_from_slice(&alone);
    assert_eq!(parse(message, v6, v6), Err(Malformed::Checksum));
    message[VERSION_TYPE] = ADVERTISEMENT_V2;
    assert_eq!(parse(message, v6, v6), Err(Malformed::Version(2)));
}

fn any_outgoing() -> impl Strategy<Value = (Outgoing<'static>, Vec<IpAddr>)> {
    let version = prop_oneof![Just(Version::V2), Just(Version::V3)];
    let coverage = prop_oneof![Just(Coverage::PseudoHeader), Just(Coverage::Message)];
    let addresses = vec(any::<[u8; 16]>(), 1..=255);
    let head = (any::<u8>(), any::<u8>(), 1_u16..=4095);
    let ends = (any::<[u8; 16]>(), any::<[u8; 16]>(), any::<bool>());
    (version, coverage, addresses, head, ends).prop_map(
        |(version, coverage, list, (virtual_router, priority, interval), ends)| {
            let interval = u64::from(interval);
            let (source, destination, is_v6) = ends;
            let version = if is_v6 { Version::V3 } else { version };
            let address = |bytes: [u8; 16]| match bytes.first_chunk::<4>() {
                Some(four) if !is_v6 => IpAddr::from(*four),
                Some(_) | None => IpAddr::from(bytes),
            };
            let outgoing = Outgoing {
                source: address(source),
                destination: address(destination),
                version,
                virtual_router,
                priority,
                interval: match version {
                    Version::V2 => Duration::from_secs(interval % 255 + 1),
                    Version::V3 => ms(interval * 10),
                },
                addresses: &[],
                coverage,
            };
            (outgoing, list.into_iter().map(address).collect())
        },
    )
}

/// The header of a packet of either version, which is judged, and the rest.
fn judged(packet: &[u8], advert: &Outgoing<'_>) -> Vec<u8> {
    let (header, message) = packet.split_at(match advert.source {
        IpAddr::V4(_) => ipv4::MIN_LEN,
        IpAddr::V6(_) => ipv6::LEN,
    });
    let word = |at: usize| usize::from(u16::from_be_bytes([header[at], header[at + 1]]));
    match (advert.source, advert.destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            assert_eq!(checksum::finish(sum(0, header)), 0);
            assert_eq!(word(2), packet.len());
            assert_eq!(
                (header[ipv4::TTL], header[ipv4::TTL + 1]),
                (TTL, ipv4::VRRP)
            );
            assert_eq!(header[ipv4::SOURCE..ipv4::DESTINATION], source.octets());
            assert_eq!(header[ipv4::DESTINATION..], destination.octets());
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            assert_eq!(header[..2], [0x6c, 0], "version and traffic class");
            assert_eq!(word(ipv6::PAYLOAD_LENGTH), message.len());
            assert_eq!((header[6], header[7]), (ipv4::VRRP, TTL));
            assert_eq!(header[ipv6::SOURCE..ipv6::DESTINATION], source.octets());
            assert_eq!(header[ipv6::DESTINATION..], destination.octets());
        }
        ends => panic!("{ends:?} are of two families"),
    }
    message.to_vec()
}

proptest! {
    #[test]
    fn what_is_written_is_read_again((advert, addresses) in any_outgoing()) {
        let advert = Outgoing { addresses: &addresses, ..advert };
        let mut buffer = [0; PACKET_LEN_MAX];
        let len = write(&advert, &mut buffer).unwrap();
        let message = judged(&buffer[..len], &advert);
        let read = parse(&message, advert.source, advert.destination).unwrap();
        prop_assert_eq!(read.version, advert.version);
        prop_assert_eq!(read.virtual_router, advert.virtual_router);
        prop_assert_eq!(read.priority, advert.priority);
        prop_assert_eq!(read.interval, advert.interval);
        prop_assert_eq!(read.authentication, 0);
        prop_assert!(read.addresses().eq(addresses.iter().copied()));
    }

    #[test]
    fn arbitrary_bytes_never_panic(message in vec(any::<u8>(), 0..1200), fix in any::<bool>()) {
        let message = match fix && message.len() >= ADDRESSES {
            true => with_checksum(message),
            false => message,
        };
        if let Ok(advert) = parse(&message, SOURCE, MULTICAST) {
            prop_assert_eq!(advert.addresses().len(), usize::from(message[COUNT]));
        }
    }

    #[test]
    fn one_damaged_bit_is_found((advert, addresses) in any_outgoing(), at in any::<prop::sample::Index>()) {
        // A pseudo-header whose sum is no power of two, so that its absence can't make good for a bit.
        let (source, destination, header) = match advert.source {
            IpAddr::V4(_) => (SOURCE, MULTICAST, ipv4::MIN_LEN),
            IpAddr::V6(_) => (advert.source, advert.destination, ipv6::LEN),
        };
        let advert = Outgoing {
            source,
            destination,
            addresses: &addresses,
            ..advert
        };
        let mut buffer = [0; PACKET_LEN_MAX];
        let len = write(&advert, &mut buffer).unwrap();
        let message = &mut buffer[header..len];
        let bit = at.index(message.len() * 8);
        message[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(parse(message, advert.source, advert.destination).is_err());
    }
}
