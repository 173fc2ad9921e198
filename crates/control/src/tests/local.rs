use evenkeel_model::{Forwarding, Hop, ServiceEntry};

use super::shell::{Shell, director, key, mac, ms, real, web};
use crate::{Command, Report};

const WEB: [(u8, u16); 3] = [(14, 1), (13, 1), (12, 1)];

fn of_13(shell: &Shell) -> (Forwarding, Hop) {
    let entry = &shell.data_plane[&key(146, 80)];
    let server = entry.servers.iter().find(|s| s.address == real(13));
    let server = server.expect("13 is listed");
    (server.forwarding, server.hop)
}

/// What a director holds for whom 13 is its own address.
fn settled() -> ServiceEntry {
    let mut shell = Shell::restart(director(vec![web()]), Vec::new(), &[13]);
    shell.run(ms(100));
    shell.data_plane[&key(146, 80)].clone()
}

#[test]
fn a_server_that_is_the_director_itself_is_local_and_needs_no_neighbour() {
    let mut shell = Shell::restart(director(vec![web()]), Vec::new(), &[1, 13]);
    shell.link.remove(&real(13).ip());
    shell.run(ms(5));
    assert_eq!(shell.list(key(146, 80)), WEB, "checked as the others are");
    assert_eq!(of_13(&shell), (Forwarding::Local, Hop::NONE));
    let watch = Command::WatchNeighbour(real(13).ip());
    assert!(!shell.log.contains(&watch));
    let view = shell.control.view();
    let forwarding = view.services[0].servers.iter().map(|s| s.forwarding);
    let (direct, local) = (Forwarding::DirectRouting, Forwarding::Local);
    assert_eq!(Vec::from_iter(forwarding), [direct, local, direct]);
    shell.run(ms(5000));
    assert!(!shell.said().contains("nobody answers"));
}

#[test]
fn a_server_becomes_local_when_the_director_gets_its_address() {
    let mut shell = Shell::start(director(vec![web()]));
    shell.run(ms(100));
    shell.log.clear();
    shell.own(&[13]);
    assert_eq!(shell.list(key(146, 80)), WEB);
    assert_eq!(of_13(&shell), (Forwarding::Local, Hop::NONE));
    assert_eq!(shell.puts(), 1);
    let unwatch = Command::UnwatchNeighbour(real(13).ip());
    assert_eq!(shell.log.last(), Some(&unwatch), "after the put");
    assert_eq!(
        shell.said().lines().last(),
        Some("server 198.18.14.13:80 of `web` is local: its address is this director's own")
    );
}

#[test]
fn a_server_that_is_local_no_longer_waits_for_its_neighbour_in_its_place() {
    let mut shell = Shell::restart(director(vec![web()]), Vec::new(), &[13]);
    shell.run(ms(100));
    shell.link.remove(&real(13).ip());
    shell.own(&[]);
    assert_eq!(shell.list(key(146, 80)), [(14, 1), (12, 1)]);
    shell.run(ms(4100));
    assert!(shell.said().contains("nobody answers for 198.18.14.13"));
    shell.move_neighbour(real(13).ip(), mac(77));
    shell.run(ms(1));
    assert_eq!(shell.list(key(146, 80)), WEB);
    assert_eq!(of_13(&shell), (Forwarding::DirectRouting, mac(77).into()));
}

#[test]
fn other_own_addresses_change_nothing() {
    let mut shell = Shell::restart(director(vec![web()]), Vec::new(), &[13]);
    shell.run(ms(100));
    shell.log.clear();
    let reports = shell.reports.len();
    shell.own(&[13, 146, 200]);
    shell.own(&[13]);
    assert!(shell.log.is_empty(), "{:?}", shell.log);
    assert_eq!(shell.reports.len(), reports);
}

#[test]
fn an_adopted_local_server_is_not_put_again() {
    let mut shell = Shell::restart(director(vec![web()]), vec![settled()], &[13]);
    shell.run(ms(5000));
    assert_eq!(shell.puts(), 0);
    let mut reports = shell.reports.iter();
    assert!(!reports.any(|report| matches!(report, Report::ServerForwarding { .. })));
}

#[test]
fn an_adopted_server_that_is_local_no_longer_is_reached_by_its_neighbour() {
    let mut shell = Shell::restart(director(vec![web()]), vec![settled()], &[]);
    assert_eq!(shell.list(key(146, 80)), [(14, 1), (12, 1)]);
    shell.run(ms(1));
    assert_eq!(shell.list(key(146, 80)), WEB);
    assert_eq!(of_13(&shell), (Forwarding::DirectRouting, mac(13).into()));
}
