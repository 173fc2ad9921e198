//! Who answers for virtual addresses, who advertises and announces, and who resets: a record by the client.
//!
//! It asks for each address every few milliseconds, under a name of its own: what the client's stack
//! believes is not changed by it.

use std::collections::BTreeSet;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use socket2::SockFilter;

use crate::error::LabError;
use crate::frames::Frames;
use crate::frames::filter::{accept, any_of, byte, byte_after, equal, half, header_length, reject};
use crate::namespace::NetnsThread;
use crate::node::NodeHandle;

/// Each address is asked for so often.
const EVERY: Duration = Duration::from_millis(5);

/// Answers that are further apart than this have a silence between them.
const SILENCE: Duration = Duration::from_millis(60);

/// TCP's flag for a reset.
const RST: u8 = 4;

/// Who asks: no node of a lab that is watched may have these.
const ASKER: Ipv4Addr = Ipv4Addr::new(198, 18, 14, 2);
const ASKER_MAC: [u8; 6] = [2, 2, 198, 18, 14, 2];

/// A hardware address.
pub type Mac = [u8; 6];

/// What a frame says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// An answer to the record's own question.
    Answer(Ipv4Addr),
    /// Gratuitous ARP.
    Announcement(Ipv4Addr),
    /// A VRRP advertisement.
    Advert {
        from: Ipv4Addr,
        router: u8,
        priority: u8,
    },
    /// A TCP segment with RST, for the client.
    Reset {
        from: SocketAddrV4,
        to: SocketAddrV4,
    },
    /// An ICMP destination unreachable, for the client.
    Unreachable { from: Ipv4Addr },
}

/// What was said, by whom and when.
#[derive(Clone, Copy, Debug)]
pub struct Sighting {
    pub at: Instant,
    pub mac: Mac,
    pub said: Said,
}

/// A running record; dropping it ends it.
#[derive(Debug)]
pub struct Watch {
    _thread: NetnsThread<io::Result<()>>,
    stop: Arc<AtomicBool>,
    sightings: Arc<Mutex<Vec<Sighting>>>,
}

impl Watch {
    /// Begins to ask for the addresses from a node, and to record.
    ///
    /// # Errors
    /// The node is off, or its interface can't be watched.
    pub fn start(node: NodeHandle<'_>, addresses: &[Ipv4Addr]) -> Result<Self, LabError> {
        let flag = Arc::new(AtomicBool::new(false));
        let sightings = Arc::new(Mutex::new(Vec::new()));
        let (stop, book) = (Arc::clone(&flag), Arc::clone(&sightings));
        let client = node.address();
        let addresses = addresses.to_vec();
        let (ready, opened) = mpsc::sync_channel(1);
        let thread = node.thread(move || {
            let frames = match Frames::open(&filter()) {
                Ok(frames) => frames,
                Err(error) => {
                    // Whoever started this waits for it.
                    let _told = ready.send(Err(error));
                    return Ok(());
                }
            };
            let _told = ready.send(Ok(()));
            record(&frames, client, &addresses, &stop, &book)
        })?;
        opened
            .recv()
            .map_err(io::Error::other)
            .and_then(|opened| opened)
            .map_err(|source| LabError::Start {
                what: "a record of who answers for addresses",
                source,
            })?;
        Ok(Self {
            _thread: thread,
            stop: flag,
            sightings,
        })
    }

    /// All that was seen so far.
    #[must_use]
    pub fn record(&self) -> Record {
        let sightings = self.sightings.lock();
        Record(sightings.unwrap_or_else(PoisonError::into_inner).clone())
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
    }
}

/// What was seen, in order.
#[derive(Clone, Debug)]
pub struct Record(pub Vec<Sighting>);

impl Record {
    /// What was seen from then on.
    #[must_use]
    pub fn since(&self, from: Instant) -> Self {
        let later = self.0.iter().filter(|sighting| sighting.at >= from);
        Self(later.copied().collect())
    }

