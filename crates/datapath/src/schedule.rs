//! Where a packet goes: to its flow's server, to one chosen for a new flow, or by the consistent hash.

use core::sync::atomic::Ordering::Relaxed;

use evenkeel_abi::{DropReason, FlowKey, Service, ServiceFlags, low};

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
    (number, service): (u32, &Service),
    key: &FlowKey,
    transport: Transport,
) -> Result<Choice, DropReason> {
    let globals = tables.globals().ok_or(DropReason::Internal)?;
    let state = tables.state().ok_or(DropReason::Internal)?;
    let flow = (key, flow_hash(key, low(globals.secret.load(Relaxed))));
    let known = established::look_up(
        tables,
        globals,
        state,
        service,
        flow,
        transport,
        tables.now(),
    );
    if let Known::At(server) = known {
        return Ok(Choice {
            server,
            new_flow: false,
        });
    }
    let transport = transport.living(service);
    let plan = tables.plan(number, key, transport);
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
        of_client(tables, number, key)?
    } else {
        tables.schedule(number, key, method)?
    };
    if tables.enter(key, transport, plan, server) {
        return Ok(Choice { server, new_flow });
    }
    // Another packet was faster: the flow goes where its next packets will go without an entry.
    let server = tables.schedule(number, key, Method::without_entry(new_flow))?;
    Ok(Choice { server, new_flow })
}

/// The server of a client's new flow where a service has persistence: that of its earlier ones.
#[inline(always)]
fn of_client<T: Tables>(tables: &T, service: u32, key: &FlowKey) -> Result<u32, DropReason> {
    if let Some(server) = tables.persistent_server(service, key) {
        return Ok(server);
    }
    let server = tables.schedule(service, key, Method::Scheduler)?;
    tables.note_server(service, key, server);
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
