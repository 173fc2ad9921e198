use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use evenkeel_model::{GateState, VirtualRouterId};

use super::support::*;

use crate::{DataPlane, GateError, PutError, RouterGates, Sizes, Standing};

const OTHER: Ipv4Addr = Ipv4Addr::new(198, 18, 14, 147);
const PARTNER: Ipv4Addr = Ipv4Addr::new(198, 18, 14, 3);

fn id(id: i64) -> VirtualRouterId {
    VirtualRouterId::try_from(id).unwrap()
}

/// One handle for each list.
fn reserve(plane: &mut DataPlane, routers: &[(i64, &[Ipv4Addr])]) -> Vec<RouterGates> {
    let routers = routers
        .iter()
        .map(|(n, addresses)| (id(*n), addresses.iter().copied().map(IpAddr::V4).collect()));
    let routers: Vec<_> = routers.collect();
    plane.reserve_gates(&routers).unwrap()
}

fn only(plane: &mut DataPlane, number: i64, addresses: &[Ipv4Addr]) -> RouterGates {
    reserve(plane, &[(number, addresses)]).remove(0)
}

/// A data plane with a service at `VIP`.
fn serving() -> DataPlane {
    let mut plane = detached(Sizes::small());
    plane.put_service(&service(&[server(12, 1)])).unwrap();
    plane
}

fn gate(plane: &DataPlane) -> GateState {
    plane.snapshot().unwrap()[0].gate
}

fn verdict(plane: &DataPlane, frame: &[u8]) -> u32 {
    plane.run(frame).unwrap().0
}

/// Lets the clock of packets go on, so that what comes is later than what was.
fn next_tick(plane: &DataPlane) {
    let tick = plane.tables().now();
    wait_until("the next tick", || plane.tables().now() > tick);
}

const NOTHING: Standing = Standing {
    lease_alive: false,
    foreign_since_renewal: false,
    yielded: false,
    open: false,
};

#[test]
fn a_reserved_gate_is_its_routers_whatever_its_services_do() {
    in_room(|_| {
        let mut plane = detached(Sizes::small());
        let gates = only(&mut plane, 7, &[VIP, OTHER]);
        assert_eq!(gates.standing(), NOTHING);
        gates.set(GateState::Open);
        assert!(gates.standing().open);
        plane.put_service(&service(&[server(12, 1)])).unwrap();
        assert_eq!(send(&plane, 1000, SYN), (TX, 12));
        let refused = plane.set_gate(VIP.into(), GateState::Closed);
        assert!(matches!(
            refused,
            Err(GateError::Reserved { router: 7, .. })
        ));
        plane.remove_service(&key(VIP, PORT)).unwrap();
        assert!(gates.standing().open);
        plane.put_service(&service(&[server(12, 1)])).unwrap();
        assert_eq!(send(&plane, 1001, SYN), (TX, 12));
        gates.set(GateState::Draining);
        assert_eq!(gate(&plane), GateState::Draining);
        assert_eq!(verdict(&plane, &arp_request(OTHER)), DROP);
        gates.set(GateState::Closed);
        assert_eq!(send(&plane, 1002, SYN).0, PASS);
        assert_eq!(verdict(&plane, &arp_request(OTHER)), PASS);
    });
}

#[test]
fn a_gate_keeps_its_state_when_it_is_reserved_and_is_closed_when_it_is_not_any_more() {
    in_room(|_| {
        let mut plane = serving();
        plane.set_gate(VIP.into(), GateState::Open).unwrap();
        let first = only(&mut plane, 7, &[VIP, OTHER]);
        assert_eq!(gate(&plane), GateState::Open);
        // To another router: it is still reserved.
        let second = only(&mut plane, 8, &[VIP]);
        assert_eq!(gate(&plane), GateState::Open);
        first.set(GateState::Draining);
        assert_eq!(gate(&plane), GateState::Open, "it is the other's");
        assert!(!first.standing().open && second.standing().open);
        reserve(&mut plane, &[]);
        assert_eq!(gate(&plane), GateState::Closed);
        plane.set_gate(VIP.into(), GateState::Open).unwrap();
        second.set(GateState::Closed);
        assert_eq!(send(&plane, 1000, SYN), (TX, 12));
        // The address without a service has no gate.
        let unknown = plane.set_gate(OTHER.into(), GateState::Open);
        assert!(matches!(unknown, Err(GateError::Unknown { .. })));
    });
}

