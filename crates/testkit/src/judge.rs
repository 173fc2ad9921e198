//! Whether the data plane did right with a frame, by what a parser that is not ours reads in it.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering::SeqCst;

use etherparse::checksum::Sum16BitWords;
use etherparse::{Ipv4HeaderSlice, SlicedPacket};
use evenkeel_abi::{DropReason, Egress, GateState, Server, ServerFlags, Stats, Word, low};
use evenkeel_datapath::tcp::is_reusable;
use evenkeel_datapath::{MemoryFrame, Tables as _, Verdict, process};

use crate::judge::legible::legible;
use crate::judge::net::Net;
use crate::judge::read::Read;
use crate::tables::NativeTables;

mod answers;
mod legible;
mod net;
mod read;
mod template;

/// Length of an Ethernet header.
const ETHERNET: usize = 14;

/// The server that a packet was counted for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Counted {
    service: u32,
    server: u32,
    bytes: u64,
}

/// Counters before a packet.
struct Before {
    drops: Vec<u64>,
    services: BTreeMap<u32, Stats>,
    servers: BTreeMap<u32, Stats>,
}

impl NativeTables {
    /// Sends a frame through the data plane and judges what becomes of it:
    ///
    /// - what is transmitted is a packet of a service whose gate is not closed, or an ICMP error about one;
    ///   it goes to a present server of that service, to that of its flow's entry if it has one or, a fragment
    ///   that follows, to that of its packet's first one, and differs
    ///   in nothing but MAC addresses, TTL and IP checksum; or it is the ICMP error or the TCP reset that is due;
    /// - what passes is untouched, and no packet of such a service but for a local server;
    /// - what is dropped is counted once and for one reason, and is not called malformed if etherparse reads it.
    ///
    /// # Panics
    ///
    /// If one of these does not hold.
    pub fn judged(&self, sent: &[u8]) -> (Verdict, Vec<u8>) {
        let on_wire = sent;
        let (tag, sent) = untagged(sent);
        let sent = &sent[..];
        let is_nested = sent.get(12..14).is_some_and(is_tag);
        let read = if is_nested {
            None
        } else {
            self.read(&readable(sent))
        };
        let home = read.as_ref().and_then(|read| self.home(read));
        let promised = read.as_ref().and_then(|read| self.promised(read));
        let before = self.before();
        let mut frame = MemoryFrame::new(on_wire);
        let verdict = process(&mut frame, self);
        let left = frame.bytes().to_vec();
        let (tag_after, out) = untagged(&left);
        let counted = self.counted(&before);
        let dropped = self.dropped_since(&before);
        if let (Some(counted), Some(home)) = (counted, home) {
            assert_eq!(counted.server, home, "a flow keeps its server");
        }
        if let Some(counted) = counted {
            self.judge_server(counted, home);
            let is_entered =
                home.is_none() && read.as_ref().is_some_and(|r| self.home(r).is_some());
            if let Some(promised) = promised.filter(|_| is_entered) {
                assert_eq!(counted.server, promised, "a client keeps its server");
            }
        }
        match (verdict, counted) {
            (Verdict::Pass, _) => {
                assert_eq!(left, on_wire, "what passes is untouched");
                assert_eq!(dropped, None, "what passes was not dropped");
                self.judge_pass(sent, read.as_ref(), counted);
            }
            (Verdict::Drop(reason), _) => {
                assert_eq!(dropped, Some(reason), "the drop is counted");
                assert_eq!(counted, None, "a drop is no packet of a server");
                let is_sound =
                    read.is_some_and(|read| read.is_open && !read.has_no_length && !read.is_beyond);
                let is_called_bad = reason == DropReason::Malformed;
                assert!(!(is_sound && is_called_bad), "a sound packet is malformed");
            }
            (Verdict::Transmit | Verdict::Redirect(_), Some(counted)) => {
                self.judge_way_out(verdict, (tag, tag_after), counted);
                assert_eq!(dropped, None, "what is forwarded was not dropped");
                let read = read.expect("etherparse reads what is forwarded as a service's");
                self.judge_forwarded(sent, &out, &read, (counted, verdict));
            }
            (Verdict::Redirect(_), None) => panic!("what is answered goes back"),
            (Verdict::Transmit, None) => {
                assert_eq!(tag, tag_after, "the tag");
                let read = read.expect("etherparse reads what is answered as a service's");
                assert!(read.is_open && !read.is_error, "no error is due");
                let reason = dropped.expect("what is answered was dropped");
                if reason == DropReason::ServerGoneReset {
                    self.judge_reset(sent, &out);
                } else {
                    self.judge_answer(sent, &out, reason);
                }
            }
        }
        (verdict, left)
    }

