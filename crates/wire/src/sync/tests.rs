extern crate std;

mod properties;

use core::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use core::time::Duration;
use std::vec::Vec;

use super::*;

fn v4(last: u8, port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::new(192, 0, 2, last), port))
}

fn v6(last: u16, port: u16) -> SocketAddr {
    SocketAddr::from((Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last), port))
}

fn connection(client: SocketAddr, address: SocketAddr, server: SocketAddr) -> Record {
    Record {
        flow: Flow {
            client,
            address,
            protocol: Protocol::Tcp,
            template: false,
        },
        server,
        state: State::try_from(1).unwrap(),
        remaining: Duration::from_secs(900),
        assured: true,
    }
}

fn ipv4() -> Record {
    connection(v4(7, 40_000), v4(1, 80), v4(11, 80))
}

fn packed(items: &[Item]) -> Vec<u8> {
    let mut writer = Writer::new();
    for item in items {
        assert!(writer.push(item), "{item:?} fits");
    }
    writer.bytes().to_vec()
}

fn read(segment: &[u8]) -> Result<Vec<Item>, Malformed> {
    let mut reader = Reader::default();
    let mut items = Vec::new();
    while let Some(item) = reader.next(segment)? {
        items.push(item);
    }
    Ok(items)
}

#[test]
fn a_record_of_ipv4_stands_as_documented() {
    let expected = [
        0x11 - 1,
        1, // a run of records, all of IPv4
        0x91,
        0,
        0x23,
        0x28, // TCP, ESTABLISHED, assured; 9,000 steps
        192,
        0,
        2,
        7,
        0x9c,
        0x40,
        192,
        0,
        2,
        1,
        0,
        80,
        192,
        0,
        2,
        11,
        0,
        80,
    ];
    assert_eq!(packed(&[Item::Record(ipv4())]), expected);
}

#[test]
fn sixty_records_of_ipv4_fill_a_datagram_at_less_than_24_bytes_each() {
    let mut writer = Writer::new();
    let mut records = 0;
    while writer.push(&Item::Record(ipv4())) {
        records += 1;
    }
    assert_eq!(records, 60);
    let frame = Frame {
        next: u64::MAX,
        beyond: u64::MAX,
        stamp: 0,
        echo: Some(0),
        heard: 0,
        status: None,
        segment: Some(SegmentRef {
            number: u64::MAX,
            items: writer.bytes(),
        }),
    };
    let mut buffer = [0; FRAME_LEN_MAX];
    let len = write_frame(&frame, &mut buffer).expect("a full segment fits");
    let datagram = SEALED_HEAD_LEN + len + TAG_LEN;
    assert!(
        datagram <= DATAGRAM_LEN_MAX && datagram < 24 * records,
        "{datagram}"
    );
}

#[test]
fn whatever_families_meet_an_item_is_read_as_it_was_written() {
    let clients = [v4(7, 1), v6(7, 1)];
    let addresses = [v4(1, 443), v6(1, 443)];
    let servers = [v4(11, 0), v6(11, 0)];
    let mut items = Vec::from([Item::SnapshotBegin]);
    for client in clients {
        for address in addresses {
            for server in servers {
                let record = connection(client, address, server);
                items.push(Item::Record(record));
                items.push(Item::Record(record));
            }
            items.push(Item::Removal(connection(client, address, servers[0]).flow));
        }
    }
    items.push(Item::SnapshotEnd { records: u64::MAX });
    assert_eq!(read(&packed(&items)), Ok(items));
}

#[test]
fn a_run_ends_at_255_and_another_begins() {
    let flow = ipv4().flow;
    let mut writer = Writer::new();
    let mut count = 0;
    while writer.push(&Item::Removal(flow)) {
        count += 1;
    }
    // 13 bytes each.
    assert_eq!(count, 102);
    let mut long = Vec::from([0x20, 255]);
    let one = &packed(&[Item::Removal(flow)])[2..];
    (0..255).for_each(|_| long.extend(one));
    assert_eq!(read(&long).map(|items| items.len()), Ok(255));
    long.push(0);
    assert_eq!(read(&long), Err(Malformed::Length));
}

#[test]
fn lifetimes_are_rounded_up_and_cut() {
    let cases = [
        (Duration::ZERO, Duration::ZERO),
        (Duration::from_nanos(1), LIFETIME_STEP),
        (Duration::from_millis(100), LIFETIME_STEP),
        (Duration::from_millis(101), LIFETIME_STEP * 2),
        (LIFETIME_MAX, LIFETIME_MAX),
        (Duration::MAX, LIFETIME_MAX),
    ];
    for (remaining, expected) in cases {
        let record = Record {
            remaining,
            ..ipv4()
        };
        let told = Record {
            remaining: expected,
            ..record
        };
        assert_eq!(
            read(&packed(&[Item::Record(record)])),
            Ok(Vec::from([Item::Record(told)]))
        );
    }
}

