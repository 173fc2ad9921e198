use std::net::SocketAddr;
use std::time::Duration;

use evenkeel_model::{
    GateState, Priority, Protocol, Role, Scheduler, ServiceKey, VirtualRouter, VirtualService,
};

use super::shell::{
    Host, Shell, about, director, id, key, ms, opening, real, router, server, shared, tcp, vip, web,
};
use crate::{Command, Event, Report};

const WEB: [(u8, u16); 3] = [(14, 1), (13, 1), (12, 1)];

fn at(host: u8) -> VirtualService {
    VirtualService {
        name: format!("at-{host}"),
        key: key(host, 80),
        ..web()
    }
}

/// A service that has to wait for somebody who never answers.
fn waiting(host: u8) -> VirtualService {
    VirtualService {
        check: None,
        servers: vec![server(99, 1)],
        ..at(host)
    }
}

fn configure(routers: &[VirtualRouter]) -> Command {
    Command::ConfigureRouters(routers.to_vec())
}

fn told(shell: &Shell, router: u8) -> usize {
    let told = Command::MayTakeOver(id(router));
    shell.log.iter().filter(|command| **command == told).count()
}

fn fail(shell: &mut Shell, what: Command) {
    let (what, reason) = (Box::new(what), "no".to_owned());
    shell.event(Event::CommandFailed {
        what,
        reason,
        again: false,
    });
}

#[test]
fn services_under_a_router_are_held_warm_and_their_address_is_left_alone() {
    let dns = VirtualService {
        key: ServiceKey::single(Protocol::Udp, SocketAddr::new(vip(146), 80)),
        ..web()
    };
    let mut shell = Shell::start(shared(vec![web(), dns.clone()], vec![router(51, &[146])]));
    shell.run(Duration::from_secs(20));
    assert_eq!(shell.list(key(146, 80)), WEB);
    assert_eq!(shell.list(dns.key), WEB);
    assert_eq!(shell.log.iter().filter_map(about).count(), 0);
    assert_eq!(shell.thread.gates[&vip(146)], GateState::Closed);
    let probes = shell.probes.len();
    shell.hosts.insert(real(12), Host::Fails);
    shell.run(ms(1100));
    assert_eq!(shell.list(key(146, 80)), WEB[..2]);
    assert!(shell.probes.len() > probes);
}

#[test]
fn routers_are_ordered_first_even_where_there_are_none() {
    let shell = Shell::start(director(vec![web()]));
    assert_eq!(shell.log[0], configure(&[]));
    let routers = [router(51, &[146]), router(52, &[147])];
    let shell = Shell::start(shared(vec![web()], routers.to_vec()));
    assert_eq!(shell.log[0], configure(&routers));
}

#[test]
fn a_router_may_take_over_once_the_first_checks_are_complete() {
    let mut shell = Shell::start(shared(vec![web()], vec![router(51, &[146])]));
    assert_eq!(told(&shell, 51), 0);
    shell.run(ms(1));
    assert_eq!(told(&shell, 51), 1);
    shell.run(Duration::from_secs(20));
    assert_eq!(told(&shell, 51), 1);
}

#[test]
fn a_router_waits_until_the_director_is_ready_and_all_its_services_can_serve() {
    let mut slow = at(147);
    let mut check = tcp();
    check.cadence.timeout = ms(2000);
    slow.check = Some(check);
    slow.servers = vec![server(15, 1)];
    let routers = vec![router(51, &[146]), router(52, &[148])];
    let mut director = shared(vec![web(), waiting(148), slow], routers);
    director.startup_wait = ms(5000);
    let mut shell = Shell::hanging(director, real(15));
    shell.run(ms(2050));
    assert_eq!(told(&shell, 51), 0, "a check of a service elsewhere runs");
    shell.run(ms(100));
    assert_eq!(told(&shell, 51), 1);
    assert_eq!(told(&shell, 52), 0, "its service waits for a neighbour");
    shell.run(ms(2800));
    assert_eq!(told(&shell, 52), 0);
    shell.run(ms(50));
    assert_eq!(told(&shell, 52), 1, "after `startup_wait`");
}

#[test]
fn a_router_without_services_may_take_over_when_the_director_is_ready() {
    let mut shell = Shell::start(shared(vec![at(147)], vec![router(51, &[146])]));
    assert_eq!(told(&shell, 51), 0);
    shell.run(ms(1));
    assert_eq!(told(&shell, 51), 1);
}