#[test]
fn gates_stay_where_they_are_while_the_list_changes() {
    in_room(|_| {
        let mut plane = serving();
        let numbers = |plane: &DataPlane| {
            [VIP, OTHER].map(|address| plane.book.gates.get(&address.into()).copied())
        };
        only(&mut plane, 7, &[OTHER]).set(GateState::Open);
        let before = numbers(&plane);
        let third = Ipv4Addr::new(198, 18, 14, 1);
        let handles = reserve(&mut plane, &[(9, &[third]), (7, &[OTHER, VIP])]);
        assert_eq!(numbers(&plane), before);
        assert!(!handles[0].standing().open && handles[1].standing().open);
        assert_eq!(gate(&plane), GateState::Closed);
        only(&mut plane, 7, &[OTHER]);
        assert_eq!(numbers(&plane), before);
        assert_eq!(plane.book.gates.len(), 2);
    });
}

#[test]
fn gates_that_do_not_fit_change_nothing() {
    in_room(|_| {
        let mut plane = detached(Sizes {
            gates: 2,
            ..Sizes::small()
        });
        let gates = only(&mut plane, 7, &[VIP]);
        gates.set(GateState::Open);
        let three = [1, 2, 3].map(|host| IpAddr::from([198, 18, 15, host]));
        let full = plane.reserve_gates(&[(id(8), three.to_vec())]).err();
        assert!(
            matches!(full, Some(PutError::Full { max: 2, .. })),
            "{full:?}"
        );
        assert!(gates.standing().open);
        assert_eq!(plane.book.gates.len(), 1);
        let used = |id: u32| plane.tables.routers.get(id).unwrap().used.load(SeqCst);
        assert_eq!((used(7), used(8)), (1, 0));
    });
}

#[test]
fn a_lease_ends_by_itself_and_at_once_when_asked() {
    in_room(|_| {
        let mut plane = serving();
        let gates = only(&mut plane, 7, &[VIP]);
        gates.renew(Duration::from_millis(100));
        assert!(gates.standing().lease_alive);
        wait_until("the lease has run out", || !gates.standing().lease_alive);
        gates.renew(Duration::from_secs(3600));
        assert!(gates.standing().lease_alive);
        gates.end_lease();
        assert_eq!(gates.standing(), NOTHING);
    });
}

#[test]
fn a_partners_advertisement_makes_a_gate_yield_only_when_the_lease_has_run_out() {
    in_room(|_| {
        let mut plane = serving();
        let gates = only(&mut plane, 7, &[VIP, OTHER]);
        gates.set(GateState::Open);
        gates.renew(Duration::from_secs(3600));
        next_tick(&plane);
        assert_eq!(verdict(&plane, &advert(7, PARTNER, VIP)), PASS);
        let standing = gates.standing();
        assert!(standing.foreign_since_renewal && standing.lease_alive && !standing.yielded);
        assert_eq!(verdict(&plane, &arp_request(OTHER)), PASS);
        gates.end_lease();
        assert_eq!(
            verdict(&plane, &arp_request(OTHER)),
            PASS,
            "nobody else is there"
        );
        assert_eq!(verdict(&plane, &advert(7, PARTNER, VIP)), PASS);
        assert!(gates.standing().yielded);
        assert_eq!(verdict(&plane, &arp_request(OTHER)), DROP);
        assert_eq!(gate(&plane), GateState::Draining);
        assert_eq!(
            send(&plane, 1000, SYN),
            (TX, 12),
            "what still comes is balanced"
        );
        next_tick(&plane);
        gates.renew(Duration::from_secs(1));
        let renewed = Standing {
            lease_alive: true,
            open: true,
            ..NOTHING
        };
        assert_eq!(gates.standing(), renewed);
        assert_eq!(verdict(&plane, &arp_request(OTHER)), PASS);
        assert_eq!(gate(&plane), GateState::Open);
    });
}

