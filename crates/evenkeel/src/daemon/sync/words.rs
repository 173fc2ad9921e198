//! The data plane as connection sync sees it: connections in its words and in those of a session.

use std::time::Duration;

use evenkeel_abi::ConnState;
use evenkeel_bpf::{self as bpf, Connection, DataPlane, Mirrored};
use evenkeel_control::mirror::{Installed, Table};
use evenkeel_sync::{self as sync, Flow, Protocol, Record};

/// The data plane's table of established connections.
pub(super) struct Plane<'p>(pub(super) &'p mut DataPlane);

impl Table for Plane<'_> {
    fn keep_removals(&mut self, most: usize) {
        self.0.keep_removals(most);
    }

    fn take_removals(&mut self, most: usize) -> Vec<Flow> {
        let removed = self.0.take_removals(most);
        removed.iter().filter_map(flow).collect()
    }

    fn has_changes(&self) -> bool {
        self.0.has_changes()
    }

    fn forget_changes(&self) {
        self.0.forget_changes();
    }

    fn take_changes(&mut self, budget: usize, mut each: impl FnMut(&Record) -> bool) {
        let told = |connection: &Connection| record(connection).is_some_and(|it| each(&it));
        let _given = self.0.take_changes(budget, told);
    }

    fn buckets(&self) -> u32 {
        self.0.buckets()
    }

    fn walk(
        &self,
        from: u32,
        buckets: u32,
        budget: usize,
        mut each: impl FnMut(&Record) -> bool,
    ) -> Option<u32> {
        let told = |connection: &Connection| record(connection).is_some_and(|it| each(&it));
        self.0.walk(from, buckets, budget, told)
    }

    fn has_server(&self, record: &Record) -> bool {
        self.0.has_server(&own_flow(&record.flow), record.server)
    }

    fn install(&self, record: &Record) -> Installed {
        let Some(mirrored) = mirrored(record) else {
            return Installed::Senseless;
        };
        match self.0.install(&mirrored) {
            bpf::Installed::Entered | bpf::Installed::Changed => Installed::Done,
            bpf::Installed::Kept => Installed::Kept,
            bpf::Installed::UnknownService => Installed::UnknownService,
            bpf::Installed::UnknownServer => Installed::UnknownServer,
            bpf::Installed::NoRoom => Installed::NoRoom,
            bpf::Installed::Senseless => Installed::Senseless,
        }
    }

    fn remove(&self, flow: &Flow) -> bool {
        self.0.remove(&own_flow(flow))
    }

    fn place_by_hash_in(&self, duration: Option<Duration>) {
        self.0.place_by_hash_in(duration);
    }
}

/// What a session tells of a connection; `None`: its protocol is none of sync's.
fn record(connection: &Connection) -> Option<Record> {
    Some(Record {
        flow: flow(&connection.flow())?,
        server: connection.server,
        state: sync::ConnState::try_from(connection.state as u8).ok()?,
        remaining: connection.expires,
        assured: connection.assured,
    })
}

fn flow(flow: &bpf::Flow) -> Option<Flow> {
    Some(Flow {
        client: flow.client,
        address: flow.address,
        protocol: Protocol::from_number(flow.protocol)?,
        template: flow.template,
    })
}

/// What the data plane makes of a record.
fn mirrored(record: &Record) -> Option<Mirrored> {
    let state = ConnState::ALL.get(usize::from(record.state.get()))?;
    Some(Mirrored {
        flow: own_flow(&record.flow),
        server: record.server,
        state: *state,
        remaining: record.remaining,
        assured: record.assured,
    })
}

const fn own_flow(flow: &Flow) -> bpf::Flow {
    bpf::Flow {
        client: flow.client,
        address: flow.address,
        protocol: flow.protocol.number(),
        template: flow.template,
    }
}
