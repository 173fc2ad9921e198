use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;

use evenkeel_abi::{Tick, Word};
use evenkeel_model::{GateState, Scheduler};
use evenkeel_testkit::Dice;

use super::support::*;
use crate::recount::drift;
use crate::{DataPlane, SweepBudget, Tables};

/// Sends packets of few flows, so that processors meet in the same entries.
pub(super) fn disturb(plane: &DataPlane, seed: u64, stop: &AtomicBool) {
    let mut dice = Dice::new(seed);
    while !stop.load(SeqCst) {
        let port = u16::try_from(1000 + dice.below(48)).unwrap();
        let flags = dice.pick(&[SYN, SYN, ACK, ACK, FIN | ACK, RST]);
        plane.run(&packet(port, flags)).unwrap();
    }
}

/// Lets some entries expire now, as a packet would change them: by compare-and-exchange.
fn age(tables: &Tables, dice: &mut Dice) {
    let buckets = tables
        .conns
        .as_slice()
        .iter()
        .chain(tables.half_open.as_slice());
    for conn in buckets.flat_map(|b| &b.ways) {
        let word = Word(conn.word.load(SeqCst));
        if word.is_live() && dice.below(4) == 0 {
            let old = Word::live(word.server(), word.state(), Tick(1));
            let old = if word.is_unassured() {
                old.unassured()
            } else {
                old
            };
            let _raced = conn.word.compare_exchange(word.0, old.0, SeqCst, SeqCst);
        }
    }
}

#[test]
fn counters_equal_the_tables_after_packets_sweeps_and_changes_at_once() {
    in_room(|room| {
        let options = room.options();
        // The program of the first start runs on for the packets; the second one owns the maps.
        let (packets, _) = DataPlane::start(&options).unwrap();
        let (mut plane, _) = DataPlane::start(&options).unwrap();
        plane.put_service(&service(&[server(1, 1)])).unwrap();
        plane.set_gate(VIP.into(), GateState::Open).unwrap();
        let stop = AtomicBool::new(false);
        let (mut dice, mut swept) = (Dice::new(7), 0);
        thread::scope(|scope| {
            for seed in [11, 13, 17] {
                let (packets, stop) = (&packets, &stop);
                scope.spawn(move || disturb(packets, seed, stop));
            }
            for _ in 0..400 {
                // One in four is not listed, weight 0 is quiesced.
                let servers: Vec<_> = (1..6)
                    .map(|host| (host, i64::try_from(dice.below(4)).unwrap() - 1))
                    .filter(|(_, weight)| *weight >= 0)
                    .map(|(host, weight)| server(host, weight))
                    .collect();
                let mut entry = service(&servers);
                let schedulers = u64::try_from(Scheduler::ALL.len()).unwrap();
                let which = usize::try_from(dice.below(schedulers)).unwrap();
                entry.scheduler = Scheduler::ALL[which];
                plane.put_service(&entry).unwrap();
                age(plane.tables(), &mut dice);
                swept += plane.sweep(SweepBudget::default()).established;
            }
            stop.store(true, SeqCst);
        });
        assert!(swept > 100, "{swept}");
        let drift = drift(plane.tables()).unwrap();
        assert!(drift.iter().all(|d| *d == 0), "{drift:?}");
    });
}
