//! The forwarding decision: parse, classify, look up, schedule, rewrite.
//!
//! Safe Rust, compiled natively (tests, simulation, tracing) and into the XDP program. It knows
//! bytes through [`Frame`] and state through [`Tables`], nothing else: no helper, no map, no clock.
//! State is shared between processors and with user space, so all of it is atomics, and every
//! change of a connection is one compare-and-exchange of its word (`evenkeel_abi::Word`).

#![no_std]
#![forbid(unsafe_code)]

#[cfg(not(target_arch = "bpf"))]
extern crate alloc;

mod advert;
mod answer;
mod answer6;
mod branchless;
mod bucket;
mod buckets;
mod clients;
mod egress;
mod established;
mod fragment;
mod gate;
mod half_open;
mod hash;
mod icmp;
mod ip;
mod ipv6;
mod loads;
mod locality;
mod lookup;
mod marks;
#[cfg(not(target_arch = "bpf"))]
mod memory;
#[cfg(not(target_arch = "bpf"))]
mod mirror;
mod persistence;
mod plan;
mod process;
mod reset;
mod rounds;
mod schedule;
mod scheduler;
mod sum;
pub mod table;
pub mod tcp;
mod transport;
mod turns;

pub use advert::{hear, hear6};
pub use answer::answer;
pub use answer6::answer6;
pub use clients::note_client;
pub use established::establish;
pub use fragment::{note_first, note_fragment, place_by_address, ports_of_fragment};
pub use hash::{digest, flow_hash, slot};
pub use icmp::{entry_of, server_of_flow};
pub use ip::{Flow, folded, folded_addresses, of_group, under_prefix};
pub use ipv6::{Upper, skip_headers};
pub use loads::{least_loaded, less_loaded_of_two};
pub use locality::{Row, by_locality, replicate, row_of, thin_out};
pub use lookup::{ServiceAt, find_service};
pub use marks::{mark, mark_flow};
#[cfg(not(target_arch = "bpf"))]
pub use memory::MemoryFrame;
#[cfg(not(target_arch = "bpf"))]
pub use mirror::{Installed, install, note_client_of, remove};
pub use persistence::{note_server, persistent_server, template_digest};
pub use plan::{Plan, enter, is_asked, plan};
pub use process::{process, rare};
pub use reset::{reset, reset6};
pub use rounds::{Rounds, chunk};
pub use scheduler::{Method, schedule};
pub use transport::{Transport, chunk_of_sctp};

use core::sync::atomic::Ordering::Relaxed;

use evenkeel_abi::{
    Bucket, Clients, Costs, DropReason, Event, FlowKey, Gate, Globals, Link, Load, Router, Server,
    ServiceKey, ServiceSlot, Shared, State, Tick, Word,
};

/// The bytes of a packet, from its Ethernet header on.
///
/// Every access is checked; `None` means that the bytes are not there. An 802.1Q tag that was skipped counts for
/// nothing: offsets and lengths are as if it were not there.
pub trait Frame {
    /// Skips the tag behind the MAC addresses, if `tagged` is 1.
    fn skip_tag(&mut self, tagged: u64);

    /// Whether a tag was skipped.
    fn is_tagged(&self) -> bool;

    /// The four bytes behind the MAC addresses: the tag, if one was skipped.
    fn load_tag(&self) -> Option<[u8; 4]>;

    /// Overwrites these four bytes.
    fn store_tag(&mut self, bytes: [u8; 4]) -> Option<()>;

    /// Length of the frame in bytes.
    fn len(&self) -> usize;

    /// Whether the frame has no bytes.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The `N` bytes at `offset`.
    fn load<const N: usize>(&self, offset: usize) -> Option<[u8; N]>;

    /// Overwrites the `N` bytes at `offset`.
    fn store<const N: usize>(&mut self, offset: usize, bytes: [u8; N]) -> Option<()>;

    /// Grows the head by `N` bytes of unknown content; every offset shifts by `N`.
    fn grow_head<const N: usize>(&mut self) -> Option<()>;

    /// Cuts `N` bytes off the head; every offset shifts by `N`.
    fn shrink_head<const N: usize>(&mut self) -> Option<()>;

