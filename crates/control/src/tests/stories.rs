use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use evenkeel_model::{
    Cadence, Check, CheckKind, GateState, OnFailure, Overlay, RestartNeeded, ServiceEntry,
    VirtualService,
};

use super::shell::{
    CADENCE, Host, Shell, director, key, mac, ms, real, server, tcp, vip, web, weight,
};
use crate::{Command, Control, Event, Report, ServerHealth};

const WEB: [(u8, u16); 3] = [(14, 1), (13, 1), (12, 1)];

/// What a director with this service holds once it has settled.
fn settled(service: VirtualService) -> ServiceEntry {
    let key = service.key;
    let mut shell = Shell::start(director(vec![service]));
    shell.run(ms(100));
    shell.data_plane[&key].clone()
}

#[test]
fn a_cold_start_takes_the_address_when_the_first_server_is_listed() {
    let mut shell = Shell::start(director(vec![web()]));
    let vip = vip(146);
    assert!(shell.thread.addresses.is_empty(), "all servers are gated");
    shell.run(ms(5));
    let mut log = shell.log;
    log.retain(|command| !matches!(command, Command::WatchNeighbour(_)));
    let first = log
        .iter()
        .position(|command| matches!(command, Command::SetGate { .. }));
    let (before, after) = log.split_at(first.expect("the gate is opened"));
    let Some(Command::PutService(entry)) = before.last() else {
        panic!("{before:?}");
    };
    assert!(!entry.servers.is_empty());
    let open = Command::SetGate {
        address: vip,
        state: GateState::Open,
    };
    assert_eq!(
        after[..3],
        [open, Command::AddAddress(vip), Command::Announce(vip)]
    );
}

#[test]
fn an_address_whose_servers_all_fail_or_are_unknown_is_taken_in_the_end() {
    let mut shell = Shell::start(director(vec![web()]));
    for host in [12, 13, 14] {
        shell.hosts.insert(real(host), Host::Fails);
    }
    shell.run(ms(1000));
    assert_eq!(
        shell.thread.addresses.len(),
        1,
        "there is nobody to wait for"
    );
    let mut unchecked = web();
    unchecked.check = None;
    unchecked.servers = vec![server(99, 1)];
    let mut shell = Shell::start(director(vec![unchecked]));
    shell.run(Duration::from_secs(1));
    assert!(
        shell.thread.addresses.is_empty(),
        "nobody has answered for the server yet"
    );
    shell.run(Duration::from_secs(60));
    assert_eq!(shell.thread.addresses.len(), 1);
}

#[test]
fn servers_are_listed_after_their_first_check_in_the_order_ipvs_would_have() {
    let mut shell = Shell::start(director(vec![web()]));
    assert_eq!(shell.ready, 0);
    shell.run(ms(1));
    assert_eq!(shell.list(key(146, 80)), WEB);
    assert_eq!(shell.ready, 1);
    assert!(
        shell
            .said()
            .contains("server 198.18.14.12:80 of `web` waits for its first check")
    );
    assert!(
        shell
            .said()
            .contains("server 198.18.14.12:80 of `web` is up: first check passed")
    );
}

#[test]
fn the_order_does_not_depend_on_who_answers_first() {
    let mut shell = Shell::start(director(vec![web()]));
    shell.link.clear();
    shell.run(ms(10));
    for n in [13, 14, 12] {
        shell.move_neighbour(real(n).ip(), mac(n));
        shell.run(ms(10));
    }
    assert_eq!(shell.list(key(146, 80)), WEB);
}

#[test]
fn a_server_that_fails_its_first_check_is_not_listed_until_rise_checks_pass() {
    let mut config = web();
    config.servers.remove(1);
    let mut shell = Shell::start(director(vec![config]));
    shell.hosts.insert(real(13), Host::Fails);
    shell.configure(vec![web()]);
    shell.run(ms(600));
    assert_eq!(shell.list(key(146, 80)), [(14, 1), (12, 1)]);
    let view = shell.control.view();
    let failed = &view.services[0].servers[1];
    assert_eq!(failed.health, ServerHealth::Down);
    assert_eq!(failed.reason, "first check failed: connection refused");
    assert_eq!(failed.last_failure.as_deref(), Some("connection refused"));
    assert_eq!(failed.in_force, None);
    shell.hosts.clear();
    shell.run(ms(1100));
    assert_eq!(shell.list(key(146, 80)), [(13, 1), (14, 1), (12, 1)]);
}

