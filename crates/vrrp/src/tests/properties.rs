//! Arbitrary sequences of events; the machine checks its own invariants after each.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Op {
    Hear {
        above: bool,
        priority: u8,
        interval_ms: u64,
    },
    HearBytes(Vec<u8>, u8),
    /// Time passes, with every timer on time.
    Pass(u64),
    /// Time passes, with the machine asleep.
    Sleep(u64),
    Timeout,
    Link(bool),
    MayTakeOver,
    Reconfigure {
        priority: u8,
        preempt: bool,
        preempt_delay_ms: u64,
        addresses: usize,
    },
    Order(Order),
    Prepared,
    WaitForSync(bool),
    ShutDown,
}

fn any_order() -> impl Strategy<Value = Order> {
    let patience = prop_oneof![Just(None), (0_u64..3_000).prop_map(|time| Some(ms(time)))];
    (0..7, patience, any::<bool>()).prop_map(|(which, patience, force)| match which {
        0 | 1 => Order::HandOver { patience },
        2 => Order::StandBy { patience },
        3 => Order::Maintain { patience, force },
        4 => Order::Resume,
        5 => Order::Yield,
        _ => Order::EndMaintenance,
    })
}

fn any_op() -> impl Strategy<Value = Op> {
    let numbers = prop_oneof![Just(0_u8), Just(99), Just(100), Just(101), Just(255)];
    let times = prop_oneof![0_u64..100, 0_u64..1_000, 0_u64..20_000];
    prop_oneof![
        8 => (any::<bool>(), numbers, prop_oneof![9 => Just(100_u64), 1 => 1_u64..4_000])
            .prop_map(|(above, priority, interval_ms)| Op::Hear {
                above,
                priority,
                interval_ms: interval_ms.div_ceil(10) * 10,
            }),
        1 => (vec(any::<u8>(), 0..40), any::<u8>()).prop_map(|(b, ttl)| Op::HearBytes(b, ttl)),
        6 => times.clone().prop_map(Op::Pass),
        2 => times.clone().prop_map(Op::Sleep),
        3 => Just(Op::Timeout),
        2 => any::<bool>().prop_map(Op::Link),
        2 => Just(Op::MayTakeOver),
        1 => (1_u8..=255, any::<bool>(), times, 1_usize..=2).prop_map(
            |(priority, preempt, preempt_delay_ms, addresses)| Op::Reconfigure {
                priority,
                preempt,
                preempt_delay_ms,
                addresses,
            }
        ),
        3 => any_order().prop_map(Op::Order),
        3 => Just(Op::Prepared),
        2 => any::<bool>().prop_map(Op::WaitForSync),
        1 => prop_oneof![4 => Just(Op::Timeout), 1 => Just(Op::ShutDown)],
    ]
}

/// What the orders made of the host.
struct Host {
    role: Role,
    gate: GateState,
    claimed: bool,
    stopped: bool,
    may_take_over: bool,
    /// Handovers that ended by the last event.
    ended: usize,
    /// Whether one goes on that will be answered.
    hands_over: bool,
    wants: bool,
}

impl Host {
    fn obey(&mut self, output: Output) {
        let is_answer = matches!(output, Output::HandoverEnded(HandoverEnd::Stopping));
        assert!(!self.stopped || is_answer, "{output:?} after the end");
        match output {
            Output::SendAdvert { .. }
            | Output::Announce { .. }
            | Output::PrepareHandover
            | Output::Noticed(_) => {}
            Output::Wants(wants) => {
                assert_ne!(self.wants, wants);
                self.wants = wants;
            }
            Output::HandoverEnded(_) => self.ended += 1,
            Output::SetGate(GateState::Open) => self.gate = GateState::Open,
            Output::SetGate(GateState::Draining) => {
                assert_eq!(self.gate, GateState::Open);
                self.gate = GateState::Draining;
            }
            Output::SetGate(GateState::Closed) => {
                assert_eq!(self.gate, GateState::Draining);
                assert!(!self.claimed, "what comes would be answered by the stack");
                self.gate = GateState::Closed;
            }
            Output::ClaimAddresses => {
                assert_eq!(self.gate, GateState::Open);
                self.claimed = true;
            }
            Output::ReleaseAddresses => {
                assert!(self.claimed);
                assert_eq!(self.gate, GateState::Draining);
                self.claimed = false;
            }
            Output::StateChanged { from, to, .. } => {
                assert_eq!(from, self.role);
                assert_ne!(from, to);
                assert!(to != Role::Active || self.claimed && self.may_take_over);
                self.role = to;
            }
            Output::Stopped => {
                assert_eq!((self.gate, self.claimed), (GateState::Closed, false));
                self.stopped = true;
            }
        }
    }
}

