use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::options::ServiceOptions;
use crate::service::{Forwarding, OnFailure, Protocol};

fn key(host: u8) -> ServiceKey {
    ServiceKey::Single {
        protocol: Protocol::Tcp,
        address: SocketAddr::from(([192, 0, 2, host], 80)),
    }
}

fn address(host: u8) -> IpAddr {
    IpAddr::from([198, 51, 100, host])
}

fn weight(weight: u16) -> ServerSettings {
    ServerSettings {
        weight: Weight::try_from(i64::from(weight)).unwrap(),
        thresholds: Thresholds::default(),
    }
}

fn settings(scheduler: Scheduler) -> ServiceSettings {
    ServiceSettings {
        scheduler,
        flags: SchedulerFlags::default(),
        persistence: None,
        one_packet: false,
    }
}

fn configured(host: u8, servers: &[(u8, u16)]) -> VirtualService {
    let servers = servers.iter().map(|(host, w)| RealServer {
        address: SocketAddr::new(address(*host), 80),
        weight: weight(*w).weight,
        forwarding: Forwarding::DirectRouting,
        thresholds: Thresholds::default(),
        drained: false,
    });
    VirtualService {
        name: format!("s{host}"),
        key: key(host),
        group: Listens::default(),
        scheduler: Scheduler::RoundRobin,
        options: ServiceOptions::default(),
        on_failure: OnFailure::Remove,
        check: None,
        servers: servers.collect(),
        sorry_server: None,
    }
}

/// A table as IPVS has it: services by key, with their servers' weights; and who is drained.
type Table = BTreeMap<ServiceKey, (Scheduler, BTreeMap<SocketAddr, (ServerSettings, bool)>)>;

fn table(services: &[VirtualService]) -> Table {
    let rows = services.iter().map(|service| {
        let servers = service.servers.iter().map(|server| {
            let settings = ServerSettings {
                weight: server.weight,
                thresholds: server.thresholds,
            };
            (server.address, (settings, server.drained))
        });
        (service.key, (service.scheduler, servers.collect()))
    });
    rows.collect()
}

/// What IPVS does with an edit of such a table.
fn reference(table: &mut Table, edit: Edit) -> Result<(), EditRefused> {
    let server = |key: ServiceKey, address| SocketAddr::new(address, key.port());
    let servers = |table: &mut Table, key| match table.remove(&key) {
        None => Err(EditRefused::NoSuchService),
        Some(service) => Ok(service),
    };
    match edit {
        Edit::AddService(key, settings) => {
            if table.contains_key(&key) {
                return Err(EditRefused::ServiceExists);
            }
            table.insert(key, (settings.scheduler, BTreeMap::new()));
        }
        Edit::EditService(key, settings) => {
            let (_, known) = servers(table, key)?;
            table.insert(key, (settings.scheduler, known));
        }
        Edit::DeleteService(key) => {
            servers(table, key)?;
        }
        Edit::AddServer(key, address, settings) => {
            let (scheduler, mut known) = servers(table, key)?;
            let before = known.get(&server(key, address)).copied();
            known.insert(server(key, address), before.unwrap_or((settings, false)));
            table.insert(key, (scheduler, known));
            return before.map_or(Ok(()), |_| Err(EditRefused::ServerExists));
        }
        Edit::EditServer(key, address, settings) => {
            let (scheduler, mut known) = servers(table, key)?;
            let before = known.get_mut(&server(key, address));
            let found = before.map(|before| *before = (settings, false));
            table.insert(key, (scheduler, known));
            return found.ok_or(EditRefused::NoSuchServer);
        }
        Edit::DeleteServer(key, address) => {
            let (scheduler, mut known) = servers(table, key)?;
            let found = known.remove(&server(key, address));
            table.insert(key, (scheduler, known));
            return found.map(|_| ()).ok_or(EditRefused::NoSuchServer);
        }
        Edit::Drain(key, address) | Edit::Ready(key, address) => {
            let (scheduler, mut known) = servers(table, key)?;
            let before = known.get_mut(&server(key, address));
            let drained = matches!(edit, Edit::Drain(..));
            let found = before.map(|before| before.1 = drained);
            table.insert(key, (scheduler, known));
            return found.ok_or(EditRefused::NoSuchServer);
        }
        Edit::Clear => table.clear(),
        Edit::SetTimeouts(_) => {}
    }
    Ok(())
}