#[test]
fn a_dead_server_leaves_in_time_and_comes_back_at_the_head() {
    let mut shell = Shell::start(director(vec![web()]));
    shell.run(ms(1234));
    shell.hosts.insert(real(12), Host::Hangs);
    shell.run(CADENCE.every * CADENCE.fall + CADENCE.timeout + ms(100));
    assert_eq!(shell.list(key(146, 80)), [(14, 1), (13, 1)]);
    assert!(shell.said().contains(
        "server 198.18.14.12:80 of `web` is down and removed: \
         2 checks failed in a row, the last: no answer within 250ms"
    ));
    shell.hosts.clear();
    shell.run(CADENCE.every * CADENCE.rise + CADENCE.timeout + ms(100));
    assert_eq!(shell.list(key(146, 80)), [(12, 1), (14, 1), (13, 1)]);
}

#[test]
fn a_quiesced_server_keeps_its_place_with_weight_zero() {
    let mut config = web();
    config.on_failure = OnFailure::Quiesce;
    config.servers[1].weight = weight(5);
    let mut shell = Shell::start(director(vec![config]));
    shell.run(ms(100));
    shell.hosts.insert(real(13), Host::Fails);
    shell.run(ms(1100));
    assert_eq!(shell.list(key(146, 80)), [(14, 1), (13, 0), (12, 1)]);
    let hashed = shell.data_plane[&key(146, 80)].servers[1].hash_weight;
    assert_eq!(hashed, weight(5), "its running flows stay where they are");
    shell.hosts.clear();
    shell.run(ms(1100));
    assert_eq!(shell.list(key(146, 80)), [(14, 1), (13, 5), (12, 1)]);
}

#[test]
fn a_server_that_nobody_answers_for_is_not_listed_and_people_are_told() {
    let mut config = web();
    config.servers.push(server(99, 1));
    let mut shell = Shell::start(director(vec![config]));
    shell.run(ms(3900));
    assert_eq!(shell.list(key(146, 80)), WEB);
    assert!(!shell.said().contains("nobody answers"));
    shell.run(ms(200));
    assert!(shell.said().contains("nobody answers for 198.18.14.99"));
    shell.move_neighbour(real(99).ip(), mac(99));
    shell.run(ms(1));
    assert_eq!(shell.list(key(146, 80))[0], (99, 1));
}

#[test]
fn a_server_at_another_hardware_address_is_put_anew_in_its_place() {
    let mut shell = Shell::start(director(vec![web()]));
    shell.run(ms(100));
    shell.move_neighbour(real(13).ip(), mac(77));
    shell.run(ms(1));
    assert_eq!(shell.list(key(146, 80)), WEB);
    assert_eq!(
        shell.data_plane[&key(146, 80)].servers[1].hop,
        mac(77).into()
    );
    shell.log.clear();
    shell.move_neighbour(real(13).ip(), mac(77));
    shell.run(ms(1));
    assert_eq!(shell.puts(), 0);
}

#[test]
fn a_service_without_a_check_lists_whoever_is_on_the_link() {
    let mut config = web();
    config.check = None;
    let mut shell = Shell::start(director(vec![config]));
    assert_eq!(shell.ready, 1, "there is nothing to wait for");
    shell.run(ms(5));
    assert_eq!(shell.list(key(146, 80)), WEB);
    assert!(shell.probes.is_empty());
}

#[test]
fn the_director_is_ready_after_startup_wait_whatever_hangs() {
    let slow = Cadence {
        timeout: Duration::from_secs(60),
        ..CADENCE
    };
    let mut config = web();
    config.check = Some(Check {
        cadence: slow,
        ..tcp()
    });
    let begin = Instant::now();
    let mut control = Control::new(
        director(vec![config]),
        Overlay::default(),
        Vec::new(),
        BTreeSet::new(),
        begin,
    );
    let mut ready_at = None;
    while let Some(due) = control.poll_timeout().filter(|due| *due < begin + ms(9000)) {
        control.handle_timeout(due);
        while let Some(command) = control.poll_output() {
            if command == Command::Ready {
                ready_at = Some(due - begin);
            }
        }
    }
    assert_eq!(ready_at, Some(ms(3000)));
    assert!(control.view().ready);
}

#[test]
fn an_adopted_service_that_is_as_it_should_be_is_not_put() {
    let entry = settled(web());
    let mut shell = Shell::restart(director(vec![web()]), vec![entry], &[]);
    shell.run(ms(5000));
    assert_eq!(shell.puts(), 0);
    assert_eq!(shell.list(key(146, 80)), WEB);
    assert_eq!(shell.ready, 1);
}

