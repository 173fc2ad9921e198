use std::net::Ipv4Addr;
use std::time::Duration;

use evenkeel_model::rr::RoundRobin;
use evenkeel_model::{
    GateState, MacAddress, OnRemoval, Persistence, Protocol, ServerEntry, ServiceKey, Weight,
};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::support::*;
use crate::adopt::rebuild;
use crate::{DataPlane, GateError, PutError, Sizes};

fn open_plane(servers: &[ServerEntry]) -> DataPlane {
    let mut plane = detached(Sizes::small());
    plane.put_service(&service(servers)).unwrap();
    plane.set_gate(VIP.into(), GateState::Open).unwrap();
    plane
}

#[test]
fn a_quiesced_server_keeps_its_flows_and_gets_no_new_ones() {
    in_room(|_| {
        let mut plane = open_plane(&[server(12, 1), server(13, 1)]);
        assert_eq!(open(&plane, 1000..1002), [12, 13]);
        send(&plane, 1000, ACK);
        plane
            .put_service(&service(&[server(12, 0), server(13, 1)]))
            .unwrap();
        assert_eq!(open(&plane, 2000..2003), [13, 13, 13]);
        assert_eq!(send(&plane, 1000, ACK), (TX, 12));
        plane
            .put_service(&service(&[server(12, 5), server(13, 1)]))
            .unwrap();
        assert_eq!(open(&plane, 3000..3002), [12, 13]);
    });
}

#[test]
fn flows_of_a_server_that_left_are_dropped_and_their_syns_scheduled_anew() {
    in_room(|_| {
        let mut plane = open_plane(&[server(12, 1), server(13, 1)]);
        assert_eq!(open(&plane, 1000..1002), [12, 13]);
        send(&plane, 1000, ACK);
        plane.put_service(&service(&[server(13, 1)])).unwrap();
        assert_eq!(send(&plane, 1000, ACK).0, DROP);
        assert_eq!(send(&plane, 1000, SYN), (TX, 13));
        assert_eq!(send(&plane, 1001, ACK), (TX, 13));
    });
}

#[test]
fn a_server_that_returns_finds_its_flows_and_counters() {
    in_room(|_| {
        let mut plane = open_plane(&[server(12, 1)]);
        send(&plane, 1000, SYN);
        send(&plane, 1000, ACK);
        plane.put_service(&service(&[])).unwrap();
        assert_eq!(send(&plane, 1000, ACK).0, DROP);
        plane.put_service(&service(&[server(12, 1)])).unwrap();
        assert_eq!(send(&plane, 1000, ACK), (TX, 12));
        let view = plane.snapshot().unwrap();
        let server = &view[0].servers[0];
        assert_eq!(
            (server.active, server.inactive, server.stats.packets),
            (1, 0, 3)
        );
    });
}

#[test]
fn a_new_hardware_address_changes_nothing_else() {
    in_room(|_| {
        let mut plane = open_plane(&[server(12, 1), server(13, 1)]);
        assert_eq!(open(&plane, 1000..1001), [12]);
        let mut moved = server(12, 1);
        moved.hop = MacAddress([2, 0, 0, 0, 1, 99]).into();
        plane
            .put_service(&service(&[moved, server(13, 1)]))
            .unwrap();
        assert_eq!(open(&plane, 2000..2002), [13, 99]);
        assert_eq!(send(&plane, 1000, ACK), (TX, 99));
    });
}

#[test]
fn a_removed_service_passes_and_its_address_has_no_gate() {
    in_room(|_| {
        let mut plane = open_plane(&[server(12, 1)]);
        let mut other = service(&[server(13, 1)]);
        other.key = key(VIP, 443);
        plane.put_service(&other).unwrap();
        plane.remove_service(&key(VIP, PORT)).unwrap();
        assert_eq!(send(&plane, 1000, SYN).0, PASS);
        plane.set_gate(VIP.into(), GateState::Draining).unwrap();
        plane.remove_service(&other.key).unwrap();
        plane.remove_service(&other.key).unwrap();
        assert!(plane.snapshot().unwrap().is_empty());
        plane.set_gate(VIP.into(), GateState::Closed).unwrap();
        let unknown = plane.set_gate(VIP.into(), GateState::Open);
        assert!(matches!(unknown, Err(GateError::Unknown { .. })));
    });
}

