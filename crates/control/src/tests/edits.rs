//! Edits by hand, over a configuration that people reload.

use evenkeel_model::{
    Edit, EditRefused, Scheduler, SchedulerFlags, ServerSettings, ServiceSettings, Thresholds,
    VirtualService,
};

use super::shell::{Host, Shell, director, key, ms, real, server, tcp, vip, web, weight};
use crate::Command;

const ROUND_ROBIN: ServiceSettings = ServiceSettings {
    scheduler: Scheduler::RoundRobin,
    flags: SchedulerFlags {
        port: false,
        fallback: false,
    },
    persistence: None,
    one_packet: false,
};

fn heavy(w: i64) -> ServerSettings {
    ServerSettings {
        weight: weight(w),
        thresholds: Thresholds::default(),
    }
}

/// A started director, whose servers are all in.
fn running(services: Vec<VirtualService>) -> Shell {
    let mut shell = Shell::start(director(services));
    shell.run(ms(100));
    shell
}

#[test]
fn a_service_made_by_hand_is_served_without_checks() {
    let mut shell = running(vec![web()]);
    let made = key(147, 80);
    shell.edit(Edit::AddService(made, ROUND_ROBIN)).unwrap();
    assert!(shell.thread.addresses.contains(&vip(147)));
    for number in [12, 13] {
        let edit = Edit::AddServer(made, real(number).ip(), heavy(2));
        shell.edit(edit).unwrap();
    }
    shell.hosts.insert(real(12), Host::Fails);
    shell.run(ms(5000));
    // Nobody checks it for this service, while the configured one has lost it.
    assert_eq!(shell.list(made), [(13, 2), (12, 2)]);
    assert_eq!(shell.list(web().key), [(14, 1), (13, 1)]);
    let again = Edit::AddService(made, ROUND_ROBIN);
    assert_eq!(shell.edit(again), Err(EditRefused::ServiceExists));
    shell.edit(Edit::DeleteService(made)).unwrap();
    assert!(!shell.thread.addresses.contains(&vip(147)));
    assert!(!shell.data_plane.contains_key(&made));
}

#[test]
fn a_server_added_to_a_checked_service_is_checked_as_the_others_are() {
    let mut shell = running(vec![web()]);
    shell.hosts.insert(real(15), Host::Fails);
    let add = |n| Edit::AddServer(web().key, real(n).ip(), heavy(3));
    shell.edit(add(15)).unwrap();
    shell.run(ms(1000));
    assert_eq!(shell.list(web().key), [(14, 1), (13, 1), (12, 1)]);
    // It is held and not listed, so that adding it again is no mistake.
    shell.edit(add(15)).unwrap();
    shell.hosts.clear();
    shell.run(ms(5000));
    assert_eq!(shell.list(web().key), [(15, 3), (14, 1), (13, 1), (12, 1)]);
    assert_eq!(shell.edit(add(15)), Err(EditRefused::ServerExists));
}

#[test]
fn a_reload_and_a_restart_leave_edits_in_force() {
    let mut shell = running(vec![web()]);
    let service = web().key;
    let edits = [
        Edit::EditServer(service, real(12).ip(), heavy(5)),
        Edit::DeleteServer(service, real(13).ip()),
        Edit::AddServer(service, real(15).ip(), heavy(2)),
    ];
    for edit in edits {
        shell.edit(edit).unwrap();
    }
    shell.run(ms(100));
    let edited = [(15, 2), (14, 1), (12, 5)];
    assert_eq!(shell.list(service), edited);

    let mut more = web();
    more.servers = vec![server(12, 7), server(13, 7), server(14, 7), server(16, 7)];
    shell.configure(vec![more.clone()]);
    shell.run(ms(100));
    let reloaded = [(16, 7), (15, 2), (14, 7), (12, 5)];
    assert_eq!(shell.list(service), reloaded);

    let (found, kept) = (shell.data_plane.into_values().collect(), shell.kept);
    let mut shell = Shell::edited(director(vec![more.clone()]), kept.clone(), found, &[]);
    // What an earlier run left is what is wanted: nothing is put.
    assert_eq!(shell.puts(), 0);
    shell.run(ms(5000));
    assert_eq!(shell.list(service), reloaded);

    // With nothing left in the data plane the edits make the same list, in the order of the configuration.
    let mut shell = Shell::edited(director(vec![more]), kept, Vec::new(), &[]);
    shell.run(ms(5000));
    assert_eq!(shell.list(service), [(15, 2), (16, 7), (14, 7), (12, 5)]);
    shell.forget_edits();
    shell.run(ms(100));
    assert_eq!(shell.list(service), [(13, 7), (16, 7), (14, 7), (12, 7)]);
}

#[test]
fn a_cleared_table_stays_empty_until_the_edits_are_forgotten() {
    let mut shell = running(vec![web()]);
    shell.edit(Edit::Clear).unwrap();
    assert!(shell.data_plane.is_empty());
    assert!(!shell.thread.addresses.contains(&vip(146)));
    shell.configure(vec![web()]);
    assert!(shell.data_plane.is_empty());
    let gone = Edit::DeleteService(web().key);
    assert_eq!(shell.edit(gone), Err(EditRefused::NoSuchService));
    shell.forget_edits();
    shell.run(ms(100));
    assert_eq!(shell.list(web().key), [(14, 1), (13, 1), (12, 1)]);
    assert!(shell.thread.addresses.contains(&vip(146)));
}

