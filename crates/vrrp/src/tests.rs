mod contests;
mod orders;
mod pauses;
mod properties;
mod rules;
mod sim;
mod stories;
mod table;
mod troubles;

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use evenkeel_model::{
    AdvertChecksum, GateState, Priority, Role, VirtualRouter, VirtualRouterId, VrrpVersion,
};
use evenkeel_wire::ipv4;
use evenkeel_wire::vrrp::{self, Coverage, Outgoing, Version};

use super::*;

const GROUP: IpAddr = IpAddr::V4(Ipv4Addr::from_octets(vrrp::GROUP));
const OURS: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));
/// Loses a tie against [`OURS`].
const BELOW: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
/// Wins a tie against [`OURS`], by a comparison of unsigned numbers.
const ABOVE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 200));
const SERVED: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(203, 0, 113, 1)),
    IpAddr::V4(Ipv4Addr::new(203, 0, 113, 2)),
];

/// Orders that name no times.
const HAND_OVER: Order = Order::HandOver { patience: None };
const STAND_BY: Order = Order::StandBy { patience: None };
const MAINTAIN: Order = Order::Maintain {
    patience: None,
    force: false,
};

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

const fn us(us: u64) -> Duration {
    Duration::from_micros(us)
}

fn priority(number: u8) -> Priority {
    Priority::try_from(i64::from(number)).unwrap()
}

/// Version 3 every 100 ms, version 2 every second; priority 100: skews of 60.9375 and 609.375 ms.
fn config(version: VrrpVersion) -> VirtualRouter {
    VirtualRouter {
        name: "web".to_owned(),
        id: VirtualRouterId::try_from(51).unwrap(),
        version,
        priority: priority(100),
        advert_interval: match version {
            VrrpVersion::V2 => ms(1_000),
            VrrpVersion::V3 => ms(100),
        },
        preempt: true,
        preempt_delay: Duration::ZERO,
        addresses: SERVED.to_vec(),
        peers: Vec::new(),
        source: None,
        checksum: AdvertChecksum::PseudoHeader,
        announcements: 5,
        announce_again: ms(5_000),
    }
}

fn v3() -> VirtualRouter {
    config(VrrpVersion::V3)
}

/// An advertisement for a machine of this configuration, which agrees with it in all but these.
fn outgoing(config: &VirtualRouter, source: IpAddr, priority: u8) -> Outgoing<'_> {
    Outgoing {
        source,
        destination: GROUP,
        version: match config.version {
            VrrpVersion::V2 => Version::V2,
            VrrpVersion::V3 => Version::V3,
        },
        virtual_router: config.id.get(),
        priority,
        interval: config.advert_interval,
        addresses: &config.addresses,
        coverage: Coverage::PseudoHeader,
    }
}

/// A machine and a clock.
struct Bench {
    machine: Machine,
    now: Instant,
}

impl Bench {
    fn new(config: VirtualRouter, start: Start) -> Self {
        let now = Instant::now();
        Self {
            machine: Machine::new(config, OURS, start, now),
            now,
        }
    }

    /// A Backup that may take over, whose gates are closed and which hears an Active of priority 150.
    fn backup(config: VirtualRouter) -> Self {
        let mut bench = Self::new(config, Start::Backup);
        bench.machine.may_take_over(bench.now);
        bench.hear_for(5, ABOVE, 150);
        bench.drain();
        bench
    }

    /// Active since just now.
    fn active(config: VirtualRouter) -> Self {
        let mut bench = Self::backup(config);
        bench.fire();
        bench.drain();
        assert_eq!(bench.role(), Role::Active);
        bench
    }

    fn role(&self) -> Role {
        self.machine.view().role
    }

    fn reason(&self) -> Reason {
        self.machine.view().reason
    }

    fn config(&self) -> VirtualRouter {
        self.machine.config().clone()
    }

