use std::sync::atomic::Ordering::{Relaxed, SeqCst};

use evenkeel_abi::Word;
use evenkeel_model::GateState;

use super::support::*;
use crate::{DataPlane, Sizes, SweepBudget, Swept};

fn open_plane() -> DataPlane {
    let mut plane = detached(Sizes::small());
    plane
        .put_service(&service(&[server(12, 1), server(13, 1)]))
        .unwrap();
    plane.set_gate(VIP.into(), GateState::Open).unwrap();
    plane
}

/// Makes every entry of both tables expire now.
fn expire_all(plane: &DataPlane) {
    let tables = plane.tables();
    let buckets = tables
        .conns
        .as_slice()
        .iter()
        .chain(tables.half_open.as_slice());
    for conn in buckets.flat_map(|bucket| &bucket.ways) {
        let word = Word(conn.word.load(SeqCst));
        if word.is_live() {
            let expired = Word::live(word.server(), word.state(), plane.tables().now());
            let expired = if word.is_unassured() {
                expired.unassured()
            } else {
                expired
            };
            conn.word.store(expired.0, SeqCst);
        }
    }
}

fn counts(plane: &DataPlane) -> Vec<(u32, u32)> {
    let view = plane.snapshot().unwrap();
    view[0]
        .servers
        .iter()
        .map(|s| (s.active, s.inactive))
        .collect()
}

#[test]
fn expired_entries_leave_both_tables_and_all_counters() {
    in_room(|_| {
        let mut plane = open_plane();
        for port in 1000..1010 {
            send(&plane, port, SYN);
            send(&plane, port, ACK);
        }
        send(&plane, 1000, FIN | ACK);
        open(&plane, 2000..2004);
        assert_eq!(plane.sweep(SweepBudget::default()), Swept::default());
        assert_eq!(plane.connections().len(), 14);
        assert_eq!(counts(&plane).iter().map(|c| c.0 + c.1).sum::<u32>(), 14);
        expire_all(&plane);
        assert!(plane.connections().is_empty());
        let swept = plane.sweep(SweepBudget::default());
        assert_eq!((swept.established, swept.half_open), (10, 4));
        assert_eq!(counts(&plane), [(0, 0), (0, 0)]);
        let usage = plane.usage();
        assert_eq!(
            (usage.established, usage.unassured, usage.half_open),
            (0, 0, 0)
        );
    });
}

#[test]
fn freed_places_are_used_again() {
    in_room(|_| {
        let mut plane = detached(Sizes {
            connections: 8,
            ..Sizes::small()
        });
        plane.put_service(&service(&[server(12, 1)])).unwrap();
        plane.set_gate(VIP.into(), GateState::Open).unwrap();
        for _ in 0..10 {
            for port in 1000..1004 {
                send(&plane, port, SYN);
                send(&plane, port, ACK);
            }
            assert_eq!(plane.usage().established, 4);
            expire_all(&plane);
            assert_eq!(plane.sweep(SweepBudget::default()).established, 4);
        }
    });
}

#[test]
fn a_call_stays_in_its_budget_and_the_next_goes_on() {
    in_room(|_| {
        let mut plane = detached(Sizes {
            connections: 64,
            ..Sizes::small()
        });
        plane.put_service(&service(&[server(12, 1)])).unwrap();
        plane.set_gate(VIP.into(), GateState::Open).unwrap();
        for port in 1000..1030 {
            send(&plane, port, SYN);
            send(&plane, port, ACK);
        }
        assert_eq!(plane.usage().established, 30);
        expire_all(&plane);
        // A quarter of the table at a time.
        let quarter = SweepBudget { places: 32 };
        let swept: Vec<u32> = std::iter::repeat_with(|| plane.sweep(quarter).established)
            .take(4)
            .collect();
        assert_eq!(swept.iter().sum::<u32>(), 30, "{swept:?}");
        assert!(swept.iter().all(|n| *n > 0), "{swept:?}");
    });
}

#[test]
fn a_servers_number_is_freed_only_without_connections() {
    in_room(|_| {
        let mut plane = open_plane();
        assert_eq!(open(&plane, 1000..1001), [12]);
        plane.put_service(&service(&[])).unwrap();
        let mut freed = 0;
        wait_until("the idle server's number is freed", || {
            freed += plane.sweep(SweepBudget::default()).servers;
            freed == 1
        });
        expire_all(&plane);
        wait_until("the other one's number is freed", || {
            freed += plane.sweep(SweepBudget::default()).servers;
            freed == 2
        });
        assert!(
            plane
                .tables()
                .servers
                .as_slice()
                .iter()
                .all(|s| s.owner.load(Relaxed) == 0)
        );
        plane.remove_service(&key(VIP, PORT)).unwrap();
        plane.sweep(SweepBudget::default());
        assert!(plane.book.services.is_empty());
    });
}

#[test]
fn a_reset_connection_counts_as_inactive() {
    in_room(|_| {
        let plane = open_plane();
        send(&plane, 1000, SYN);
        send(&plane, 1000, ACK);
        assert_eq!(counts(&plane), [(1, 0), (0, 0)]);
        send(&plane, 1000, RST);
        assert_eq!(counts(&plane), [(0, 1), (0, 0)]);
    });
}
