use std::sync::atomic::Ordering::{Relaxed, SeqCst};

use evenkeel_abi::{SCHEMA, Word};
use evenkeel_model::GateState;

use super::support::*;
use crate::{DataPlane, Options, StartError, SweepBudget, lock, pinned_constants};

/// A data plane with a service, its gate open, 10 established connections and 4 half-open ones.
fn busy(options: &Options) -> DataPlane {
    let (mut plane, _) = DataPlane::start(options).unwrap();
    plane
        .put_service(&service(&[server(13, 2), server(12, 1), server(14, 0)]))
        .unwrap();
    plane.set_gate(VIP.into(), GateState::Open).unwrap();
    for port in 1000..1010 {
        send(&plane, port, SYN);
        send(&plane, port, ACK);
    }
    open(&plane, 2000..2004);
    plane
}

fn refused(options: &Options) -> StartError {
    DataPlane::start(options).map(|_| ()).unwrap_err()
}

#[test]
fn a_successor_keeps_services_connections_and_counters_and_replaces_the_program() {
    in_room(|room| {
        let options = room.options();
        let mut plane = busy(&options);
        let (snapshot, connections) = (plane.snapshot().unwrap(), plane.connections().len());
        let (usage, id) = (plane.usage(), plane.program_id().unwrap());
        drop(plane);
        assert_eq!(room.attached(), Some(id));
        let (mut plane, adopted) = DataPlane::start(&options).unwrap();
        assert_eq!(
            adopted,
            [service(&[server(13, 2), server(12, 1), server(14, 0)])]
        );
        assert_eq!(plane.snapshot().unwrap(), snapshot);
        assert_eq!(
            (plane.connections().len(), plane.usage()),
            (connections, usage)
        );
        assert_ne!(plane.program_id().unwrap(), id);
        assert_eq!(room.attached(), Some(plane.program_id().unwrap()));
        // 14 flows were placed by turns: the next is the first server's.
        assert_eq!(open(&plane, 3000..3003), [13, 12, 13]);
        assert_eq!(send(&plane, 1001, ACK), (TX, 12));
    });
}

#[test]
fn an_adopted_service_can_be_changed_and_removed() {
    in_room(|room| {
        let options = room.options();
        drop(busy(&options));
        let (mut plane, adopted) = DataPlane::start(&options).unwrap();
        plane.put_service(&adopted[0]).unwrap();
        plane
            .put_service(&service(&[server(15, 1), server(12, 1)]))
            .unwrap();
        assert_eq!(send(&plane, 1000, ACK).0, DROP);
        assert_eq!(send(&plane, 1001, ACK), (TX, 12));
        drop(plane);
        let (mut plane, adopted) = DataPlane::start(&options).unwrap();
        assert_eq!(adopted, [service(&[server(15, 1), server(12, 1)])]);
        plane.remove_service(&adopted[0].key).unwrap();
        drop(plane);
        // Connections still hold the removed service's servers.
        let (mut plane, adopted) = DataPlane::start(&options).unwrap();
        assert!(adopted.is_empty());
        plane.put_service(&service(&[server(12, 1)])).unwrap();
        plane.set_gate(VIP.into(), GateState::Open).unwrap();
        assert_eq!(send(&plane, 1001, ACK), (TX, 12));
    });
}

/// Makes the pins of a data plane another schema's.
fn pretend(options: &Options, schema: u32) {
    let constants = pinned_constants(&options.pin_dir).unwrap().unwrap();
    constants.get(0).unwrap().store(schema.into(), SeqCst);
}

fn pinned_schema(options: &Options) -> u64 {
    let constants = pinned_constants(&options.pin_dir).unwrap().unwrap();
    constants.get(0).unwrap().load(SeqCst)
}

/// The daemon before had handed over.
fn mark(options: &Options) {
    lock(&options.pin_dir).unwrap().mark_handed_over().unwrap();
}

#[test]
fn another_schema_is_refused_and_the_program_stays() {
    in_room(|room| {
        let options = room.options();
        drop(busy(&options));
        let before = room.attached();
        for schema in [SCHEMA + 1, 77, 1] {
            pretend(&options, schema);
            let error = refused(&options);
            assert!(matches!(error, StartError::StalePins { .. }), "{error}");
            let told = error.to_string();
            let named = [format!("schema {schema},"), SCHEMA.to_string()];
            assert!(named.iter().all(|name| told.contains(name)), "{told}");
            assert!(told.contains("evenkeel purge"), "{told}");
            assert_eq!(room.attached(), before);
            assert_eq!(pinned_schema(&options), schema.into());
        }
    });
}