#[test]
fn edits_that_could_not_be_kept_are_kept_later() {
    let mut shell = running(vec![VirtualService {
        check: Some(tcp()),
        ..web()
    }]);
    let edit = Edit::EditServer(web().key, real(12).ip(), heavy(5));
    shell.failing_keeps = 1;
    shell.edit(edit).unwrap();
    assert_eq!(shell.list(web().key), [(14, 1), (13, 1), (12, 5)]);
    assert!(shell.kept.is_empty());
    shell.run(ms(6000));
    assert_eq!(&shell.kept, shell.control.overlay());
    let keeps = |command: &&Command| matches!(command, Command::KeepEdits(_));
    assert_eq!(shell.log.iter().filter(keeps).count(), 1);
}

#[test]
fn edits_that_come_together_do_what_they_do_alone() {
    let made = key(147, 80);
    let edits = [
        Edit::AddService(made, ROUND_ROBIN),
        Edit::AddServer(made, real(12).ip(), heavy(2)),
        Edit::AddServer(made, real(12).ip(), heavy(9)),
        Edit::AddService(made, ROUND_ROBIN),
        Edit::DeleteServer(web().key, real(13).ip()),
        Edit::EditServer(web().key, real(13).ip(), heavy(9)),
        Edit::AddServer(made, real(13).ip(), heavy(1)),
    ];
    let mut alone = running(vec![web()]);
    let outcomes: Vec<_> = edits
        .into_iter()
        .map(|edit| {
            let outcome = alone.edit(edit);
            alone.run(ms(10));
            outcome
        })
        .collect();
    let refusals: Vec<_> = outcomes
        .iter()
        .filter_map(|outcome| outcome.err())
        .collect();
    let expected = [
        EditRefused::ServerExists,
        EditRefused::ServiceExists,
        EditRefused::NoSuchServer,
    ];
    assert_eq!(refusals, expected);

    let mut together = running(vec![web()]);
    assert_eq!(together.edit_all(&edits), outcomes);
    let waiting = |shell: &Shell, n| shell.control.waits(made, real(n));
    // The one is watched already for the other service; nobody has answered for the other yet.
    assert!(!waiting(&together, 12));
    together.run(ms(10));
    assert!(!waiting(&together, 13));
    assert_eq!(together.data_plane, alone.data_plane);
    assert_eq!(together.kept, alone.kept);
}

#[test]
fn a_virtual_address_is_no_hosts_and_a_hosts_no_virtual_one() {
    let mut shell = running(vec![web()]);
    let edits = [
        Edit::AddService(key(12, 80), ROUND_ROBIN),
        Edit::AddServer(web().key, vip(146), heavy(1)),
        Edit::AddService(key(147, 80), ROUND_ROBIN),
        Edit::AddServer(web().key, vip(147), heavy(1)),
        Edit::Clear,
        Edit::AddService(key(12, 80), ROUND_ROBIN),
    ];
    let outcomes = shell.edit_all(&edits);
    let refused = Err(EditRefused::AddressInUse);
    assert_eq!(
        outcomes,
        [refused, refused, Ok(()), refused, Ok(()), Ok(())]
    );
    // What is a host's in a new configuration is told, and stays.
    assert!(shell.control.clashes(&director(vec![])).is_empty());
    let again = director(vec![VirtualService {
        key: key(148, 80),
        ..web()
    }]);
    assert_eq!(shell.control.clashes(&again), [vip(12)]);
}

#[test]
fn edits_that_there_is_no_room_for_are_taken_back() {
    let mut shell = running(vec![web()]);
    let edit = Edit::EditServer(web().key, real(12).ip(), heavy(5));
    shell.edit(edit).unwrap();
    let before = shell.kept.clone();
    let made = key(147, 80);
    shell.failing_puts = 1;
    shell.edit(Edit::AddService(made, ROUND_ROBIN)).unwrap();
    assert!(!shell.data_plane.contains_key(&made));
    shell.take_back(made, &before);
    // What failed is not tried again, and the other edit stands.
    shell.run(ms(6000));
    assert_eq!(shell.kept, before);
    assert!(!shell.data_plane.contains_key(&made));
    assert!(!shell.thread.addresses.contains(&vip(147)));
    assert_eq!(shell.list(web().key), [(14, 1), (13, 1), (12, 5)]);
}

#[test]
fn a_few_edits_are_reported_one_by_one_and_many_as_a_number() {
    let mut shell = running(vec![web()]);
    let many = |weights: std::ops::Range<i64>| -> Vec<Edit> {
        let edit = |w| Edit::EditServer(web().key, real(12).ip(), heavy(w));
        weights.map(edit).collect()
    };
    let _outcomes = shell.edit_all(&many(2..4));
    let told = shell.said();
    let last = "by hand: server 198.18.14.12 of TCP 198.18.14.146:80 changed, weight 3";
    assert!(told.contains(last), "{told}");
    shell.reports.clear();
    let _outcomes = shell.edit_all(&many(4..24));
    let told = shell.said();
    assert!(told.starts_with("by hand: 20 edits at once\n"), "{told}");
}
