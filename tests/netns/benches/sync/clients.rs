//! Clients by the thousand: UDP flows whose frames leave the client's node as they are.
//!
//! A flow is entered into the established table with its second datagram, a second or more after its first.

use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use evenkeel_lab::NetnsThread;
use evenkeel_netns_tests::Cluster;
use evenkeel_netns_tests::cluster::vip;
use evenkeel_netns_tests::frames::{Frames, filter};
use evenkeel_testkit::packet::{Datagram, rewrite};

use crate::stage::LOAD;

/// Where the flows seem to come from; no real server has a way back there.
pub(crate) const SOURCES: &str = "10.64.0.0/10";

const FIRST_SOURCE: Ipv4Addr = Ipv4Addr::new(10, 64, 0, 0);

/// Flows of one source address, and the port of the first.
const PORTS: u32 = 1 << 12;
const FIRST_PORT: u32 = 4096;

/// Time from a flow's first datagram to its second: safely more than a second.
const CONFIRMED_AFTER: Duration = Duration::from_millis(1100);

const TICK: Duration = Duration::from_millis(1);

/// Most frames between two looks at the time, so that the queue of no virtual interface overflows.
const BURST: u32 = 100;

/// Running clients; dropping this ends them.
pub(crate) struct Clients {
    thread: Option<NetnsThread<io::Result<()>>>,
    stop: Arc<AtomicBool>,
    confirmed: Arc<AtomicU32>,
}

impl Clients {
    /// Begins `rate` flows a second, no more than `most`, numbered from `first` on; flows of other numbers are others.
    pub(crate) fn start(
        cluster: &Cluster,
        first: u32,
        rate: u32,
        most: u32,
    ) -> anyhow::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let confirmed = Arc::new(AtomicU32::new(0));
        let mut crowd = Crowd {
            first,
            rate,
            most,
            frame: frame(cluster.director().mac()),
            stop: Arc::clone(&stop),
            confirmed: Arc::clone(&confirmed),
        };
        let thread = cluster.node("client").thread(move || {
            let link = Frames::open(&[filter::reject()])?;
            crowd.run(&link)
        })?;
        Ok(Self {
            thread: Some(thread),
            stop,
            confirmed,
        })
    }

    /// Flows whose second datagram has been sent.
    pub(crate) fn confirmed(&self) -> u32 {
        self.confirmed.load(Ordering::Relaxed)
    }

    /// Begins no more, and returns when all that were begun are confirmed; how many those are.
    pub(crate) fn finish(mut self) -> anyhow::Result<u32> {
        self.stop.store(true, Ordering::Relaxed);
        let thread = self.thread.take().context("it runs until now")?;
        thread.join()?.context("sending frames")?;
        Ok(self.confirmed())
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// A flow's frame.
fn frame(director: [u8; 6]) -> Vec<u8> {
    let source = SocketAddrV4::new(FIRST_SOURCE, 0);
    let datagram = Datagram {
        destination: director,
        payload: 18,
        ..Datagram::new(source, vip(LOAD))
    };
    datagram.frame()
}

/// What the clients' thread has.
struct Crowd {
    first: u32,
    rate: u32,
    most: u32,
    frame: Vec<u8>,
    stop: Arc<AtomicBool>,
    confirmed: Arc<AtomicU32>,
}

impl Crowd {
    fn run(&mut self, link: &Frames) -> io::Result<()> {
        let began = Instant::now();
        let (mut begun, mut confirmed) = (0, 0);
        // When how many had been begun.
        let mut waiting: VecDeque<(Instant, u32)> = VecDeque::new();
        loop {
            let now = Instant::now();
            let due = now.duration_since(began).as_secs_f64() * f64::from(self.rate);
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "positive, and saturating is right"
            )]
            let due = (due as u32).min(self.most).min(begun + BURST);
            if begun < due && !self.stop.load(Ordering::Relaxed) {
                self.send(link, begun..due)?;
                begun = due;
                waiting.push_back((Instant::now(), begun));
            }
            while let Some((_, until)) =
                waiting.pop_front_if(|(at, _)| *at + CONFIRMED_AFTER <= now)
            {
                self.send(link, confirmed..until)?;
                confirmed = until;
                self.confirmed.store(confirmed, Ordering::Relaxed);
            }
            let is_last = begun >= self.most || self.stop.load(Ordering::Relaxed);
            if is_last && waiting.is_empty() {
                return Ok(());
            }
            if now.elapsed() < TICK {
                thread::sleep(TICK);
            }
        }
    }

    fn send(&mut self, link: &Frames, flows: std::ops::Range<u32>) -> io::Result<()> {
        for flow in flows {
            let flow = self.first + flow;
            let source = FIRST_SOURCE.to_bits() + flow / PORTS;
            let [a, b, c, d] = source.to_be_bytes();
            let [_, _, e, f] = (FIRST_PORT + flow % PORTS).to_be_bytes();
            rewrite(&mut self.frame, 26, [a, b], &[24, 40]);
            rewrite(&mut self.frame, 28, [c, d], &[24, 40]);
            rewrite(&mut self.frame, 34, [e, f], &[40]);
            link.send(&self.frame)?;
        }
        Ok(())
    }
}
