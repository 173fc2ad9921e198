//! The maps, and the data plane's view of them.
//!
//! The sizes of the tables that grow with connections are set when the object is loaded.

use core::ffi::c_void;
use core::ptr::from_mut;
use core::sync::atomic::Ordering::Relaxed;

use aya_ebpf::bindings::BPF_F_MMAPABLE;
use aya_ebpf::btf_maps::{Array, HashMap, PerCpuArray};
use aya_ebpf::helpers::{bpf_jiffies64, bpf_loop, bpf_redirect};
use aya_ebpf::macros::btf_map;
use evenkeel_abi::{
    ARENA_WORDS, Bucket, Clients, Costs, DropReason, Event, FRAGMENT_BUCKETS, FlowKey, GATES_MAX, Gate,
    Globals, HINTS, LINKS_MAX, Link, Load, ROUTERS_MAX, Router, SERVERS_MAX, SERVICES_MAX, Server,
    ServiceKey, ServiceSlot, Shared, State, Stats, Tick, Word, high, low, mark_words,
};
use evenkeel_datapath::{Flow, Method, Plan, Rounds, Row, ServiceAt, Tables, Transport};

use crate::functions::{
    BY_LOCALITY, EARLY, FULL, INTERNAL, NO_BUCKET, NO_SERVER, evenkeel_by_locality, evenkeel_digest, evenkeel_enter, evenkeel_establish, evenkeel_find_service,
    evenkeel_least_loaded, evenkeel_less_loaded_of_two, evenkeel_mark, evenkeel_mark_flow, evenkeel_note_fragment,
    evenkeel_note_server, evenkeel_persistent_server, evenkeel_place_by_address, evenkeel_plan,
    evenkeel_ports_of_fragment, evenkeel_replicate, evenkeel_row_of, evenkeel_schedule, evenkeel_server_of_flow, evenkeel_thin_out, run_chunk,
};

const MMAPABLE: usize = BPF_F_MMAPABLE as usize;

/// A value of a map that only this program and user space write.
macro_rules! array {
    ($name:ident, $value:ty, $max:expr) => {
        #[btf_map]
        static $name: Array<$value, { $max as usize }, MMAPABLE> = Array::new();
    };
}

array!(GLOBALS, Globals, 1);
array!(STATE, State, 1);
array!(LINKS, Link, LINKS_MAX);
array!(GATES, Gate, GATES_MAX);
array!(ROUTERS, Router, ROUTERS_MAX);
array!(SERVICE_HINTS, Shared, HINTS);
array!(SERVICES, ServiceSlot, SERVICES_MAX);
array!(SERVERS, Server, SERVERS_MAX);
array!(LOADS, Load, SERVERS_MAX);
array!(ARENA, Shared, ARENA_WORDS);
array!(CONNS, Bucket, 1 << 18);
array!(HALF_OPEN, Bucket, 1 << 13);
array!(CONN_CLIENTS, Clients, 1 << 18);
array!(HALF_OPEN_CLIENTS, Clients, 1 << 13);
array!(CHANGED, Shared, mark_words(1 << 18));
array!(FRAGMENTS, Bucket, FRAGMENT_BUCKETS);

#[btf_map]
static VIPS: HashMap<u32, u32, { GATES_MAX as usize }> = HashMap::new();
#[btf_map]
static VIPS6: HashMap<[u64; 2], u32, { GATES_MAX as usize }> = HashMap::new();
#[btf_map]
static SERVICE_IDS: HashMap<ServiceKey, u32, { SERVICES_MAX as usize }> = HashMap::new();
#[btf_map]
static SERVICE_STATS: PerCpuArray<Stats, { SERVICES_MAX as usize }> = PerCpuArray::new();
#[btf_map]
static SERVER_STATS: PerCpuArray<Stats, { SERVERS_MAX as usize }> = PerCpuArray::new();
#[btf_map]
static DROPS: PerCpuArray<u64, { DropReason::ALL.len() }> = PerCpuArray::new();
#[btf_map]
static EVENTS: PerCpuArray<u64, { Event::ALL.len() }> = PerCpuArray::new();

/// The maps of this program, as a packet sees them.
pub struct Maps {
    ingress: u32,
}

impl Maps {
    /// For a packet that came in by the interface of this index.
    #[inline(always)]
    pub const fn on(ingress: u32) -> Self {
        Self { ingress }
    }
}

/// For what does not ask where the packet came from.
pub(crate) const ANYWHERE: Maps = Maps::on(0);

/// Adds a packet to this processor's entry.
#[inline(always)]
fn add(stats: *mut Stats, bytes: u64, conns: u64) {
    // SAFETY: the map gave the pointer; the entry is this processor's, whose programs don't interrupt each other.
    let stats = unsafe { &mut *stats };
    stats.conns += conns;
    stats.packets += 1;
    stats.bytes += bytes;
}

/// Adds one to this processor's counter.
#[inline(always)]
fn increment(counter: *mut u64) {
    // SAFETY: the map gave the pointer; the counter is this processor's, whose programs don't interrupt each other.
    unsafe { *counter += 1 };
}