#[test]
fn a_router_that_a_reload_adds_waits_for_its_own_services_only() {
    let mut shell = Shell::start(shared(vec![web()], vec![router(51, &[146])]));
    shell.run(ms(100));
    let routers = vec![router(51, &[146]), router(52, &[147]), router(53, &[148])];
    shell.reload(shared(vec![web(), at(147), waiting(148)], routers.clone()));
    assert_eq!(shell.log[0], configure(&routers));
    shell.run(ms(2900));
    assert_eq!([51, 52, 53].map(|id| told(&shell, id)), [0, 1, 0]);
    shell.run(Duration::from_secs(20));
    assert_eq!([51, 52, 53].map(|id| told(&shell, id)), [0, 1, 1]);
}

#[test]
fn an_address_that_moves_under_a_router_is_left_to_it() {
    let mut shell = Shell::start(director(vec![web()]));
    shell.run(ms(100));
    assert_eq!(shell.thread.gates[&vip(146)], GateState::Open);
    let routers = vec![router(51, &[146])];
    shell.reload(shared(vec![web()], routers.clone()));
    shell.run(ms(3000));
    let expected = [configure(&routers), Command::MayTakeOver(id(51))];
    assert_eq!(shell.log, expected);
    assert_eq!(shell.thread.gates[&vip(146)], GateState::Closed);
}

#[test]
fn an_address_that_leaves_a_router_is_opened_after_the_order() {
    let mut shell = Shell::start(shared(vec![web()], vec![router(51, &[146])]));
    shell.run(ms(100));
    shell.switch(51);
    shell.configure(vec![web()]);
    assert_eq!(shell.log, [configure(&[])]);
    assert_eq!(shell.thread.gates[&vip(146)], GateState::Closed);
    shell.run(ms(0));
    assert_eq!(shell.log[1..], opening(vip(146)));
}

#[test]
fn an_address_that_leaves_its_router_and_its_services_needs_nothing() {
    let routers = vec![router(51, &[146, 147])];
    let mut shell = Shell::start(shared(vec![web(), at(147)], routers));
    shell.run(ms(100));
    let routers = [router(51, &[146])];
    shell.reload(shared(vec![web()], routers.to_vec()));
    shell.run(ms(3000));
    let expected = [configure(&routers), Command::RemoveService(key(147, 80))];
    assert_eq!(shell.log, expected);
}

#[test]
fn a_service_that_goes_leaves_its_address_to_the_router() {
    let routers = vec![router(51, &[146, 147])];
    let mut shell = Shell::start(shared(vec![web(), at(147)], routers.clone()));
    shell.run(ms(100));
    shell.reload(shared(vec![web()], routers));
    assert_eq!(shell.log, [Command::RemoveService(key(147, 80))]);
}

#[test]
fn an_address_that_moves_to_another_router_is_not_ours_in_between() {
    let routers = vec![router(51, &[146, 147]), router(52, &[148])];
    let mut shell = Shell::start(shared(vec![web()], routers));
    shell.run(ms(100));
    let routers = [router(51, &[147]), router(52, &[146, 148])];
    shell.reload(shared(vec![web()], routers.to_vec()));
    shell.run(ms(3000));
    assert_eq!(shell.log, [configure(&routers)]);
}

#[test]
fn a_router_that_begins_anew_is_told_again_and_one_that_goes_on_is_not() {
    let mut shell = Shell::start(shared(vec![web()], vec![router(51, &[146])]));
    shell.run(ms(100));
    let mut changed = router(51, &[146, 147]);
    changed.name = "front".to_owned();
    changed.priority = Priority::OWNER;
    shell.reload(shared(vec![web()], vec![changed.clone()]));
    shell.run(ms(10));
    assert_eq!(shell.log, [configure(&[changed.clone()])]);
    let mut v2 = changed.clone();
    v2.version = evenkeel_model::VrrpVersion::V2;
    let mut elsewhere = v2.clone();
    elsewhere.source = Some([198, 18, 14, 1].into());
    for anew in [v2, elsewhere] {
        shell.reload(shared(vec![web()], vec![anew.clone()]));
        shell.run(ms(10));
        let expected = [configure(&[anew]), Command::MayTakeOver(id(51))];
        assert_eq!(shell.log, expected);
    }
    shell.reload(shared(vec![web()], vec![]));
    shell.reload(shared(vec![web()], vec![changed]));
    shell.run(ms(10));
    assert_eq!(told(&shell, 51), 1);
}