    /// It leaves where its server is reached, with the tag that belongs there.
    fn judge_way_out(&self, verdict: Verdict, tags: (Option<u16>, Option<u16>), counted: Counted) {
        let egress = Egress(self.servers[counted.server as usize].egress.load(SeqCst));
        let own = self.link.index.load(SeqCst);
        let expected = match egress.interface() {
            0 => Verdict::Transmit,
            out if u64::from(out) == own => Verdict::Transmit,
            out => Verdict::Redirect(out),
        };
        assert_eq!(verdict, expected, "the way out");
        let (before, after) = tags;
        let expected = match (egress.names_tag(), egress.vlan()) {
            (false, _) => before,
            (true, 0) => None,
            (true, vlan) => Some(before.unwrap_or(0) & 0xf000 | vlan),
        };
        assert_eq!(after, expected, "the tag");
    }

    fn before(&self) -> Before {
        let lock = "no test panics while it holds the lock";
        Before {
            drops: self.drops.iter().map(|count| count.load(SeqCst)).collect(),
            services: self.service_stats.lock().expect(lock).clone(),
            servers: self.server_stats.lock().expect(lock).clone(),
        }
    }

    fn counted(&self, before: &Before) -> Option<Counted> {
        let lock = "no test panics while it holds the lock";
        let services = self.service_stats.lock().expect(lock);
        let servers = self.server_stats.lock().expect(lock);
        let service = grown(&before.services, &services);
        let server = grown(&before.servers, &servers);
        assert_eq!(
            service.map(|(_, bytes)| bytes),
            server.map(|(_, bytes)| bytes),
            "service and server count the same"
        );
        let ((service, bytes), (server, _)) = (service?, server?);
        Some(Counted {
            service,
            server,
            bytes,
        })
    }

    /// Why a packet was dropped since then.
    fn dropped_since(&self, before: &Before) -> Option<DropReason> {
        let now = self.drops.iter().map(|count| count.load(SeqCst));
        let grown = now.zip(&before.drops).map(|(now, then)| now - then);
        let mut reasons = DropReason::ALL.iter().zip(grown).filter(|(_, n)| *n > 0);
        let (reason, times) = reasons.next()?;
        assert_eq!((times, reasons.next()), (1, None), "one packet, one reason");
        Some(*reason)
    }

    /// The server that the packet has to go to by its flow's entry.
    fn home(&self, read: &Read) -> Option<u32> {
        if read.by_address {
            return None;
        }
        let established = self.conns.iter().flat_map(|bucket| &bucket.ways);
        let half_open = self.buckets.iter().flat_map(|bucket| &bucket.ways);
        let word = established
            .chain(half_open)
            .filter(|conn| {
                conn.addresses.load(SeqCst) == read.flow.addresses
                    && conn.ports_protocol.load(SeqCst) == read.flow.ports_protocol
            })
            .map(|conn| Word(conn.word.load(SeqCst)))
            .find(|word| word.is_live() && word.expiry().0 > self.now.load(SeqCst))?;
        let begins_anew = read.asks && is_reusable(word.state());
        let is_present = self.flags(word.server()) & ServerFlags::PRESENT != 0;
        (is_present && !begins_anew).then_some(word.server())
    }

    fn flags(&self, server: u32) -> u16 {
        Server::unpack_flags(self.servers[server as usize].mac.load(SeqCst))
    }

    fn judge_pass(&self, sent: &[u8], read: Option<&Read>, counted: Option<Counted>) {
        if let Some(counted) = counted {
            let read = read.expect("etherparse reads what a local server gets as a service's");
            self.judge_counted(read, counted);
            let flags = self.flags(counted.server) & !ServerFlags::KEPT;
            let local = ServerFlags::PRESENT | ServerFlags::LOCAL;
            assert_eq!(flags, local, "the server is local");
            return;
        }
        let is_open = read.is_some_and(|read| read.is_open);
        assert!(!is_open, "a service's packet reached the stack");
        let readable = readable(sent);
        let fragment = SlicedPacket::from_ethernet(&readable)
            .ok()
            .filter(|packet| packet.is_ip_payload_fragmented() && self.is_to_director(sent));
        if let Some(net) = fragment.and_then(|packet| Net::of(packet.net.as_ref()?))
            && (net.is_icmp() || [6, 17, 132].contains(&net.protocol))
            && let Some(gate) = self.gate_number(net.addresses[1])
        {
            let state = self.gates[gate as usize].state.load(SeqCst);
            assert_eq!(state, GateState::CLOSED, "a fragment reached the stack");
        }
    }

    fn judge_counted(&self, read: &Read, counted: Counted) {
        assert!(read.is_open, "the gate is closed");
        assert_eq!(counted.service, read.service, "it is this service's");
    }

