use evenkeel_model::{Priority, VrrpVersion, XdpPreference};

use super::*;

#[test]
fn the_papers_topology_is_the_cluster_of_figure_4() {
    let setup = Setup::of_the_paper(None).unwrap();
    assert_eq!(setup.client, "client");
    assert_eq!(setup.director, "laicoz");
    assert_eq!(setup.address.to_string(), "198.18.14.146:80");
    let hosts: Vec<&str> = setup.servers.iter().map(|s| s.host.as_str()).collect();
    assert_eq!(
        hosts,
        [
            "laico2.laico.cic.unb.br",
            "laico3.laico.cic.unb.br",
            "laico4.laico.cic.unb.br"
        ]
    );
    assert!(setup.servers.iter().all(|s| s.weight == Weight::ONE));
    assert_eq!(setup.victim.node, "laico2");
    let survivors: Vec<_> = setup.survivors().iter().map(|s| s.node.clone()).collect();
    assert_eq!(survivors, ["laico3", "laico4"]);
    assert_eq!(setup.partner, "laicoy");
    assert_eq!(setup.echo_address.to_string(), "198.18.14.146:7");
    assert_eq!(setup.virtual_host(), "198.18.14.146");
}

#[test]
fn the_directors_configs_fit_a_lab_and_differ_in_name_and_priority_alone() {
    let setup = Setup::of_the_paper(None).unwrap();
    let mut directors = directors(&setup.topology).unwrap();
    let mut priorities = Vec::new();
    for (name, director) in &mut directors {
        assert_eq!(&director.name, name);
        assert_eq!(director.xdp, XdpPreference::Native);
        assert_eq!(director.interface, "eth0");
        assert_eq!(director.tables.connections, 131_072);
        assert_eq!(director.tables.half_open, 65_536);
        assert_eq!(director.services.len(), 2);
        let router = &mut director.virtual_routers[0];
        assert_eq!(router.version, VrrpVersion::V3);
        assert_eq!(router.advert_interval, Duration::from_millis(100));
        priorities.push(router.priority.get());
        router.priority = Priority::DEFAULT;
        director.name.clear();
    }
    assert_eq!(priorities, [150, 100]);
    assert_eq!(directors[0].1, directors[1].1);
}

#[test]
fn both_directors_advertise_as_often_as_asked_for() {
    let setup = Setup::of_the_paper(Some(Duration::from_millis(10))).unwrap();
    for (_name, director) in directors(&setup.topology).unwrap() {
        let interval = director.virtual_routers[0].advert_interval;
        assert_eq!(interval, Duration::from_millis(10));
    }
    assert_eq!(setup.router.advert_interval, Duration::from_millis(10));
    assert!(setup.introduction().contains("says so every 10 ms"));
    for wrong in [0, 9, 15, 510, 1000] {
        let refused = Setup::of_the_paper(Some(Duration::from_millis(wrong)));
        assert!(matches!(refused, Err(PaperError::Adverts(_))), "{wrong}");
    }
}

#[test]
fn the_bounds_follow_from_the_check() {
    let mut setup = Setup::of_the_paper(None).unwrap();
    // 2 x 500 + 250 + 250 and 2 x 500 + 250 + 1000.
    assert_eq!(setup.removal_bound(), Duration::from_millis(1500));
    assert_eq!(setup.return_bound(), Duration::from_millis(2250));
    setup.cadence.fall = 3;
    setup.cadence.rise = 4;
    assert_eq!(setup.removal_bound(), Duration::from_millis(2000));
    assert_eq!(setup.return_bound(), Duration::from_millis(3250));
    // 500 + 250 + 4 x 100 + 10,000.
    assert_eq!(setup.takeover_bound(), Duration::from_millis(11_150));
}

#[test]
fn a_topology_without_the_papers_parts_is_refused_with_what_it_lacks() {
    let without = PAPER.replace("laico2", "laico5");
    let topology = Topology::parse("t.toml", &without).unwrap();
    let refused = Setup::read(topology).unwrap_err().to_string();
    assert!(
        refused.contains("no real server named `laico2`"),
        "{refused}"
    );
    let other = PAPER.replace("name = \"echo\"", "name = \"other\"");
    let topology = Topology::parse("t.toml", &other).unwrap();
    let refused = Setup::read(topology).unwrap_err().to_string();
    assert!(
        refused.contains("no virtual service named `echo`"),
        "{refused}"
    );
    let mut topology = Topology::parse("t.toml", PAPER).unwrap();
    topology.nodes.retain(|node| node.name != "laicoy");
    let refused = Setup::read(topology).unwrap_err().to_string();
    assert!(refused.contains("no two directors"), "{refused}");
}

#[test]
fn a_host_without_a_name_goes_by_its_address() {
    let hosts = "127.0.0.1 localhost\n198.18.14.12 a.b a\n";
    assert_eq!(host_name(hosts, Ipv4Addr::new(198, 18, 14, 12)), "a.b");
    assert_eq!(
        host_name(hosts, Ipv4Addr::new(198, 18, 14, 1)),
        "198.18.14.1"
    );
}