#[test]
fn an_adopted_server_stays_until_fall_checks_fail() {
    let entry = settled(web());
    let mut shell = Shell::restart(director(vec![web()]), vec![entry], &[]);
    shell.run(ms(300));
    shell.hosts.insert(real(14), Host::Fails);
    shell.run(ms(400));
    assert_eq!(shell.list(key(146, 80)), WEB);
    shell.run(ms(600));
    assert_eq!(shell.list(key(146, 80)), [(13, 1), (12, 1)]);
}

#[test]
fn an_adopted_list_keeps_its_order_and_new_servers_come_before_it() {
    let mut entry = settled(web());
    entry.servers.swap(0, 2);
    let mut config = web();
    config.servers.insert(0, server(15, 1));
    let mut shell = Shell::restart(director(vec![config]), vec![entry], &[]);
    assert_eq!(shell.list(key(146, 80)), [(12, 1), (13, 1), (14, 1)]);
    shell.run(ms(100));
    assert_eq!(
        shell.list(key(146, 80)),
        [(15, 1), (12, 1), (13, 1), (14, 1)]
    );
}

#[test]
fn a_server_that_was_adopted_quiesced_stays_so_until_rise_checks_pass() {
    let mut config = web();
    config.on_failure = OnFailure::Quiesce;
    let mut entry = settled(config.clone());
    entry.servers[0].weight = weight(0);
    let mut shell = Shell::restart(director(vec![config]), vec![entry], &[]);
    shell.run(ms(100));
    assert_eq!(shell.list(key(146, 80))[0], (14, 0));
    shell.run(ms(600));
    assert_eq!(shell.list(key(146, 80))[0], (14, 1));
}

#[test]
fn an_adopted_service_that_is_no_longer_configured_goes_with_its_address() {
    let web_entry = settled(web());
    let mut other = web();
    other.key = key(147, 80);
    let other_entry = settled(other.clone());
    let shell = Shell::restart(director(vec![web()]), vec![web_entry, other_entry], &[]);
    let vip = vip(147);
    let closed = Command::SetGate {
        address: vip,
        state: GateState::Closed,
    };
    let expected = [
        Command::ConfigureRouters(Vec::new()),
        Command::RemoveAddress(vip),
        closed,
        Command::RemoveService(other.key),
    ];
    assert_eq!(shell.log[..4], expected);
    assert_eq!(shell.puts(), 0);
}

#[test]
fn reloading_the_same_configuration_does_nothing() {
    let mut shell = Shell::start(director(vec![web()]));
    shell.run(ms(100));
    shell.configure(vec![web()]);
    assert!(shell.log.is_empty(), "{:?}", shell.log);
    assert_eq!(shell.reports.last(), Some(&Report::NothingChanged));
}

#[test]
fn a_reload_changes_a_weight_and_touches_nothing_else() {
    let mut shell = Shell::start(director(vec![web()]));
    shell.run(ms(100));
    let probes = shell.probes.len();
    let mut config = web();
    config.servers[0].weight = weight(0);
    shell.configure(vec![config]);
    assert_eq!(shell.list(key(146, 80)), [(14, 1), (13, 1), (12, 0)]);
    assert_eq!(shell.log.len(), 1);
    assert_eq!(shell.probes.len(), probes);
    assert!(
        shell.said().ends_with(
            "service `web` (TCP 198.18.14.146:80): server 198.18.14.12:80 weight 1 to 0"
        )
    );
}

#[test]
fn a_reload_adds_a_gated_server_at_the_head_and_removes_another() {
    let mut shell = Shell::start(director(vec![web()]));
    shell.run(ms(100));
    let mut config = web();
    config.servers.remove(1);
    config.servers.push(server(15, 2));
    shell.configure(vec![config]);
    assert_eq!(shell.list(key(146, 80)), [(14, 1), (12, 1)]);
    let gone = real(13).ip();
    assert_eq!(shell.log.last(), Some(&Command::UnwatchNeighbour(gone)));
    shell.run(ms(5));
    assert_eq!(shell.list(key(146, 80)), [(15, 2), (14, 1), (12, 1)]);
    assert_eq!(shell.ready, 1);
}