#[test]
fn a_service_that_returns_keeps_its_flows() {
    in_room(|_| {
        let mut plane = open_plane(&[server(12, 1), server(13, 1)]);
        send(&plane, 1000, SYN);
        send(&plane, 1000, ACK);
        plane.remove_service(&key(VIP, PORT)).unwrap();
        plane
            .put_service(&service(&[server(13, 1), server(12, 1)]))
            .unwrap();
        plane.set_gate(VIP.into(), GateState::Open).unwrap();
        assert_eq!(send(&plane, 1000, ACK), (TX, 12));
        assert_eq!(plane.snapshot().unwrap()[0].stats.packets, 1);
    });
}

#[test]
fn what_does_not_fit_is_refused_and_changes_nothing() {
    in_room(|_| {
        let sizes = Sizes {
            arena_words: 900,
            servers: 4,
            services: 2,
            ..Sizes::small()
        };
        let mut plane = detached(sizes);
        plane.put_service(&service(&[server(12, 1)])).unwrap();
        plane.set_gate(VIP.into(), GateState::Open).unwrap();
        let many: Vec<_> = (1..6).map(|host| server(host, 1)).collect();
        let full = plane.put_service(&service(&many)).unwrap_err();
        assert!(
            matches!(
                full,
                PutError::Full {
                    what: "real servers",
                    max: 4
                }
            ),
            "{full}"
        );
        plane.put_service(&service(&many[..3])).unwrap();
        let mut other = service(&[server(20, 1)]);
        other.key = key(Ipv4Addr::new(198, 18, 14, 147), PORT);
        let full = plane.put_service(&other).unwrap_err();
        assert!(matches!(full, PutError::Full { .. }), "{full}");
        assert_eq!(plane.book.gates.len(), 1);
        assert_eq!(open(&plane, 1000..1003), [1, 2, 3]);
        let twice = plane.put_service(&service(&[server(1, 1), server(1, 2)]));
        assert!(matches!(twice, Err(PutError::Duplicate { .. })));
        let mut v6 = service(&[server(1, 1)]);
        v6.key = ServiceKey::single(Protocol::Tcp, "[2001:db8::1]:80".parse().unwrap());
        assert!(matches!(
            plane.put_service(&v6),
            Err(PutError::TwoFamilies { .. })
        ));
        assert_eq!(plane.snapshot().unwrap().len(), 1);
    });
}

/// A change of the server list, in IPVS's way.
#[derive(Clone, Debug)]
enum Op {
    Add(u8),
    Remove(u8),
    Weigh(u8, i64),
    Open(u16),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        (1u8..6).prop_map(Op::Add),
        (1u8..6).prop_map(Op::Remove),
        (1u8..6, 0i64..3).prop_map(|(h, w)| Op::Weigh(h, w)),
        (1u16..7).prop_map(Op::Open),
    ];
    prop::collection::vec(op, 1..24)
}

#[test]
fn arbitrary_changes_keep_ipvs_order_and_can_be_read_back() {
    in_room(|_| {
        let mut runner = TestRunner::new(ProptestConfig::with_cases(24));
        runner
            .run(&ops(), |ops| {
                follow(&ops);
                Ok(())
            })
            .unwrap();
    });
}

fn follow(ops: &[Op]) {
    let sizes = Sizes {
        arena_words: 1 << 13,
        ..Sizes::small()
    };
    let mut plane = detached(sizes);
    let mut model: RoundRobin<u8> = RoundRobin::new();
    plane.put_service(&service(&[])).unwrap();
    plane.set_gate(VIP.into(), GateState::Open).unwrap();
    let mut port = 1000;
    for op in ops {
        match *op {
            Op::Add(host) => model.add(host, 1),
            Op::Remove(host) => {
                model.remove(&host);
            }
            Op::Weigh(host, weight) => {
                model.set_weight(&host, u32::try_from(weight).unwrap());
            }
            Op::Open(n) => {
                for _ in 0..n {
                    port += 1;
                    let (verdict, host) = send(&plane, port, SYN);
                    assert_eq!(
                        (verdict == TX).then_some(host),
                        expected(&mut model, verdict)
                    );
                }
                continue;
            }
        }
        let servers: Vec<_> = model
            .list()
            .map(|(host, weight)| server(*host, weight.into()))
            .collect();
        plane.put_service(&service(&servers)).unwrap();
    }
    let want: Vec<_> = plane
        .book
        .services
        .values()
        .map(|r| r.listed.clone().unwrap().entry)
        .collect();
    let adopted = rebuild(&mut plane.tables, &sizes).unwrap();
    let found: Vec<_> = adopted
        .book
        .services
        .values()
        .map(|r| r.listed.clone().unwrap().entry)
        .collect();
    assert_eq!(found, want);
    assert!(adopted.unfinished.is_empty());
    assert!(
        found[0]
            .servers
            .iter()
            .all(|s| s.weight >= Weight::QUIESCED)
    );
}

