//! Where a packet would go, and why: the decision itself, run on a view of the maps that changes nothing.

mod copies;
mod frame;
mod view;

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::Ordering::{Acquire, Relaxed};
use std::time::Duration;

use evenkeel_abi::{ConnState, DropReason, Event, FlowKey, Server, Tick, Word};
use evenkeel_datapath::{MemoryFrame, Tables as _, Verdict, process};
use evenkeel_model::{Forwarding, GateState, Hop, MacAddress, Protocol, Scheduler};

use crate::convert::{
    address_word, address6_words, forwarding, hop, packet_key, scheduler, server_address, with_port,
};
use crate::error::ReadError;
use crate::placement::{placed_by, ports_word};
use crate::plane::DataPlane;
use crate::trace::view::{Counted, Entry, View};

/// A packet without data to trace; both addresses are of one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TracePacket {
    /// Its protocol.
    pub protocol: Protocol,
    /// The client, who sends it.
    pub client: SocketAddr,
    /// The virtual address and port that it is for.
    pub address: SocketAddr,
    /// TCP's flags; of no meaning with UDP.
    pub flags: u8,
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Up to this host's own stack, untouched.
    Passed,
    /// On to the server.
    Forwarded,
    /// Dropped, and its sender told by an ICMP error.
    Answered(DropReason),
    /// Dropped.
    Dropped(DropReason),
}

/// How the server of a packet is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chosen {
    /// By the flow's entry.
    Entry,
    /// By the scheduler: the packet begins a flow.
    Scheduler,
    /// By persistence: the packet begins a flow, and the client's template names the server.
    Template,
    /// By the scheduler: the packet begins its flow anew, in the place of the entry.
    SchedulerAnew,
    /// By the consistent hash: no table knows the flow.
    HashUnknown,
    /// By the consistent hash: flood mode.
    HashFlood,
    /// By the consistent hash: user space asked for that.
    HashAsked,
    /// By the consistent hash: too many connections, or too many unassured ones.
    HashFull,
    /// By the consistent hash without quiesced servers, for the whole one names such a server; in flood mode,
    /// with too many connections, or when user space asked for that.
    HashFresh,
}

/// A flow's entry in a connection table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TracedEntry {
    /// Whether it stands in the half-open table.
    pub half_open: bool,
    /// Its state.
    pub state: ConnState,
    /// Time until it expires; zero if it has expired.
    pub expires: Duration,
    /// Whether a client's packet confirmed it a second or more after its first.
    pub assured: bool,
    /// Its real server.
    pub server: SocketAddr,
}

/// The server of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TracedServer {
    /// Address and port.
    pub address: SocketAddr,
    /// How packets reach it.
    pub forwarding: Forwarding,
    /// Whom they are sent to.
    pub hop: Hop,
}

/// Where a packet would go, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// What becomes of it.
    pub fate: Fate,
    /// The gate of its address as it acts; `None`: that is no virtual address of this director.
    pub gate: Option<GateState>,
    /// The scheduler of its service; `None`: there is no such service.
    pub scheduler: Option<Scheduler>,
    /// How its server was chosen.
    pub chosen: Option<Chosen>,
    /// Its server, if it goes to one.
    pub server: Option<TracedServer>,
    /// The flow's entry as it is.
    pub entry: Option<TracedEntry>,
    /// The flow's entry as the packet would leave it.
    pub entry_after: Option<TracedEntry>,
    /// What would be counted besides.
    pub events: Vec<Event>,
}

impl DataPlane {
    /// Says where a packet would go now. No map changes by it: no entry, no cursor, no counter.
    ///
    /// # Errors
    /// If a map can't be read.
    pub fn trace(&self, packet: &TracePacket) -> Result<Trace, ReadError> {
        let view = View::new(&self.tables, self.link_index, self.tables.now());
        let key = flow_of(&view, packet);
        // What is looked up here stands in the view's copies, and the decision meets the same.
        let (before, pressed) = (view.entry(&key), view.is_pressed());
        let (verdict, _frame) = decide(&view, &frame::build(packet, self.mac()));
        let after = view.entry(&key);
        let (counted, port) = (view.counted.get(), packet.address.port());
        let trace = Trace {
            fate: fate(verdict, view.dropped.get()),
            gate: self.traced_gate(&view, packet),
            scheduler: scheduler_of(&view, packet),
            chosen: counted.and_then(|counted| chosen(&view, counted, before, pressed)),
            server: counted.and_then(|counted| server(&view, counted, port)),
            entry: before.and_then(|entry| traced_entry(&view, entry, port)),
            entry_after: after.and_then(|entry| traced_entry(&view, entry, port)),
            events: view.events.take(),
        };
        view.check().map(|()| trace)
    }

    /// Says what would become of a frame now, `XDP_DROP` 1, `XDP_PASS` 2, `XDP_TX` 3 or `XDP_REDIRECT` 4, and how it would look then;
    /// changes nothing, as [`trace`](Self::trace).
    ///
    /// # Errors
    /// If a map can't be read.
    pub fn trace_frame(&self, frame: &[u8]) -> Result<(u32, Vec<u8>), ReadError> {
        let view = View::new(&self.tables, self.link_index, self.tables.now());
        let (verdict, frame) = decide(&view, frame);
        let number = match verdict {
            Verdict::Drop(_) => 1,
            Verdict::Pass => 2,
            Verdict::Transmit => 3,
            Verdict::Redirect(_) => 4,
        };
        view.check().map(|()| (number, frame.bytes().to_vec()))
    }

