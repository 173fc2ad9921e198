//! Arbitrary sequences of events; each end checks its own invariants after each.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Op {
    /// An end gets any bytes.
    Bytes(usize, Vec<u8>),
    /// An end gets what the other one has sent at some time, perhaps with a changed byte.
    Again(usize, usize, Option<(usize, u8)>),
    /// What both want to send is delivered, if it is not lost.
    Exchange([bool; 2]),
    Pass(u64),
    /// Time passes without a call.
    Sleep(u64),
    Send(usize, u32),
    Remove(usize, u32),
    Flush(usize),
    SnapshotDone(usize),
    Backlog(usize, Option<u64>),
    Active(usize, u8),
    Restart(usize),
}

fn any_op() -> impl Strategy<Value = Op> {
    let end = || 0..2_usize;
    let change = proptest::option::of((any::<usize>(), 1..=u8::MAX));
    prop_oneof![
        (end(), vec(any::<u8>(), 0..300)).prop_map(|(end, bytes)| Op::Bytes(end, bytes)),
        (end(), any::<usize>(), change).prop_map(|(end, which, how)| Op::Again(end, which, how)),
        any::<[bool; 2]>().prop_map(Op::Exchange),
        (0_u64..500).prop_map(Op::Pass),
        (0_u64..5_000).prop_map(Op::Sleep),
        (end(), 1_u32..4_000).prop_map(|(end, count)| Op::Send(end, count)),
        (end(), 0_u32..9).prop_map(|(end, number)| Op::Remove(end, number)),
        end().prop_map(Op::Flush),
        end().prop_map(Op::SnapshotDone),
        (end(), proptest::option::of(0_u64..300)).prop_map(|(end, ago)| Op::Backlog(end, ago)),
        (end(), any::<u8>()).prop_map(|(end, id)| Op::Active(end, id)),
        end().prop_map(Op::Restart),
    ]
}

fn step(pair: &mut Pair, op: &Op) {
    let now = pair.now;
    match op {
        Op::Bytes(end, bytes) => {
            let mut bytes = bytes.clone();
            bytes.splice(0..bytes.len().min(3), *b"ek\x01");
            pair.ends[*end].handle_datagram(&bytes, now);
        }
        Op::Again(end, which, change) => {
            if pair.wire.is_empty() {
                return;
            }
            let mut bytes = pair.wire[which % pair.wire.len()].1.clone();
            if let Some((at, with)) = change {
                let at = at % bytes.len();
                bytes[at] ^= with;
            }
            pair.ends[*end].handle_datagram(&bytes, now);
        }
        Op::Exchange(lost) => {
            for (from, is_lost) in lost.iter().enumerate() {
                for datagram in pair.drain(from) {
                    if !is_lost {
                        pair.ends[1 - from].handle_datagram(&datagram, now);
                    }
                    pair.wire.push((from, datagram));
                }
            }
        }
        Op::Pass(time) => pair.pass(ms(*time)),
        Op::Sleep(time) => {
            pair.now += ms(*time);
            pair.ends
                .iter_mut()
                .for_each(|session| session.handle_timeout(pair.now));
        }
        Op::Send(end, count) => {
            let session = &mut pair.ends[*end];
            for number in 0..*count {
                let has_room = session.room() > 0;
                let sent = session.send(&record(number, 1), now);
                assert!(sent.is_ok() || !has_room, "there was room");
            }
        }
        Op::Remove(end, number) => {
            let has_room = pair.ends[*end].room() > 0;
            let sent = pair.ends[*end].remove(&flow(*number), now);
            assert!(sent.is_ok() || !has_room, "there was room");
        }
        Op::Flush(end) => pair.ends[*end].flush(now),
        Op::SnapshotDone(end) => pair.ends[*end].snapshot_done(now),
        Op::Backlog(end, ago) => {
            let since = ago.map(|ago| now - ms(ago));
            pair.ends[*end].backlog(since, now);
        }
        Op::Active(end, id) => pair.ends[*end].set_active(Routers::from_iter([*id]), now),
        Op::Restart(end) => pair.restart(*end),
    }
    for end in 0..2 {
        for datagram in pair.drain(end) {
            assert!(datagram.len() <= 1_400);
            pair.wire.push((end, datagram));
        }
        let due = pair.ends[end].poll_timeout();
        assert!(
            due.is_some_and(|due| due > pair.now),
            "nothing is due once it was obeyed: {op:?}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn arbitrary_sequences_uphold_the_invariants(ops in vec(any_op(), 0..60)) {
        let mut pair = Pair::new();
        for op in &ops {
            step(&mut pair, op);
        }
        // Whatever happened, a session comes about.
        pair.pass(ms(5_000));
        pair.ends.iter_mut().for_each(|session| session.snapshot_done(pair.now));
        pair.pass(ms(500));
        for session in &pair.ends {
            for direction in [Direction::Outgoing, Direction::Incoming] {
                prop_assert_eq!(session.state(direction, pair.now), State::InSync);
            }
        }
    }
}