#[test]
fn the_same_routers_in_another_order_are_not_ordered_again() {
    let routers = vec![router(51, &[146, 147]), router(52, &[148])];
    let mut shell = Shell::start(shared(vec![web()], routers));
    shell.run(ms(100));
    let routers = vec![router(52, &[148]), router(51, &[147, 146])];
    shell.reload(shared(vec![web()], routers));
    shell.run(ms(100));
    assert!(shell.log.is_empty(), "{:?}", shell.log);
    assert_eq!(shell.reports.last(), Some(&Report::NothingChanged));
}

#[test]
fn routers_that_could_not_be_configured_are_ordered_again_as_they_are_by_then() {
    let mut shell = Shell::start(director(vec![web()]));
    shell.run(ms(100));
    shell.failing_orders = 2;
    shell.reload(shared(vec![web()], vec![router(51, &[146])]));
    shell.run(ms(1000));
    assert_eq!(told(&shell, 51), 0, "nobody is there to be told");
    assert_eq!(shell.thread.gates[&vip(146)], GateState::Open);
    let routers = [router(51, &[146]), router(52, &[147])];
    shell.reload(shared(vec![web()], routers.to_vec()));
    shell.run(ms(4900));
    assert!(shell.log.is_empty(), "{:?}", shell.log);
    shell.run(ms(200));
    let take_over = [51, 52].map(|n| Command::MayTakeOver(id(n)));
    assert_eq!(shell.log[..1], [configure(&routers)]);
    assert_eq!(shell.log[1..], take_over);
    assert!(
        shell
            .said()
            .contains("could not configure the virtual routers: map full; trying again")
    );
}

#[test]
fn an_address_whose_router_could_not_be_left_is_not_opened() {
    let mut shell = Shell::start(shared(vec![web()], vec![router(51, &[146])]));
    shell.run(ms(100));
    shell.failing_orders = 1;
    shell.configure(vec![web()]);
    shell.run(ms(4900));
    assert!(shell.log.is_empty(), "{:?}", shell.log);
    shell.run(ms(200));
    assert_eq!(shell.log[0], configure(&[]));
    assert_eq!(shell.log[1..], opening(vip(146)));
}

#[test]
fn an_address_that_no_router_took_and_nobody_wants_any_more_is_given_up() {
    let mut shell = Shell::start(director(vec![web()]));
    shell.run(ms(100));
    shell.failing_orders = 1;
    shell.reload(shared(vec![web()], vec![router(51, &[146])]));
    shell.configure(vec![]);
    shell.run(ms(10));
    assert_eq!(shell.thread.gates[&vip(146)], GateState::Closed);
    assert!(shell.thread.addresses.is_empty());
}

#[test]
fn an_address_that_no_router_took_is_still_open_when_it_is_stand_alone_again() {
    let mut shell = Shell::start(director(vec![web()]));
    shell.run(ms(100));
    shell.failing_orders = 1;
    shell.reload(shared(vec![web()], vec![router(51, &[146])]));
    shell.configure(vec![web()]);
    shell.run(ms(10));
    assert_eq!(shell.log, [configure(&[])]);
    assert_eq!(shell.thread.gates[&vip(146)], GateState::Open);
}

#[test]
fn a_router_that_could_not_be_told_is_told_again_while_it_lives() {
    let routers = vec![router(51, &[146]), router(52, &[147])];
    let mut shell = Shell::start(shared(vec![], routers.clone()));
    shell.failing_orders = 2;
    shell.run(ms(10));
    assert_eq!([51, 52].map(|id| told(&shell, id)), [0, 0]);
    shell.reload(shared(vec![], routers[..1].to_vec()));
    shell.run(ms(6000));
    assert_eq!([51, 52].map(|id| told(&shell, id)), [1, 0]);
}

#[test]
fn a_failed_command_for_an_address_is_not_given_again_once_a_router_has_it() {
    let mut shell = Shell::start(director(vec![web()]));
    shell.run(ms(100));
    for what in opening(vip(146)) {
        fail(&mut shell, what);
    }
    let (address, state) = (vip(146), GateState::Closed);
    fail(&mut shell, Command::RemoveAddress(address));
    fail(&mut shell, Command::SetGate { address, state });
    shell.reload(shared(vec![web()], vec![router(51, &[146])]));
    shell.run(ms(6000));
    assert_eq!(shell.log.iter().filter_map(about).count(), 0);
}

#[test]
fn a_failed_command_for_an_address_waits_while_its_router_could_not_be_configured() {
    let mut shell = Shell::start(director(vec![web()]));
    shell.run(ms(100));
    for what in opening(vip(146)) {
        fail(&mut shell, what);
    }
    shell.run(ms(1000));
    shell.failing_orders = 1;
    shell.reload(shared(vec![web()], vec![router(51, &[146])]));
    shell.run(ms(4500));
    assert!(shell.log.is_empty(), "{:?}", shell.log);
    assert_eq!(shell.thread.gates[&vip(146)], GateState::Open);
}