#[test]
fn segments_that_nobody_writes_are_told_apart() {
    let cases: [(&[u8], Malformed); 9] = [
        (&[0, 1], Malformed::Unknown(0)),
        (&[3, 1], Malformed::Unknown(3)),
        (&[2, 0], Malformed::Length),
        (&[0x18, 1], Malformed::Unknown(0x18)),
        (&[0x24, 1], Malformed::Unknown(0x24)),
        (&[0x30, 1], Malformed::Unknown(0x30)),
        (&[0x10], Malformed::Length),
        (&[0x10, 1, 0], Malformed::Length),
        // A removal with a state.
        (
            &[0x20, 1, 0x11, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            Malformed::Range,
        ),
    ];
    for (bytes, expected) in cases {
        assert_eq!(Reader::check(bytes), Err(expected), "{bytes:02x?}");
    }
    let mut empty_run = packed(&[Item::Record(ipv4())]);
    empty_run[1] = 0;
    assert_eq!(Reader::check(&empty_run), Err(Malformed::Range));
}

#[test]
fn after_a_mistake_a_reader_reads_no_more() {
    let mut reader = Reader::default();
    assert_eq!(reader.next(&[1, 0xff, 1]), Ok(Some(Item::SnapshotBegin)));
    assert!(reader.next(&[1, 0xff, 1]).is_err());
    assert_eq!(reader.next(&[1, 0xff, 1]), Ok(None));
}

fn hello() -> Hello<'static> {
    Hello {
        key_id: [1, 2, 3, 4],
        from: [7; 16],
        to: Some([9; 16]),
        sender: "a",
        receiver: "zwölf",
    }
}

fn greeting(hello: &Hello<'_>) -> Vec<u8> {
    let mut buffer = [0; HELLO_LEN_MAX];
    let len = write_hello(hello, &mut buffer).unwrap();
    let mut bytes = buffer[..len].to_vec();
    bytes.extend([5; SIGNATURE_LEN]);
    bytes
}

#[test]
fn greetings_are_read_as_written_and_signed_as_a_whole() {
    for to in [None, Some([9; 16])] {
        let hello = Hello { to, ..hello() };
        let bytes = greeting(&hello);
        let expected = Datagram::Hello {
            hello,
            signed: &bytes[..bytes.len() - SIGNATURE_LEN],
            signature: &[5; SIGNATURE_LEN],
        };
        assert_eq!(parse(&bytes), Ok(expected));
    }
}

#[test]
fn names_have_1_to_64_bytes_and_no_control_characters() {
    let longest = "x".repeat(64);
    let too_long = "x".repeat(65);
    for (name, good) in [
        ("a", true),
        (&longest, true),
        ("", false),
        (&too_long, false),
        ("a\nb", false),
    ] {
        assert_eq!(is_name(name), good, "{name}");
        let hello = Hello {
            sender: name,
            ..hello()
        };
        assert_eq!(
            write_hello(&hello, &mut [0; HELLO_LEN_MAX]).is_some(),
            good,
            "{name}"
        );
    }
    let longest = Hello {
        sender: &longest,
        receiver: &longest,
        ..hello()
    };
    assert_eq!(greeting(&longest).len(), HELLO_LEN_MAX);
    let mut bytes = greeting(&hello());
    bytes[41] = 0xff;
    assert_eq!(parse(&bytes), Err(Malformed::Name));
}

#[test]
fn datagrams_that_nobody_writes_are_told_apart() {
    let cases: [(&[u8], Malformed); 8] = [
        (b"", Malformed::Foreign),
        (b"e", Malformed::Foreign),
        (b"GET / HTTP/1.1", Malformed::Foreign),
        (b"ek", Malformed::Length),
        (b"ek\x02", Malformed::Version(2)),
        (b"ek\x01", Malformed::Length),
        (b"ek\x01\x03", Malformed::Unknown(3)),
        (b"ek\x01\x02 0123456789 0123456789 012", Malformed::Length),
    ];
    for (bytes, expected) in cases {
        assert_eq!(parse(bytes), Err(expected), "{bytes:02x?}");
    }
    let genuine = greeting(&hello());
    for len in 4..genuine.len() {
        assert_eq!(parse(&genuine[..len]), Err(Malformed::Length), "{len}");
    }
    assert_eq!(
        parse(&[&genuine[..], &[0]].concat()),
        Err(Malformed::Length)
    );
    let nobody = greeting(&Hello {
        from: [0; 16],
        ..hello()
    });
    assert_eq!(parse(&nobody), Err(Malformed::Range));
    let mut long = [0; DATAGRAM_LEN_MAX + 1];
    long[..16].copy_from_slice(&seal_head(1, 2));
    assert_eq!(parse(&long), Err(Malformed::Length));
    assert!(parse(&long[1..]).is_err());
    assert!(parse(&long[..DATAGRAM_LEN_MAX]).is_ok());
}

#[test]
fn sealed_datagrams_are_taken_apart() {
    let head = seal_head(0x0102_0304, 5);
    let bytes = [&head[..], b"body", &[6; TAG_LEN]].concat();
    let expected = Datagram::Sealed {
        head: &head,
        session: 0x0102_0304,
        counter: 5,
        body: b"body",
        tag: &[6; TAG_LEN],
    };
    assert_eq!(parse(&bytes), Ok(expected));
}

