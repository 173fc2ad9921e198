use evenkeel_model::XdpPreference;

use super::*;

#[test]
fn the_papers_topology_is_the_cluster_of_figure_4() {
    let setup = Setup::of_the_paper().unwrap();
    assert_eq!(setup.client, "client");
    assert_eq!(setup.director, "laicoz");
    assert_eq!(setup.service.key.address.to_string(), "198.18.14.146:80");
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
    // laicoy is a director's place, but nothing runs in it.
    let laicoy = setup.topology.node("laicoy").unwrap();
    assert_eq!((laicoy.kind, &laicoy.config), (NodeKind::Director, &None));
}

#[test]
fn the_directors_config_is_valid_and_fits_a_lab() {
    let setup = Setup::of_the_paper().unwrap();
    let laicoz = setup.topology.node("laicoz").unwrap();
    let config = laicoz.config.as_ref().unwrap();
    let director = evenkeel_config::parse("laicoz.toml", config, "laicoz").unwrap();
    assert_eq!(director.xdp, XdpPreference::Native);
    assert_eq!(director.interface, "eth0");
    assert_eq!(director.tables.connections, 131_072);
    assert_eq!(director.tables.half_open, 65_536);
    assert_eq!(director.services.len(), 1);
}

#[test]
fn the_bounds_follow_from_the_check() {
    let mut setup = Setup::of_the_paper().unwrap();
    // 2 x 500 + 250 + 250 and 2 x 500 + 250 + 1000.
    assert_eq!(setup.removal_bound(), Duration::from_millis(1500));
    assert_eq!(setup.return_bound(), Duration::from_millis(2250));
    setup.cadence.fall = 3;
    setup.cadence.rise = 4;
    assert_eq!(setup.removal_bound(), Duration::from_millis(2000));
    assert_eq!(setup.return_bound(), Duration::from_millis(3250));
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
