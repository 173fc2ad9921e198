//! Functions of their own, global, so that the kernel verifies each once, whatever calls it; they take and return
//! numbers alone.

use core::ffi::c_void;
use core::sync::atomic::Ordering::Relaxed;

use evenkeel_abi::{Costs, DropReason, FlowKey, ServiceKey, Word, pair};
use evenkeel_datapath::{
    Flow, Method, Plan, Rounds, Row, ServiceAt, Tables as _, Transport, by_locality, chunk, digest, enter, establish, find_service, least_loaded,
    less_loaded_of_two, mark, mark_flow, note_fragment, note_server, persistent_server, place_by_address, plan, replicate, row_of,
    ports_of_fragment, schedule, server_of_flow, thin_out,
};

use crate::tables::ANYWHERE;

/// What [`evenkeel_least_loaded`] returns if there is no server; no number is as high.
pub(crate) const NO_SERVER: u64 = u64::MAX;
/// What [`evenkeel_establish`] returns if the flow was not entered; no number is as high.
pub(crate) const NO_BUCKET: u64 = u64::MAX;
/// What [`evenkeel_schedule`] returns if the maps contradict each other.
pub(crate) const INTERNAL: u64 = u64::MAX - 1;
/// What [`evenkeel_place_by_address`] and [`evenkeel_ports_of_fragment`] return if nothing is known of the packet.
pub(crate) const EARLY: u64 = u64::MAX - 2;
/// What [`evenkeel_schedule`] returns if the flow needs an entry and can't have one.
pub(crate) const FULL: u64 = u64::MAX - 3;
/// What [`evenkeel_schedule`] returns if [`evenkeel_by_locality`] is to be asked.
pub(crate) const BY_LOCALITY: u64 = u64::MAX - 4;

/// A chunk of a loop, which `bpf_loop` calls; 1 ends the loop.
pub(crate) extern "C" fn run_chunk<R: Rounds>(number: u64, rounds: *mut c_void) -> i64 {
    // SAFETY: `repeat` gave the pointer to what it borrows until the loop is over.
    let rounds = unsafe { &mut *rounds.cast::<R>() };
    i64::from(!chunk(&ANYWHERE, rounds, number as u32))
}

/// A flow's key of its two words.
#[inline(always)]
const fn key(addresses: u64, ports_protocol: u64) -> FlowKey {
    FlowKey {
        addresses,
        ports_protocol,
    }
}

/// A flow of its key's words and the first word of what it is placed by.
#[inline(always)]
const fn flow(addresses: u64, ports_protocol: u64, placed_by: u64) -> Flow {
    Flow::new(key(addresses, ports_protocol), placed_by)
}

/// A function of its own, global, so that the kernel verifies its loop over all servers once.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn evenkeel_least_loaded(costs: u64, start: u32, len: u32) -> u64 {
    least_loaded(&ANYWHERE, Costs(costs), start, len).map_or(NO_SERVER, u64::from)
}

/// As [`evenkeel_least_loaded`], so that the kernel verifies it once.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn evenkeel_less_loaded_of_two(random: u64, start: u32, len: u32) -> u64 {
    less_loaded_of_two(&ANYWHERE, random, start, len).map_or(NO_SERVER, u64::from)
}

/// As [`evenkeel_least_loaded`]; the service in the low half, the gate in the high one.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn evenkeel_find_service(address: u32, port_protocol: u32) -> u64 {
    let key = ServiceKey {
        address,
        port_protocol,
    };
    find_service(&ANYWHERE, &key).map_or(NO_SERVER, |(service, gate)| pair(service, gate))
}

/// As [`evenkeel_least_loaded`]; key, transport and plan come as numbers.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn evenkeel_plan(
    service: u32,
    addresses: u64,
    ports_protocol: u64,
    placed_by: u64,
    transport: u64,
) -> u64 {
    let flow = flow(addresses, ports_protocol, placed_by);
    plan(&ANYWHERE, service, &flow, Transport::unpacked(transport)).0
}

/// As [`evenkeel_plan`]; a reason not to place the flow is above all numbers.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn evenkeel_schedule(
    service: u32,
    addresses: u64,
    ports_protocol: u64,
    method: u64,
) -> u64 {
    match schedule(&ANYWHERE, service, &key(addresses, ports_protocol), Method::of(method)) {
        Ok(Some(server)) => server.into(),
        Ok(None) => BY_LOCALITY,
        Err(DropReason::NoServer) => NO_SERVER,
        Err(DropReason::TableFull) => FULL,
        Err(_) => INTERNAL,
    }
}

