//! The director as one of its own real servers.

use evenkeel_abi::{DropReason, SchedulerId};
use evenkeel_datapath::Verdict;
use evenkeel_testkit::packet::flags::{ACK, FIN, SYN};
use evenkeel_testkit::packet::{Datagram, Segment};

use crate::common::{CLIENT, LOCAL, SERVICE, World, client};

/// A service that only the director itself serves.
fn alone() -> World {
    let mut world = World::with_weights(&[]);
    world.set_local(Some(1));
    world
}

#[test]
fn packets_pass_to_the_stack_untouched_and_are_counted() {
    let world = alone();
    for flags in [SYN, ACK, FIN | ACK] {
        let frame = Segment::new(CLIENT, SERVICE, flags).frame();
        assert_eq!(world.send_frame(&frame), (Verdict::Pass, frame));
    }
    assert_eq!((world.half_open(), world.established()), (0, 1));
    assert_eq!(world.counts(LOCAL), (0, 1), "FIN_WAIT");
    let stats = world.tables.server_stats.lock().expect("no test panicked")[&LOCAL];
    assert_eq!((stats.conns, stats.packets), (1, 3));
}

#[test]
fn it_takes_its_turn_among_the_others() {
    for scheduler in [SchedulerId::RR, SchedulerId::WRR, SchedulerId::WLC] {
        let mut world = World::scheduled(scheduler, &[1, 1]);
        world.set_local(Some(1));
        for i in 0..9 {
            let expected = if i % 3 == 2 {
                Verdict::Pass
            } else {
                Verdict::Transmit
            };
            assert_eq!(
                world.send(client(i), SYN),
                expected,
                "scheduler {scheduler}, flow {i}"
            );
            assert_eq!(
                world.send(client(i), ACK),
                expected,
                "scheduler {scheduler}, flow {i}"
            );
        }
        assert_eq!(world.counts(LOCAL), (3, 0));
        world.check();
    }
}

#[test]
fn time_to_live_is_nothing_to_it() {
    for ttl in [0, 1, 255] {
        let world = alone();
        let frame = Segment {
            ttl,
            ..Segment::new(CLIENT, SERVICE, SYN)
        }
        .frame();
        assert_eq!(world.send_frame(&frame), (Verdict::Pass, frame));
        assert_eq!(world.tables.dropped(DropReason::TtlExceeded), 0);
    }
}

#[test]
fn unknown_packets_that_the_hash_gives_it_pass() {
    let mut world = World::with_weights(&[1]);
    world.set_local(Some(1));
    let mut passed = 0;
    for i in 0..100 {
        match world.send(client(i), ACK) {
            Verdict::Pass => passed += 1,
            Verdict::Transmit => assert_eq!(world.last_server(), 1),
            other @ (Verdict::Drop(_) | Verdict::Redirect(_)) => panic!("{other:?}"),
        }
    }
    assert!((20..80).contains(&passed), "about half: {passed}");
    assert_eq!((world.half_open(), world.established()), (0, 0));
}

#[test]
fn flow_of_a_removed_local_server_is_dropped_and_counted() {
    let mut world = World::with_weights(&[1]);
    world.set_local(Some(1));
    world.send(client(0), SYN);
    world.send(CLIENT, SYN);
    assert_eq!(world.send(CLIENT, ACK), Verdict::Pass);
    world.set_local(None);
    assert_eq!(
        world.send(CLIENT, ACK),
        Verdict::Drop(DropReason::ServerGone)
    );
    world.check();
}

#[test]
fn bad_headers_and_lone_fragments_do_not_pass_to_it() {
    let world = alone();
    let frame = Segment::new(CLIENT, SERVICE, SYN).frame();
    assert_eq!(
        world.send_frame(&frame[..50]).0,
        Verdict::Drop(DropReason::Malformed)
    );
    let mut fragment = frame;
    fragment[21] = 1;
    assert_eq!(
        world.send_frame(&fragment).0,
        Verdict::Drop(DropReason::FragmentEarly)
    );
}

#[test]
fn datagrams_pass_too() {
    let mut world = World::udp(&[]);
    world.set_local(Some(1));
    let frame = Datagram::new(CLIENT, SERVICE).frame();
    assert_eq!(world.send_frame(&frame), (Verdict::Pass, frame));
    assert_eq!(world.counts(LOCAL), (0, 1));
}