impl Tables for Maps {
    #[inline(always)]
    fn now(&self) -> Tick {
        let jiffy = GLOBALS
            .get(0)
            .map_or(0, |globals| globals.jiffy_ns.load(Relaxed));
        // SAFETY: takes nothing, returns a number.
        Tick::from_ns(unsafe { bpf_jiffies64() }.wrapping_mul(jiffy))
    }

    #[inline(always)]
    fn globals(&self) -> Option<&Globals> {
        GLOBALS.get(0)
    }

    #[inline(always)]
    fn state(&self) -> Option<&State> {
        STATE.get(0)
    }

    #[inline(always)]
    fn ingress(&self) -> u32 {
        self.ingress
    }

    #[inline(always)]
    fn link(&self, index: u32) -> Option<&Link> {
        LINKS
            .get(index & (LINKS_MAX - 1))
            .filter(|link| link.index.load(Relaxed) == u64::from(index))
    }

    #[inline(always)]
    fn gate_of(&self, address: u32) -> Option<u32> {
        // SAFETY: the value is copied at once; user space never changes it while the key stands.
        unsafe { VIPS.get(address) }.copied()
    }

    #[inline(always)]
    fn gate_of6(&self, address: &[u64; 2]) -> Option<u32> {
        // SAFETY: the value is copied at once; user space never changes it while the key stands.
        unsafe { VIPS6.get(address) }.copied()
    }

    #[inline(always)]
    fn gate(&self, gate: u32) -> Option<&Gate> {
        GATES.get(gate)
    }

    #[inline(always)]
    fn router(&self, id: u32) -> Option<&Router> {
        ROUTERS.get(id)
    }

    #[inline(always)]
    fn service_hint(&self, index: u32) -> Option<&Shared> {
        SERVICE_HINTS.get(index)
    }

    #[inline(always)]
    fn service_of(&self, key: &ServiceKey) -> Option<u32> {
        // SAFETY: the value is copied at once; user space never changes it while the key stands.
        unsafe { SERVICE_IDS.get(key) }.copied()
    }

    #[inline(always)]
    fn service(&self, service: u32) -> Option<&ServiceSlot> {
        SERVICES.get(service)
    }

    #[inline(always)]
    fn server(&self, server: u32) -> Option<&Server> {
        SERVERS.get(server)
    }

    #[inline(always)]
    fn server_load(&self, server: u32) -> Option<&Load> {
        LOADS.get(server)
    }

    #[inline(always)]
    fn arena(&self, word: u32) -> Option<&Shared> {
        ARENA.get(word)
    }

    #[inline(always)]
    fn conn_bucket(&self, bucket: u32) -> Option<&Bucket> {
        CONNS.get(bucket)
    }

    #[inline(always)]
    fn bucket(&self, bucket: u32) -> Option<&Bucket> {
        HALF_OPEN.get(bucket)
    }

    #[inline(always)]
    fn conn_clients(&self, bucket: u32) -> Option<&Clients> {
        CONN_CLIENTS.get(bucket)
    }

    #[inline(always)]
    fn half_open_clients(&self, bucket: u32) -> Option<&Clients> {
        HALF_OPEN_CLIENTS.get(bucket)
    }

    #[inline(always)]
    fn changed(&self, word: u32) -> Option<&Shared> {
        CHANGED.get(word)
    }

    #[inline(always)]
    fn fragment_bucket(&self, bucket: u32) -> Option<&Bucket> {
        FRAGMENTS.get(bucket)
    }

    #[inline(always)]
    fn place_by_address(&self, gate: u32, key: &FlowKey) -> Result<(u32, u32), DropReason> {
        match evenkeel_place_by_address(gate, key.addresses, key.ports_protocol) {
            NO_SERVER => Err(DropReason::NoServer),
            INTERNAL => Err(DropReason::Internal),
            EARLY => Err(DropReason::FragmentEarly),
            found => Ok((low(found), high(found))),
        }
    }

    #[inline(always)]
    fn ports_of_fragment(&self, key: &FlowKey) -> Option<(u32, u32)> {
        let found = evenkeel_ports_of_fragment(key.addresses, key.ports_protocol);
        (found != EARLY).then_some((low(found), high(found)))
    }

    #[inline(always)]
    fn note_fragment(&self, key: &FlowKey, service: u32, ports: u32) {
        evenkeel_note_fragment(key.addresses, key.ports_protocol, service, ports);
    }

    #[inline(always)]
    fn least_loaded(&self, costs: Costs, start: u32, len: u32) -> Option<u32> {
        let number = evenkeel_least_loaded(costs.0, start, len);
        (number != NO_SERVER).then_some(number as u32)
    }

    #[inline(always)]
    fn repeat<R: Rounds>(&self, most: u32, rounds: &mut R) {
        let chunks = most.div_ceil(R::CHUNK);
        let callback: extern "C" fn(u64, *mut c_void) -> i64 = run_chunk::<R>;
        // SAFETY: the callback has the type that the helper calls, and takes the pointer for what it is.
        unsafe { bpf_loop(chunks, callback as *mut c_void, from_mut(rounds).cast(), 0) };
    }

