//! Where a packet goes: to its flow's server, to one chosen for a new flow, or by the consistent hash.

use core::sync::atomic::Ordering::Relaxed;

use evenkeel_abi::{DropReason, FlowKey, low};

use crate::Tables;
use crate::established;
use crate::hash::flow_hash;
use crate::plan::Step;
use crate::scheduler::Method;
use crate::table::Known;
use crate::transport::Transport;

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
pub(crate) fn choose<T: Tables>(
    tables: &T,
    service: u32,
    key: &FlowKey,
    transport: Transport,
) -> Result<Choice, DropReason> {
    let globals = tables.globals().ok_or(DropReason::Internal)?;
    let state = tables.state().ok_or(DropReason::Internal)?;
    let flow = (key, flow_hash(key, low(globals.secret.load(Relaxed))));
    let known = established::look_up(tables, globals, state, flow, transport, tables.now());
    if let Known::At(server) = known {
        return Ok(Choice {
            server,
            new_flow: false,
        });
    }
    let plan = tables.plan(service, key, transport);
    let method = match plan.step() {
        Step::Known(server) => {
            return Ok(Choice {
                server,
                new_flow: false,
            });
        }
        Step::Gone => return Err(DropReason::ServerGone),
        Step::Full => return Err(DropReason::TableFull),
        Step::Internal => return Err(DropReason::Internal),
        Step::Place(method) => method,
    };
    let new_flow = transport.begins != 0;
    let server = tables.schedule(service, key, method)?;
    if tables.enter(key, transport, plan, server) {
        return Ok(Choice { server, new_flow });
    }
    // Another packet was faster: the flow goes where its next packets will go without an entry.
    let server = tables.schedule(service, key, Method::without_entry(new_flow))?;
    Ok(Choice { server, new_flow })
}
