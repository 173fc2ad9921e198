//! The maps themselves, for what user space does as packets do.

use std::net::IpAddr;

use evenkeel_abi::{
    Bucket, Clients, DropReason, Event, Gate, Globals, Link, Load, Router, Server, ServiceKey,
    ServiceSlot, Shared, State, Tick,
};

use crate::book::Book;
use crate::convert::{address, address6};
use crate::tables::Tables;

/// The maps, and what this process knows of them.
pub(crate) struct Live<'a> {
    pub(crate) tables: &'a Tables,
    pub(crate) book: &'a Book,
}

impl evenkeel_datapath::Tables for Live<'_> {
    fn now(&self) -> Tick {
        self.tables.now()
    }

    fn globals(&self) -> Option<&Globals> {
        self.tables.globals.get(0)
    }

    fn state(&self) -> Option<&State> {
        self.tables.state.get(0)
    }

    fn ingress(&self) -> u32 {
        0
    }

    fn link(&self, index: u32) -> Option<&Link> {
        self.tables.link(index)
    }

    fn gate_of(&self, word: u32) -> Option<u32> {
        let address = IpAddr::V4(address(word));
        self.book.gates.get(&address).copied()
    }

    fn gate_of6(&self, words: &[u64; 2]) -> Option<u32> {
        let address = IpAddr::V6(address6(*words));
        self.book.gates.get(&address).copied()
    }

    fn gate(&self, gate: u32) -> Option<&Gate> {
        self.tables.gates.get(gate)
    }

    fn router(&self, id: u32) -> Option<&Router> {
        self.tables.routers.get(id)
    }

    fn service_hint(&self, index: u32) -> Option<&Shared> {
        self.tables.service_hints.get(index)
    }

    /// A map that can't be read has no service.
    fn service_of(&self, key: &ServiceKey) -> Option<u32> {
        self.tables.service_ids.get(key, 0).ok()
    }

    fn service(&self, service: u32) -> Option<&ServiceSlot> {
        self.tables.services.get(service)
    }

    fn server(&self, server: u32) -> Option<&Server> {
        self.tables.servers.get(server)
    }

    fn server_load(&self, server: u32) -> Option<&Load> {
        self.tables.loads.get(server)
    }

    fn arena(&self, word: u32) -> Option<&Shared> {
        self.tables.arena.get(word)
    }

    fn conn_bucket(&self, bucket: u32) -> Option<&Bucket> {
        self.tables.conns.get(bucket)
    }

    fn bucket(&self, bucket: u32) -> Option<&Bucket> {
        self.tables.half_open.get(bucket)
    }

    fn conn_clients(&self, bucket: u32) -> Option<&Clients> {
        self.tables.conn_clients.get(bucket)
    }

    fn half_open_clients(&self, bucket: u32) -> Option<&Clients> {
        self.tables.half_open_clients.get(bucket)
    }

    fn changed(&self, word: u32) -> Option<&Shared> {
        self.tables.changed.get(word)
    }

    fn fragment_bucket(&self, bucket: u32) -> Option<&Bucket> {
        self.tables.fragments.get(bucket)
    }

    /// User space sends no packets that could be counted.
    fn count(&self, _service: u32, _server: u32, _bytes: u64, _new_flow: bool) {}

    fn count_drop(&self, _reason: DropReason) {}

    fn count_event(&self, _event: Event) {}
}
