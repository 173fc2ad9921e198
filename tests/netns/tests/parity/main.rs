//! The native data plane and the loaded program decide alike, byte by byte, and keep equal tables.

mod corpus;
mod twins;

use std::sync::atomic::Ordering::SeqCst;

use evenkeel_abi::Tick;
use evenkeel_model::GateState;

use crate::corpus::{Corpus, SERVICES, seeds};
use crate::twins::Twins;

/// Packets per seed.
const PACKETS: usize = 20_000;

#[test]
fn native_and_kernel_agree_on_corpus() {
    for seed in seeds() {
        let twins = Twins::new(1 << 14, 1 << 12);
        let mut corpus = Corpus::new(seed);
        for i in 0..PACKETS {
            let packet = corpus.next_packet();
            twins.agree(&packet, &format!("seed {seed}, packet {i}"));
        }
        twins.agree_on_tables();
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
                    .store(if i % 7 == 0 { u64::MAX } else { 0 }, SeqCst)
            });
            if i % 50 == 0 {
                twins.age_half_open(Tick::in_secs(4));
            }
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
        twins.for_both(|_, globals| globals.unassured_max.store(12, SeqCst));
        let mut corpus = Corpus::new(seed);
        for i in 0..PACKETS / 4 {
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
            twins.set_gate(SERVICES[0], gate);
            for i in 0..PACKETS / 40 {
                let packet = corpus.next_packet();
                twins.agree(&packet, &format!("seed {seed}, round {round}, packet {i}"));
            }
        }
        twins.agree_on_tables();
    }
}