    /// A server without an entry of the flow is one of the service's list; a flow keeps its own even if its port has
    /// become another service's.
    fn judge_server(&self, counted: Counted, home: Option<u32>) {
        if home.is_some() {
            return;
        }
        let owner = low(self.servers[counted.server as usize].owner.load(SeqCst));
        assert_eq!(owner, counted.service + 1, "the server is the service's");
        let flags = self.flags(counted.server);
        assert_eq!(
            flags & ServerFlags::KEPT,
            0,
            "a kept server gets no new flow"
        );
    }

    fn judge_forwarded(
        &self,
        sent: &[u8],
        out: &[u8],
        read: &Read,
        (counted, verdict): (Counted, Verdict),
    ) {
        self.judge_counted(read, counted);
        let flags = self.flags(counted.server) & !ServerFlags::KEPT;
        assert_eq!(flags, ServerFlags::PRESENT, "the server is there");
        let mac = Server::unpack_mac(self.servers[counted.server as usize].mac.load(SeqCst));
        assert_eq!(out[..6], mac, "it goes to the server");
        assert_eq!(out.len(), sent.len(), "length");
        self.judge_source(out, verdict);
        assert_eq!(out[12..ETHERNET], sent[12..ETHERNET], "kind");
        let readable = readable(sent);
        let came = SlicedPacket::from_ethernet(&readable).expect("a good packet came");
        let net = came.net.as_ref().and_then(Net::of).expect("one of IP");
        assert_eq!(counted.bytes, net.total_len, "bytes counted");
        assert!(net.ttl > 1, "its time was over");
        if net.addresses[0].is_ipv6() {
            let mut expected = sent[ETHERNET..].to_vec();
            expected[7] -= 1;
            assert_eq!(out[ETHERNET..], expected, "all but the hop limit");
            return;
        }
        let old = Ipv4HeaderSlice::from_slice(&sent[ETHERNET..]).expect("a good header came");
        let new = Ipv4HeaderSlice::from_slice(&out[ETHERNET..]).expect("a good header goes");
        let rest = ETHERNET + old.slice().len();
        assert_eq!(out[rest..], sent[rest..], "all behind the IP header");
        let mut expected = old.to_header();
        expected.time_to_live -= 1;
        // A damaged header stays damaged: no router mends it.
        let was_good = is_zero_sum(old.slice());
        assert_eq!(is_zero_sum(new.slice()), was_good, "IP checksum");
        expected.header_checksum = match was_good {
            true => expected.calc_header_checksum(),
            false => new.header_checksum(),
        };
        assert_eq!(new.to_header(), expected, "IP header");
        // The reserved flag, which etherparse's header does not hold.
        assert_eq!(out[20..22], sent[20..22], "flags");
    }

    pub(crate) fn judge_source(&self, out: &[u8], verdict: Verdict) {
        let index = match verdict {
            Verdict::Redirect(index) => index,
            Verdict::Pass | Verdict::Drop(_) | Verdict::Transmit => self.ingress(),
        };
        let link = self.link(index).expect("the program is attached there");
        let own = Server::unpack_mac(link.mac.load(SeqCst));
        assert_eq!(out[6..12], own, "it comes from the director");
    }
}

/// Whether an EtherType says that a tag follows: 802.1Q or 802.1ad.
fn is_tag(kind: &[u8]) -> bool {
    [[0x81, 0x00], [0x88, 0xa8]].iter().any(|tag| kind == tag)
}

/// The tag control information of a frame with an 802.1Q tag, and the frame without it.
fn untagged(frame: &[u8]) -> (Option<u16>, Vec<u8>) {
    if frame.len() < 18 || frame[12..14] != [0x81, 0x00] {
        return (None, frame.to_vec());
    }
    let tag = u16::from_be_bytes([frame[14], frame[15]]);
    (Some(tag), [&frame[..12], &frame[16..]].concat())
}

/// The frame as etherparse has to be given it.
fn readable(frame: &[u8]) -> Vec<u8> {
    let mut frame = frame.to_vec();
    if let Some(packet) = frame.get_mut(ETHERNET..) {
        legible(packet);
    }
    frame
}

fn is_zero_sum(header: &[u8]) -> bool {
    Sum16BitWords::new().add_slice(header).ones_complement() == 0
}

/// Where a packet was counted, and its bytes.
fn grown(before: &BTreeMap<u32, Stats>, now: &BTreeMap<u32, Stats>) -> Option<(u32, u64)> {
    let mut grown = now.iter().filter_map(|(index, now)| {
        let then = before.get(index).copied().unwrap_or_default();
        let packets = now.packets - then.packets;
        (packets != 0).then(|| (*index, packets, now.bytes - then.bytes))
    });
    let (index, packets, bytes) = grown.next()?;
    assert_eq!((packets, grown.next()), (1, None), "one packet, one count");
    Some((index, bytes))
}
