//! Where a packet goes: to its flow's server, to one chosen for a new flow, or by the consistent hash.

use core::sync::atomic::Ordering::Relaxed;

use evenkeel_abi::{DropReason, FlowKey, Service, ServiceFlags, ServiceKey, high, low};

use crate::established;
use crate::hash::flow_hash;
use crate::ip::Flow;
use crate::lookup::Found;
use crate::plan::Step;
use crate::scheduler::Method;
use crate::table::Known;
use crate::transport::Transport;
use crate::{Frame, Tables};

/// Where a packet goes.
#[derive(Clone, Copy)]
pub(crate) struct Choice {
    /// Number of the server.
    pub(crate) server: u32,
    /// Whether the packet begins a flow.
    pub(crate) new_flow: bool,
}

/// Chooses the real server of a packet: its established flow's, which most packets ask for, else as planned.
#[inline(always)]
pub(crate) fn choose<F: Frame, T: Tables>(
    frame: &F,
    tables: &T,
    found: &Found<'_>,
    key: &FlowKey,
    transport: Transport,
) -> Result<Choice, DropReason> {
    let globals = tables.globals().ok_or(DropReason::Internal)?;
    let state = tables.state().ok_or(DropReason::Internal)?;
    let known = established::look_up(
        tables,
        globals,
        state,
        found.service,
        (key, flow_hash(key, low(globals.secret.load(Relaxed)))),
        transport,
        tables.now(),
    );
    if let Known::At(server) = known {
        return Ok(Choice {
            server,
            new_flow: false,
        });
    }
    let transport = transport.living(found.service);
    let flow = Flow::of(frame, *key);
    let choice = as_planned(frame, tables, found, &flow, transport)?;
    if key.is_v6() {
        frame.note_client(tables, key, WHOLE);
    }
    Ok(choice)
}

/// Length of a prefix that is the whole of an IPv6 address.
const WHOLE: u32 = 128;

/// Plans what becomes of a packet of no established flow, and does it.
#[inline(always)]
fn as_planned<F: Frame, T: Tables>(
    frame: &F,
    tables: &T,
    found: &Found<'_>,
    flow: &Flow,
    transport: Transport,
) -> Result<Choice, DropReason> {
    let Flow { key, placing } = flow;
    let (at, service) = (found.at, found.service);
    let plan = tables.plan(at.service(), flow, transport);
    let method = match plan.step() {
        Step::Known(server) => {
            return Ok(Choice {
                server,
                new_flow: false,
            });
        }
        Step::Gone => return Err(gone(service)),
        Step::Full => return Err(DropReason::TableFull),
        Step::Internal => return Err(DropReason::Internal),
        Step::Place(method) => method,
    };
    let new_flow = transport.begins != 0;
    let server = if method == Method::Scheduler && service.persistence.load(Relaxed) != 0 {
        of_client(frame, tables, found, flow)?
    } else {
        tables.schedule(at, placing, method)?
    };
    if tables.enter(key, transport, plan, server) {
        return Ok(Choice { server, new_flow });
    }
    // Another packet was faster: the flow goes where its next packets will go without an entry.
    let server = tables.schedule(at, placing, Method::without_entry(new_flow))?;
    Ok(Choice { server, new_flow })
}

/// The server of a client's new flow where a service has persistence: that of its earlier ones.
#[inline(always)]
fn of_client<F: Frame, T: Tables>(
    frame: &F,
    tables: &T,
    found: &Found<'_>,
    Flow { key, placing }: &Flow,
) -> Result<u32, DropReason> {
    let number = found.at.service();
    let prefix = high(found.service.persistence.load(Relaxed));
    let of = ServiceKey::unpacked(found.slot.key.load(Relaxed));
    let template = if key.is_v6() {
        key.template6(frame.template_digest(tables, of, prefix), of)
    } else {
        key.template(prefix, of)
    };
    if let Some(server) = tables.persistent_server(number, &template) {
        return Ok(server);
    }
    let server = tables.schedule(found.at, placing, Method::Scheduler)?;
    tables.note_server(number, &template, server);
    if template.is_v6() {
        frame.note_client(tables, &template, prefix);
    }
    Ok(server)
}

/// What a flow's packet meets whose server has left the service; UDP flows are placed anew before.
#[inline(always)]
fn gone(service: &Service) -> DropReason {
    if service.flags.load(Relaxed) & ServiceFlags::GONE_RESET != 0 {
        DropReason::ServerGoneReset
    } else {
        DropReason::ServerGone
    }
}
