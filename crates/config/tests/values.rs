//! What the config file says is what the director gets, and what it leaves out has the documented default.

#![expect(clippy::unwrap_used, reason = "a helper that panics fails its test")]

use std::error::Error as _;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use evenkeel_config::{LoadError, default_text, load, parse};
use evenkeel_model::{
    AdvertChecksum, BodyMatch, Cadence, Check, CheckKind, Director, Forwarding, Fragments,
    GroupNumber, Listens, MaglevOptions, MaglevSlots, OnFailure, OnRemoval, Persistence, Priority,
    Protocol, RealServer, Scheduler, SchedulerFlags, ServiceKey, ServiceOptions, SyncPeer,
    TableSizes, Thresholds, Timeouts, VirtualRouter, VirtualRouterId, VirtualService, VrrpVersion,
    Weight, XdpPreference,
};

fn sample(text: &str) -> Director {
    match parse("sample.toml", text, "host") {
        Ok(director) => director,
        Err(diagnostics) => panic!("{}", diagnostics.render(false)),
    }
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn server(text: &str, weight: i64) -> RealServer {
    RealServer {
        address: address(text),
        weight: Weight::try_from(weight).unwrap(),
        forwarding: Forwarding::DirectRouting,
        thresholds: Thresholds::default(),
        drained: false,
    }
}

fn ipv4(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A virtual router of which the config says no more than it must.
fn plain_router(name: &str, id: i64, addresses: &[&str]) -> VirtualRouter {
    VirtualRouter {
        name: name.to_owned(),
        id: VirtualRouterId::try_from(id).unwrap(),
        version: VrrpVersion::V3,
        priority: Priority::DEFAULT,
        advert_interval: Duration::from_secs(1),
        preempt: true,
        preempt_delay: Duration::ZERO,
        addresses: addresses.iter().map(|address| ipv4(address)).collect(),
        peers: Vec::new(),
        source: None,
        checksum: AdvertChecksum::PseudoHeader,
        announcements: VirtualRouter::ANNOUNCEMENTS,
        announce_again: VirtualRouter::ANNOUNCE_AGAIN,
    }
}

/// A config of one service with `keys` and `count` servers.
fn with_servers(keys: &str, count: u32) -> String {
    let servers: Vec<String> = (1..=count)
        .map(|number| {
            let address = std::net::Ipv4Addr::from(0x0A00_0000 + number);
            format!("    {{ address = \"{address}\" }},\n")
        })
        .collect();
    format!(
        "[director]\ninterface = \"eth0\"\n\n[[service]]\nname = \"web\"\n{keys}\nservers = [\n{}]\n",
        servers.concat()
    )
}

/// A config of one virtual router with `count` addresses.
fn with_addresses(version: u8, count: u32) -> String {
    let addresses: Vec<String> = (1..=count)
        .map(|number| {
            format!(
                "    \"{}\",\n",
                std::net::Ipv4Addr::from(0x0A00_0000 + number)
            )
        })
        .collect();
    format!(
        "[director]\ninterface = \"eth0\"\n\n[[virtual-router]]\nname = \"web\"\nid = 1\n\
         version = {version}\naddresses = [\n{}]\n",
        addresses.concat()
    )
}

/// The messages of all mistakes in a config.
fn mistakes(text: &str) -> Vec<String> {
    let diagnostics = parse("sample.toml", text, "host").unwrap_err();
    let list = diagnostics.as_slice().iter();
    list.map(|diagnostic| diagnostic.message.clone()).collect()
}

#[test]
fn the_papers_cluster_is_read_as_written() {
    let director = sample(include_str!("../samples/valid/paper.toml"));
    let service = |name: &str, protocol, port: u16, check_port| VirtualService {
        name: name.to_owned(),
        key: ServiceKey::Single {
            protocol,
            address: SocketAddr::from((ipv4("198.18.14.146"), port)),
        },
        group: Listens::default(),
        scheduler: Scheduler::RoundRobin,
        options: ServiceOptions::default(),
        on_failure: OnFailure::Remove,
        check: Some(Check {
            kind: CheckKind::Http {
                path: "/".to_owned(),
                host: None,
                status: Some(200),
                body: None,
            },
            port: check_port,
            cadence: Cadence {
                every: Duration::from_millis(500),
                timeout: Duration::from_millis(250),
                fall: 2,
                rise: 2,
            },
        }),
        servers: ["198.18.14.12", "198.18.14.13", "198.18.14.14"]
            .iter()
            .map(|server_address| server(&format!("{server_address}:{port}"), 1))
            .collect(),
        sorry_server: None,
    };
    let expected = Director {
        name: "laicoz".to_owned(),
        interface: "eth0".to_owned(),
        more_interfaces: Vec::new(),
        xdp: XdpPreference::Native,
        tables: TableSizes {
            connections: 1 << 17,
            half_open: 1 << 16,
        },
        startup_wait: Duration::from_secs(10),
        sync: None,
        virtual_routers: vec![VirtualRouter {
            priority: Priority::try_from(150).unwrap(),
            advert_interval: Duration::from_millis(100),
            ..plain_router("paper", 51, &["198.18.14.146"])
        }],
        services: vec![
            service("web", Protocol::Tcp, 80, None),
            service("echo", Protocol::Udp, 7, Some(80)),
        ],
    };
    assert_eq!(director, expected);
}

#[test]
fn connection_sync_reaches_the_director() {
    let director = sample(include_str!("../samples/valid/every-key.toml"));
    let sync = director.sync.as_ref().unwrap();
    let files = ["/etc/evenkeel/sync.key", "/etc/evenkeel/old.key"];
    assert_eq!(sync.key_files, files.map(PathBuf::from));
    assert_eq!((sync.port, sync.lag), (694, Duration::from_millis(50)));
    assert_eq!(sync.wait, Duration::from_secs(30));
    let south = SyncPeer {
        name: "south".to_owned(),
        addresses: vec!["10.0.0.2".parse().unwrap(), "fd00::2".parse().unwrap()],
    };
    assert_eq!(sync.peers, [south]);
}

#[test]
fn every_key_reaches_the_director() {
    let director = sample(include_str!("../samples/valid/every-key.toml"));
    assert_eq!(director.name, "north");
    assert_eq!(director.interface, "enp1s0f0");
    assert_eq!(director.xdp, XdpPreference::Native);
    assert_eq!(director.startup_wait, Duration::from_secs(60));
    assert_eq!(director.tables.connections, 1 << 21);
    assert_eq!(director.tables.half_open, 1 << 17, "rounded up");
    let services = director.services.as_slice();
    let [
        web,
        tls,
        dns,
        dns_over_tcp,
        log,
        unchecked,
        group,
        alone,
        ..,
    ] = services
    else {
        panic!("{:?}", director.services);
    };
    assert_eq!(web.on_failure, OnFailure::Quiesce);
    assert_eq!(web.options.fragments, Fragments::ByAddress);
    assert_eq!(tls.options.fragments, Fragments::Follow);
    let expected = Check {
        kind: CheckKind::Http {
            path: "/healthz?deep=1".to_owned(),
            host: Some("www.example.org".to_owned()),
            status: Some(204),
            body: Some(BodyMatch("läuft".to_owned())),
        },
        port: Some(8080),
        cadence: Cadence {
            every: Duration::from_millis(500),
            timeout: Duration::from_millis(500),
            fall: 3,
            rise: 1,
        },
    };
    assert_eq!(web.check, Some(expected));
    let servers = [server("192.0.2.11:80", 65_535), server("192.0.2.12:80", 0)];
    assert_eq!(web.servers, servers);
    assert_eq!(web.sorry_server, Some(server("192.0.2.20:80", 1)));
    assert_eq!(tls.servers, [server("192.0.2.11:443", 1)]);
    let at = |protocol| ServiceKey::single(protocol, "192.0.2.1:53".parse().unwrap());
    assert_eq!(dns.key, at(Protocol::Udp));
    assert_eq!(dns.scheduler, Scheduler::Maglev);
    let port = dns.check.as_ref().and_then(|check| check.port);
    assert_eq!(port, Some(53));
    assert_eq!(dns_over_tcp.key, at(Protocol::Tcp));
    assert_eq!(dns_over_tcp.scheduler, Scheduler::WeightedLeastConnection);
    assert_eq!(log.scheduler, Scheduler::WeightedRoundRobin);
    assert_eq!(log.check, None);
    assert_eq!(unchecked.scheduler, Scheduler::ReplicatedLocality);
    assert_eq!(unchecked.check, None);
    assert_eq!(unchecked.servers, []);
    assert_eq!(group.key.group().map(GroupNumber::get), Some(7));
    let listens: Vec<String> = group.group.iter().map(ToString::to_string).collect();
    let expected = [
        "TCP 192.0.2.3:80",
        "TCP 192.0.2.3:8000-8099",
        "UDP 192.0.2.3:80",
        "UDP 192.0.2.3:8000-8099",
        "TCP 192.0.2.4:*",
        "UDP 192.0.2.4:*",
    ];
    assert_eq!(listens, expected);
    assert_eq!(group.servers, [server("192.0.2.11:0", 1)]);
    assert!(alone.options.one_packet && !group.options.one_packet);
}

#[test]
fn every_option_of_a_service_reaches_the_director() {
    let director = sample(include_str!("../samples/valid/every-key.toml"));
    let of = |name: &str| {
        let mut services = director.services.iter();
        services.find(|service| service.name == name).unwrap()
    };
    let (options, maglev) = (of("options"), of("maglev"));
    let expected = ServiceOptions {
        persistence: Some(Persistence {
            timeout: Duration::from_secs(600),
            prefix: 24,
        }),
        timeouts: Timeouts {
            tcp: Some(Duration::from_secs(3600)),
            tcp_fin: Some(Duration::from_secs(30)),
            udp: None,
            sctp: None,
        },
        flags: SchedulerFlags {
            port: true,
            fallback: true,
        },
        on_removal: OnRemoval::Reset,
        ..ServiceOptions::default()
    };
    assert_eq!(options.options, expected);
    let thresholds = options.servers.iter().map(|server| server.thresholds);
    let expected = [(1000, 800), (5, 0)].map(|(upper, lower)| Thresholds { upper, lower });
    assert_eq!(thresholds.collect::<Vec<_>>(), expected);
    let expected = ServiceOptions {
        persistence: Some(Persistence {
            timeout: Duration::from_secs(300),
            prefix: 32,
        }),
        timeouts: Timeouts {
            udp: Some(Duration::from_secs(10)),
            ..Timeouts::default()
        },
        maglev: MaglevOptions {
            slots: MaglevSlots::Large,
            by_client: true,
        },
        ..ServiceOptions::default()
    };
    assert_eq!(maglev.options, expected);
}

#[test]
fn a_port_may_stand_beside_any_port_and_a_single_one_may_have_a_number() {
    let service = |name: &str, listen: &str, number: u32| {
        format!(
            "[[service]]\nname = \"{name}\"\nlisten = \"{listen}\"\nnumber = {number}\ncheck = \"none\"\nservers = []\n"
        )
    };
    let text = format!(
        "[director]\ninterface = \"eth0\"\n{}{}",
        service("any", "192.0.2.1:*", 1),
        service("one", "192.0.2.1:80", 2)
    );
    let director = sample(&text);
    let keys: Vec<String> = director
        .services
        .iter()
        .map(|s| s.key.to_string())
        .collect();
    assert_eq!(keys, ["FWM 1", "FWM 2"]);
}

#[test]
fn every_key_of_a_virtual_router_reaches_the_director() {
    let director = sample(include_str!("../samples/valid/every-key.toml"));
    let front = VirtualRouter {
        name: "front".to_owned(),
        id: VirtualRouterId::try_from(255).unwrap(),
        version: VrrpVersion::V3,
        priority: Priority::try_from(254).unwrap(),
        advert_interval: Duration::from_millis(40_950),
        preempt: true,
        preempt_delay: Duration::from_secs(1000),
        addresses: vec![ipv4("192.0.2.1"), ipv4("192.0.2.9")],
        peers: vec![ipv4("192.0.2.251"), ipv4("192.0.2.252")],
        source: Some(ipv4("192.0.2.250")),
        checksum: AdvertChecksum::Rfc9568,
        announcements: 100,
        announce_again: Duration::from_secs(3600),
    };
    let old = VirtualRouter {
        version: VrrpVersion::V2,
        priority: Priority::try_from(1).unwrap(),
        advert_interval: Duration::from_secs(255),
        preempt: false,
        announcements: 1,
        announce_again: Duration::ZERO,
        ..plain_router("old", 1, &["192.0.2.2"])
    };
    assert_eq!(director.virtual_routers, [front, old]);
}

#[test]
fn a_virtual_router_needs_no_more_than_name_id_and_addresses() {
    let director = sample(include_str!("../samples/valid/defaults-only.toml"));
    let expected = [plain_router("web", 51, &["192.0.2.1"])];
    assert_eq!(director.virtual_routers, expected);
}

#[test]
fn advertisements_go_from_the_shortest_to_the_longest_time_of_each_version() {
    let router = |version: u8, adverts: &str| {
        let text = format!(
            "[director]\ninterface = \"eth0\"\n[[virtual-router]]\nname = \"a\"\nid = 1\n\
             addresses = [\"192.0.2.1\"]\nversion = {version}\nadverts = \"{adverts}\"\n"
        );
        parse("a.toml", &text, "host")
            .map(|director| director.virtual_routers[0].advert_interval.as_millis())
            .ok()
    };
    assert_eq!(router(3, "10ms"), Some(10));
    assert_eq!(router(3, "40950ms"), Some(40_950));
    assert_eq!(router(3, "40960ms"), None);
    assert_eq!(router(3, "0s"), None);
    assert_eq!(router(3, "1001ms"), None);
    assert_eq!(router(2, "1s"), Some(1_000));
    assert_eq!(router(2, "2000ms"), Some(2_000), "whole seconds");
    assert_eq!(router(2, "4m"), Some(240_000));
    assert_eq!(router(2, "255s"), Some(255_000));
    assert_eq!(router(2, "256s"), None);
    assert_eq!(router(2, "990ms"), None);
}

#[test]
fn the_owner_of_the_addresses_may_say_that_it_preempts_without_delay() {
    let text = "[director]\ninterface = \"eth0\"\n[[virtual-router]]\nname = \"a\"\nid = 1\n\
                addresses = [\"192.0.2.1\"]\npriority = 255\npreempt = true\npreempt-delay = \"0s\"\n";
    let director = sample(text);
    assert_eq!(director.virtual_routers[0].priority, Priority::OWNER);
}

#[test]
fn failback_says_in_heartbeats_words_what_preempt_says() {
    for (line, preempts) in [
        ("failback = \"auto\"", true),
        ("failback = \"manual\"", false),
        ("preempt = true", true),
        ("preempt = false", false),
        ("", true),
    ] {
        let text = format!(
            "[director]\ninterface = \"eth0\"\n[[virtual-router]]\nname = \"a\"\nid = 1\n\
             addresses = [\"192.0.2.1\"]\n{line}\n"
        );
        assert_eq!(sample(&text).virtual_routers[0].preempt, preempts, "{line}");
    }
}

#[test]
fn a_virtual_router_has_at_most_255_addresses_in_both_versions() {
    for version in [2, 3] {
        let director = sample(&with_addresses(version, 255));
        assert_eq!(director.virtual_routers[0].addresses.len(), 255);
        let message = "`addresses` has 256 entries".to_owned();
        assert_eq!(mistakes(&with_addresses(version, 256)), [message]);
    }
}

#[test]
fn a_service_has_at_most_1024_servers() {
    let keys = "listen = \"192.0.2.1:80\"";
    let director = sample(&with_servers(keys, 1_024));
    assert_eq!(director.services[0].servers.len(), 1_024);
    let message = "`servers` has 1025 entries".to_owned();
    assert_eq!(mistakes(&with_servers(keys, 1_025)), [message]);
    // The sorry server may stand beside all of them.
    let sorry = format!("{keys}\nsorry-server = \"192.0.2.20\"");
    let _director = sample(&with_servers(&sorry, 1_023));
    let message = "`servers` has 1024 entries".to_owned();
    assert_eq!(mistakes(&with_servers(&sorry, 1_024)), [message]);
}

#[test]
fn a_partner_and_the_source_may_be_real_servers_too() {
    let text = "[director]\ninterface = \"eth0\"\n[[virtual-router]]\nname = \"a\"\nid = 1\n\
                addresses = [\"192.0.2.1\"]\npeers = [\"192.0.2.11\"]\nsource = \"192.0.2.12\"\n\
                [[service]]\nname = \"web\"\nlisten = \"192.0.2.1:80\"\n\
                servers = [ { address = \"192.0.2.11\" }, { address = \"192.0.2.12\" } ]\n";
    assert_eq!(sample(text).services[0].servers.len(), 2);
}

#[test]
fn every_scheduler_is_written_by_its_name() {
    for scheduler in Scheduler::ALL {
        let keys = format!(
            "listen = \"192.0.2.1:80\"\nscheduler = \"{}\"",
            scheduler.name()
        );
        let director = sample(&with_servers(&keys, 1));
        assert_eq!(director.services[0].scheduler, scheduler);
    }
}

#[test]
fn a_service_without_a_check_gets_a_tcp_check_every_two_seconds() {
    let director = sample(include_str!("../samples/valid/defaults-only.toml"));
    assert_eq!(director.name, "host", "the caller's default");
    let check = director.services[0].check.clone().unwrap();
    assert_eq!(check.kind, CheckKind::Tcp);
    let cadence = Cadence {
        every: Duration::from_secs(2),
        timeout: Duration::from_secs(1),
        fall: 2,
        rise: 2,
    };
    assert_eq!(check.cadence, cadence);
}

#[test]
fn the_default_timeout_is_never_longer_than_every() {
    let director = sample(include_str!("../samples/valid/defaults-only.toml"));
    let check = director.services[1].check.clone().unwrap();
    assert_eq!(check.cadence.timeout, Duration::from_millis(100));
}

#[test]
fn the_default_text_is_valid_and_so_are_the_keys_it_comments_out() {
    let shown = sample(default_text());
    let uncommented: String = default_text()
        .lines()
        .map(|line| {
            let bare = line.strip_prefix("# ").unwrap_or(line);
            let is_header = ["[tables]", "[sync]", "[[virtual-router]]"].contains(&bare);
            // Lines further in describe keys that have no default value.
            let is_key = bare.contains(" = ") && !bare.starts_with(' ');
            if is_header || is_key { bare } else { line }
        })
        .map(|line| format!("{line}\n"))
        .collect();
    let mut all = sample(&uncommented);
    assert_eq!(all.name, "director1");
    all.name.clone_from(&shown.name);
    let router = plain_router("web", 51, &["198.18.14.146"]);
    assert_eq!(all.virtual_routers, [router], "defaults");
    all.virtual_routers.clear();
    let sync = all.sync.take().unwrap();
    assert_eq!(sync.port, 6694);
    assert_eq!(sync.lag, Duration::from_millis(100));
    assert_eq!(sync.wait, Duration::from_secs(10));
    let peers: Vec<&str> = sync.peers.iter().map(|peer| peer.name.as_str()).collect();
    assert_eq!(peers, ["director2"], "and not this one itself");
    assert_eq!(all, shown, "the commented values are the defaults");
}

#[test]
fn the_default_text_names_every_key_of_a_virtual_router() {
    let every_key = include_str!("../samples/valid/every-key.toml");
    let tables = every_key.split("[[virtual-router]]\n").nth(1).unwrap();
    let first = tables.split("\n\n").next().unwrap();
    for line in first.lines() {
        let (key, _value) = line.split_once(" = ").unwrap();
        let mut lines = default_text().lines();
        let written = format!("{key} = ");
        assert!(
            lines.any(|line| line.trim_start_matches(['#', ' ']).starts_with(&written)),
            "{key}"
        );
    }
}

#[test]
fn a_file_that_is_not_there_is_named_with_its_cause() {
    let folder = tempfile::tempdir().unwrap();
    let error = load(&folder.path().join("none.toml"), "host").unwrap_err();
    assert!(matches!(error, LoadError::Read { .. }));
    assert!(error.to_string().contains("none.toml`"));
    assert!(error.source().is_some());
}

#[test]
fn bytes_that_are_not_utf8_are_shown_where_they_stand() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("latin1.toml");
    fs::write(&path, b"[director]\nname = \"K\xf6ln\"\n").unwrap();
    let LoadError::Invalid(diagnostics) = load(&path, "host").unwrap_err() else {
        panic!("it was read");
    };
    let [diagnostic] = diagnostics.as_slice() else {
        panic!("{diagnostics:?}");
    };
    assert_eq!((diagnostic.line, diagnostic.column), (2, 10));
    assert!(diagnostics.render(false).contains("latin1.toml:2:10"));
}

#[test]
fn a_file_is_loaded_like_its_text() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("evenkeel.toml");
    fs::write(&path, default_text()).unwrap();
    assert_eq!(load(&path, "host").unwrap(), sample(default_text()));
}

#[test]
fn mistakes_are_plain_data_for_machines_too() {
    let text = "[director]\ninterface = \"eth0\"\nxdp = \"fast\"\n";
    let diagnostics = parse("a.toml", text, "host").unwrap_err();
    let json = serde_json::to_value(diagnostics.as_slice()).unwrap();
    let expected = serde_json::json!([{
        "file": "a.toml",
        "line": 3,
        "column": 7,
        "length": 6,
        "span": { "start": 36, "end": 42 },
        "message": "unknown XDP mode `fast`",
        "expected": "one of `auto`, `native`, `generic`",
        "hint": "write `xdp = \"auto\"`; supported: `auto`, `native`, `generic`",
    }]);
    assert_eq!(json, expected);
    assert_eq!(
        diagnostics.to_string(),
        "the config file `a.toml` has a mistake"
    );
}
