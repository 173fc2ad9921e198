//! Random sequences of packets, clock steps and changes of the server list, with the invariants after each.

use std::collections::BTreeMap;

use crate::common::{SERVICE, World, client};
use evenkeel_abi::SchedulerId;
use evenkeel_datapath::Verdict;
use evenkeel_testkit::TestService;
use evenkeel_testkit::packet::as_v6;
use evenkeel_testkit::packet::flags::{ACK, FIN, RST, SYN};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Op {
    Packet { client: u16, flags: u8 },
    Advance(u32),
    Remove(u32),
    SetWeight(u32, u32),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        20 => (0u16..24, prop_oneof![4 => Just(SYN), 6 => Just(ACK), 2 => Just(FIN | ACK), 1 => Just(RST), 1 => Just(0)])
            .prop_map(|(client, flags)| Op::Packet { client, flags }),
        3 => (0u32..200).prop_map(Op::Advance),
        1 => (1u32..4).prop_map(Op::Remove),
        1 => (1u32..4, 0u32..4).prop_map(|(s, w)| Op::SetWeight(s, w)),
    ]
}

/// A service of either protocol and family with any scheduler.
fn service() -> impl Strategy<Value = TestService> {
    let schedulers = SchedulerId::RR..=SchedulerId::LBLCR;
    (schedulers, any::<bool>(), any::<bool>()).prop_map(move |(scheduler, udp, is_v6)| {
        let address = if is_v6 {
            as_v6(SERVICE)
        } else {
            SERVICE.into()
        };
        let service = TestService::at(address).scheduled(scheduler);
        if udp { service.udp() } else { service }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    /// With tables of every size: the counters equal the tables, nothing reaches the stack, and an
    /// established flow keeps its server while that is in the list and the flow has not timed out.
    #[test]
    fn arbitrary_sequences_uphold_invariants(
        service in service(),
        ops in prop::collection::vec(op(), 1..120),
        conns in prop_oneof![Just(4u32), Just(64)],
        buckets in prop_oneof![Just(1u32), Just(8)],
    ) {
        let mut world = World::of(service, &[1, 1, 1], conns, buckets);
        let udp = service.protocol != TestService::new(SERVICE).protocol;
        let mut homes: BTreeMap<u16, u32> = BTreeMap::new();
        for op in ops {
            match op {
                Op::Packet { client: c, flags } => {
                    let before = world.state_of(client(c));
                    let verdict = if udp { world.send_udp(client(c)) } else { world.send(client(c), flags) };
                    prop_assert_ne!(verdict, Verdict::Pass);
                    if verdict == Verdict::Transmit && world.last_server() != 0 && before.is_some() && (udp || flags == ACK)
                        && let Some(home) = homes.get(&c)
                    {
                        prop_assert_eq!(world.last_server(), *home);
                    }
                    match world.state_of(client(c)) {
                        Some(_) if world.last_server() != 0 => { homes.insert(c, world.last_server()); }
                        Some(_) => {}
                        None => { homes.remove(&c); }
                    }
                }
                Op::Advance(secs) => {
                    world.tables.advance_secs(secs);
                    // Whether a flow has timed out is another test's matter.
                    homes.clear();
                }
                Op::Remove(server) => { world.remove(server); homes.retain(|_, s| *s != server); }
                Op::SetWeight(server, weight) => world.set_weight(server, weight),
            }
            world.check();
        }
    }

    /// Any bytes: no panic, and what passes to the stack is untouched.
    #[test]
    fn arbitrary_bytes_are_judged(
        bytes in prop::collection::vec(any::<u8>(), 0..200), keep in 0usize..80, is_v6 in any::<bool>()
    ) {
        let address = if is_v6 { as_v6(SERVICE) } else { SERVICE.into() };
        let world = World::of(TestService::at(address), &[1, 1], 64, 8);
        let mut frame = evenkeel_testkit::packet::Segment::new(world.at(client(1)), address, SYN).frame();
        frame.truncate(keep);
        frame.extend(bytes);
        let (verdict, out) = world.send_frame(&frame);
        if verdict == Verdict::Pass {
            prop_assert_eq!(out, frame);
        }
        world.check();
    }
}