    /// What was seen until then.
    #[must_use]
    pub fn until(&self, to: Instant) -> Self {
        let earlier = self.0.iter().filter(|sighting| sighting.at <= to);
        Self(earlier.copied().collect())
    }

    /// When that one answered for the address.
    #[must_use]
    pub fn answers(&self, mac: Mac, address: Ipv4Addr) -> Vec<Instant> {
        let by_it = self.0.iter().filter(|sighting| sighting.mac == mac);
        let answers = by_it.filter(|sighting| sighting.said == Said::Answer(address));
        answers.map(|sighting| sighting.at).collect()
    }

    /// Who answered for the address.
    #[must_use]
    pub fn answerers(&self, address: Ipv4Addr) -> BTreeSet<Mac> {
        let answers = self.0.iter();
        let answers = answers.filter(|sighting| sighting.said == Said::Answer(address));
        answers.map(|sighting| sighting.mac).collect()
    }

    /// When that one announced the address.
    #[must_use]
    pub fn announcements(&self, mac: Mac, address: Ipv4Addr) -> Vec<Instant> {
        let by_it = self.0.iter().filter(|sighting| sighting.mac == mac);
        let all = by_it.filter(|sighting| sighting.said == Said::Announcement(address));
        all.map(|sighting| sighting.at).collect()
    }

    /// Advertisements from that address: when, and their priority.
    #[must_use]
    pub fn adverts(&self, source: Ipv4Addr) -> Vec<(Instant, u8)> {
        let adverts = self.0.iter().filter_map(|sighting| {
            if let Said::Advert { from, priority, .. } = sighting.said
                && from == source
            {
                Some((sighting.at, priority))
            } else {
                None
            }
        });
        adverts.collect()
    }

    /// The longest time for which both answered for the address.
    #[must_use]
    pub fn both_answered(&self, address: Ipv4Addr, one: Mac, other: Mac) -> Duration {
        let (ones, others) = (self.answers(one, address), self.answers(other, address));
        let others = periods(&others);
        let shared = periods(&ones).into_iter().flat_map(|(from, to)| {
            let shared = others.iter().map(move |(other_from, other_to)| {
                let (from, to) = (from.max(*other_from), to.min(*other_to));
                to.saturating_duration_since(from)
            });
            shared.collect::<Vec<_>>()
        });
        shared.max().unwrap_or_default()
    }

    /// The longest time without an answer by that one, between its first and its last.
    #[must_use]
    pub fn longest_silence(&self, mac: Mac, address: Ipv4Addr) -> Duration {
        let answers = self.answers(mac, address);
        let pairs = answers.windows(2);
        let silences = pairs.map(|pair| match pair {
            [one, next] => next.saturating_duration_since(*one),
            _ => Duration::ZERO,
        });
        silences.max().unwrap_or_default()
    }

    /// What one of these refused: resets and ICMP errors for the client, from its hardware address.
    #[must_use]
    pub fn refusals(&self, macs: &[Mac]) -> Vec<Sighting> {
        let refusals = self.0.iter().filter(|sighting| match sighting.said {
            Said::Reset { .. } | Said::Unreachable { .. } => macs.contains(&sighting.mac),
            Said::Answer(_) | Said::Announcement(_) | Said::Advert { .. } => false,
        });
        refusals.copied().collect()
    }
}

/// Times that are close together, as periods from the first to the last of them.
fn periods(times: &[Instant]) -> Vec<(Instant, Instant)> {
    let mut periods: Vec<(Instant, Instant)> = Vec::new();
    for &time in times {
        match periods.last_mut() {
            Some((_, to)) if time.saturating_duration_since(*to) <= SILENCE => *to = time,
            Some(_) | None => periods.push((time, time)),
        }
    }
    periods
}

