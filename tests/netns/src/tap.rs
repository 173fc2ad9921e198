//! A record of every TCP packet between the client and the virtual address, as one node's interface saw it.
//!
//! Two records are compared packet by packet, so a packet that a record itself missed shows as a difference.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use evenkeel_lab::NetnsThread;
use socket2::SockFilter;

use crate::cluster::{CLIENT, Cluster, VIP};
use crate::frames::Frames;
use crate::frames::filter::{accept, byte, equal, half, reject, word};
pub use crate::frames::interface;

/// How often a record's thread looks whether it shall stop.
const STOP_POLL: Duration = Duration::from_millis(20);

/// No packet for so long: those under way have arrived.
const QUIET: Duration = Duration::from_millis(300);

/// TCP flags, as in the header.
pub const SYN: u8 = 2;
/// See [`SYN`].
pub const RST: u8 = 4;
/// See [`SYN`].
pub const ACK: u8 = 16;

/// What tells a packet from others, and what the director does not change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Packet {
    pub from: SocketAddrV4,
    pub to: SocketAddrV4,
    pub id: u16,
    pub seq: u32,
    pub ack: u32,
    pub flags: u8,
    /// Bytes of the IP packet.
    pub length: u16,
}

impl Packet {
    /// Whether it asks for a connection.
    #[must_use]
    pub const fn is_syn(&self) -> bool {
        self.flags & (SYN | ACK) == SYN
    }
}

/// A packet, and the MAC address that it came from.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    pub packet: Packet,
    pub source: [u8; 6],
}

/// A running record; dropping it ends it.
#[derive(Debug)]
pub struct Tap {
    thread: NetnsThread<io::Result<()>>,
    stop: Stop,
    seen: Arc<Mutex<Vec<Seen>>>,
}

