use std::net::{Ipv4Addr, SocketAddrV4};

use super::*;

const SERVICE: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(198, 18, 14, 146), 7777);

fn servers(numbers: &[u8]) -> Vec<(SocketAddr, u32)> {
    numbers
        .iter()
        .map(|number| (SocketAddr::from(([198, 18, 14, *number], 7777)), 1))
        .collect()
}

fn places(placement: &Placement) -> Vec<Option<usize>> {
    (10_000..20_000)
        .map(|port| {
            let client = SocketAddrV4::new(Ipv4Addr::new(198, 18, 14, 1), port);
            placement.place(client.into(), SERVICE.into(), Protocol::Tcp)
        })
        .collect()
}

#[test]
fn flows_are_shared_evenly_and_few_move_when_a_server_goes() {
    let before = places(&Placement::of(&servers(&[12, 13, 14])));
    let after = places(&Placement::of(&servers(&[13, 14])));
    for server in 0..3 {
        let share = before
            .iter()
            .filter(|place| **place == Some(server))
            .count();
        assert!((3_000..3_700).contains(&share), "{share}");
    }
    let survivors = before
        .iter()
        .zip(&after)
        .filter(|(old, _)| **old != Some(0));
    let moved = survivors
        .filter(|(old, new)| old.map(|old| old - 1) != **new)
        .count();
    assert!((1..1_000).contains(&moved), "{moved}");
}

#[test]
fn without_servers_nothing_is_placed() {
    assert!(places(&Placement::of(&[])).iter().all(Option::is_none));
}
