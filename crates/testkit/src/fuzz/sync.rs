//! Connection sync's codec: it reads any bytes without a panic, and writes what it has read as the same bytes again.

use std::net::SocketAddr;
use std::time::Duration;

use evenkeel_wire::sync::{
    Datagram, FRAME_LEN_MAX, Flow, Frame, HELLO_LEN_MAX, Hello, Item, Protocol, Reader, Record,
    Routers, SIGNATURE_LEN, SegmentRef, State, Status, TAG_LEN, Writer, parse, parse_frame,
    seal_head, write_frame, write_hello,
};

use super::input::Input;

/// No longer datagrams come by Ethernet.
const LEN_MAX: usize = 1_500;

const DATAGRAM: u8 = 0;
const FRAME: u8 = 1;
const ITEMS: u8 = 2;

/// The first byte says what the rest is: 0 a datagram, 1 what is encrypted in one, 2 items of a segment.
///
/// # Panics
///
/// If the codec has a bug.
pub fn run(input: &[u8]) {
    let mut input = Input::new(input);
    let kind = input.byte();
    let bytes = input.take(LEN_MAX);
    match kind {
        Some(DATAGRAM) => read_datagram(bytes),
        Some(FRAME) => read_frame(bytes),
        Some(ITEMS) => read_items(bytes),
        Some(_) | None => {}
    }
}

fn read_datagram(bytes: &[u8]) {
    match parse(bytes) {
        Ok(Datagram::Hello { hello, signed, .. }) => {
            let mut buffer = [0xaa; HELLO_LEN_MAX];
            let len = write_hello(&hello, &mut buffer).expect("what was read can be written");
            assert_eq!(&buffer[..len], signed, "what is written");
        }
        Ok(Datagram::Sealed {
            head,
            session,
            counter,
            body,
            tag,
        }) => {
            assert_eq!(seal_head(session, counter), *head, "what is written");
            assert_eq!([&head[..], body, tag].concat(), bytes, "all of it");
        }
        Err(_) => {}
    }
}

fn read_frame(bytes: &[u8]) {
    let Ok(frame) = parse_frame(bytes) else {
        return;
    };
    let mut buffer = [0xaa; LEN_MAX];
    let len = write_frame(&frame, &mut buffer).expect("what was read can be written");
    assert_eq!(&buffer[..len], bytes, "what is written");
}

/// What is written again may stand in fewer runs.
fn read_items(bytes: &[u8]) {
    let (mut reader, mut writer) = (Reader::default(), Writer::new());
    let mut items = Vec::new();
    while let Ok(Some(item)) = reader.next(bytes) {
        items.push(item);
        if !writer.push(&item) {
            return;
        }
    }
    let mut again = Reader::default();
    for item in items {
        assert_eq!(
            again.next(writer.bytes()),
            Ok(Some(item)),
            "what is read again"
        );
    }
    assert_eq!(again.next(writer.bytes()), Ok(None), "what is read again");
}

fn record(client: &str, address: &str, server: &str) -> Record {
    let socket = |text: &str| -> SocketAddr { text.parse().expect("an address") };
    Record {
        flow: Flow {
            client: socket(client),
            address: socket(address),
            protocol: Protocol::Tcp,
            template: false,
        },
        server: socket(server),
        state: State::try_from(1).expect("a state"),
        remaining: Duration::from_secs(900),
        assured: true,
    }
}

/// Inputs to begin with.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let v4 = record("198.18.0.1:40000", "192.0.2.1:80", "10.0.0.1:80");
    let v6 = record(
        "[2001:db8::7]:40000",
        "[2001:db8::1]:80",
        "[2001:db8::b]:80",
    );
    let mut writer = Writer::new();
    let items = [
        Item::SnapshotBegin,
        Item::Record(v4),
        Item::Record(v4),
        Item::Record(v6),
        Item::Removal(v4.flow),
        Item::Removal(v6.flow),
        Item::SnapshotEnd { records: 3 },
    ];
    for item in items {
        assert!(writer.push(&item), "a segment has room for a few items");
    }
    let items = writer.bytes();
    let mut seeds = vec![[&[ITEMS], items].concat()];

    let status = Status {
        behind: Duration::from_millis(1),
        outstanding: 2,
        sent: 3,
        digest: 4,
        active: Routers::from_iter([1, 51]),
        wanted: Routers::from_iter([2]),
    };
    let segment = SegmentRef { number: 5, items };
    for (status, segment) in [(Some(status), None), (None, Some(segment)), (None, None)] {
        let frame = Frame {
            next: 1,
            beyond: 2,
            stamp: 3,
            echo: Some(4),
            heard: 5,
            status,
            segment,
        };
        let mut buffer = [0; FRAME_LEN_MAX];
        let len = write_frame(&frame, &mut buffer).expect("a frame fits");
        seeds.push([&[FRAME], &buffer[..len]].concat());
    }

    let sealed = [&seal_head(1, 2)[..], b"encrypted", &[0; TAG_LEN]].concat();
    seeds.push([&[DATAGRAM], &sealed[..]].concat());
    for to in [None, Some([2; 16])] {
        let hello = Hello {
            key_id: [1, 2, 3, 4],
            from: [1; 16],
            to,
            sender: "a",
            receiver: "b",
        };
        let mut buffer = [0; HELLO_LEN_MAX];
        let len = write_hello(&hello, &mut buffer).expect("a greeting fits");
        seeds.push([&[DATAGRAM], &buffer[..len], &[0; SIGNATURE_LEN]].concat());
    }
    seeds
}