#[test]
fn news_of_routers_are_told_by_name_and_with_their_reason() {
    let mut shell = Shell::start(shared(vec![web()], vec![router(51, &[146])]));
    shell.run(ms(10));
    shell.event(Event::Role {
        router: id(51),
        from: Role::Backup,
        to: Role::Active,
        reason: "no advertisement for 330ms".to_owned(),
    });
    let what = "advertisement of 198.18.14.3 with TTL 254".to_owned();
    let router = id(51);
    shell.event(Event::RouterTrouble { router, what });
    shell.configure(vec![web()]);
    shell.event(Event::Role {
        router,
        from: Role::Active,
        to: Role::Initialize,
        reason: "removed from the configuration".to_owned(),
    });
    let said = shell.said();
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines[0], "virtual router `r51` (id 51, VRRPv3) added");
    assert_eq!(
        lines[lines.len() - 5..],
        [
            "virtual router `r51` (id 51, VRRPv3) is active, was backup: no advertisement for 330ms",
            "virtual router `r51` (id 51, VRRPv3): what another director placed of `web` (rr) is unknown here: \
             connections go by the consistent hash and mostly break (counted as unknown-flow), UDP flows are \
             placed anew",
            "virtual router `r51` (id 51, VRRPv3): advertisement of 198.18.14.3 with TTL 254",
            "virtual router `r51` (id 51, VRRPv3) removed",
            "virtual router `r51` (id 51, VRRPv3) is initialize, was active: \
             removed from the configuration",
        ]
    );
    let warnings = shell.reports.iter().rev().take(4);
    let warnings: Vec<bool> = warnings.map(Report::is_warning).collect();
    assert_eq!(warnings, [false, false, true, false]);
}

#[test]
fn a_changed_router_has_a_line_for_every_change() {
    let mut shell = Shell::start(shared(vec![], vec![router(51, &[146])]));
    let mut changed = router(51, &[147]);
    changed.preempt = false;
    shell.reload(shared(vec![], vec![changed]));
    let said = shell.said();
    let lines: Vec<&str> = said.lines().skip(1).collect();
    let name = "virtual router `r51` (id 51, VRRPv3)";
    let changes = [
        "address 198.18.14.146 removed",
        "address 198.18.14.147 added",
        "preempt `true` to `false`",
    ];
    assert_eq!(lines, changes.map(|change| format!("{name}: {change}")));
}

#[test]
fn a_takeover_tells_of_flows_that_it_can_not_know_and_of_no_others() {
    let mut hashed = web();
    hashed.scheduler = Scheduler::Maglev;
    for (service, from, told) in [
        (web(), Role::Backup, true),
        // Restarted within its lease, it has all entries.
        (web(), Role::Initialize, false),
        (hashed, Role::Backup, false),
    ] {
        let mut shell = Shell::start(shared(vec![service], vec![router(51, &[146])]));
        shell.run(ms(10));
        shell.event(Event::Role {
            router: id(51),
            from,
            to: Role::Active,
            reason: "why".to_owned(),
        });
        let mut reports = shell.reports.iter();
        let found = reports.any(|report| matches!(report, Report::FlowsUnknown { .. }));
        assert_eq!(found, told, "{from:?}");
    }
}

#[test]
fn what_an_operator_orders_is_told_and_what_fails_is_a_warning() {
    let mut shell = Shell::start(shared(vec![web()], vec![router(51, &[146])]));
    shell.run(ms(10));
    let told = shell.said().lines().count();
    for (number, what, done) in [
        (51, "handed over", true),
        (51, "nobody took over", false),
        (52, "of no router", true),
    ] {
        shell.event(Event::RouterOrdered {
            router: id(number),
            what: what.to_owned(),
            done,
        });
    }
    shell.event(Event::Maintenance(true));
    shell.event(Event::Maintenance(false));
    let said = shell.said();
    let lines: Vec<&str> = said.lines().skip(told).collect();
    assert_eq!(
        lines,
        [
            "virtual router `r51` (id 51, VRRPv3): handed over",
            "virtual router `r51` (id 51, VRRPv3): nobody took over",
            "in maintenance: this director takes no virtual router over until `evenkeel maintenance off`",
            "in maintenance no longer",
        ]
    );
    assert!(Report::Maintenance(true).is_warning());
    assert!(!Report::Maintenance(false).is_warning());
}