    fn drain(&mut self) -> Vec<Output> {
        std::iter::from_fn(|| self.machine.poll_output()).collect()
    }

    /// What it orders, in words.
    fn words(&mut self) -> String {
        let words: Vec<String> = self.drain().iter().map(in_words).collect();
        words.join(", ")
    }

    /// Orders something, and is prepared at once.
    fn order(&mut self, order: Order) {
        self.machine.order(order, self.now);
        self.machine.prepared(self.now);
    }

    /// Stops, and is prepared at once.
    fn shut_down(&mut self) {
        self.machine.shut_down(self.now);
        self.machine.prepared(self.now);
    }

    fn stance(&self) -> Stance {
        self.machine.view().stance
    }

    /// Time to the next deadline.
    fn next(&self) -> Option<Duration> {
        let due = self.machine.poll_timeout()?;
        Some(due.saturating_duration_since(self.now))
    }

    /// Lets time pass, with every timer on time.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(due) = self.machine.poll_timeout().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.machine.handle_timeout(self.now);
        }
        self.now = end;
    }

    /// Lets time pass, with the machine asleep.
    fn sleep(&mut self, time: Duration) {
        self.now += time;
    }

    /// Goes to the next deadline.
    fn fire(&mut self) {
        let due = self.machine.poll_timeout().expect("a timer");
        self.now = self.now.max(due);
        self.machine.handle_timeout(self.now);
    }

    fn hear_message(&mut self, advert: &Outgoing<'_>, ttl: u8) {
        let mut buffer = [0; vrrp::PACKET_LEN_MAX];
        let len = vrrp::write(advert, &mut buffer).unwrap();
        let packet = Packet {
            source: advert.source,
            destination: advert.destination,
            ttl,
            payload: &buffer[ipv4::MIN_LEN..len],
        };
        self.machine.handle_packet(&packet, self.now);
    }

    fn hear(&mut self, source: IpAddr, priority: u8) {
        let config = self.config();
        self.hear_message(&outgoing(&config, source, priority), vrrp::TTL);
    }

    /// Hears an advertisement now and after each of some intervals.
    fn hear_for(&mut self, intervals: u32, source: IpAddr, priority: u8) {
        self.hear(source, priority);
        for _ in 0..intervals {
            self.pass(self.machine.config().advert_interval);
            self.hear(source, priority);
        }
    }
}

fn in_words(output: &Output) -> String {
    match output {
        Output::SendAdvert { priority } => format!("advert {priority}"),
        Output::SetGate(GateState::Open) => "open".to_owned(),
        Output::SetGate(GateState::Draining) => "drain".to_owned(),
        Output::SetGate(GateState::Closed) => "close".to_owned(),
        Output::ClaimAddresses => "claim".to_owned(),
        Output::ReleaseAddresses => "release".to_owned(),
        Output::Announce { count } => format!("announce {count}"),
        Output::PrepareHandover => "prepare".to_owned(),
        Output::Wants(true) => "wants".to_owned(),
        Output::Wants(false) => "wants no more".to_owned(),
        Output::HandoverEnded(end) => match end {
            HandoverEnd::Successor { address, .. } => format!("handed to {address}"),
            HandoverEnd::NotActive => "not active".to_owned(),
            HandoverEnd::Nobody { .. } => "nobody".to_owned(),
            HandoverEnd::Rival { .. } => "rival".to_owned(),
            HandoverEnd::GivenUp { .. } => "given up".to_owned(),
            HandoverEnd::Unprepared { .. } => "unprepared".to_owned(),
            HandoverEnd::LinkDown => "no link".to_owned(),
            HandoverEnd::Away { .. } => "was away".to_owned(),
            HandoverEnd::Stopping => "stops".to_owned(),
        },
        Output::StateChanged { to, .. } => to.name().to_owned(),
        Output::Noticed(notice) => format!("notice {}", notice.trouble().name()),
        Output::Stopped => "stopped".to_owned(),
    }
}
