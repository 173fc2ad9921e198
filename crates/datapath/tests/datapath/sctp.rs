//! SCTP services: IPVS's states as far as the client's packets lead to them.

use std::net::SocketAddrV4;

use evenkeel_abi::{ConnState, DropReason, Event};
use evenkeel_datapath::Verdict;
use evenkeel_testkit::TestService;
use evenkeel_testkit::packet::Sctp;

use crate::common::{CLIENT, SERVICE, World, client};

const DATA: u8 = 0;
const INIT: u8 = 1;
const ABORT: u8 = 6;
const SHUTDOWN: u8 = 7;
const COOKIE_ECHO: u8 = 10;
const SHUTDOWN_COMPLETE: u8 = 14;

fn world() -> World {
    World::of(TestService::new(SERVICE).sctp(), &[1, 1, 1], 1024, 64)
}

fn send(world: &World, client: SocketAddrV4, chunks: &[u8]) -> Verdict {
    let packet = Sctp {
        chunks: chunks.iter().map(|kind| (*kind, 5)).collect(),
        ..Sctp::new(client, SERVICE, DATA)
    };
    world.send_frame(&packet.frame()).0
}

#[test]
fn an_association_is_followed_from_init_to_shutdown() {
    let world = world();
    for (i, expected) in [(0, 1), (1, 2), (2, 3), (3, 1)] {
        assert_eq!(send(&world, client(i), &[INIT]), Verdict::Transmit);
        assert_eq!(world.last_server(), expected, "rr");
    }
    assert_eq!(
        world.counts(1),
        (0, 2),
        "not active before it is established"
    );
    assert_eq!(
        send(&world, client(0), &[COOKIE_ECHO, DATA]),
        Verdict::Transmit
    );
    assert_eq!((world.last_server(), world.counts(1)), (1, (1, 1)));
    assert_eq!((world.half_open(), world.established()), (3, 1));
    for (chunk, state, counts) in [
        (DATA, ConnState::Established, (1, 1)),
        (SHUTDOWN, ConnState::ShutdownReceived, (0, 2)),
        (SHUTDOWN_COMPLETE, ConnState::Close, (0, 2)),
    ] {
        assert_eq!(send(&world, client(0), &[chunk]), Verdict::Transmit);
        assert_eq!(world.last_server(), 1);
        assert_eq!(
            world.state_of(client(0)),
            Some(state),
            "after chunk {chunk}"
        );
        assert_eq!(world.counts(1), counts, "after chunk {chunk}");
    }
    // One that is closed begins anew.
    assert_eq!(send(&world, client(0), &[INIT]), Verdict::Transmit);
    assert_eq!(
        (world.last_server(), world.state_of(client(0))),
        (2, Some(ConnState::Init1))
    );
    world.check();
}

#[test]
fn an_abort_behind_a_cookie_ends_it() {
    let world = world();
    for (chunks, state) in [
        (&[COOKIE_ECHO, ABORT][..], None),
        (&[COOKIE_ECHO, DATA], Some(ConnState::Established)),
        (&[DATA, ABORT], Some(ConnState::Established)),
        (&[ABORT], Some(ConnState::Close)),
    ] {
        if state.is_none() {
            send(&world, CLIENT, &[INIT]);
            send(&world, CLIENT, chunks);
            assert_eq!(world.established(), 0, "it never was");
            send(&world, CLIENT, &[INIT]);
            continue;
        }
        send(&world, CLIENT, chunks);
        assert_eq!(world.state_of(CLIENT), state, "after {chunks:?}");
    }
    world.check();
}

#[test]
fn what_begins_without_an_init_goes_by_the_hash() {
    let world = world();
    assert_eq!(send(&world, CLIENT, &[DATA]), Verdict::Transmit);
    assert_eq!((world.half_open(), world.established()), (0, 0));
    assert_eq!(world.tables.happened(Event::UnknownFlow), 1);
    world.check();
}

#[test]
fn an_init_is_forgotten_after_four_seconds_and_an_association_after_900() {
    let world = world();
    send(&world, CLIENT, &[INIT]);
    world.tables.advance_secs(5);
    assert_eq!(send(&world, CLIENT, &[COOKIE_ECHO]), Verdict::Transmit);
    assert_eq!(world.established(), 0);
    send(&world, CLIENT, &[INIT]);
    send(&world, CLIENT, &[COOKIE_ECHO]);
    world.tables.advance_secs(899);
    assert_eq!(world.state_of(CLIENT), Some(ConnState::Established));
    world.tables.advance_secs(2);
    assert_eq!(world.state_of(CLIENT), None);
}

#[test]
fn a_header_without_a_whole_chunk_is_dropped() {
    let world = world();
    let frame = Sctp::new(CLIENT, SERVICE, INIT).frame();
    for len in 34..34 + 16 {
        let mut short = frame[..len].to_vec();
        short[16..18].copy_from_slice(&u16::try_from(len - 14).unwrap().to_be_bytes());
        let (verdict, _) = world.send_frame(&short);
        let reason = if len < 38 {
            None
        } else {
            Some(DropReason::Malformed)
        };
        match (verdict, reason) {
            (Verdict::Drop(found), Some(expected)) => assert_eq!(found, expected, "{len}"),
            (Verdict::Drop(_), None) => {}
            (other, _) => panic!("{other:?} of {len} bytes"),
        }
    }
    world.check();
}
