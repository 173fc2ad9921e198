//! Persistence: new flows of a client go where its earlier ones went, for a template in the established table says so
//! (`ip_vs_sched_persist` in net/netfilter/ipvs/ip_vs_core.c).

use core::sync::atomic::Ordering::{Acquire, Relaxed};

use evenkeel_abi::{FlowKey, ServiceKey, Tick, Word, high, low};

use crate::Tables;
use crate::established::{self, Place, REFRESH_MIN};
use crate::hash::flow_hash;
use crate::table::{exchange, is_present};

/// The template of a new flow, whether it stands in the table or not.
struct Template<'a> {
    key: FlowKey,
    hash: u32,
    expiry: Tick,
    place: Option<Place<'a>>,
}

impl<'a> Template<'a> {
    /// Looks it up.
    #[inline(always)]
    fn of<T: Tables + ?Sized>(tables: &'a T, service: u32, flow: &FlowKey) -> Option<Self> {
        let globals = tables.globals()?;
        let slot = tables.service(service)?;
        let service = &slot.halves[(slot.select.load(Acquire) & 1) as usize];
        let persistence = service.persistence.load(Relaxed);
        let of = ServiceKey::unpacked(slot.key.load(Relaxed));
        let key = flow.template(high(persistence), of);
        let hash = flow_hash(&key, low(globals.secret.load(Relaxed)));
        Some(Self {
            key,
            hash,
            expiry: tables.now().after(low(persistence).into()),
            place: established::find(tables, globals, &key, hash),
        })
    }
}

/// The server that the template of a service's new flow names, if it is valid: then it is refreshed.
///
/// As in IPVS (`ip_vs_check_template`) an overloaded or quiesced server stays its clients'.
#[must_use]
#[inline(always)]
pub fn persistent_server<T: Tables + ?Sized>(
    tables: &T,
    service: u32,
    key: &FlowKey,
) -> Option<u32> {
    let template = Template::of(tables, service, key)?;
    let place = template.place?;
    let word = place.way.word;
    if word.expiry() <= tables.now() || !is_present(tables, word.server()) {
        return None;
    }
    if template.expiry.0 >= word.expiry().0 + REFRESH_MIN {
        let refreshed = Word::live(word.server(), word.state(), template.expiry);
        // If that fails, another flow of the client refreshed it in the same moment.
        exchange(tables, place.conn(), word, refreshed);
    }
    Some(word.server())
}

/// Notes the server of a flow whose template named none; without room the flow goes there all the same.
#[inline(always)]
pub fn note_server<T: Tables + ?Sized>(tables: &T, service: u32, key: &FlowKey, server: u32) {
    let Some(template) = Template::of(tables, service, key) else {
        return;
    };
    let word = Word::live(server, 0, template.expiry);
    match template.place {
        Some(place) => exchange(tables, place.conn(), place.way.word, word),
        None => tables.establish(&template.key, template.hash, word),
    };
}