/// The model's pick; a service without servers answers with an ICMP error, which is sent back too.
fn expected(model: &mut RoundRobin<u8>, verdict: u32) -> Option<u8> {
    let picked = model.schedule();
    match picked {
        None if verdict == TX => Some(9),
        picked => picked,
    }
}

#[test]
fn clients_of_a_server_that_left_are_reset_where_the_service_says_so() {
    in_room(|_| {
        let mut entry = service(&[server(12, 1), server(13, 1)]);
        entry.options.on_removal = OnRemoval::Reset;
        let mut plane = detached(Sizes::small());
        plane.put_service(&entry).unwrap();
        plane.set_gate(VIP.into(), GateState::Open).unwrap();
        let gone = send(&plane, 1000, SYN).1;
        assert_eq!(send(&plane, 1000, ACK), (TX, gone));
        entry.servers.retain(|server| server.hop.mac.0[5] != gone);
        plane.put_service(&entry).unwrap();

        // IP options and data go.
        let mut packet = packet(1000, ACK);
        packet[14] = 0x46;
        packet[17] += 4 + 9;
        packet.splice(34..34, [1, 1, 1, 0]);
        packet.extend([7; 9]);
        packet[46..50].copy_from_slice(&[0x12, 0x34, 0x56, 0x78]);
        let (verdict, reset) = plane.run(&packet).unwrap();
        assert_eq!((verdict, reset.len()), (TX, 54));
        assert_eq!((&reset[..6], &reset[6..12]), (&packet[6..12], &MAC.0[..]));
        assert_eq!(&reset[26..30], &VIP.octets());
        assert_eq!(&reset[30..34], &packet[26..30]);
        assert_eq!(
            (&reset[34..36], &reset[36..38]),
            (&packet[40..42], &packet[38..40])
        );
        assert_eq!(
            &reset[38..42],
            &[0x12, 0x34, 0x56, 0x78],
            "what was acknowledged"
        );
        assert_eq!((reset[46], reset[47]), (0x50, RST));
        // One that resets itself, or acknowledges nothing, is answered with nothing.
        assert_eq!(send(&plane, 1000, RST | ACK).0, DROP);
        assert_eq!(send(&plane, 1000, FIN).0, DROP);
        let drops = plane.drops().unwrap();
        let counted = drops.iter().find(|drop| drop.name == "server-gone-reset");
        assert_eq!(counted.unwrap().value, 3);
        // A SYN begins anew.
        let (verdict, host) = send(&plane, 1000, SYN);
        assert!(verdict == TX && host != gone);
    });
}

#[test]
fn flows_of_a_server_that_left_go_on_where_the_service_keeps_them() {
    in_room(|room| {
        let options = room.options();
        let mut entry = service(&[server(12, 1), server(13, 1)]);
        entry.options.on_removal = OnRemoval::Keep;
        entry.options.persistence = Some(Persistence {
            timeout: Duration::from_secs(300),
            prefix: 32,
        });
        let whole = entry.clone();
        let (mut plane, _) = DataPlane::start(&options).unwrap();
        plane.put_service(&entry).unwrap();
        plane.set_gate(VIP.into(), GateState::Open).unwrap();
        let left = send(&plane, 1000, SYN).1;
        assert_eq!(send(&plane, 1000, ACK), (TX, left));
        assert_eq!(send(&plane, 1001, SYN), (TX, left), "by the template");

        entry.servers.retain(|server| server.hop.mac.0[5] != left);
        let stays = entry.servers[0].hop.mac.0[5];
        plane.put_service(&entry).unwrap();
        assert_eq!(send(&plane, 1000, ACK), (TX, left));
        assert_eq!(send(&plane, 1001, ACK), (TX, left), "half-open ones too");
        assert_eq!(
            send(&plane, 1002, SYN),
            (TX, stays),
            "the template is none any more"
        );
        assert_eq!(
            send(&plane, 1003, ACK),
            (TX, stays),
            "unknown flows are not kept"
        );
        drop(plane);

        let (mut plane, adopted) = DataPlane::start(&options).unwrap();
        assert_eq!(adopted, [entry.clone()]);
        assert_eq!(send(&plane, 1000, ACK), (TX, left), "over a restart");
        plane.put_service(&whole).unwrap();
        assert_eq!(send(&plane, 1000, ACK), (TX, left));
        plane.put_service(&entry).unwrap();
        assert_eq!(send(&plane, 1000, ACK), (TX, left));
        entry.options.on_removal = OnRemoval::Drop;
        plane.put_service(&entry).unwrap();
        assert_eq!(send(&plane, 1000, ACK).0, DROP);
    });
}