fn apply(bench: &mut Bench, op: &Op) {
    match *op {
        Op::Hear {
            above,
            priority,
            interval_ms,
        } => {
            let source = if above { ABOVE } else { BELOW };
            let config = VirtualRouter {
                advert_interval: match bench.config().version {
                    VrrpVersion::V2 => ms(interval_ms.div_ceil(100) * 1_000),
                    VrrpVersion::V3 => ms(interval_ms),
                },
                ..bench.config()
            };
            bench.hear_message(&outgoing(&config, source, priority), 255);
        }
        Op::HearBytes(ref payload, ttl) => {
            let packet = Packet {
                source: ABOVE,
                destination: GROUP,
                ttl,
                payload,
            };
            bench.machine.handle_packet(&packet, bench.now);
        }
        Op::Pass(_) => unreachable!("is made of timeouts"),
        Op::Sleep(time) => bench.sleep(ms(time)),
        Op::Timeout => bench.machine.handle_timeout(bench.now),
        Op::Link(up) => bench.machine.handle_link(up, bench.now),
        Op::MayTakeOver => bench.machine.may_take_over(bench.now),
        Op::Reconfigure {
            priority: number,
            preempt,
            preempt_delay_ms,
            addresses,
        } => {
            let config = VirtualRouter {
                priority: priority(number),
                preempt,
                preempt_delay: ms(preempt_delay_ms),
                addresses: SERVED[..addresses].to_vec(),
                ..bench.config()
            };
            bench.machine.reconfigure(config, bench.now);
        }
        Op::Order(order) => bench.machine.order(order, bench.now),
        Op::Prepared => bench.machine.prepared(bench.now),
        Op::WaitForSync(wait) => bench.machine.wait_for_sync(wait, bench.now),
        Op::ShutDown => bench.machine.shut_down(bench.now),
    }
}

/// One event, and all that must hold after it.
fn step(bench: &mut Bench, host: &mut Host, op: &Op) {
    host.may_take_over |= matches!(op, Op::MayTakeOver);
    let asks = matches!(
        op,
        Op::Order(
            Order::HandOver { .. } | Order::StandBy { .. } | Order::Maintain { .. } | Order::Yield
        )
    );
    let went_on = host.hands_over;
    host.ended = 0;
    apply(bench, op);
    let outputs = bench.drain();
    assert!(outputs.len() <= 10, "{outputs:?}");
    for output in outputs {
        host.obey(output);
    }
    let view = bench.machine.view();
    assert_eq!(view.role, host.role);
    assert_eq!(view.may_take_over, host.may_take_over);
    host.hands_over = view.handing_over && !view.stopping;
    assert!(!host.wants || view.waits_for_sync && host.role == Role::Backup);
    let answered = host.ended > 0;
    assert_eq!(
        answered || host.hands_over,
        asks || went_on || host.hands_over
    );
    assert!(!answered || asks || went_on, "{op:?}");
    if view.stance == Stance::Maintenance && host.role == Role::Active {
        assert!(view.handing_over || bench.next().is_some());
    }
    if host.role == Role::Active {
        assert!(host.claimed && host.gate == GateState::Open);
        assert!(bench.next().is_some());
    }
    if host.role == Role::Backup {
        assert!(!host.claimed && host.gate != GateState::Open);
        let waits = !host.may_take_over || view.stance == Stance::Maintenance;
        assert!(bench.next().is_some() || waits);
    }
    if matches!(op, Op::Timeout) {
        assert!(bench.next() != Some(Duration::ZERO), "nothing due is left");
    }
}

fn run(version: VrrpVersion, ops: &[Op]) {
    let mut bench = Bench::new(config(version), Start::Backup);
    let mut host = Host {
        role: Role::Initialize,
        gate: GateState::Draining,
        claimed: false,
        stopped: false,
        may_take_over: false,
        ended: 0,
        hands_over: false,
        wants: false,
    };
    for op in ops {
        let Op::Pass(time) = op else {
            step(&mut bench, &mut host, op);
            continue;
        };
        let end = bench.now + ms(*time);
        let mut fired = 0;
        while let Some(due) = bench.machine.poll_timeout().filter(|due| *due <= end) {
            bench.now = bench.now.max(due);
            step(&mut bench, &mut host, &Op::Timeout);
            fired += 1;
        }
        bench.now = end;
        // In 20 s at 100 ms: the advertisements, and a few of each other timer.
        assert!(fired < 5 + time / 90, "{fired} timers in {time} ms");
    }
    // Whatever happened, it stops.
    step(&mut bench, &mut host, &Op::ShutDown);
    step(&mut bench, &mut host, &Op::Prepared);
    for _ in 0..100 {
        match bench.next() {
            Some(_) => bench.fire(),
            None => break,
        }
        for output in bench.drain() {
            host.obey(output);
        }
    }
    assert!(host.stopped);
}

proptest! {
    #[test]
    fn arbitrary_sequences_uphold_the_invariants(v3 in any::<bool>(), ops in vec(any_op(), 0..80)) {
        run(if v3 { VrrpVersion::V3 } else { VrrpVersion::V2 }, &ops);
    }
}