#[test]
fn another_schema_is_told_before_maps_that_it_lacks() {
    in_room(|room| {
        let options = room.options();
        drop(busy(&options));
        pretend(&options, 5);
        std::fs::remove_file(options.pin_dir.join("maps/CHANGED")).unwrap();
        let told = refused(&options).to_string();
        assert!(told.contains("schema 5,"), "{told}");
    });
}

#[test]
fn the_schema_before_is_adopted_and_becomes_this_one() {
    in_room(|room| {
        let options = room.options();
        let plane = busy(&options);
        let connections = plane.connections().len();
        // What schema 6 left to ask for the hash, long ago or for long.
        let state = plane.tables().state.get(0).unwrap();
        state.hash_from.store(u64::MAX, SeqCst);
        drop(plane);
        pretend(&options, 6);
        let (plane, adopted) = DataPlane::start(&options).unwrap();
        assert_eq!((adopted.len(), plane.dropped()), (1, None));
        assert_eq!(plane.connections().len(), connections);
        assert_eq!(pinned_schema(&options), SCHEMA.into());
        let state = plane.tables().state.get(0).unwrap();
        assert_eq!(state.hash_from.load(SeqCst), 0);
        assert_eq!(send(&plane, 1001, ACK), (TX, 12));
    });
}

#[test]
fn pins_that_serve_nothing_any_more_are_dropped_where_they_cannot_be_adopted() {
    in_room(|room| {
        let mut options = room.options();
        drop(busy(&options));
        let before = room.attached();
        pretend(&options, 77);
        mark(&options);
        // Twice is as good.
        mark(&options);
        let (mut plane, adopted) = DataPlane::start(&options).unwrap();
        assert!(adopted.is_empty());
        let why = plane.dropped().unwrap();
        assert!(why.contains("schema 77"), "{why}");
        assert!(plane.connections().is_empty());
        assert_ne!(room.attached(), before);
        assert_eq!(room.attached(), Some(plane.program_id().unwrap()));
        assert_eq!(pinned_schema(&options), SCHEMA.into());
        drop(plane);

        // The mark went with them.
        pretend(&options, 77);
        let _refused = refused(&options);
        pretend(&options, SCHEMA);
        mark(&options);
        options.sizes.half_open *= 2;
        let (plane, _) = DataPlane::start(&options).unwrap();
        let why = plane.dropped().unwrap();
        assert!(why.contains("HALF_OPEN"), "{why}");
    });
}

#[test]
fn pins_that_are_adopted_lose_the_mark() {
    in_room(|room| {
        let options = room.options();
        drop(busy(&options));
        mark(&options);
        let (plane, adopted) = DataPlane::start(&options).unwrap();
        assert_eq!((adopted.len(), plane.dropped()), (1, None));
        drop(plane);
        pretend(&options, 77);
        let _refused = refused(&options);
    });
}

#[test]
fn a_purge_takes_the_mark_with_the_pins() {
    in_room(|room| {
        let options = room.options();
        drop(busy(&options));
        mark(&options);
        crate::purge(&options.pin_dir).unwrap();
        assert_eq!(room.pins(), Vec::<std::path::PathBuf>::new());
    });
}

#[test]
fn another_configured_size_is_refused_with_both_sizes() {
    in_room(|room| {
        let mut options = room.options();
        drop(busy(&options));
        let before = room.attached();
        options.sizes.connections *= 2;
        let error = refused(&options);
        assert!(matches!(error, StartError::Resized { .. }), "{error}");
        assert!(error.to_string().contains("evenkeel purge"));
        assert_eq!(room.attached(), before);
    });
}

#[test]
fn foreign_maps_under_our_names_are_refused() {
    in_room(|room| {
        let options = room.options();
        drop(busy(&options));
        let maps = options.pin_dir.join("maps");
        std::fs::remove_file(maps.join("GATES")).unwrap();
        let told = refused(&options).to_string();
        assert!(told.contains("1 of its maps are missing"), "{told}");
        let other = aya::maps::MapData::from_pin(maps.join("DROPS")).unwrap();
        other.pin(maps.join("GATES")).unwrap();
        let told = refused(&options).to_string();
        assert!(told.contains("map `GATES` is PerCpuArray"), "{told}");
    });
}

