//! Somebody who hears everything and sends anything, but has no key.

use evenkeel_testkit::Dice;

use super::sim::Sim;
use super::*;

/// A pair that has had several sessions, was recorded all the while, and is in sync.
fn with_a_past() -> Pair {
    let mut pair = Pair::new();
    let mut wire = Vec::new();
    for end in [0, 1, 1, 0] {
        pair.pass(ms(20));
        pair.ends
            .iter_mut()
            .for_each(|session| session.snapshot_done(pair.now));
        pair.pass(ms(60));
        pair.restart(end);
        wire.append(&mut pair.wire);
    }
    pair.pass(ms(20));
    pair.ends
        .iter_mut()
        .for_each(|session| session.snapshot_done(pair.now));
    let now = pair.now;
    pair.ends[0].send(&record(1, 1), now).unwrap();
    pair.pass(ms(60));
    wire.append(&mut pair.wire);
    pair.wire = wire;
    pair.told = [Vec::new(), Vec::new()];
    pair
}

/// Neither end has forgotten its session, or believes more or less than before.
fn check_unmoved(pair: &Pair, sessions: [u64; 2]) {
    for (end, sessions) in sessions.into_iter().enumerate() {
        let view = pair.ends[end].view(pair.now);
        assert_eq!(view.counters.sessions, sessions);
        assert_eq!(
            (view.outgoing.state, view.incoming.state),
            (State::InSync, State::InSync)
        );
        let told = pair.told[end].iter();
        let moved: Vec<_> = told
            .filter(|output| !matches!(output, Output::Noticed(_)))
            .collect();
        assert!(moved.is_empty(), "{moved:?}");
    }
}

fn sessions(pair: &Pair) -> [u64; 2] {
    std::array::from_fn(|end| pair.ends[end].view(pair.now).counters.sessions)
}

#[test]
fn whatever_was_recorded_a_replay_moves_nothing() {
    let mut pair = with_a_past();
    let before = sessions(&pair);
    let recorded = pair.wire.clone();
    assert!(recorded.len() > 50, "{}", recorded.len());
    for (from, datagram) in &recorded {
        for to in [1 - from, *from] {
            pair.ends[to].handle_datagram(datagram, pair.now);
            // Answers are delivered, too.
            pair.exchange();
        }
    }
    pair.pass(ms(2_000));
    check_unmoved(&pair, before);
    let counters = pair.ends[0].view(pair.now).counters;
    for reason in [
        Rejection::Replayed,
        Rejection::Session,
        Rejection::Stale,
        Rejection::Name,
    ] {
        assert!(counters.rejected(reason) > 0, "{reason:?}");
    }
}

#[test]
fn the_same_in_the_order_that_suits_the_attacker() {
    for seed in 0..20 {
        let mut pair = with_a_past();
        let before = sessions(&pair);
        // Greetings are what might begin a session; those that answers bring about are recorded as well.
        let is_greeting = |datagram: &[u8]| datagram[3] == 1;
        let mut dice = Dice::new(seed);
        for _ in 0..500 {
            pair.wire.retain(|(_, datagram)| is_greeting(datagram));
            let (from, datagram) = pair.wire[dice.index(pair.wire.len())].clone();
            pair.ends[1 - from].handle_datagram(&datagram, pair.now);
            if dice.chance(30) {
                pair.pass(ms(7));
            }
            pair.exchange();
        }
        pair.told
            .iter_mut()
            .for_each(|told| told.retain(|output| !matches!(output, Output::Noticed(_))));
        check_unmoved(&pair, before);
    }
}

#[test]
fn a_restarted_director_begins_nothing_with_a_recording() {
    let mut pair = with_a_past();
    pair.restart(1);
    let recorded = pair.wire.clone();
    for round in 0..3 {
        for (_, datagram) in &recorded {
            pair.ends[1].handle_datagram(datagram, pair.now);
            pair.drain(1);
        }
        let view = pair.ends[1].view(pair.now);
        assert_eq!(
            (view.counters.sessions, view.outgoing.state),
            (0, State::Down),
            "{round}"
        );
        pair.now += ms(300);
        pair.ends[1].handle_timeout(pair.now);
    }
    // With the real one it does.
    pair.pass(ms(300));
    assert_eq!(pair.ends[1].view(pair.now).counters.sessions, 1);
}

#[test]
fn a_datagram_that_was_changed_in_any_place_moves_nothing() {
    let mut pair = with_a_past();
    let before = sessions(&pair);
    // The last greetings, and sealed datagrams of the present session that did not arrive.
    let mut samples: Vec<(usize, Vec<u8>)> = Vec::new();
    for from in 0..2 {
        let mut sent = pair
            .wire
            .iter()
            .rev()
            .filter(|(by, datagram)| *by == from && datagram[3] == 1);
        samples.extend(sent.next().cloned());
        pair.ends[from].send(&record(7, 2), pair.now).unwrap();
        pair.ends[from].flush(pair.now);
        let datagrams = pair.drain(from);
        samples.extend(datagrams.into_iter().map(|datagram| (from, datagram)));
    }
    assert!(samples.len() >= 4);
    for (from, datagram) in samples {
        let session = 1 - from;
        for len in 0..datagram.len() {
            pair.ends[session].handle_datagram(&datagram[..len], pair.now);
        }
        for bit in 0..datagram.len() * 8 {
            let mut changed = datagram.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            pair.ends[session].handle_datagram(&changed, pair.now);
        }
        assert_eq!(
            pair.drain(session),
            Vec::<Vec<u8>>::new(),
            "nothing is answered"
        );
    }
    check_unmoved(&pair, before);
    pair.pass(ms(300));
    let told = [Output::Install(record(7, 2))];
    for end in 0..2 {
        pair.told[end].retain(|output| !matches!(output, Output::Noticed(_)));
        assert_eq!(pair.told[end], told, "the genuine one comes again");
    }
}

#[test]
fn directors_that_know_each_other_are_undisturbed_by_whoever_has_no_key() {
    for seed in 0..10 {
        let mut sim = Sim::settled(seed, 3, 20);
        for _ in 0..100 {
            for _ in 0..20 {
                sim.attack();
            }
            sim.run(ms(15));
            for (ends, view) in sim.views() {
                assert_eq!(view.counters.sessions, 1, "seed {seed}: {ends:?}");
                let states = (view.outgoing.state, view.incoming.state);
                assert_eq!(
                    states,
                    (State::InSync, State::InSync),
                    "seed {seed}: {ends:?}"
                );
            }
        }
        sim.busy = 0;
        sim.run(ms(200));
        sim.check_that_all_agree();
    }
}
