//! Any bytes, and anything that can be written.

use std::vec;

use proptest::array::uniform16;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;

fn any_address() -> impl Strategy<Value = SocketAddr> {
    let v4 = any::<([u8; 4], u16)>().prop_map(SocketAddr::from);
    let v6 = (uniform16(any::<u8>()), any::<u16>()).prop_map(SocketAddr::from);
    prop_oneof![v4, v6]
}

fn any_flow() -> impl Strategy<Value = Flow> {
    let protocol = prop_oneof![
        Just(Protocol::Any),
        Just(Protocol::Tcp),
        Just(Protocol::Udp),
        Just(Protocol::Sctp)
    ];
    (any_address(), any_address(), protocol, any::<bool>()).prop_map(
        |(client, address, protocol, template)| Flow {
            client,
            address,
            protocol,
            template,
        },
    )
}

fn any_item() -> impl Strategy<Value = Item> {
    let record = (
        any_flow(),
        any_address(),
        0..16_u8,
        0..1_u32 << 24,
        any::<bool>(),
    );
    let record = record.prop_map(|(flow, server, state, steps, assured)| Record {
        flow,
        server,
        state: State::try_from(state).unwrap(),
        remaining: LIFETIME_STEP * steps,
        assured,
    });
    prop_oneof![
        Just(Item::SnapshotBegin),
        any::<u64>().prop_map(|records| Item::SnapshotEnd { records }),
        any_flow().prop_map(Item::Removal),
        record.prop_map(Item::Record),
    ]
}

fn any_status() -> impl Strategy<Value = Status> {
    let numbers = any::<(u32, u32, u64, u64)>();
    (numbers, vec(any::<u8>(), 0..20), vec(any::<u8>(), 0..5)).prop_map(
        |((behind, outstanding, sent, digest), ids, wanted)| {
            let active = ids.into_iter().collect();
            Status {
                behind: Duration::from_micros(behind.into()),
                outstanding,
                sent,
                digest,
                active,
                wanted: wanted.into_iter().collect::<Routers>().without(active),
            }
        },
    )
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_a_panic_and_written_as_they_were(bytes in vec(any::<u8>(), 0..1_500)) {
        let mut datagram = bytes.clone();
        datagram.splice(0..datagram.len().min(3), *b"ek\x01");
        if let Ok(Datagram::Hello { hello, signed, .. }) = parse(&datagram) {
            let mut buffer = [0; HELLO_LEN_MAX];
            let len = write_hello(&hello, &mut buffer).unwrap();
            prop_assert_eq!(&buffer[..len], signed);
        }
        if let Ok(frame) = parse_frame(&bytes) {
            let mut buffer = vec![0; bytes.len()];
            prop_assert_eq!(write_frame(&frame, &mut buffer), Some(bytes.len()));
            prop_assert_eq!(parse_frame(&buffer), Ok(frame));
        }
        let mut reader = Reader::default();
        let mut items = 0;
        while let Ok(Some(_)) = reader.next(&bytes) {
            items += 1;
            prop_assert!(items <= bytes.len());
        }
    }

    #[test]
    fn any_frame_is_read_as_written(
        numbers in any::<(u64, u64, u32, u32)>(),
        echo in option::of(any::<u32>()),
        status in option::of(any_status()),
        items in vec(any_item(), 1..40),
        number in option::of(any::<u64>()),
    ) {
        let mut writer = Writer::new();
        let mut fitting = vec![];
        for item in items {
            let room = writer.room();
            match writer.push(&item) {
                true => fitting.push(item),
                false => prop_assert!(writer.room() == room && room < RECORD_LEN_MAX + 2),
            }
        }
        prop_assert_eq!(read(writer.bytes()), Ok(fitting));
        let (next, beyond, stamp, heard) = numbers;
        let segment = number.map(|number| SegmentRef { number, items: writer.bytes() });
        let frame = Frame { next, beyond, stamp, echo, heard, status, segment };
        let mut buffer = [0; FRAME_LEN_MAX + STATUS_LEN_MAX];
        let len = write_frame(&frame, &mut buffer).unwrap();
        prop_assert_eq!(parse_frame(&buffer[..len]), Ok(frame));
    }
}
