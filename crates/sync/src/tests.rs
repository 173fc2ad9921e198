mod attacks;
mod properties;
mod rules;
mod sim;
mod stories;

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use super::*;

const SECRET: &[u8] = b"a secret that directors share";
const BOUND: Duration = Duration::from_millis(100);

pub(crate) const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

const fn us(us: u64) -> Duration {
    Duration::from_micros(us)
}

fn key(secret: &[u8]) -> Key {
    Key::from_secret(secret).unwrap()
}

fn config(name: &str, peer: &str) -> SyncConfig {
    SyncConfig {
        name: name.to_owned(),
        peer: peer.to_owned(),
        keys: vec![key(SECRET)],
        lag_bound: BOUND,
    }
}

/// The flow of a number; every fifth one is of IPv6.
fn flow(number: u32) -> Flow {
    let [a, b, c, d] = number.to_be_bytes();
    let (high, low) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
    let (client, address) = match number % 5 {
        0 => {
            let client = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, high, low);
            let address = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 1);
            (
                SocketAddr::from((client, 1_024)),
                SocketAddr::from((address, 443)),
            )
        }
        _ => {
            let client = Ipv4Addr::new(100, b, c, d);
            let address = Ipv4Addr::new(192, 0, 2, 1);
            (
                SocketAddr::from((client, 1_024 + u16::from(a))),
                SocketAddr::from((address, 80)),
            )
        }
    };
    Flow {
        client,
        address,
        protocol: Protocol::Tcp,
        template: false,
    }
}

/// A record that tells its version by its lifetime.
pub(crate) fn record(number: u32, version: u32) -> Record {
    Record {
        flow: flow(number),
        server: SocketAddr::from(([10, 0, 0, (version % 7) as u8], 80)),
        state: ConnState::try_from((version % 16) as u8).unwrap(),
        remaining: LIFETIME_STEP * version,
        assured: version.is_multiple_of(2),
    }
}

fn version_of(record: &Record) -> u32 {
    u32::try_from(record.remaining.as_millis() / LIFETIME_STEP.as_millis()).unwrap()
}

/// Two sessions, joined by hand.
struct Pair {
    now: Instant,
    ends: [Session; 2],
    /// What each end told, but for datagrams.
    told: [Vec<Output>; 2],
    /// Everything that was sent: by whom, and what.
    wire: Vec<(usize, Vec<u8>)>,
    boots: u8,
}

impl Pair {
    fn of(a: SyncConfig, b: SyncConfig) -> Self {
        let now = Instant::now();
        Self {
            now,
            ends: [
                Session::new(a, [1; 32], now).unwrap(),
                Session::new(b, [2; 32], now).unwrap(),
            ],
            told: [Vec::new(), Vec::new()],
            wire: Vec::new(),
            boots: 2,
        }
    }

    fn new() -> Self {
        Self::of(config("a", "b"), config("b", "a"))
    }

    /// Both have said that there is nothing, and are in sync.
    fn in_sync() -> Self {
        let mut pair = Self::new();
        pair.pass(ms(20));
        for end in 0..2 {
            assert!(pair.took(end, &Output::WantSnapshot), "{:?}", pair.told);
            pair.ends[end].snapshot_done(pair.now);
        }
        pair.pass(ms(60));
        for end in &pair.ends {
            for direction in [Direction::Outgoing, Direction::Incoming] {
                assert_eq!(end.state(direction, pair.now), State::InSync);
            }
        }
        pair.told = [Vec::new(), Vec::new()];
        pair.wire.clear();
        pair
    }

    fn restart(&mut self, end: usize) {
        self.boots += 1;
        let names = [("a", "b"), ("b", "a")][end];
        self.ends[end] =
            Session::new(config(names.0, names.1), [self.boots; 32], self.now).unwrap();
    }

    fn took(&self, end: usize, output: &Output) -> bool {
        self.told[end].contains(output)
    }

    fn notices(&self, end: usize) -> Vec<String> {
        let told = self.told[end].iter();
        told.filter_map(|output| {
            let Output::Noticed(notice) = output else {
                return None;
            };
            Some(notice.to_string())
        })
        .collect()
    }

    /// Obeys an end; returns its datagrams.
    fn drain(&mut self, end: usize) -> Vec<Vec<u8>> {
        let mut datagrams = Vec::new();
        while let Some(output) = self.ends[end].poll_output() {
            if let Output::Send(datagram) = output {
                datagrams.push(datagram);
            } else {
                self.told[end].push(output);
            }
        }
        datagrams
    }

    /// Delivers everything at once until nobody has anything to say.
    fn exchange(&mut self) {
        loop {
            let sent = [self.drain(0), self.drain(1)];
            if sent.iter().all(Vec::is_empty) {
                break;
            }
            for (from, datagrams) in sent.into_iter().enumerate() {
                for datagram in datagrams {
                    self.ends[1 - from].handle_datagram(&datagram, self.now);
                    self.wire.push((from, datagram));
                }
            }
        }
    }

    /// Time passes on a network without faults, with shells that look for changes every ten milliseconds.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        let mut scan = self.now;
        self.exchange();
        loop {
            let due = self.ends.iter().filter_map(Session::poll_timeout).min();
            let next = due.unwrap().min(scan);
            if next > end {
                break;
            }
            self.now = self.now.max(next);
            for session in &mut self.ends {
                session.handle_timeout(self.now);
                if self.now >= scan {
                    session.backlog(None, self.now);
                }
            }
            if self.now >= scan {
                scan = self.now + ms(10);
            }
            self.exchange();
        }
        self.now = end;
    }
}