    /// The interface's hardware address, as the program knows it.
    fn mac(&self) -> MacAddress {
        let link = self.tables.link(self.link_index);
        let word = link.map_or(0, |link| link.mac.load(Relaxed));
        MacAddress(Server::unpack_mac(word))
    }

    fn traced_gate(&self, view: &View<'_>, packet: &TracePacket) -> Option<GateState> {
        let address = packet.address.ip();
        gate_number(view, address)?;
        Some(self.gate_of(address))
    }
}

/// The decision, on the view.
#[inline(never)]
fn decide(view: &View<'_>, frame: &[u8]) -> (Verdict, MemoryFrame) {
    let mut frame = MemoryFrame::new(frame);
    let verdict = process(&mut frame, view);
    (verdict, frame)
}

fn fate(verdict: Verdict, dropped: Option<DropReason>) -> Fate {
    match (verdict, dropped) {
        (Verdict::Pass, _) => Fate::Passed,
        (Verdict::Transmit | Verdict::Redirect(_), None) => Fate::Forwarded,
        (Verdict::Transmit | Verdict::Redirect(_), Some(reason)) => Fate::Answered(reason),
        (Verdict::Drop(reason), _) => Fate::Dropped(reason),
    }
}

/// How the server was chosen, told from what was there before and what was noted on the way.
fn chosen(
    view: &View<'_>,
    counted: Counted,
    before: Option<Entry>,
    pressed: bool,
) -> Option<Chosen> {
    let events = view.events.borrow();
    let hashed = events.iter().find_map(|event| match event {
        Event::UnknownFlow => Some(Chosen::HashUnknown),
        Event::FloodSyn => Some(Chosen::HashFlood),
        Event::FullSyn => Some(Chosen::HashFull),
        Event::AskedSyn => Some(Chosen::HashAsked),
        Event::Evicted | Event::FloodBegan | Event::FragmentEvicted => None,
    });
    Some(match (hashed, before) {
        (Some(hashed), _) => hashed,
        (None, _) if view.by_template.get() => Chosen::Template,
        (None, Some(_)) if counted.new_flow => Chosen::SchedulerAnew,
        (None, None) if !counted.new_flow => return None,
        (None, Some(_)) => Chosen::Entry,
        (None, None) if pressed => Chosen::HashFresh,
        (None, None) => Chosen::Scheduler,
    })
}

fn server(view: &View<'_>, counted: Counted, port: u16) -> Option<TracedServer> {
    let server = view.server(counted.server)?;
    let mac = server.mac.load(Acquire);
    Some(TracedServer {
        address: with_port(server_address(server), port),
        forwarding: forwarding(mac),
        hop: hop(server),
    })
}

fn scheduler_of(view: &View<'_>, packet: &TracePacket) -> Option<Scheduler> {
    let (address, port) = (packet.address.ip(), packet.address.port());
    let gate = gate_number(view, address).unwrap_or(u32::MAX);
    let key = packet_key(packet.protocol, address, port, gate);
    let counted = view.counted.get().map(|counted| counted.service);
    let found = || Some(view.find_service(&key)?.0);
    let slot = view.service(counted.or_else(found)?)?;
    let half = usize::try_from(slot.select.load(Acquire) & 1).ok()?;
    let service = slot.halves.get(half)?;
    scheduler(service.scheduler.load(Relaxed))
}

fn gate_number(view: &View<'_>, address: IpAddr) -> Option<u32> {
    match address {
        IpAddr::V4(address) => view.gate_of(address_word(address)),
        IpAddr::V6(address) => view.gate_of6(&address6_words(address)),
    }
}

fn flow_of(view: &View<'_>, packet: &TracePacket) -> FlowKey {
    let (client, address) = (packet.client, packet.address);
    let (IpAddr::V6(of), IpAddr::V6(to)) = (client.ip(), address.ip()) else {
        return placed_by(client, address, packet.protocol);
    };
    let digest = view.digest(address6_words(of), address6_words(to));
    let ports = ports_word(client.port(), address.port());
    FlowKey::v6(digest, ports, packet.protocol.number())
}

fn traced_entry(view: &View<'_>, entry: Entry, port: u16) -> Option<TracedEntry> {
    let word: Word = entry.word();
    let half_open = matches!(entry, Entry::HalfOpen(_));
    let state = ConnState::ALL.get(usize::from(word.state()));
    let ticks = word.expiry().0.saturating_sub(view.now().0);
    Some(TracedEntry {
        half_open,
        state: state.copied().unwrap_or(ConnState::None),
        expires: Duration::from_nanos(ticks << Tick::SHIFT),
        assured: !half_open && !word.is_unassured(),
        server: with_port(server_address(view.server(word.server())?), port),
    })
}