/// Says stop when it is dropped, too.
#[derive(Debug)]
pub(crate) struct Stop(pub(crate) Arc<AtomicBool>);

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Tap {
    /// Begins to record; what is sent after this returned is seen.
    ///
    /// # Panics
    /// Where the node is off.
    #[must_use]
    pub fn start(cluster: &Cluster, node: &str) -> Self {
        let flag = Arc::new(AtomicBool::new(false));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (stopped, book) = (Arc::clone(&flag), Arc::clone(&seen));
        let (ready, opened) = mpsc::sync_channel(1);
        let thread = cluster.node(node).thread(move || {
            let frames = Frames::open(&filter(CLIENT, VIP))?;
            ready.send(()).map_err(io::Error::other)?;
            record(&frames, &stopped, &book)
        });
        let thread = thread.expect("the node is on");
        opened.recv().expect("the node has an interface");
        Self {
            thread,
            stop: Stop(flag),
            seen,
        }
    }

    /// Ends the record.
    ///
    /// # Panics
    /// Where it could not be kept.
    #[must_use]
    pub fn stop(self) -> Vec<Seen> {
        drop(self.stop);
        let kept = self.thread.join().expect("the thread enters the node");
        kept.expect("the packet socket can be read");
        self.seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn has(&self, wanted: impl Fn(&Seen) -> bool) -> bool {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.iter().any(wanted)
    }

    fn count(&self) -> usize {
        self.seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .len()
    }
}

/// Waits until one of the records has such a packet.
pub fn wait_until(cluster: &Cluster, taps: &[Tap], wanted: impl Fn(&Seen) -> bool) {
    cluster.eventually("the packet is seen", || {
        taps.iter().any(|tap| tap.has(&wanted))
    });
}

/// Waits until no record grows any more.
pub fn wait_until_quiet(cluster: &Cluster, taps: &[&Tap]) {
    let count = || taps.iter().map(|tap| tap.count()).sum::<usize>();
    let (mut last, mut since) = (count(), Instant::now());
    cluster.eventually("the last packet has come", || {
        let now = count();
        if now != last {
            (last, since) = (now, Instant::now());
        }
        since.elapsed() >= QUIET
    });
}

/// Those of the packets that go to an address.
#[must_use]
pub fn to(seen: &[Seen], address: Ipv4Addr) -> Vec<Packet> {
    let packets = seen.iter().map(|seen| seen.packet);
    packets
        .filter(|packet| *packet.to.ip() == address)
        .collect()
}

/// Packets that were sent and not received, and then those that were received and not sent.
#[must_use]
pub fn differences(sent: &[Packet], received: &[Packet]) -> (Vec<Packet>, Vec<Packet>) {
    let mut balance: BTreeMap<Packet, i64> = BTreeMap::new();
    for packet in sent {
        *balance.entry(*packet).or_default() += 1;
    }
    for packet in received {
        *balance.entry(*packet).or_default() -= 1;
    }
    let of = |sign: i64| {
        let odd = balance
            .iter()
            .filter(move |(_, count)| count.signum() == sign);
        odd.map(|(packet, _)| *packet).collect()
    };
    (of(1), of(-1))
}

/// A classic BPF program that takes TCP packets between two hosts.
fn filter(one: Ipv4Addr, other: Ipv4Addr) -> [SockFilter; 13] {
    // From the start of the frame.
    const ETHERTYPE: u32 = 12;
    const PROTOCOL: u32 = 14 + 9;
    const SOURCE: u32 = 14 + 12;
    const DESTINATION: u32 = 14 + 16;
    [
        half(ETHERTYPE),
        equal(0x0800, 0, 10),
        byte(PROTOCOL),
        equal(6, 0, 8),
        word(SOURCE),
        equal(one.to_bits(), 0, 2),
        word(DESTINATION),
        equal(other.to_bits(), 3, 4),
        equal(other.to_bits(), 0, 3),
        word(DESTINATION),
        equal(one.to_bits(), 0, 1),
        accept(),
        reject(),
    ]
}

fn record(frames: &Frames, stop: &AtomicBool, book: &Mutex<Vec<Seen>>) -> io::Result<()> {
    let mut frame = [0; 2048];
    loop {
        let last_look = stop.load(Ordering::Relaxed);
        match frames.receive(&mut frame, STOP_POLL)? {
            Some((length, _when)) => {
                let frame = frame.get(..length);
                if let Some(seen) = frame.and_then(|frame| parse(frame, frames.mac())) {
                    let mut book = book.lock().unwrap_or_else(PoisonError::into_inner);
                    book.push(seen);
                }
            }
            None if last_look => return Ok(()),
            None => {}
        }
    }
}

/// Reads a frame that this interface sent or that was sent to it; a switch also shows others'.
fn parse(frame: &[u8], mac: [u8; 6]) -> Option<Seen> {
    let field = |offset: usize| frame.get(offset..)?.first_chunk::<2>().copied();
    let word = |offset: usize| frame.get(offset..)?.first_chunk::<4>().copied();
    let (destination, source) = (
        frame.first_chunk::<6>()?,
        frame.get(6..)?.first_chunk::<6>()?,
    );
    let is_tcp = field(12)? == [8, 0] && *frame.get(23)? == 6;
    if !is_tcp || (*destination != mac && *source != mac) {
        return None;
    }
    let tcp = 14 + usize::from(frame.get(14)? & 0xf) * 4;
    let socket = |address: usize, port: usize| {
        let port = u16::from_be_bytes(field(port)?);
        Some(SocketAddrV4::new(word(address)?.into(), port))
    };
    Some(Seen {
        packet: Packet {
            from: socket(26, tcp)?,
            to: socket(30, tcp + 2)?,
            id: u16::from_be_bytes(field(18)?),
            seq: u32::from_be_bytes(word(tcp + 4)?),
            ack: u32::from_be_bytes(word(tcp + 8)?),
            flags: *frame.get(tcp + 13)?,
            length: u16::from_be_bytes(field(16)?),
        },
        source: *source,
    })
}