/// As [`evenkeel_schedule`].
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn evenkeel_by_locality(at: u64) -> u64 {
    match by_locality(&ANYWHERE, ServiceAt(at)) {
        Ok(server) => server.into(),
        Err(DropReason::NoServer) => NO_SERVER,
        Err(_) => INTERNAL,
    }
}

/// As [`evenkeel_least_loaded`]; the row in one word.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn evenkeel_row_of(at: u64) -> u64 {
    row_of(&ANYWHERE, ServiceAt(at)).map_or(NO_SERVER, Row::packed)
}

/// As [`evenkeel_row_of`]; returns nothing, which such a function can't.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn evenkeel_replicate(row: u64, server: u32) -> u64 {
    let _noted = replicate(&ANYWHERE, Row::unpacked(row), server);
    0
}

/// As [`evenkeel_replicate`].
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn evenkeel_thin_out(row: u64) -> u64 {
    let _gone = thin_out(&ANYWHERE, Row::unpacked(row));
    0
}

/// As [`evenkeel_plan`]; 1 unless another packet took the flow's place.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn evenkeel_enter(
    addresses: u64,
    ports_protocol: u64,
    transport: u64,
    plan: u64,
    server: u32,
) -> u64 {
    enter(
        &ANYWHERE,
        &key(addresses, ports_protocol),
        Transport::unpacked(transport),
        Plan(plan),
        server,
    )
    .into()
}

/// As [`evenkeel_plan`].
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn evenkeel_persistent_server(
    service: u32,
    addresses: u64,
    ports_protocol: u64,
) -> u64 {
    persistent_server(&ANYWHERE, service, &key(addresses, ports_protocol)).map_or(NO_SERVER, u64::from)
}

/// As [`evenkeel_plan`]; returns nothing, which such a function can't.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn evenkeel_note_server(
    service: u32,
    addresses: u64,
    ports_protocol: u64,
    server: u32,
) -> u64 {
    note_server(&ANYWHERE, service, &key(addresses, ports_protocol), server);
    0
}

/// As [`evenkeel_least_loaded`]; the number of the flow's bucket.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn evenkeel_establish(
    addresses: u64,
    ports_protocol: u64,
    hash: u32,
    word: u64,
) -> u64 {
    establish(&ANYWHERE, &key(addresses, ports_protocol), hash, Word(word)).map_or(NO_BUCKET, u64::from)
}

/// As [`evenkeel_least_loaded`]; the word of marks as it was.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn evenkeel_mark(bucket: u32) -> u64 {
    mark(&ANYWHERE, bucket)
}

/// As [`evenkeel_mark`], of the bucket of a flow.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn evenkeel_mark_flow(addresses: u64, ports_protocol: u64) -> u64 {
    mark_flow(&ANYWHERE, &key(addresses, ports_protocol))
}

/// As [`evenkeel_least_loaded`], so that the kernel verifies it once; the key comes in two words.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn evenkeel_server_of_flow(
    service: u32,
    addresses: u64,
    ports_protocol: u64,
    placed_by: u64,
) -> u64 {
    let flow = flow(addresses, ports_protocol, placed_by);
    server_of_flow(&ANYWHERE, service, &flow).map_or(NO_SERVER, u64::from)
}

/// As [`evenkeel_least_loaded`]; the service in the low half, the server in the high one.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn evenkeel_place_by_address(
    gate: u32,
    addresses: u64,
    ports_protocol: u64,
) -> u64 {
    match place_by_address(&ANYWHERE, gate, &key(addresses, ports_protocol)) {
        Ok((service, server)) => pair(service, server),
        Err(DropReason::NoServer) => NO_SERVER,
        Err(DropReason::FragmentEarly) => EARLY,
        Err(_) => INTERNAL,
    }
}

/// As [`evenkeel_least_loaded`]; the service in the low half, the ports in the high one.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn evenkeel_ports_of_fragment(
    addresses: u64,
    ports_protocol: u64,
) -> u64 {
    ports_of_fragment(&ANYWHERE, &key(addresses, ports_protocol)).map_or(EARLY, |(service, ports)| pair(service, ports))
}

/// As [`evenkeel_least_loaded`]; returns nothing, which such a function can't.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn evenkeel_note_fragment(
    addresses: u64,
    ports_protocol: u64,
    service: u32,
    ports: u32,
) -> u64 {
    note_fragment(&ANYWHERE, &key(addresses, ports_protocol), service, ports);
    0
}

/// As [`evenkeel_least_loaded`].
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn evenkeel_digest(first: u64, second: u64, of: u64, of_second: u64) -> u64 {
    let secret = ANYWHERE
        .globals()
        .map_or(0, |globals| globals.secret.load(Relaxed));
    digest([first, second], [of, of_second], secret)
}