    #[inline(always)]
    fn find_service(&self, key: &ServiceKey) -> Option<(u32, u32)> {
        let found = evenkeel_find_service(key.address, key.port_protocol);
        (found != NO_SERVER).then_some((low(found), high(found)))
    }

    fn plan(&self, service: u32, Flow { key, placing }: &Flow, transport: Transport) -> Plan {
        Plan(evenkeel_plan(
            service,
            key.addresses,
            key.ports_protocol,
            placing.addresses,
            transport.packed(),
        ))
    }

    #[inline(always)]
    fn persistent_server(&self, service: u32, key: &FlowKey) -> Option<u32> {
        let server = evenkeel_persistent_server(service, key.addresses, key.ports_protocol);
        (server != NO_SERVER).then_some(server as u32)
    }

    #[inline(always)]
    fn note_server(&self, service: u32, key: &FlowKey, server: u32) {
        evenkeel_note_server(service, key.addresses, key.ports_protocol, server);
    }

    #[inline(always)]
    fn digest(&self, client: [u64; 2], of: [u64; 2]) -> u64 {
        evenkeel_digest(client[0], client[1], of[0], of[1])
    }

    #[inline(always)]
    fn schedule(&self, at: ServiceAt, key: &FlowKey, method: Method) -> Result<u32, DropReason> {
        match evenkeel_schedule(at.service(), key.addresses, key.ports_protocol, method as u64) {
            NO_SERVER => Err(DropReason::NoServer),
            FULL => Err(DropReason::TableFull),
            INTERNAL => Err(DropReason::Internal),
            BY_LOCALITY => self.by_locality(at),
            server => Ok(server as u32),
        }
    }

    #[inline(always)]
    fn by_locality(&self, at: ServiceAt) -> Result<u32, DropReason> {
        match evenkeel_by_locality(at.0) {
            NO_SERVER => Err(DropReason::NoServer),
            INTERNAL => Err(DropReason::Internal),
            server => Ok(server as u32),
        }
    }

    #[inline(always)]
    fn row_of(&self, at: ServiceAt) -> Option<Row> {
        let row = evenkeel_row_of(at.0);
        (row != NO_SERVER).then_some(Row::unpacked(row))
    }

    #[inline(always)]
    fn replicate(&self, row: Row, server: u32) -> Option<()> {
        evenkeel_replicate(row.packed(), server);
        Some(())
    }

    #[inline(always)]
    fn thin_out(&self, row: Row) -> Option<()> {
        evenkeel_thin_out(row.packed());
        Some(())
    }

    #[inline(always)]
    fn enter(&self, key: &FlowKey, transport: Transport, plan: Plan, server: u32) -> bool {
        evenkeel_enter(
            key.addresses,
            key.ports_protocol,
            transport.packed(),
            plan.0,
            server,
        ) != 0
    }

    #[inline(always)]
    fn establish(&self, key: &FlowKey, hash: u32, word: Word) -> Option<u32> {
        let bucket = evenkeel_establish(key.addresses, key.ports_protocol, hash, word.0);
        (bucket != NO_BUCKET).then_some(bucket as u32)
    }

    #[inline(always)]
    fn mark(&self, bucket: u32) {
        evenkeel_mark(bucket);
    }

    #[inline(always)]
    fn mark_flow(&self, key: &FlowKey) {
        evenkeel_mark_flow(key.addresses, key.ports_protocol);
    }

    #[inline(always)]
    fn less_loaded_of_two(&self, random: u64, start: u32, len: u32) -> Option<u32> {
        let number = evenkeel_less_loaded_of_two(random, start, len);
        (number != NO_SERVER).then_some(number as u32)
    }

    #[inline(always)]
    fn server_of_flow(&self, service: u32, Flow { key, placing }: &Flow) -> Option<u32> {
        let number = evenkeel_server_of_flow(
            service,
            key.addresses,
            key.ports_protocol,
            placing.addresses,
        );
        (number != NO_SERVER).then_some(number as u32)
    }

    #[inline(always)]
    fn leave_by(&self, interface: u32) {
        // SAFETY: takes numbers; what it returns is `XDP_REDIRECT`, for no flag is set.
        unsafe { bpf_redirect(interface, 0) };
    }

    #[inline(always)]
    fn count(&self, service: u32, server: u32, bytes: u64, new_flow: bool) {
        let conns = u64::from(new_flow);
        if let Some(s) = SERVICE_STATS.get_ptr_mut(service) {
            add(s, bytes, conns);
        }
        if let Some(s) = SERVER_STATS.get_ptr_mut(server) {
            add(s, bytes, conns);
        }
    }

    #[inline(always)]
    fn count_drop(&self, reason: DropReason) {
        if let Some(n) = DROPS.get_ptr_mut(reason as u32) {
            increment(n);
        }
    }

    #[inline(always)]
    fn count_event(&self, event: Event) {
        if let Some(n) = EVENTS.get_ptr_mut(event as u32) {
            increment(n);
        }
    }
}
