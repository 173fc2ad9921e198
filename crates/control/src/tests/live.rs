//! Drained servers, and the server that gets the new flows while no other can.

use evenkeel_model::{
    Edit, EditRefused, OnFailure, ServerSettings, Thresholds, VirtualService, Weight,
};

use super::shell::{
    Host, Shell, director, key, mac, ms, real, router, server, shared, web, weight,
};
use crate::{Command, Report};

const WEB: [(u8, u16); 3] = [(14, 1), (13, 1), (12, 1)];

fn drain(last: u8) -> Edit {
    Edit::Drain(web().key, real(last).ip())
}

fn ready(last: u8) -> Edit {
    Edit::Ready(web().key, real(last).ip())
}

/// [`web`] with weights of 5, and with 20 to say sorry.
fn sorry() -> VirtualService {
    VirtualService {
        servers: vec![server(12, 5), server(13, 5)],
        sorry_server: Some(server(19, 1)),
        ..web()
    }
}

fn running(service: VirtualService) -> Shell {
    let mut shell = Shell::start(director(vec![service]));
    shell.run(ms(100));
    shell
}

fn all(shell: &mut Shell, hosts: &[u8], host: Host) {
    for last in hosts {
        shell.hosts.insert(real(*last), host);
    }
}

#[test]
fn a_drained_server_has_weight_0_and_its_share_of_the_consistent_hash() {
    let mut heavy = web();
    heavy.servers[1].weight = weight(5);
    let mut shell = running(heavy.clone());
    shell.edit(drain(13)).unwrap();
    assert_eq!(shell.list(web().key), [(14, 1), (13, 0), (12, 1)]);
    assert_eq!(
        shell.data_plane[&web().key].servers[1].hash_weight,
        weight(5)
    );
    assert_eq!(shell.puts(), 1);
    // Once more changes nothing, and the weight of the config is what it gets back.
    shell.edit(drain(13)).unwrap();
    assert_eq!(shell.log, []);
    heavy.servers[1].weight = weight(7);
    shell.configure(vec![heavy]);
    assert_eq!(shell.list(web().key)[1], (13, 0));
    shell.edit(ready(13)).unwrap();
    assert_eq!(shell.list(web().key)[1], (13, 7));
    let said = shell.said();
    for line in [
        "by hand: server 198.18.14.13 of TCP 198.18.14.146:80 drained",
        "service `web` (TCP 198.18.14.146:80): server 198.18.14.13:80 drained",
        "by hand: server 198.18.14.13 of TCP 198.18.14.146:80 ready",
        "service `web` (TCP 198.18.14.146:80): server 198.18.14.13:80 ready",
    ] {
        assert!(
            said.lines().any(|said| said == line),
            "no `{line}` in {said}"
        );
    }
    assert!(shell.kept.is_empty());
}

#[test]
fn checks_and_neighbours_undo_no_drain() {
    for on_failure in [OnFailure::Remove, OnFailure::Quiesce] {
        let mut shell = running(VirtualService {
            on_failure,
            ..web()
        });
        shell.edit(drain(13)).unwrap();
        all(&mut shell, &[13], Host::Fails);
        shell.run(ms(2000));
        let removed = on_failure == OnFailure::Remove;
        assert_eq!(shell.list(web().key).len(), if removed { 2 } else { 3 });
        shell.hosts.clear();
        shell.run(ms(2000));
        shell.move_neighbour(real(13).ip(), mac(77));
        shell.run(ms(100));
        let mut list = shell.list(web().key);
        list.sort_unstable();
        assert_eq!(list, [(12, 1), (13, 0), (14, 1)], "{on_failure:?}");
    }
}

#[test]
fn a_drain_outlives_the_daemon_on_a_backup_too() {
    for quiesce in [false, true] {
        let mut config = web();
        if quiesce {
            config.on_failure = OnFailure::Quiesce;
        }
        let config = shared(vec![config], vec![router(51, &[146])]);
        let mut shell = Shell::start(config.clone());
        shell.run(ms(100));
        shell.edit(drain(12)).unwrap();
        let drained = [(14, 1), (13, 1), (12, 0)];
        assert_eq!(shell.list(web().key), drained);
        let (found, kept) = (shell.data_plane.into_values().collect(), shell.kept);
        let mut shell = Shell::edited(config, kept, found, &[]);
        assert_eq!(shell.puts(), 0);
        shell.run(ms(5000));
        assert_eq!(shell.list(web().key), drained);
        // It was adopted as up, not as one that its checks had quiesced.
        shell.edit(ready(12)).unwrap();
        assert_eq!(shell.list(web().key), WEB);
    }
}

#[test]
fn a_server_that_is_edited_or_added_anew_is_drained_no_more() {
    let mut shell = running(web());
    let settings = ServerSettings {
        weight: weight(3),
        thresholds: Thresholds::default(),
    };
    let (service, address) = (web().key, real(12).ip());
    shell.edit(drain(12)).unwrap();
    shell
        .edit(Edit::EditServer(service, address, settings))
        .unwrap();
    assert_eq!(shell.list(service)[2], (12, 3));
    shell.edit(drain(12)).unwrap();
    shell.edit(Edit::DeleteServer(service, address)).unwrap();
    shell
        .edit(Edit::AddServer(service, address, settings))
        .unwrap();
    shell.run(ms(100));
    assert_eq!(shell.list(service)[0], (12, 3));
    assert_eq!(shell.edit(drain(17)), Err(EditRefused::NoSuchServer));
    let elsewhere = Edit::Drain(key(146, 81), address);
    assert_eq!(shell.edit(elsewhere), Err(EditRefused::NoSuchService));
}