#[test]
fn other_routers_advertisements_and_bad_ones_mean_nothing() {
    in_room(|_| {
        let mut plane = serving();
        let gates = only(&mut plane, 7, &[VIP]);
        gates.set(GateState::Open);
        let mut damaged = advert(7, PARTNER, VIP);
        damaged[14 + 20 + 2] ^= 1;
        let mut far = advert(7, PARTNER, VIP);
        // TTL 254, the header's checksum kept right.
        (far[14 + 8], far[14 + 10]) = (254, far[14 + 10] + 1);
        for frame in [advert(8, PARTNER, VIP), damaged, far] {
            assert_eq!(verdict(&plane, &frame), PASS);
        }
        let standing = gates.standing();
        assert!(standing.open && !standing.yielded && !standing.foreign_since_renewal);
    });
}

#[test]
fn a_router_that_is_left_and_joined_again_begins_anew() {
    in_room(|_| {
        let mut plane = serving();
        let gates = only(&mut plane, 7, &[VIP]);
        gates.set(GateState::Open);
        verdict(&plane, &advert(7, PARTNER, VIP));
        assert!(gates.standing().yielded);
        // While it stays in the list, nothing is forgotten.
        assert!(only(&mut plane, 7, &[VIP]).standing().yielded);
        reserve(&mut plane, &[]);
        assert_eq!(verdict(&plane, &advert(7, PARTNER, VIP)), PASS);
        assert_eq!(only(&mut plane, 7, &[VIP]).standing(), NOTHING);
    });
}

#[test]
fn a_successor_finds_gates_lease_and_what_was_heard() {
    in_room(|room| {
        let options = room.options();
        let (mut plane, _) = DataPlane::start(&options).unwrap();
        // One of the addresses has no service.
        plane.put_service(&service(&[server(12, 1)])).unwrap();
        let handle = only(&mut plane, 7, &[VIP, OTHER]);
        handle.set(GateState::Open);
        handle.renew(Duration::from_secs(3600));
        let numbers = plane.book.gates.clone();
        drop(plane);
        // The handle outlives its data plane.
        let standing = handle.standing();
        assert!(standing.lease_alive && standing.open && !standing.foreign_since_renewal);
        let (mut plane, _) = DataPlane::start(&options).unwrap();
        assert_eq!(plane.book.gates, numbers);
        assert_eq!(gate(&plane), GateState::Open);
        let refused = plane.set_gate(OTHER.into(), GateState::Closed);
        assert!(matches!(
            refused,
            Err(GateError::Reserved { router: 7, .. })
        ));
        let adopted = only(&mut plane, 7, &[OTHER, VIP]);
        assert_eq!(adopted.standing(), standing);
        next_tick(&plane);
        verdict(&plane, &advert(7, PARTNER, VIP));
        drop(plane);
        let (mut plane, _) = DataPlane::start(&options).unwrap();
        let adopted = only(&mut plane, 7, &[OTHER, VIP]);
        assert!(adopted.standing().foreign_since_renewal);
        assert_eq!(plane.book.gates, numbers);
    });
}

#[test]
fn gates_of_routers_that_are_not_configured_any_more_are_closed_after_a_restart() {
    in_room(|room| {
        let options = room.options();
        let (mut plane, _) = DataPlane::start(&options).unwrap();
        plane.put_service(&service(&[server(12, 1)])).unwrap();
        only(&mut plane, 7, &[VIP, OTHER]).set(GateState::Open);
        drop(plane);
        let (mut plane, _) = DataPlane::start(&options).unwrap();
        assert_eq!(send(&plane, 1000, SYN), (TX, 12));
        reserve(&mut plane, &[]);
        assert_eq!(send(&plane, 1001, SYN).0, PASS);
        assert_eq!(plane.book.gates.len(), 1);
        assert_eq!(plane.tables.vips.keys().count(), 1);
        plane.set_gate(VIP.into(), GateState::Open).unwrap();
        assert_eq!(send(&plane, 1002, SYN), (TX, 12));
        plane.remove_service(&key(VIP, PORT)).unwrap();
        assert_eq!(plane.tables.vips.keys().count(), 0);
    });
}