fn edit() -> impl Strategy<Value = Edit> {
    let key = || (1u8..4).prop_map(key);
    let host = || (1u8..5).prop_map(address);
    let of_server = || (1u16..4).prop_map(weight);
    let of_service =
        || prop_oneof![Just(Scheduler::RoundRobin), Just(Scheduler::Maglev)].prop_map(settings);
    prop_oneof![
        2 => (key(), of_service()).prop_map(|(k, s)| Edit::AddService(k, s)),
        2 => (key(), of_service()).prop_map(|(k, s)| Edit::EditService(k, s)),
        2 => key().prop_map(Edit::DeleteService),
        4 => (key(), host(), of_server()).prop_map(|(k, h, s)| Edit::AddServer(k, h, s)),
        3 => (key(), host(), of_server()).prop_map(|(k, h, s)| Edit::EditServer(k, h, s)),
        3 => (key(), host()).prop_map(|(k, h)| Edit::DeleteServer(k, h)),
        3 => (key(), host()).prop_map(|(k, h)| Edit::Drain(k, h)),
        2 => (key(), host()).prop_map(|(k, h)| Edit::Ready(k, h)),
        1 => Just(Edit::Clear),
    ]
}

fn config() -> impl Strategy<Value = Vec<VirtualService>> {
    let servers = || vec((1u8..5, 1u16..4), 0..4).prop_map(BTreeMap::from_iter);
    let one = |host| {
        let service = servers().prop_map(move |servers: BTreeMap<u8, u16>| {
            configured(host, &servers.into_iter().collect::<Vec<_>>())
        });
        proptest::option::of(service)
    };
    (one(1), one(2), one(3)).prop_map(|(a, b, c)| [a, b, c].into_iter().flatten().collect())
}

const fn everything(_: ServiceKey, _: Option<SocketAddr>) -> bool {
    true
}

const fn nothing(_: ServiceKey, _: Option<SocketAddr>) -> bool {
    false
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Without a reload in between, edits do to the configured services what they do to IPVS's table, and
    /// are refused where IPVS refuses them.
    #[test]
    fn edits_do_what_ipvs_does(config in config(), edits in vec(edit(), 0..40)) {
        let mut overlay = Overlay::default();
        let mut expected = table(&config);
        for edit in edits {
            let before = overlay.clone();
            let outcome = overlay.edit(edit, &config, everything);
            prop_assert_eq!(outcome, reference(&mut expected, edit), "{:?}", edit);
            prop_assert_eq!(table(&overlay.apply(&config)), expected.clone(), "{:?}", edit);
            if outcome.is_err() {
                prop_assert_eq!(&overlay, &before, "{:?}", edit);
            }
        }
    }

    /// An edit holds whatever the configuration becomes.
    #[test]
    fn a_reload_takes_no_edit_back(config in config(), other in config(), edit in edit()) {
        let mut overlay = Overlay::default();
        if overlay.edit(edit, &config, everything).is_err() {
            return Ok(());
        }
        let services = overlay.apply(&other);
        let found = |key| services.iter().find(|s: &&VirtualService| s.key == key);
        match edit {
            Edit::AddService(key, settings) => {
                let service = found(key).unwrap();
                prop_assert_eq!((service.scheduler, service.servers.len()), (settings.scheduler, 0));
            }
            Edit::EditService(key, settings) => {
                prop_assert!(found(key).is_none_or(|s| s.scheduler == settings.scheduler));
            }
            Edit::DeleteService(key) => prop_assert!(found(key).is_none()),
            Edit::AddServer(key, address, settings) => {
                let service = found(key);
                let server = service.and_then(|s| s.servers.iter().find(|s| s.address.ip() == address));
                prop_assert_eq!(server.map(|s| s.weight), service.map(|_| settings.weight));
            }
            Edit::EditServer(key, address, settings) => {
                let service = found(key);
                let server = service.and_then(|s| s.servers.iter().find(|s| s.address.ip() == address));
                prop_assert!(server.is_none_or(|s| s.weight == settings.weight));
            }
            Edit::DeleteServer(key, address) => {
                prop_assert!(found(key).is_none_or(|s| s.servers.iter().all(|s| s.address.ip() != address)));
            }
            Edit::Drain(key, address) => {
                let service = found(key);
                let server = service.and_then(|s| s.servers.iter().find(|s| s.address.ip() == address));
                prop_assert!(server.is_none_or(|s| s.drained));
            }
            Edit::Ready(..) | Edit::Clear | Edit::SetTimeouts(_) => {}
        }
    }
}