/// Takes ARP, VRRP, ICMP, and TCP segments with RST.
fn filter() -> [SockFilter; 12] {
    [
        half(12),
        equal(0x0806, 8, 0),
        equal(0x0800, 0, 8),
        byte(14 + 9),
        equal(112, 5, 0),
        equal(1, 4, 0),
        equal(6, 0, 4),
        header_length(14),
        byte_after(14 + 13),
        any_of(4, 0, 1),
        accept(),
        reject(),
    ]
}

fn record(
    frames: &Frames,
    client: Ipv4Addr,
    addresses: &[Ipv4Addr],
    stop: &AtomicBool,
    book: &Mutex<Vec<Sighting>>,
) -> io::Result<()> {
    let mut frame = [0; 2048];
    let mut ask_at = Instant::now();
    while !stop.load(Relaxed) {
        let now = Instant::now();
        if now >= ask_at {
            for address in addresses {
                // A question that can't leave is a question without an answer.
                drop(frames.send(&question(*address)));
            }
            ask_at = (ask_at + EVERY).max(now);
        }
        let wait = ask_at.saturating_duration_since(Instant::now());
        if let Some((length, at)) = frames.receive(&mut frame, wait)?
            && let Some((mac, said)) = frame.get(..length).and_then(|frame| parse(frame, client))
        {
            let mut book = book.lock().unwrap_or_else(PoisonError::into_inner);
            book.push(Sighting { at, mac, said });
        }
    }
    Ok(())
}

/// Ethernet's header and an ARP request.
fn question(address: Ipv4Addr) -> Vec<u8> {
    let to_all = [0xff; 6];
    let head = [0x08, 0x06, 0, 1, 8, 0, 6, 4, 0, 1];
    let parts: [&[u8]; 7] = [
        &to_all,
        &ASKER_MAC,
        &head,
        &ASKER_MAC,
        &ASKER.octets(),
        &[0; 6],
        &address.octets(),
    ];
    parts.concat()
}

/// What a frame at the client's interface says, and its source; `None`: nothing that is recorded.
#[must_use]
pub fn parse(frame: &[u8], client: Ipv4Addr) -> Option<(Mac, Said)> {
    let mac = *frame.get(6..)?.first_chunk::<6>()?;
    if mac == ASKER_MAC {
        return None;
    }
    let said = match *frame.get(12..)?.first_chunk::<2>()? {
        [8, 6] => parse_arp(frame.get(14..)?),
        [8, 0] => parse_ip(frame.get(14..)?, client),
        _ => None,
    }?;
    Some((mac, said))
}

fn parse_arp(arp: &[u8]) -> Option<Said> {
    let address = |offset: usize| Some(Ipv4Addr::from(*arp.get(offset..)?.first_chunk::<4>()?));
    let (sender, target) = (address(14)?, address(24)?);
    let is_reply = arp.get(6..8)? == [0, 2];
    if sender == target {
        return Some(Said::Announcement(sender));
    }
    (is_reply && target == ASKER).then_some(Said::Answer(sender))
}

fn parse_ip(packet: &[u8], client: Ipv4Addr) -> Option<Said> {
    let header = usize::from(packet.first()? & 0xf) * 4;
    let address = |offset: usize| Some(Ipv4Addr::from(*packet.get(offset..)?.first_chunk::<4>()?));
    let (source, destination) = (address(12)?, address(16)?);
    let body = packet.get(header..)?;
    let port = |offset: usize| Some(u16::from_be_bytes(*body.get(offset..)?.first_chunk::<2>()?));
    match packet.get(9)? {
        112 => Some(Said::Advert {
            from: source,
            router: *body.get(1)?,
            priority: *body.get(2)?,
        }),
        1 if destination == client && *body.first()? == 3 => {
            Some(Said::Unreachable { from: source })
        }
        6 if destination == client && body.get(13)? & RST != 0 => Some(Said::Reset {
            from: SocketAddrV4::new(source, port(0)?),
            to: SocketAddrV4::new(destination, port(2)?),
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