#[test]
fn a_removed_service_leaves_the_address_to_the_one_that_shares_it() {
    let mut tls = web();
    tls.name = "tls".to_owned();
    tls.key = key(146, 443);
    let mut shell = Shell::start(director(vec![web(), tls]));
    shell.run(ms(100));
    shell.configure(vec![web()]);
    assert_eq!(shell.log, [Command::RemoveService(key(146, 443))]);
    shell.configure(vec![]);
    let vip = vip(146);
    let closed = Command::SetGate {
        address: vip,
        state: GateState::Closed,
    };
    let expected = [
        Command::RemoveAddress(vip),
        closed,
        Command::RemoveService(key(146, 80)),
    ];
    assert_eq!(shell.log[..3], expected);
    assert_eq!(
        shell.control.poll_timeout().filter(|t| *t < shell.now),
        None
    );
}

#[test]
fn services_that_check_alike_share_the_check_and_its_verdict() {
    let mut other = web();
    other.name = "other".to_owned();
    other.key = key(147, 80);
    let mut shell = Shell::start(director(vec![web()]));
    shell.run(ms(100));
    assert_eq!(shell.probes.len(), 3);
    shell.configure(vec![web(), other]);
    assert_eq!(shell.probes.len(), 3);
    assert_eq!(shell.list(key(147, 80)), WEB, "their verdicts are known");
    shell.hosts.insert(real(12), Host::Fails);
    shell.run(ms(1100));
    assert_eq!(shell.list(key(146, 80)), WEB[..2]);
    assert_eq!(shell.list(key(147, 80)), WEB[..2]);
}

#[test]
fn a_service_that_shares_the_check_of_adopted_servers_still_waits_for_its_first_result() {
    let mut other = web();
    other.key = key(147, 80);
    let entry = settled(web());
    let mut shell = Shell::restart(director(vec![web(), other]), vec![entry], &[]);
    assert_eq!(shell.list(key(146, 80)), WEB);
    assert!(shell.list(key(147, 80)).is_empty());
    shell.run(ms(1));
    assert_eq!(shell.list(key(147, 80)), WEB);
}

#[test]
fn a_server_adopted_up_by_one_service_and_down_by_another_ends_up_in_both() {
    let mut quiesced = web();
    quiesced.on_failure = OnFailure::Quiesce;
    let up = settled(quiesced.clone());
    let mut other = quiesced.clone();
    other.key = key(147, 80);
    let mut down = settled(other.clone());
    down.servers[0].weight = weight(0);
    let mut shell = Shell::restart(director(vec![quiesced, other]), vec![up, down], &[]);
    assert_eq!(shell.list(key(147, 80))[0], (14, 0));
    shell.run(ms(1));
    assert_eq!(shell.list(key(147, 80)), WEB);
    assert_eq!(shell.list(key(146, 80)), WEB);
}

#[test]
fn another_check_does_not_gate_a_running_server() {
    let mut shell = Shell::start(director(vec![web()]));
    shell.run(ms(100));
    let mut config = web();
    config.check = Some(Check {
        kind: CheckKind::Http {
            path: "/".to_owned(),
            host: None,
            status: Some(200),
            body: None,
        },
        port: Some(8080),
        cadence: CADENCE,
    });
    shell.configure(vec![config.clone()]);
    assert_eq!(shell.puts(), 0);
    assert_eq!(shell.probes.last().unwrap().1.port(), 8080);
    shell.run(ms(100));
    assert_eq!(shell.list(key(146, 80)), WEB);

    let before = shell.probes.len();
    config.check.as_mut().unwrap().cadence.every = ms(5000);
    shell.configure(vec![config]);
    shell.run(ms(2000));
    assert_eq!(shell.probes.len(), before, "only the cadence is another");
}

#[test]
fn a_check_that_is_taken_away_leaves_its_servers_in() {
    let mut shell = Shell::start(director(vec![web()]));
    shell.run(ms(100));
    shell.hosts.insert(real(12), Host::Fails);
    shell.run(ms(1100));
    assert_eq!(shell.list(key(146, 80)).len(), 2);
    let mut config = web();
    config.check = None;
    shell.configure(vec![config]);
    assert_eq!(shell.list(key(146, 80)), [(12, 1), (14, 1), (13, 1)]);
    assert!(
        shell
            .said()
            .ends_with("server 198.18.14.12:80 of `web` is up: not checked")
    );
    assert!(
        shell
            .log
            .iter()
            .all(|c| !matches!(c, Command::Probe { .. }))
    );
}

#[test]
fn what_needs_a_restart_is_said_at_every_reload() {
    let mut shell = Shell::start(director(vec![web()]));
    let mut new = director(vec![web()]);
    new.interface = "eth1".to_owned();
    for _ in 0..2 {
        shell.event(Event::Configure(new.clone()));
        assert!(matches!(
            shell.reports.last(),
            Some(Report::RestartNeeded(RestartNeeded::Interface { .. }))
        ));
    }
    assert_eq!(shell.control.director().interface, "eth0");
}

