//! Virtual routers as the API shows them.
//!
//! Reads only.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use evenkeel_api::{
    AddressHolder, LatenessBucket, PartnerStatus, Problem, Role, RouterCount, RouterRole, Stance,
    VirtualRouterStatus, VrrpThreadStatus,
};
use evenkeel_model::{self as model, ServiceEntry};
use evenkeel_vrrp::{self as vrrp, Counters, Trouble};

use crate::daemon::event_loop::Daemon;
use crate::daemon::vrrp::{SeatView, ThreadView};

impl Daemon {
    /// The names of the virtual routers of a service's addresses, `None` where there is none.
    pub(crate) fn routers_of(&self, service: &ServiceEntry) -> Option<String> {
        let addresses = service.addresses();
        let routers = addresses.filter_map(|address| self.hands.vrrp.router_of(address));
        let names: BTreeSet<&str> = routers.map(|router| router.name.as_str()).collect();
        let names: Vec<&str> = names.into_iter().collect();
        (!names.is_empty()).then(|| names.join(", "))
    }

    /// The virtual routers, in the order of the config file.
    pub(crate) fn routers(&self, thread: &ThreadView, now: Instant) -> Vec<VirtualRouterStatus> {
        let configured = self.control.director().virtual_routers.iter();
        let seats = configured.filter_map(|router| {
            let mut seats = thread.seats.iter();
            seats.find(|seat| seat.config.id == router.id)
        });
        seats.map(|seat| self.router(seat, now)).collect()
    }

    fn router(&self, seat: &SeatView, now: Instant) -> VirtualRouterStatus {
        let SeatView {
            config, machine, ..
        } = seat;
        let strangers = self.roles.strangers.of(config.id);
        VirtualRouterStatus {
            name: config.name.clone(),
            id: config.id.get(),
            version: config.version.number(),
            role: role(machine.role),
            reason: machine.reason.to_string(),
            since_s: now.saturating_duration_since(machine.since).as_secs(),
            priority: config.priority.get(),
            preempt: config.preempt,
            may_take_over: machine.may_take_over,
            stopping: machine.stopping,
            stance: stance(machine.stance),
            priority_in_force: (machine.priority_in_force != config.priority)
                .then(|| machine.priority_in_force.get()),
            handing_over: machine.handing_over,
            addresses: config.addresses.clone(),
            advert_interval_ms: millis(config.advert_interval),
            master_down_us: micros(seat.master_down),
            partner: machine.partner.map(|partner| PartnerStatus {
                address: partner.address,
                priority: partner.priority,
                last_heard_ms: millis(now.saturating_duration_since(partner.last_heard)),
                interval_ms: millis(partner.interval),
            }),
            counters: counts(&machine.counters, self.roles.strangers.sightings(config.id)),
            troubles: machine.troubles.iter().map(ToString::to_string).collect(),
            address_held_by: strangers
                .map(|(address, mac)| AddressHolder {
                    address,
                    mac: mac.to_string(),
                })
                .collect(),
        }
    }
}

/// What happened, and every kind of trouble that occurred, strangers among them.
fn counts(counters: &Counters, address_held: u64) -> Vec<RouterCount> {
    let happened = [
        ("sent", counters.sent),
        ("received", counters.received),
        ("resignations-sent", counters.resignations_sent),
        ("resignations-received", counters.resignations_received),
        ("became-active", counters.became_active),
    ];
    let troubles = Trouble::ALL.into_iter();
    let troubles = troubles
        .map(|trouble| (trouble.name(), counters.of(trouble)))
        .chain([("address-held", address_held)]);
    let counted = happened
        .into_iter()
        .chain(troubles.filter(|(_, count)| *count > 0));
    let count = |(kind, count): (&str, u64)| RouterCount {
        kind: kind.to_owned(),
        count,
    };
    counted.map(count).collect()
}

/// The virtual router of an address and the role in it.
pub(crate) fn role_of(thread: &ThreadView, address: IpAddr) -> Option<RouterRole> {
    let mut seats = thread.seats.iter();
    let seat = seats.find(|seat| seat.config.addresses.contains(&address))?;
    Some(RouterRole {
        name: seat.config.name.clone(),
        role: role(seat.machine.role),
    })
}

/// How well the thread keeps time.
pub(crate) fn thread(thread: &ThreadView) -> VrrpThreadStatus {
    VrrpThreadStatus {
        real_time: thread.no_real_time.is_none(),
        real_time_reason: thread.no_real_time.clone(),
        memory_locked: thread.no_locked_memory.is_none(),
        memory_locked_reason: thread.no_locked_memory.clone(),
        lateness: thread
            .lateness
            .buckets()
            .map(|(bound, count)| LatenessBucket {
                up_to_us: bound.map(micros),
                count,
            })
            .collect(),
        max_us: micros(thread.lateness.max()),
    }
}

/// News that the event loop was too busy to take.
pub(crate) fn lost_news(thread: &ThreadView) -> Option<Problem> {
    (thread.lost_news > 0).then(|| Problem {
        what: "follow the virtual routers".to_owned(),
        reason: "the daemon was too busy to take the news of some changes of role".to_owned(),
        attempts: u32::try_from(thread.lost_news).unwrap_or(u32::MAX),
    })
}

const fn role(role: model::Role) -> Role {
    match role {
        model::Role::Initialize => Role::Initialize,
        model::Role::Backup => Role::Backup,
        model::Role::Active => Role::Active,
    }
}

const fn stance(stance: vrrp::Stance) -> Stance {
    match stance {
        vrrp::Stance::Ordinary => Stance::Ordinary,
        vrrp::Stance::HandedOver => Stance::HandedOver,
        vrrp::Stance::Standby => Stance::Standby,
        vrrp::Stance::Maintenance => Stance::Maintenance,
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
