//! The maps, and the data plane's view of them.
//!
//! The sizes of the tables that grow with connections are set when the object is loaded.

use core::ffi::c_void;
use core::ptr::from_mut;
use core::sync::atomic::Ordering::Relaxed;

use aya_ebpf::bindings::BPF_F_MMAPABLE;
use aya_ebpf::btf_maps::{Array, HashMap, PerCpuArray};
use aya_ebpf::helpers::{bpf_jiffies64, bpf_loop};
use aya_ebpf::macros::btf_map;
use evenkeel_abi::{
    ARENA_WORDS, Bucket, Costs, DropReason, Event, FRAGMENT_BUCKETS, FlowKey, GATES_MAX, Gate,
    Globals, HINTS, LINKS_MAX, Link, Load, ROUTERS_MAX, Router, SERVERS_MAX, SERVICES_MAX, Server,
    ServiceKey, ServiceSlot, Shared, State, Stats, Tick, Word, high, low, pair,
};
use evenkeel_datapath::{
    Method, Plan, Rounds, Tables, Transport, chunk, enter, establish, find_service, least_loaded, less_loaded_of_two,
    note_fragment, place_by_address, plan, ports_of_fragment, schedule, server_of_flow,
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
array!(FRAGMENTS, Bucket, FRAGMENT_BUCKETS);

#[btf_map]
static VIPS: HashMap<u32, u32, { GATES_MAX as usize }> = HashMap::new();
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
const ANYWHERE: Maps = Maps::on(0);

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

/// What [`evenkeel_least_loaded`] returns if there is no server; no number is as high.
const NO_SERVER: u64 = u64::MAX;
/// What [`evenkeel_schedule`] returns if the maps contradict each other.
const INTERNAL: u64 = u64::MAX - 1;
/// What [`evenkeel_place_by_address`] and [`evenkeel_ports_of_fragment`] return if nothing is known of the packet.
const EARLY: u64 = u64::MAX - 2;
/// What [`evenkeel_schedule`] returns if the flow needs an entry and can't have one.
const FULL: u64 = u64::MAX - 3;

/// A chunk of a loop, which `bpf_loop` calls; 1 ends the loop.
extern "C" fn run_chunk<R: Rounds>(number: u64, rounds: *mut c_void) -> i64 {
    // SAFETY: `repeat` gave the pointer to what it borrows until the loop is over.
    let rounds = unsafe { &mut *rounds.cast::<R>() };
    i64::from(!chunk(&ANYWHERE, rounds, number as u32))
}

/// A function of its own, global, so that the kernel verifies its loop over all servers once.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn evenkeel_least_loaded(costs: u64, start: u32, len: u32) -> u64 {
    least_loaded(&ANYWHERE, Costs(costs), start, len).map_or(NO_SERVER, u64::from)
}

/// As [`evenkeel_least_loaded`], so that the kernel verifies it once.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn evenkeel_less_loaded_of_two(random: u64, start: u32, len: u32) -> u64 {
    less_loaded_of_two(&ANYWHERE, random, start, len).map_or(NO_SERVER, u64::from)
}

/// As [`evenkeel_least_loaded`]; the service in the low half, the gate in the high one.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn evenkeel_find_service(address: u32, port_protocol: u32) -> u64 {
    let key = ServiceKey {
        address,
        port_protocol,
    };
    find_service(&ANYWHERE, &key).map_or(NO_SERVER, |(service, gate)| pair(service, gate))
}

/// As [`evenkeel_least_loaded`]; key, transport and plan come as numbers.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn evenkeel_plan(
    service: u32,
    addresses: u64,
    ports_protocol: u64,
    transport: u64,
) -> u64 {
    let key = FlowKey {
        addresses,
        ports_protocol,
    };
    plan(&ANYWHERE, service, &key, Transport::unpacked(transport)).0
}

/// As [`evenkeel_plan`]; a reason not to place the flow is above all numbers.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn evenkeel_schedule(
    service: u32,
    addresses: u64,
    ports_protocol: u64,
    method: u64,
) -> u64 {
    let key = FlowKey {
        addresses,
        ports_protocol,
    };
    match schedule(&ANYWHERE, service, &key, Method::of(method)) {
        Ok(server) => server.into(),
        Err(DropReason::NoServer) => NO_SERVER,
        Err(DropReason::TableFull) => FULL,
        Err(_) => INTERNAL,
    }
}