    /// Cuts the frame to `len` bytes.
    fn truncate(&mut self, len: usize) -> Option<()>;

    /// Turns the packet into a TCP reset, see [`reset`](fn@reset).
    ///
    /// A method, so that the program can have it verified once, and on a stack of its own.
    fn reset(&mut self, mac: u64) -> Option<()> {
        reset(self, mac)
    }

    /// Decides what becomes of a rare packet, see [`rare`](fn@rare); a method for the same reason.
    fn rare<T: Tables>(&mut self, tables: &T) -> Verdict
    where
        Self: Sized,
    {
        rare(self, tables)
    }

    /// Turns the packet into an ICMP error, see [`answer`](fn@answer); a method for the same reason.
    fn answer<T: Tables>(&mut self, tables: &T, reason: DropReason, mac: u64) -> Option<()> {
        answer(self, tables, reason, mac)
    }

    /// Notes that another director advertises one of our virtual routers, see [`hear`](fn@hear); a method for the same
    /// reason.
    fn hear<T: Tables>(&self, tables: &T, mac: u64) {
        let _heard = hear(self, tables, mac);
    }

    /// Turns the IPv6 packet into a TCP reset, see [`reset6`](fn@reset6); a method for the same reason.
    fn reset6(&mut self, mac: u64) -> Option<()> {
        reset6(self, mac)
    }

    /// Turns the IPv6 packet into an ICMPv6 error, see [`answer6`](fn@answer6); a method for the same reason.
    fn answer6<T: Tables>(&mut self, tables: &T, reason: DropReason, mac: u64) -> Option<()> {
        answer6(self, tables, reason, mac)
    }

    /// Notes that another director advertises one of our virtual routers over IPv6, see [`hear6`](fn@hear6); a method
    /// for the same reason.
    fn hear6<T: Tables>(&self, tables: &T, mac: u64) {
        let _heard = hear6(self, tables, mac);
    }

    /// The folded addresses of an IPv6 packet, see [`folded_addresses`](fn@folded_addresses); a method for the same
    /// reason.
    fn folded_addresses(&self) -> u64 {
        folded_addresses(self).unwrap_or(0)
    }

    /// Remembers the ports of a packet that is a first fragment, see [`note_first`](fn@note_first); a method for the
    /// same reason.
    fn note_first<T: Tables>(&mut self, tables: &T, service: u32, ports: u32)
    where
        Self: Sized,
    {
        note_first(self, tables, service, ports);
    }

    /// Writes the address of an IPv6 packet's client beside an entry, see [`note_client`](fn@note_client); a method for
    /// the same reason.
    fn note_client<T: Tables>(&self, tables: &T, key: &FlowKey, prefix: u32) {
        let _noted = note_client(self, tables, key, prefix);
    }

    /// What an IPv6 packet's template has in place of addresses, see [`template_digest`](fn@template_digest); a method
    /// for the same reason.
    fn template_digest<T: Tables>(&self, tables: &T, service: ServiceKey, prefix: u32) -> u64 {
        template_digest(self, tables, service, prefix).unwrap_or(0)
    }

    /// The chunk that the state of an SCTP packet goes by, see [`chunk_of_sctp`](fn@chunk_of_sctp); a method for the
    /// same reason.
    fn chunk_of_sctp(&self, header_len: usize, total_len: usize) -> u8 {
        chunk_of_sctp(self, header_len, total_len)
    }

    /// What stands behind IPv6's extension headers, see [`skip_headers`](fn@skip_headers); a method for the same
    /// reason.
    fn skip_headers(&self, first: u8, offset: usize) -> Upper {
        skip_headers(self, first, offset)
    }
}

/// Largest offset that [`Frame`] implementations accept: the verifier wants a bound.
pub const OFFSET_MAX: usize = 0x1fff;