#[test]
fn contradictory_tables_are_refused_and_the_program_stays() {
    in_room(|room| {
        let options = room.options();
        let plane = busy(&options);
        let before = room.attached();
        let slot = plane.tables().services.get(0).unwrap();
        let half = &slot.halves[usize::from(slot.select.load(SeqCst) == 1)];
        half.hash_all.store(u32::MAX - 3, 100);
        drop(plane);
        let error = refused(&options);
        assert!(matches!(error, StartError::StalePins { .. }), "{error}");
        assert_eq!(room.attached(), before);
    });
}

#[test]
fn what_a_killed_predecessor_left_half_done_is_finished() {
    in_room(|room| {
        let options = room.options();
        let plane = busy(&options);
        let tables = plane.tables();
        // Killed in the sweep: an entry taken out, the counters not changed yet.
        let mut ways = tables.conns.as_slice().iter().flat_map(|b| &b.ways);
        let conn = ways.find(|conn| Word(conn.word.load(SeqCst)).is_live());
        conn.unwrap().word.store(Word::FREE.0, SeqCst);
        // Killed in a change of the service: a weight is stored, the tables are old.
        let number = plane
            .book
            .services
            .values()
            .next()
            .unwrap()
            .listed
            .clone()
            .unwrap()
            .numbers[0];
        tables.services.get(0).unwrap().changing.store(1, SeqCst);
        tables
            .servers
            .get(number)
            .unwrap()
            .weights
            .store(evenkeel_abi::pair(0, 1), SeqCst);
        drop(plane);
        let (mut plane, adopted) = DataPlane::start(&options).unwrap();
        assert_eq!(
            adopted,
            [service(&[server(13, 0), server(12, 1), server(14, 0)])]
        );
        assert_eq!(open(&plane, 4000..4003), [12, 12, 12]);
        let usage = plane.usage();
        assert_eq!(
            (usage.established, usage.unassured, usage.half_open),
            (9, 9, 7)
        );
        let view = plane.snapshot().unwrap();
        let held: u32 = view[0].servers.iter().map(|s| s.active + s.inactive).sum();
        assert_eq!(held, 9 + 7);
        assert_eq!(
            plane
                .tables()
                .services
                .get(0)
                .unwrap()
                .changing
                .load(Relaxed),
            0
        );
        assert_eq!(plane.sweep(SweepBudget::default()).established, 0);
    });
}

#[test]
fn a_recreated_interface_is_attached_anew_and_the_maps_are_kept() {
    in_room(|room| {
        let options = room.options();
        drop(busy(&options));
        ip(&["link", "del", "eth0"]);
        room.add_interface();
        let options = room.options();
        let (mut plane, adopted) = DataPlane::start(&options).unwrap();
        assert_eq!(adopted.len(), 1);
        assert_eq!(room.attached(), Some(plane.program_id().unwrap()));
        assert_eq!(plane.connections().len(), 14);
    });
}

#[test]
fn a_severed_link_of_the_same_index_is_attached_anew() {
    in_room(|room| {
        let options = room.options();
        drop(busy(&options));
        let index = options.link_index.to_string();
        ip(&["link", "del", "eth0"]);
        ip(&[
            "link", "add", "eth0", "index", &index, "type", "veth", "peer", "name", PEER,
        ]);
        let (mut plane, adopted) = DataPlane::start(&options).unwrap();
        assert_eq!(adopted.len(), 1);
        assert_eq!(room.attached(), Some(plane.program_id().unwrap()));
    });
}

#[test]
fn a_lost_link_pin_is_made_anew() {
    in_room(|room| {
        let options = room.options();
        drop(busy(&options));
        std::fs::remove_file(options.pin_dir.join("links/eth0")).unwrap();
        wait_until("the program is off", || room.attached().is_none());
        let (_plane, adopted) = DataPlane::start(&options).unwrap();
        assert_eq!(adopted.len(), 1);
        assert!(room.attached().is_some());
    });
}