#[test]
fn a_drained_server_keeps_the_weight_that_it_gets_back() {
    let mut overlay = Overlay::default();
    let config = [configured(1, &[(1, 5), (2, 1)])];
    let edits = [
        Edit::EditServer(key(1), address(2), weight(3)),
        Edit::Drain(key(1), address(1)),
        Edit::Drain(key(1), address(2)),
    ];
    for edit in edits {
        overlay.edit(edit, &config, everything).unwrap();
    }
    let weights = |overlay: &Overlay, config: &[VirtualService]| -> Vec<(u16, u16)> {
        let servers = overlay.apply(config).remove(0).servers.into_iter();
        servers
            .map(|server| (server.weight.get(), server.weight_for_new().get()))
            .collect()
    };
    assert_eq!(weights(&overlay, &config), [(5, 0), (3, 0)]);
    // What the config says meanwhile is what holds afterwards.
    let reloaded = [configured(1, &[(1, 7), (2, 9)])];
    assert_eq!(weights(&overlay, &reloaded), [(7, 0), (3, 0)]);
    for host in [1, 2] {
        let ready = Edit::Ready(key(1), address(host));
        overlay.edit(ready, &reloaded, everything).unwrap();
    }
    assert_eq!(weights(&overlay, &reloaded), [(7, 7), (3, 3)]);
}

#[test]
fn a_drain_of_a_server_that_has_left_the_configuration_can_be_taken_back() {
    let mut overlay = Overlay::default();
    let config = [configured(1, &[(1, 5)])];
    let drain = Edit::Drain(key(1), address(1));
    overlay.edit(drain, &config, everything).unwrap();
    let without = [configured(1, &[])];
    let refused = Err(EditRefused::NoSuchServer);
    assert_eq!(overlay.edit(drain, &without, everything), refused);
    let ready = Edit::Ready(key(1), address(1));
    assert_eq!(overlay.edit(ready, &without, everything), Ok(()));
    assert!(overlay.is_empty(), "{overlay:?}");
    assert_eq!(overlay.edit(ready, &without, everything), refused);
}

#[test]
fn a_sorry_server_that_is_added_by_hand_is_a_server_like_any_other() {
    let mut config = [configured(1, &[(1, 1)])];
    config[0].sorry_server = Some(RealServer {
        address: SocketAddr::new(address(9), 80),
        ..config[0].servers[0]
    });
    let mut overlay = Overlay::default();
    let add = Edit::AddServer(key(1), address(9), weight(4));
    let listed = Err(EditRefused::ServerExists);
    assert_eq!(overlay.edit(add, &config, everything), listed);
    let edit = Edit::EditServer(key(1), address(9), weight(4));
    let unknown = Err(EditRefused::NoSuchServer);
    assert_eq!(overlay.edit(edit, &config, everything), unknown);
    overlay.edit(add, &config, nothing).unwrap();
    let expected = configured(1, &[(1, 1), (9, 4)]);
    assert_eq!(overlay.apply(&config), [expected]);
    let delete = Edit::DeleteServer(key(1), address(9));
    overlay.edit(delete, &config, everything).unwrap();
    assert_eq!(overlay.apply(&config), config);
}

#[test]
fn adding_what_exists_and_is_not_listed_changes_it() {
    let config = [configured(1, &[(1, 1), (2, 1)])];
    let mut overlay = Overlay::default();
    let edits = [
        Edit::AddService(key(1), settings(Scheduler::Maglev)),
        Edit::AddServer(key(1), address(1), weight(3)),
    ];
    for edit in edits {
        overlay.edit(edit, &config, nothing).unwrap();
        overlay.edit(edit, &config, everything).unwrap_err();
    }
    let expected = VirtualService {
        scheduler: Scheduler::Maglev,
        ..configured(1, &[(1, 3), (2, 1)])
    };
    assert_eq!(overlay.apply(&config), [expected]);
    // It is still the configuration's: gone from there, it is gone.
    assert_eq!(overlay.apply(&[]), []);
}

#[test]
fn what_is_added_by_hand_outlives_the_configured_service_of_its_name() {
    let config = [configured(1, &[(1, 1)])];
    let mut overlay = Overlay::default();
    let edits = [
        Edit::DeleteService(key(1)),
        Edit::AddService(key(1), settings(Scheduler::RoundRobin)),
        Edit::AddServer(key(1), address(9), weight(2)),
    ];
    for edit in edits {
        overlay.edit(edit, &config, everything).unwrap();
    }
    let made = VirtualService {
        name: "TCP 192.0.2.1:80".to_owned(),
        ..configured(1, &[(9, 2)])
    };
    assert_eq!(overlay.apply(&config), std::slice::from_ref(&made));
    assert_eq!(overlay.apply(&[]), [made]);
    overlay
        .edit(Edit::DeleteService(key(1)), &config, everything)
        .unwrap();
    assert_eq!(overlay.apply(&config), []);
}