fn frame() -> Frame<'static> {
    Frame {
        next: 1,
        beyond: 2,
        stamp: 3,
        echo: Some(4),
        heard: 5,
        status: None,
        segment: None,
    }
}

fn status() -> Status {
    Status {
        behind: Duration::from_micros(1_500),
        outstanding: 6,
        sent: 7,
        digest: 8,
        active: Routers::from_iter([1, 64, 255]),
        wanted: Routers::from_iter([2]),
    }
}

fn written(frame: &Frame<'_>) -> Vec<u8> {
    let mut buffer = [0; FRAME_LEN_MAX];
    let len = write_frame(frame, &mut buffer).unwrap();
    buffer[..len].to_vec()
}

#[test]
fn frames_are_read_as_written() {
    let items = packed(&[Item::Record(ipv4()), Item::SnapshotBegin]);
    let segment = Some(SegmentRef {
        number: 9,
        items: &items,
    });
    for frame in [
        frame(),
        Frame {
            echo: None,
            ..frame()
        },
        Frame {
            status: Some(status()),
            ..frame()
        },
        Frame { segment, ..frame() },
        Frame {
            status: Some(status()),
            segment,
            ..frame()
        },
    ] {
        let bytes = written(&frame);
        assert_eq!(parse_frame(&bytes), Ok(frame));
        for len in 0..bytes.len() {
            // A segment may end behind any item.
            if frame.segment.is_none() {
                assert_eq!(parse_frame(&bytes[..len]), Err(Malformed::Length), "{len}");
            }
        }
    }
}

#[test]
fn the_longest_status_is_as_long_as_it_says() {
    let all = Status {
        active: (1..=128).collect(),
        wanted: (129..=255).collect(),
        ..status()
    };
    let without = written(&frame()).len();
    let bytes = written(&Frame {
        status: Some(all),
        ..frame()
    });
    assert_eq!(bytes.len() - without, STATUS_LEN_MAX);
}

#[test]
fn what_a_sender_is_behind_is_never_told_as_less() {
    for (behind, told) in [
        (Duration::from_nanos(1), Duration::from_micros(1)),
        (Duration::MAX, Duration::from_micros(u32::MAX.into())),
    ] {
        let bytes = written(&Frame {
            status: Some(Status { behind, ..status() }),
            ..frame()
        });
        let status = parse_frame(&bytes).unwrap().status.unwrap();
        assert_eq!(status.behind, told);
    }
}

#[test]
fn frames_that_nobody_writes_are_told_apart() {
    let with_status = written(&Frame {
        status: Some(status()),
        ..frame()
    });
    let (ids, wanted) = (with_status.len() - 5, with_status.len() - 1);
    let change = |bytes: &[u8], at: usize, byte: u8| {
        let mut bytes = bytes.to_vec();
        bytes[at] = byte;
        parse_frame(&bytes).map(|_| ())
    };
    assert_eq!(change(&with_status, 0, 8), Err(Malformed::Unknown(8)));
    assert_eq!(change(&with_status, ids, 0), Err(Malformed::Range));
    assert_eq!(change(&with_status, ids, 64), Err(Malformed::Range));
    // Active for what it wants.
    assert_eq!(change(&with_status, wanted, 64), Err(Malformed::Range));
    // An echo without its flag.
    assert_eq!(change(&with_status, 0, 2), Err(Malformed::Range));
    // A segment without an item.
    let bytes = [&written(&frame())[..], &[0; 8]].concat();
    assert_eq!(change(&bytes, 0, 5), Err(Malformed::Length));
    assert_eq!(change(&bytes, 0, 1), Err(Malformed::Length));
}

#[test]
fn what_does_not_fit_a_buffer_is_not_written() {
    let frame = Frame {
        status: Some(status()),
        ..frame()
    };
    let len = written(&frame).len();
    for short in 0..len {
        assert_eq!(write_frame(&frame, &mut [0; FRAME_LEN_MAX][..short]), None);
    }
    assert_eq!(write_hello(&hello(), &mut [0; 40]), None);
}

#[test]
fn a_set_of_virtual_routers_has_the_numbers_1_to_255() {
    let mut routers = Routers::NONE;
    assert!(routers.is_empty());
    routers.insert(0);
    assert!(routers.is_empty() && !routers.contains(0));
    for id in 1..=255 {
        routers.insert(id);
        routers.insert(id);
        assert!(routers.contains(id));
        assert_eq!(routers.len(), id);
    }
    assert!(routers.iter().eq(1..=255));
}

#[test]
fn protocols_have_the_numbers_of_ip() {
    for number in 0..=255 {
        let protocol = Protocol::from_number(number);
        let known = [0, 6, 17, 132].contains(&number);
        assert_eq!(protocol.map(Protocol::number), known.then_some(number));
    }
    assert_eq!(State::try_from(15).map(State::get), Ok(15));
    assert_eq!(State::try_from(16), Err(TooHigh(16)));
}
