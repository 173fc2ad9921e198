//! Where persistence says that a client's new flow goes.

use std::net::IpAddr;
use std::sync::atomic::Ordering::SeqCst;

use evenkeel_abi::{FlowKey, ServerFlags, ServiceKey, high, low};
use evenkeel_datapath::{Tables as _, of_group, under_prefix};

use super::read::Read;
use crate::tables::{NativeTables, words};

impl NativeTables {
    /// The server that a packet's client has by a template, unless there may be no room for a new flow.
    pub(super) fn promised(&self, read: &Read) -> Option<u32> {
        let slot = &self.services[read.service as usize];
        let persistence = slot.halves[0].persistence.load(SeqCst);
        if read.is_error || read.by_address || low(persistence) == 0 || self.is_short_of_room() {
            return None;
        }
        let of = ServiceKey::unpacked(slot.key.load(SeqCst));
        let key = self.template(read, of, high(persistence));
        let word = self.established(&key)?;
        let listed = self.flags(word.server()) & (ServerFlags::PRESENT | ServerFlags::KEPT);
        let is_valid = word.expiry().0 > self.now.load(SeqCst) && listed == ServerFlags::PRESENT;
        is_valid.then_some(word.server())
    }

    fn is_short_of_room(&self) -> bool {
        let (state, globals) = (&self.state, &self.globals);
        state.flood_until.load(SeqCst) > self.now.load(SeqCst)
            || state.established.load(SeqCst) >= globals.conns.load(SeqCst)
            || state.unassured.load(SeqCst) >= globals.unassured_max.load(SeqCst)
    }

    fn template(&self, read: &Read, of: ServiceKey, mask: u32) -> FlowKey {
        let [IpAddr::V6(client), IpAddr::V6(address)] = read.ends else {
            return read.flow.template(mask, of);
        };
        let own = of.group_number().map_or_else(|| words(address), of_group);
        let digest = self.digest(under_prefix(words(client), mask), own);
        read.flow.template6(digest, of)
    }
}