#[test]
fn undone_edits_leave_nothing() {
    let config = [configured(1, &[(1, 1)])];
    let mut overlay = Overlay::default();
    let edits = [
        Edit::AddService(key(2), settings(Scheduler::RoundRobin)),
        Edit::AddServer(key(2), address(1), weight(1)),
        Edit::DeleteServer(key(2), address(1)),
        Edit::DeleteService(key(2)),
        Edit::AddServer(key(1), address(2), weight(1)),
        Edit::Drain(key(1), address(2)),
        Edit::DeleteServer(key(1), address(2)),
        Edit::Drain(key(1), address(1)),
        Edit::Ready(key(1), address(1)),
    ];
    for edit in edits {
        overlay.edit(edit, &config, everything).unwrap();
    }
    assert!(overlay.is_empty(), "{overlay:?}");
}

#[test]
fn timeouts_are_those_of_services_that_have_none_of_their_own() {
    let second = Duration::from_secs(1);
    let mut own = configured(1, &[]);
    own.options.timeouts.tcp = Some(7 * second);
    let config = [own, configured(2, &[])];
    let mut overlay = Overlay::default();
    let given = [
        Timeouts {
            tcp: Some(second),
            ..Timeouts::default()
        },
        Timeouts {
            udp: Some(2 * second),
            ..Timeouts::default()
        },
    ];
    for timeouts in given {
        let edit = Edit::SetTimeouts(timeouts);
        overlay.edit(edit, &config, everything).unwrap();
    }
    overlay
        .edit(Edit::DeleteService(key(2)), &config, everything)
        .unwrap();
    overlay
        .edit(
            Edit::AddService(key(2), settings(Scheduler::RoundRobin)),
            &config,
            everything,
        )
        .unwrap();
    let timeouts: Vec<_> = overlay
        .apply(&config)
        .iter()
        .map(|s| s.options.timeouts)
        .collect();
    let expected = |tcp| Timeouts {
        tcp: Some(tcp),
        udp: Some(2 * second),
        ..Timeouts::default()
    };
    assert_eq!(timeouts, [expected(7 * second), expected(second)]);
}

#[test]
fn a_service_takes_as_many_servers_as_in_a_config_file() {
    let mut overlay = Overlay::default();
    overlay
        .edit(
            Edit::AddService(key(1), settings(Scheduler::RoundRobin)),
            &[],
            everything,
        )
        .unwrap();
    let mut add = |number: u32| {
        let address = IpAddr::from((0xc633_0000 + number).to_be_bytes());
        overlay.edit(Edit::AddServer(key(1), address, weight(1)), &[], everything)
    };
    for number in 0..1_024 {
        add(number).unwrap();
    }
    assert_eq!(add(1_024), Err(EditRefused::NoRoom));
}

#[test]
fn edits_over_the_configuration_are_told_and_others_are_not() {
    let config = [
        configured(1, &[(1, 1), (2, 1)]),
        configured(2, &[]),
        configured(3, &[]),
        configured(4, &[]),
    ];
    let mut overlay = Overlay::default();
    let edits = [
        Edit::EditServer(key(1), address(1), weight(5)),
        Edit::DeleteServer(key(1), address(2)),
        Edit::AddServer(key(1), address(3), weight(1)),
        Edit::Drain(key(1), address(1)),
        Edit::DeleteService(key(2)),
        Edit::EditService(key(3), settings(Scheduler::Maglev)),
        Edit::DeleteService(key(4)),
        Edit::AddService(key(4), settings(Scheduler::RoundRobin)),
        Edit::AddService(key(5), settings(Scheduler::RoundRobin)),
    ];
    for edit in edits {
        overlay.edit(edit, &config, everything).unwrap();
    }
    let expected = [
        "service `s1` (TCP 192.0.2.1:80): server 198.51.100.1:80 is set by hand, weight 5 (configured: 1)",
        "service `s1` (TCP 192.0.2.1:80): server 198.51.100.2:80 is removed by hand",
        "service `s1` (TCP 192.0.2.1:80): server 198.51.100.1:80 is drained by hand",
        "service `s2` (TCP 192.0.2.2:80) is removed by hand",
        "service `s3` (TCP 192.0.2.3:80) is set by hand, scheduler `maglev`",
        "service `s4` (TCP 192.0.2.4:80) is replaced by hand",
    ];
    assert_eq!(overlay.over(&config), expected);
}
