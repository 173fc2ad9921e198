//! Connections in the data plane's words and in those of a session.

use evenkeel_abi::ConnState;
use evenkeel_bpf::{self as bpf, Connection, Mirrored};
use evenkeel_sync::{self as sync, Protocol, Record};

/// What a session tells of a connection; `None`: its protocol is none of sync's.
pub(super) fn record(connection: &Connection) -> Option<Record> {
    Some(Record {
        flow: flow(&connection.flow())?,
        server: connection.server,
        state: sync::ConnState::try_from(connection.state as u8).ok()?,
        remaining: connection.expires,
        assured: connection.assured,
    })
}

pub(super) fn flow(flow: &bpf::Flow) -> Option<sync::Flow> {
    Some(sync::Flow {
        client: flow.client,
        address: flow.address,
        protocol: Protocol::from_number(flow.protocol)?,
        template: flow.template,
    })
}

/// What the data plane makes of a record.
pub(super) fn mirrored(record: &Record) -> Option<Mirrored> {
    let state = ConnState::ALL.get(usize::from(record.state.get()))?;
    Some(Mirrored {
        flow: own_flow(&record.flow),
        server: record.server,
        state: *state,
        remaining: record.remaining,
        assured: record.assured,
    })
}

pub(super) const fn own_flow(flow: &sync::Flow) -> bpf::Flow {
    bpf::Flow {
        client: flow.client,
        address: flow.address,
        protocol: flow.protocol.number(),
        template: flow.template,
    }
}