#[test]
fn a_put_that_failed_is_given_again() {
    let mut shell = Shell::start(director(vec![web()]));
    shell.run(ms(2000));
    shell.failing_puts = 2;
    let mut config = web();
    config.servers[0].weight = weight(7);
    shell.configure(vec![config]);
    assert_eq!(shell.list(key(146, 80)), WEB);
    shell.run(ms(11_000));
    assert_eq!(shell.list(key(146, 80)), [(14, 1), (13, 1), (12, 7)]);
    assert!(shell.said().contains(
        "could not put service TCP 198.18.14.146:80 into the data plane: map full; trying again"
    ));
}

#[test]
fn thousands_of_failed_puts_are_told_at_once_and_given_again_once() {
    let services = (1..=3000).map(|port| {
        let mut service = web();
        service.key = key(146, port);
        service.check = None;
        service
    });
    let (edits, now) = (Overlay::default(), Instant::now());
    let config = director(services.collect());
    let mut control = Control::new(config, edits, Vec::new(), BTreeSet::new(), now);
    let puts = |control: &mut Control| -> Vec<Command> {
        let outputs = std::iter::from_fn(|| control.poll_output());
        outputs
            .filter(|command| matches!(command, Command::PutService(_)))
            .collect()
    };
    let failed = puts(&mut control);
    assert_eq!(failed.len(), 3000);
    let begun = Instant::now();
    for what in failed.clone() {
        let event = Event::CommandFailed {
            what: Box::new(what),
            reason: "map full".to_owned(),
            again: false,
        };
        control.handle_event(event, now);
    }
    assert!(
        begun.elapsed() < Duration::from_secs(2),
        "{:?}",
        begun.elapsed()
    );
    control.handle_timeout(now + ms(4999));
    assert!(puts(&mut control).is_empty());
    control.handle_timeout(now + ms(5000));
    assert_eq!(puts(&mut control), failed);
    control.handle_timeout(now + ms(10_000));
    assert!(puts(&mut control).is_empty());
}

#[test]
fn a_failed_command_whose_state_nobody_wants_any_more_is_not_given_again() {
    let mut shell = Shell::start(director(vec![web()]));
    shell.run(ms(100));
    let vip = vip(146);
    for what in [Command::AddAddress(vip), Command::RemoveAddress(vip)] {
        let (what, reason) = (Box::new(what), "no".to_owned());
        shell.event(Event::CommandFailed {
            what,
            reason,
            again: false,
        });
    }
    shell.log.clear();
    shell.run(ms(6000));
    assert_eq!(shell.log, [Command::AddAddress(vip)]);
}

#[test]
fn a_failure_that_was_told_is_not_told_again_but_its_command_given_again() {
    let mut shell = Shell::start(director(vec![web()]));
    shell.run(ms(100));
    let vip = vip(146);
    for again in [false, true] {
        shell.log.clear();
        let (what, reason) = (Box::new(Command::AddAddress(vip)), "no".to_owned());
        shell.event(Event::CommandFailed {
            what,
            reason,
            again,
        });
        shell.run(ms(6000));
        assert_eq!(shell.log, [Command::AddAddress(vip)]);
    }
    let said = shell.said();
    assert_eq!(said.matches("could not add address").count(), 1, "{said}");
}

#[test]
fn failed_commands_are_given_again_at_once_when_the_obstacle_may_be_gone() {
    let mut shell = Shell::start(director(vec![web()]));
    shell.run(ms(100));
    let vip = vip(146);
    let (what, reason) = (Box::new(Command::AddAddress(vip)), "no".to_owned());
    shell.event(Event::CommandFailed {
        what,
        reason,
        again: false,
    });
    shell.log.clear();
    shell.event(Event::TryAgain);
    assert_eq!(shell.log, [Command::AddAddress(vip)]);
    shell.event(Event::TryAgain);
    shell.run(ms(6000));
    assert_eq!(shell.log, [Command::AddAddress(vip)]);
}

#[test]
fn a_hung_server_delays_no_other() {
    let mut shell = Shell::start(director(vec![web()]));
    shell.run(ms(100));
    shell.hosts.insert(real(12), Host::Hangs);
    shell.run(ms(20_000));
    let of = shell.probes.iter().filter(|(_, a)| *a == real(13));
    let starts: Vec<Duration> = of.map(|(at, _)| *at).collect();
    for pair in starts[1..].windows(2) {
        assert_eq!(pair[1] - pair[0], CADENCE.every);
    }
}
