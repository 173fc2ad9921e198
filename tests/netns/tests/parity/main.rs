//! The native data plane and the loaded program decide alike, byte by byte, and keep equal tables.

mod corpus;
mod groups;
mod twins;

use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::atomic::Ordering::SeqCst;

use evenkeel_abi::{ConnState, Tick};
use evenkeel_model::{GateState, Scheduler, Way};
use evenkeel_testkit::packet::flags::SYN;
use evenkeel_testkit::packet::{Segment, tagged};

use crate::corpus::{Corpus, ROUTERS, SERVICES, seeds};
use crate::twins::Twins;

/// Packets per seed.
const PACKETS: usize = 20_000;

#[test]
fn native_and_kernel_agree_on_corpus() {
    for seed in seeds() {
        let twins = Twins::new(1 << 14, 1 << 12);
        let mut corpus = Corpus::new(seed);
        for i in 0..PACKETS {
            twins.settle(i);
            let packet = corpus.next_packet();
            twins.agree(&packet, &format!("seed {seed}, packet {i}"));
        }
        twins.agree_on_tables();
        for state in [ConnState::Established, ConnState::Udp] {
            let flows = twins.established(state);
            assert!(flows > 20, "only {flows} in state {}", state.name());
        }
    }
}

/// One bucket, so that flows are evicted, refused and placed without an entry.
#[test]
fn native_and_kernel_agree_when_the_half_open_table_is_full() {
    for seed in seeds() {
        let twins = Twins::new(1 << 10, 8);
        let mut corpus = Corpus::new(seed);
        for i in 0..PACKETS / 4 {
            twins.for_both(|state, _| {
                state
                    .flood_until
                    .store(if i % 7 == 0 { u64::MAX } else { 0 }, SeqCst);
                state.hash_from.store(u64::from(i % 11 == 0), SeqCst);
            });
            if i % 50 == 0 {
                twins.age(Tick::in_secs(4));
            }
            // However slow the machine is, no entry comes of age to be evicted between the two.
            twins.keep_young();
            let packet = corpus.next_packet();
            twins.agree(&packet, &format!("seed {seed}, packet {i}"));
            twins.share_births();
        }
        twins.agree_on_tables();
    }
}

#[test]
fn native_and_kernel_agree_when_the_established_table_is_full() {
    for seed in seeds() {
        let twins = Twins::new(16, 1 << 12);
        twins.for_both(|_, globals| {
            globals.unassured_max.store(12, SeqCst);
            globals.conn_buckets.store(1, SeqCst);
        });
        let mut corpus = Corpus::new(seed);
        for i in 0..PACKETS / 4 {
            twins.settle(i);
            let packet = corpus.next_packet();
            twins.agree(&packet, &format!("seed {seed}, packet {i}"));
        }
        twins.agree_on_tables();
    }
}

#[test]
fn native_and_kernel_agree_while_services_and_gates_change() {
    for seed in seeds() {
        let mut twins = Twins::new(1 << 12, 1 << 12);
        let mut corpus = Corpus::new(seed);
        for round in 0..20u32 {
            twins.put_services(round);
            let gate =
                [GateState::Open, GateState::Draining, GateState::Closed][round as usize % 3];
            twins.set_gate(SERVICES[0].address.ip(), gate);
            twins.set_gate(SERVICES[9].address.ip(), gate);
            for i in 0..PACKETS / 40 {
                twins.settle(i);
                let packet = corpus.next_packet();
                twins.agree(&packet, &format!("seed {seed}, round {round}, packet {i}"));
            }
        }
        twins.agree_on_tables();
    }
}

/// Frames without and with a tag go to servers in no VLAN and in two, on this interface, another one, and one that the
/// program does not know.
#[test]
fn native_and_kernel_agree_on_tags_and_ways() {
    const WAYS: [Way; 6] = [
        Way {
            interface: 1,
            vlan: None,
        },
        Way {
            interface: 1,
            vlan: Some(7),
        },
        Way {
            interface: 2,
            vlan: None,
        },
        Way {
            interface: 2,
            vlan: Some(4094),
        },
        Way {
            interface: 3,
            vlan: None,
        },
        Way {
            interface: 1,
            vlan: Some(1),
        },
    ];
    for seed in seeds() {
        let mut twins = Twins::new(1 << 12, 1 << 12);
        twins.put_ways(&WAYS);
        let mut corpus = Corpus::new(seed);
        for i in 0..PACKETS / 4 {
            twins.settle(i);
            let plain = corpus.next_packet();
            let packet = match corpus.pick(&[None, Some(7), Some(0x6064)]) {
                Some(tag) if plain.len() > 12 => tagged(&plain, tag),
                Some(_) | None => plain,
            };
            twins.agree(&packet, &format!("seed {seed}, packet {i}"));
        }
        twins.agree_on_tables();
    }
}

#[test]
fn native_and_kernel_agree_on_advertisements_and_who_answers_for_an_address() {
    for seed in seeds() {
        let mut twins = Twins::new(1 << 10, 1 << 10);
        let mut corpus = Corpus::new(seed);
        for round in 0..60 {
            for id in ROUTERS {
                let lease = corpus.pick(&[0, u64::MAX]);
                let yielded = corpus.pick(&[0, 0, 1]);
                let used = corpus.pick(&[1, 1, 1, 0]);
                twins.for_router(id, |router| {
                    router.lease.store(lease, SeqCst);
                    router.yielded.store(yielded, SeqCst);
                    router.used.store(used, SeqCst);
                });
            }
            for spec in [0, 1, 4] {
                let states = [GateState::Open, GateState::Draining, GateState::Closed];
                let state = corpus.pick(&states);
                twins.set_gate(SERVICES[spec].address.ip(), state);
            }
            for i in 0..40 {
                let packet = corpus.next_of_gates();
                twins.agree(&packet, &format!("seed {seed}, round {round}, packet {i}"));
            }
        }
        twins.agree_on_tables();
        let heard = twins.heard();
        assert!(heard > 100, "only {heard} advertisements were heard");
    }
}

/// As many servers as a service can have; the last one must be found too.
#[test]
fn native_and_kernel_agree_on_the_least_loaded_of_1024_servers() {
    let mut twins = Twins::bare(1 << 10, 1 << 10);
    let service = SocketAddrV4::new(Ipv4Addr::new(198, 18, 14, 200), 80);
    twins.put_many(service, Scheduler::WeightedLeastConnection, 1024);
    let syn = |i: u16| {
        let client = SocketAddrV4::new(Ipv4Addr::new(203, 0, 113, 9), 1024 + i);
        Segment::new(client, service, SYN).frame()
    };
    for i in 0..200 {
        twins.agree(&syn(i), &format!("SYN {i}"));
    }
    twins.agree_on_tables();
    let (first, last) = (twins.server_of(&syn(0)), 12 + 1023);
    assert_eq!(first, 12, "the first in the list was the first choice");
    twins.for_loads(|number, load| {
        load.active.store(0, SeqCst);
        load.inactive.store(u64::from(number != 1023) * 5, SeqCst);
    });
    assert_eq!(twins.server_of(&syn(500)), last);
}