/// The state of a data plane.
///
/// References point into memory shared with other processors and with user space.
pub trait Tables {
    /// The present time.
    fn now(&self) -> Tick;
    /// Constants.
    fn globals(&self) -> Option<&Globals>;
    /// Words that packets change.
    fn state(&self) -> Option<&State>;
    /// Index of the interface that the packet came in by.
    fn ingress(&self) -> u32;
    /// An interface that the program is attached to, by its index.
    fn link(&self, index: u32) -> Option<&Link>;
    /// Number of a virtual address's gate.
    fn gate_of(&self, address: u32) -> Option<u32>;
    /// The same of an IPv6 address, as it lies in memory.
    fn gate_of6(&self, address: &[u64; 2]) -> Option<u32>;
    /// A gate by number.
    fn gate(&self, gate: u32) -> Option<&Gate>;
    /// A virtual router by its id.
    fn router(&self, id: u32) -> Option<&Router>;
    /// The word of a service's hint.
    fn service_hint(&self, index: u32) -> Option<&Shared>;
    /// Number of a service.
    fn service_of(&self, key: &ServiceKey) -> Option<u32>;
    /// A service by number.
    fn service(&self, service: u32) -> Option<&ServiceSlot>;
    /// A real server by number.
    fn server(&self, server: u32) -> Option<&Server>;
    /// A real server's connections.
    fn server_load(&self, server: u32) -> Option<&Load>;
    /// A word of the arena.
    fn arena(&self, word: u32) -> Option<&Shared>;
    /// A bucket of the established table.
    fn conn_bucket(&self, bucket: u32) -> Option<&Bucket>;
    /// A bucket of the half-open table.
    fn bucket(&self, bucket: u32) -> Option<&Bucket>;
    /// The IPv6 clients of a bucket of the established table.
    fn conn_clients(&self, bucket: u32) -> Option<&Clients>;
    /// The IPv6 clients of a bucket of the half-open table.
    fn half_open_clients(&self, bucket: u32) -> Option<&Clients>;
    /// A word of the marks of changed buckets of the established table.
    fn changed(&self, word: u32) -> Option<&Shared>;
    /// A bucket of the table of fragments.
    fn fragment_bucket(&self, bucket: u32) -> Option<&Bucket>;
    /// The numbers of a packet's service and of its gate, see [`find_service`](fn@find_service).
    ///
    /// A method, so that the program can have it verified once and not for each way that leads to it.
    fn find_service(&self, key: &ServiceKey) -> Option<(u32, u32)> {
        find_service(self, key)
    }
    /// What becomes of a packet of no established flow, see [`plan`](fn@plan).
    ///
    /// A method, so that the program can have it verified once and not for each way that leads to it.
    fn plan(&self, service: u32, flow: &Flow, transport: Transport) -> Plan {
        plan(self, service, flow, transport)
    }
    /// The server that a template names, see [`persistent_server`](fn@persistent_server); a method for the same reason.
    fn persistent_server(&self, service: u32, template: &FlowKey) -> Option<u32> {
        persistent_server(self, service, template)
    }
    /// Notes a new flow's server in its template, see [`note_server`](fn@note_server); a method for the same reason.
    fn note_server(&self, service: u32, template: &FlowKey, server: u32) {
        note_server(self, service, template, server);
    }
    /// What an IPv6 flow's key has in place of addresses: a digest of its client's and of what it is a client of, both
    /// as they lie in memory; a method for the same reason.
    fn digest(&self, client: [u64; 2], of: [u64; 2]) -> u64 {
        let secret = self
            .globals()
            .map_or(0, |globals| globals.secret.load(Relaxed));
        digest(client, of, secret)
    }
    /// The server of a service's flow that has no entry, by what it is placed by, see [`schedule`](fn@schedule); a
    /// method for the same reason.
    ///
    /// # Errors
    /// As [`schedule`](fn@schedule).
    fn schedule(&self, at: ServiceAt, key: &FlowKey, method: Method) -> Result<u32, DropReason> {
        match schedule(self, at.service(), key, method)? {
            Some(server) => Ok(server),
            None => self.by_locality(at),
        }
    }
    /// The server that lblc or lblcr chooses, see [`by_locality`](fn@by_locality); a method for the same reason.
    ///
    /// # Errors
    /// As [`by_locality`](fn@by_locality).
    fn by_locality(&self, at: ServiceAt) -> Result<u32, DropReason> {
        by_locality(self, at)
    }
    /// What a service remembers of an address, see [`row_of`](fn@row_of); a method for the same reason.
    fn row_of(&self, at: ServiceAt) -> Option<Row> {
        row_of(self, at)
    }
    /// Makes a server a member of an address, see [`replicate`](fn@replicate); a method for the same reason.
    fn replicate(&self, row: Row, server: u32) -> Option<()> {
        replicate(self, row, server)
    }
    /// Takes the most loaded member of an address out, see [`thin_out`](fn@thin_out); a method for the same reason.
    fn thin_out(&self, row: Row) -> Option<()> {
        thin_out(self, row)
    }
    /// Enters a flow as planned, see [`enter`](fn@enter); a method for the same reason.
    fn enter(&self, key: &FlowKey, transport: Transport, plan: Plan, server: u32) -> bool {
        enter(self, key, transport, plan, server)
    }
    /// Enters a flow into the established table, see [`establish`](fn@establish); a method for the same reason.
    fn establish(&self, key: &FlowKey, hash: u32, word: Word) -> Option<u32> {
        establish(self, key, hash, word)
    }
    /// Marks a bucket of the established table as changed, see [`mark`](fn@mark); a method for the same reason.
    fn mark(&self, bucket: u32) {
        mark(self, bucket);
    }
    /// Marks the bucket that a flow stands in, see [`mark_flow`](fn@mark_flow); a method for the same reason.
    fn mark_flow(&self, key: &FlowKey) {
        mark_flow(self, key);
    }
    /// Takes the rounds of a loop, at most so many, rounded up to whole chunks.
    ///
    /// A method, so that the program can have one chunk verified and not each of them.
    fn repeat<R: Rounds>(&self, most: u32, rounds: &mut R) {
        let _over = (0..most.div_ceil(R::CHUNK)).all(|number| chunk(self, rounds, number));
    }
    /// The server that wlc and its like choose, see [`least_loaded`](fn@least_loaded).
    ///
    /// A method, so that the program can have its loop verified once and not for each way that leads to it.
    fn least_loaded(&self, costs: Costs, start: u32, len: u32) -> Option<u32> {
        least_loaded(self, costs, start, len)
    }
    /// The server that twos chooses, see [`less_loaded_of_two`](fn@less_loaded_of_two); a method for the same reason.
    fn less_loaded_of_two(&self, random: u64, start: u32, len: u32) -> Option<u32> {
        less_loaded_of_two(self, random, start, len)
    }
    /// The server of a service's flow, see [`server_of_flow`](fn@server_of_flow); a method for the same reason.
    fn server_of_flow(&self, service: u32, flow: &Flow) -> Option<u32> {
        server_of_flow(self, service, flow)
    }
    /// The service and server of a fragment, see [`place_by_address`](fn@place_by_address); a method for the same reason.
    ///
    /// # Errors
    /// As [`place_by_address`](fn@place_by_address).
    fn place_by_address(&self, gate: u32, key: &FlowKey) -> Result<(u32, u32), DropReason> {
        place_by_address(self, gate, key)
    }
    /// The service and ports of a fragment's packet, see [`ports_of_fragment`](fn@ports_of_fragment); a method for
    /// the same reason.
    fn ports_of_fragment(&self, key: &FlowKey) -> Option<(u32, u32)> {
        ports_of_fragment(self, key)
    }
    /// Remembers a first fragment's ports, see [`note_fragment`](fn@note_fragment); a method for the same reason.
    fn note_fragment(&self, key: &FlowKey, service: u32, ports: u32) {
        note_fragment(self, key, service, ports);
    }
    /// Notes the interface of [`Verdict::Redirect`], whose number the program would have to keep on all ways to its
    /// end otherwise, those that have none too.
    fn leave_by(&self, _interface: u32) {}
    /// Counts a packet that was forwarded, and its flow if it is a new one.
    fn count(&self, service: u32, server: u32, bytes: u64, new_flow: bool);
    /// Counts a drop.
    fn count_drop(&self, reason: DropReason);
    /// Counts an event.
    fn count_event(&self, event: Event);
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Up to the stack, untouched.
    Pass,
    /// Dropped and counted.
    Drop(DropReason),
    /// Out of the interface that it came in by.
    Transmit,
    /// Out of the interface of this index.
    Redirect(u32),
}