#[test]
fn the_sorry_server_is_in_the_list_while_all_others_fail() {
    let mut shell = running(sorry());
    assert_eq!(shell.list(web().key), [(13, 5), (12, 5)]);
    all(&mut shell, &[12, 13], Host::Fails);
    shell.run(ms(2000));
    assert_eq!(shell.list(web().key), [(19, 1)]);
    let probed = shell.probes.iter().any(|(_, address)| *address == real(19));
    assert!(!probed, "nobody checks it");
    all(&mut shell, &[13], Host::Passes);
    shell.run(ms(2000));
    assert_eq!(shell.list(web().key), [(13, 5)]);
    let told: Vec<&Report> = shell
        .reports
        .iter()
        .filter(|report| {
            matches!(
                report,
                Report::SorryServerIn { .. } | Report::SorryServerOut { .. }
            )
        })
        .collect();
    let (service, server) = ("web".to_owned(), real(19));
    let expected = [
        &Report::SorryServerIn {
            service: service.clone(),
            server,
        },
        &Report::SorryServerOut { service, server },
    ];
    assert_eq!(told, expected);
}

#[test]
fn the_sorry_server_stands_before_servers_of_weight_0() {
    let mut shell = running(VirtualService {
        on_failure: OnFailure::Quiesce,
        ..sorry()
    });
    shell.edit(drain(12)).unwrap();
    assert_eq!(shell.list(web().key), [(13, 5), (12, 0)]);
    all(&mut shell, &[13], Host::Fails);
    shell.run(ms(2000));
    assert_eq!(shell.list(web().key), [(19, 1), (13, 0), (12, 0)]);
    shell.edit(ready(12)).unwrap();
    assert_eq!(shell.list(web().key), [(13, 0), (12, 5)]);
}

#[test]
fn servers_have_their_time_before_the_sorry_server_is_asked() {
    let mut shell = Shell::start(director(vec![sorry()]));
    shell.run(ms(1000));
    assert!(!shell.said().contains("sorry"), "{}", shell.said());
    // One that does not answer its first check is waited for no longer than at any start.
    let mut slow = sorry();
    slow.servers.truncate(1);
    let check = slow.check.as_mut().unwrap();
    check.cadence.timeout = ms(60_000);
    let mut shell = Shell::hanging(director(vec![slow]), real(12));
    shell.run(ms(2990));
    assert_eq!(shell.list(web().key), []);
    shell.run(ms(20));
    assert_eq!(shell.list(web().key), [(19, 1)]);
}

#[test]
fn a_restart_finds_the_sorry_server_and_tells_nothing_anew() {
    let mut shell = running(sorry());
    all(&mut shell, &[12, 13], Host::Fails);
    shell.run(ms(2000));
    let found: Vec<_> = shell.data_plane.into_values().collect();
    let mut shell = Shell::restart(director(vec![sorry()]), found, &[]);
    assert_eq!(shell.puts(), 0);
    shell.run(ms(1));
    assert!(!shell.said().contains("they go to the sorry server"));
    assert!(
        shell
            .said()
            .contains("sorry server 198.18.14.19:80 of `web` leaves the list")
    );
    // At the latest by the second one's check.
    shell.run(ms(100));
    assert_eq!(shell.list(web().key), [(13, 5), (12, 5)]);
}

#[test]
fn a_sorry_server_may_be_the_director_itself_and_may_come_with_a_reload() {
    let mut shell = Shell::restart(director(vec![web()]), Vec::new(), &[19]);
    all(&mut shell, &[12, 13, 14], Host::Fails);
    shell.run(ms(2000));
    assert_eq!(shell.list(web().key), []);
    shell.configure(vec![VirtualService {
        sorry_server: Some(server(19, 1)),
        ..web()
    }]);
    assert_eq!(shell.list(web().key), [(19, 1)]);
    let watch = Command::WatchNeighbour(real(19).ip());
    assert!(!shell.log.contains(&watch));
    shell.own(&[]);
    assert_eq!(shell.list(web().key), [], "until it is known where it is");
    shell.run(ms(10));
    assert_eq!(shell.list(web().key), [(19, 1)]);
    let entry = &shell.data_plane[&web().key].servers[0];
    assert_eq!(
        (entry.hop, entry.hash_weight),
        (mac(19).into(), Weight::ONE)
    );
    shell.configure(vec![web()]);
    assert_eq!(shell.list(web().key), []);
}

/// A put that failed is given again, once: the sorry server must not come by a second put of the same turn.
#[test]
fn a_failed_put_of_servers_that_wait_is_not_followed_by_another() {
    let known = VirtualService {
        servers: vec![server(14, 0)],
        sorry_server: Some(server(19, 1)),
        check: None,
        ..web()
    };
    let mut shell = running(known.clone());
    assert_eq!(shell.list(web().key), [(19, 1), (14, 0)]);
    let other = VirtualService {
        key: key(147, 80),
        servers: vec![server(14, 0), server(30, 1)],
        ..known
    };
    shell.failing_puts = 1;
    shell.configure(vec![other.clone()]);
    assert!(!shell.data_plane.contains_key(&other.key));
    // Nobody answers for the one that has a weight.
    shell.run(ms(6000));
    assert_eq!(shell.list(other.key), [(19, 1), (14, 0)]);
}
