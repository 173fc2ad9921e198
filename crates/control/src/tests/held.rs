use std::time::Duration;

use evenkeel_model::{Hop, OnFailure, Role, VirtualRouter, VirtualService, Weight};

use super::shell::{Host, Shell, id, key, mac, ms, real, router, server, shared, synced, web};
use crate::{Event, ServerHealth};

const ALL: [(u8, u16); 3] = [(14, 1), (13, 1), (12, 1)];
const OTHERS: [(u8, u16); 2] = [(14, 1), (13, 1)];

fn routers() -> Vec<VirtualRouter> {
    vec![router(51, &[146])]
}

/// The hosts that the data plane holds for the service.
fn held(shell: &Shell) -> Vec<u8> {
    let entry = &shell.data_plane[&key(146, 80)];
    let hosts = (12..20).filter(|n| entry.held.iter().any(|s| s.address == real(*n)));
    hosts.collect()
}

/// A Backup with a service of three servers.
fn backup() -> Shell {
    let mut shell = Shell::start(synced(vec![web()], routers()));
    shell.run(ms(1234));
    shell
}

fn turn(shell: &mut Shell, host: Host) {
    shell.hosts.insert(real(12), host);
    shell.run(ms(1100));
}

#[test]
fn a_backup_holds_whom_its_own_check_finds_dead_and_goes_on_so_as_the_active() {
    let mut shell = backup();
    turn(&mut shell, Host::Fails);
    assert_eq!(
        (shell.list(key(146, 80)), held(&shell)),
        (OTHERS.to_vec(), vec![12])
    );
    let entry = shell.data_plane[&key(146, 80)].held[0];
    assert_eq!(
        (entry.weight, entry.hop),
        (Weight::QUIESCED, mac(12).into())
    );
    let view = shell.control.view();
    let first = &view.services[0].servers[0];
    assert_eq!(
        (first.health, first.held, first.in_force),
        (ServerHealth::Down, true, None)
    );
    let told = |shell: &Shell| {
        shell
            .said()
            .matches("server 198.18.14.12:80 of `web` is held")
            .count()
    };
    assert_eq!(told(&shell), 1);
    let puts = shell.puts();
    shell.switch(51);
    shell.run(Duration::from_secs(60));
    assert_eq!(
        (held(&shell), shell.puts(), told(&shell)),
        (vec![12], puts, 1)
    );
    // It comes back, and what dies from then on leaves.
    turn(&mut shell, Host::Passes);
    assert_eq!(held(&shell), []);
    assert_eq!(shell.list(key(146, 80)), [(12, 1), (14, 1), (13, 1)]);
    turn(&mut shell, Host::Fails);
    assert_eq!(
        (shell.list(key(146, 80)), held(&shell)),
        (OTHERS.to_vec(), vec![])
    );
    // Who takes over from it knows better.
    shell.switch(51);
    assert_eq!(held(&shell), [12]);
}

#[test]
fn who_is_dead_from_the_start_is_held_as_soon_as_it_can_be_reached() {
    let mut config = web();
    config.servers[0] = server(30, 1);
    let mut shell = Shell::start(synced(vec![config], routers()));
    shell.hosts.insert(real(30), Host::Fails);
    shell.run(ms(1000));
    assert!(
        shell.data_plane[&key(146, 80)].held.is_empty(),
        "nobody answers for it"
    );
    shell.move_neighbour(real(30).ip(), mac(30));
    shell.run(ms(1));
    let held = &shell.data_plane[&key(146, 80)].held;
    assert_eq!(
        held.iter().map(|s| s.address).collect::<Vec<_>>(),
        [real(30)]
    );
    shell.move_neighbour(real(30).ip(), mac(31));
    shell.run(ms(1));
    assert_eq!(
        shell.data_plane[&key(146, 80)].held[0].hop,
        Hop::from(mac(31))
    );
}

#[test]
fn none_is_held_where_nobody_tells_of_flows_or_none_leaves() {
    let quiescing = VirtualService {
        on_failure: OnFailure::Quiesce,
        ..web()
    };
    let cases = [
        shared(vec![web()], routers()),
        synced(vec![web()], Vec::new()),
        synced(vec![web()], vec![router(51, &[147])]),
        synced(vec![quiescing], routers()),
    ];
    for director in cases {
        let mut shell = Shell::start(director);
        shell.run(ms(1234));
        turn(&mut shell, Host::Fails);
        assert_eq!(held(&shell), []);
    }
}

#[test]
fn who_is_held_leaves_when_the_address_becomes_this_directors_own_or_the_server_is_removed() {
    let mut shell = backup();
    turn(&mut shell, Host::Fails);
    shell.reload(synced(vec![web()], Vec::new()));
    assert_eq!(held(&shell), []);
    let mut shell = backup();
    turn(&mut shell, Host::Fails);
    let mut config = web();
    config.servers.remove(0);
    shell.reload(synced(vec![config], routers()));
    assert_eq!(
        (held(&shell), shell.list(key(146, 80))),
        (vec![], OTHERS.to_vec())
    );
}

#[test]
fn who_was_held_is_adopted_so_and_comes_back() {
    let mut shell = backup();
    turn(&mut shell, Host::Fails);
    shell.switch(51);
    let found = shell.data_plane.into_values().collect();
    let mut shell = Shell::restart(synced(vec![web()], routers()), found, &[]);
    shell.hosts.insert(real(12), Host::Fails);
    shell.event(Event::Role {
        router: id(51),
        from: Role::Initialize,
        to: Role::Active,
        reason: "within its lease".to_owned(),
    });
    shell.run(Duration::from_secs(5));
    assert_eq!((held(&shell), shell.puts()), (vec![12], 0));
    turn(&mut shell, Host::Passes);
    assert_eq!(
        (held(&shell), shell.list(key(146, 80)).len()),
        (vec![], ALL.len())
    );
}