/// As [`evenkeel_plan`]; 1 unless another packet took the flow's place.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn evenkeel_enter(
    addresses: u64,
    ports_protocol: u64,
    transport: u64,
    plan: u64,
    server: u32,
) -> u64 {
    let key = FlowKey {
        addresses,
        ports_protocol,
    };
    enter(
        &ANYWHERE,
        &key,
        Transport::unpacked(transport),
        Plan(plan),
        server,
    )
    .into()
}

/// As [`evenkeel_least_loaded`]; 1 if the flow stands in the table afterwards.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn evenkeel_establish(addresses: u64, ports_protocol: u64, hash: u32, word: u64) -> u64 {
    let key = FlowKey {
        addresses,
        ports_protocol,
    };
    establish(&ANYWHERE, &key, hash, Word(word)).into()
}

/// As [`evenkeel_least_loaded`], so that the kernel verifies it once; the key comes in two words.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn evenkeel_server_of_flow(service: u32, addresses: u64, ports_protocol: u64) -> u64 {
    let key = FlowKey {
        addresses,
        ports_protocol,
    };
    server_of_flow(&ANYWHERE, service, &key).map_or(NO_SERVER, u64::from)
}

/// As [`evenkeel_least_loaded`]; the service in the low half, the server in the high one.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn evenkeel_place_by_address(addresses: u64, identification_protocol: u64) -> u64 {
    let key = FlowKey {
        addresses,
        ports_protocol: identification_protocol,
    };
    match place_by_address(&ANYWHERE, &key) {
        Ok((service, server)) => pair(service, server),
        Err(DropReason::NoServer) => NO_SERVER,
        Err(DropReason::FragmentEarly) => EARLY,
        Err(_) => INTERNAL,
    }
}

/// As [`evenkeel_least_loaded`]; the service in the low half, the ports in the high one.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn evenkeel_ports_of_fragment(addresses: u64, identification_protocol: u64) -> u64 {
    let key = FlowKey {
        addresses,
        ports_protocol: identification_protocol,
    };
    ports_of_fragment(&ANYWHERE, &key).map_or(EARLY, |(service, ports)| pair(service, ports))
}

/// As [`evenkeel_least_loaded`]; returns nothing, which such a function can't.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn evenkeel_note_fragment(
    addresses: u64,
    identification_protocol: u64,
    service: u32,
    ports: u32,
) -> u64 {
    let key = FlowKey {
        addresses,
        ports_protocol: identification_protocol,
    };
    note_fragment(&ANYWHERE, &key, service, ports);
    0
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
    fn fragment_bucket(&self, bucket: u32) -> Option<&Bucket> {
        FRAGMENTS.get(bucket)
    }

    #[inline(always)]
    fn place_by_address(&self, key: &FlowKey) -> Result<(u32, u32), DropReason> {
        match evenkeel_place_by_address(key.addresses, key.ports_protocol) {
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

    fn plan(&self, service: u32, key: &FlowKey, transport: Transport) -> Plan {
        Plan(evenkeel_plan(
            service,
            key.addresses,
            key.ports_protocol,
            transport.packed(),
        ))
    }

    #[inline(always)]
    fn schedule(&self, service: u32, key: &FlowKey, method: Method) -> Result<u32, DropReason> {
        match evenkeel_schedule(service, key.addresses, key.ports_protocol, method as u64) {
            NO_SERVER => Err(DropReason::NoServer),
            FULL => Err(DropReason::TableFull),
            INTERNAL => Err(DropReason::Internal),
            server => Ok(server as u32),
        }
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
    fn establish(&self, key: &FlowKey, hash: u32, word: Word) -> bool {
        evenkeel_establish(key.addresses, key.ports_protocol, hash, word.0) != 0
    }

    #[inline(always)]
    fn less_loaded_of_two(&self, random: u64, start: u32, len: u32) -> Option<u32> {
        let number = evenkeel_less_loaded_of_two(random, start, len);
        (number != NO_SERVER).then_some(number as u32)
    }

    #[inline(always)]
    fn server_of_flow(&self, service: u32, key: &FlowKey) -> Option<u32> {
        let number = evenkeel_server_of_flow(service, key.addresses, key.ports_protocol);
        (number != NO_SERVER).then_some(number as u32)
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
