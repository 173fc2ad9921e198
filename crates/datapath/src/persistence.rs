//! Persistence: new flows of a client go where its earlier ones went, for a template in the established table says so
//! (`ip_vs_sched_persist` in net/netfilter/ipvs/ip_vs_core.c).

use core::sync::atomic::Ordering::{Acquire, Relaxed};

use evenkeel_abi::{FlowKey, ServiceKey, Tick, Word, low};
use evenkeel_wire::ipv6;

use crate::established::{self, Place, REFRESH_MIN, establish_marked};
use crate::hash::flow_hash;
use crate::ip::{address_at, of_group, under_prefix};
use crate::table::{exchange, is_listed};
use crate::{Frame, Tables};

/// What the key of an IPv6 packet's template has in place of addresses: a digest of the client's under a prefix of this
/// length, and of what the service has its own templates by.
#[must_use]
#[inline(always)]
pub fn template_digest<F: Frame + ?Sized, T: Tables>(
    frame: &F,
    tables: &T,
    service: ServiceKey,
    prefix: u32,
) -> Option<u64> {
    let client = under_prefix(address_at(frame, ipv6::SOURCE)?, prefix);
    let of = match service.group_number() {
        Some(number) => of_group(number),
        None => address_at(frame, ipv6::DESTINATION)?,
    };
    Some(tables.digest(client, of))
}

/// A template, whether it stands in the table or not.
struct Template<'a> {
    hash: u32,
    expiry: Tick,
    place: Option<Place<'a>>,
}

impl<'a> Template<'a> {
    /// Looks it up.
    #[inline(always)]
    fn of<T: Tables + ?Sized>(tables: &'a T, service: u32, key: &FlowKey) -> Option<Self> {
        let globals = tables.globals()?;
        let slot = tables.service(service)?;
        let service = &slot.halves[(slot.select.load(Acquire) & 1) as usize];
        let lifetime = low(service.persistence.load(Relaxed));
        let hash = flow_hash(key, low(globals.secret.load(Relaxed)));
        Some(Self {
            hash,
            expiry: tables.now().after(lifetime.into()),
            place: established::find(tables, globals, key, hash),
        })
    }
}

/// The server that a service's template names, if it is valid: then it is refreshed.
///
/// As in IPVS (`ip_vs_check_template`) an overloaded or quiesced server stays its clients'.
#[must_use]
#[inline(always)]
pub fn persistent_server<T: Tables + ?Sized>(
    tables: &T,
    service: u32,
    template: &FlowKey,
) -> Option<u32> {
    let template = Template::of(tables, service, template)?;
    let place = template.place?;
    let word = place.way.word;
    if word.expiry() <= tables.now() || !is_listed(tables, word.server()) {
        return None;
    }
    if template.expiry.0 >= word.expiry().0 + REFRESH_MIN {
        let refreshed = Word::live(word.server(), word.state(), template.expiry);
        // If that fails, another flow of the client refreshed it in the same moment.
        exchange(tables, place.conn(), word, refreshed);
    }
    Some(word.server())
}

/// Notes the server of a flow in its template, which named none; without room the flow goes there all the same.
#[inline(always)]
pub fn note_server<T: Tables + ?Sized>(tables: &T, service: u32, key: &FlowKey, server: u32) {
    let Some(template) = Template::of(tables, service, key) else {
        return;
    };
    let word = Word::live(server, 0, template.expiry);
    match template.place {
        Some(place) if exchange(tables, place.conn(), place.way.word, word) => {
            tables.mark(place.number);
            true
        }
        Some(_) => false,
        None => establish_marked(tables, key, template.hash, word),
    };
}
