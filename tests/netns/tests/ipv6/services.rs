use std::collections::BTreeSet;

use evenkeel_netns_tests::Cluster;
use evenkeel_netns_tests::cluster::{config, server, topology};

use crate::world::{
    Open, VIP, add_addresses, answer, by_tcp, by_udp, host, ipvsadm, server_address, service,
};

/// A cluster with two or more real servers that answer on these ports, TCP's and UDP's.
fn boot(name: &str, servers: u8, tcp: &[u16], udp: &[u16]) -> Cluster {
    let cluster = Cluster::boot_from(
        &topology(name, servers)
            .replace("kind = \"real-server\"", "kind = \"real-server\"\nhttp = 0"),
        servers,
    );
    add_addresses(&cluster, &[("director", 0xa)], servers);
    for number in 1..=servers {
        answer(&cluster, number, &[&[80], tcp].concat(), udp);
    }
    cluster
}

/// After six connections to `web` from the client alone, two for each server.
fn conditions_and_drains_know_ipv6(cluster: &Cluster) {
    let evenkeel = |words: &[&str]| cluster.run("director", &[&["evenkeel"], words].concat());
    let count = |of: &[&str]| {
        let words = [&["connections", "--count", "--service", "web"], of].concat();
        evenkeel(&words).trim_end().to_owned()
    };
    let second = server_address(2).to_string();
    assert_eq!(count(&[]), "6");
    assert_eq!(count(&["--client", "2001:db8::/64"]), "6");
    assert_eq!(count(&["--client", "2001:db8:0:1::/64"]), "0");
    assert_eq!(
        count(&["--client", &host(1).to_string(), "--server", &second]),
        "2"
    );
    let told = evenkeel(&["drain", &format!("web/{second}")]);
    assert!(
        told.contains("2 connections (0 active, 2 inactive) left"),
        "{told}"
    );
    let answered: BTreeSet<u8> = (0..4).map(|_| by_tcp(cluster, 80)).collect();
    assert_eq!(answered, BTreeSet::from([1, 3]));
    let _told = evenkeel(&["ready", &format!("[{VIP}]:80/[{second}]:80")]);
    let answered: BTreeSet<u8> = (0..6).map(|_| by_tcp(cluster, 80)).collect();
    assert_eq!(answered, BTreeSet::from([1, 2, 3]));
}

#[test]
fn tcp_and_udp_services_of_ipv6_are_balanced_checked_and_listed() {
    let cluster = boot("t-six", 3, &[], &[53]);
    let web = service("web", "80", &[1, 2, 3], "");
    let dns = service(
        "dns",
        "53",
        &[1, 2],
        "protocol = \"udp\"\nscheduler = \"wlc\"",
    );
    let _daemon = cluster.start_daemon(&config(&[web, dns]));
    cluster.wait_until_ready();

    let answered: Vec<u8> = (0..6).map(|_| by_tcp(&cluster, 80)).collect();
    assert_eq!(answered.iter().collect::<BTreeSet<_>>().len(), 3);
    assert_eq!(answered[..3], answered[3..], "rr goes round");
    let datagrams: BTreeSet<u8> = (0..4).map(|_| by_udp(&cluster, 53, 100)).collect();
    assert_eq!(datagrams, BTreeSet::from([1, 2]));
    // The client's own stack makes fragments of these.
    for bytes in [1453, 4000, 9000] {
        assert!([1, 2].contains(&by_udp(&cluster, 53, bytes)));
    }

    let listed = ipvsadm(&cluster, "director", &["-Ln"]);
    assert!(listed.contains(&format!("TCP  [{VIP}]:80 rr")), "{listed}");
    assert!(listed.contains(&format!("UDP  [{VIP}]:53 wlc")), "{listed}");
    assert!(
        listed.contains(&format!("  -> [{}]:80", server_address(1))),
        "{listed}"
    );
    let connections = ipvsadm(&cluster, "director", &["-Lcn"]);
    let line = connections.lines().find(|line| {
        let ends = [
            format!("[{}]:", host(1)),
            format!("[{VIP}]:80"),
            format!("[{}]:80", server_address(2)),
        ];
        ends.iter().all(|end| line.contains(end.as_str()))
    });
    assert!(line.is_some(), "{connections}");
    conditions_and_drains_know_ipv6(&cluster);

    // A dead server is taken out, and put back.
    let mut open = Open::to(&cluster, 80);
    let on = open.asks();
    let other = if on == 1 { 2 } else { 1 };
    let block = |word: &str| {
        let rule = format!("ip link set eth0 {word}");
        let _nothing = cluster.run(&server(other), &["sh", "-c", &rule]);
    };
    block("down");
    let listed = format!("[{}]:80", server_address(other));
    cluster.eventually("the dead server is taken out", || {
        !ipvsadm(&cluster, "director", &["-Ln"]).contains(&listed)
    });
    assert_eq!(open.asks(), on);
    let answered: BTreeSet<u8> = (0..4).map(|_| by_tcp(&cluster, 80)).collect();
    assert!(!answered.contains(&other), "{answered:?}");
    block("up");
    let address = format!("{}/64", server_address(other));
    // The kernel takes IPv6 addresses away from an interface that goes down.
    let again = ["ip", "address", "add", &address, "dev", "eth0", "nodad"];
    let _nothing = cluster.run(&server(other), &again);
    cluster.eventually("it is put back", || {
        ipvsadm(&cluster, "director", &["-Ln"]).contains(&listed)
    });
    assert_eq!(open.asks(), on);
}

#[test]
fn connections_of_ipv6_outlive_the_daemon() {
    let cluster = boot("t-six-kill", 2, &[], &[]);
    let web = service(
        "web",
        "80",
        &[1, 2],
        "persistence = { timeout = \"5m\", netmask = \"64\" }",
    );
    let daemon = cluster.start_daemon(&config(&[web]));
    cluster.wait_until_ready();
    let mut open: Vec<Open> = (0..4).map(|_| Open::to(&cluster, 80)).collect();
    let on: BTreeSet<u8> = open.iter_mut().map(Open::asks).collect();
    assert_eq!(on.len(), 1, "persistence keeps a client at one server");
    daemon.kill();
    for one in &mut open {
        assert!(on.contains(&one.asks()), "it goes on without the daemon");
    }
    let _daemon = cluster.start_daemon_from("evenkeel".as_ref());
    cluster.wait_until_ready();
    for one in &mut open {
        assert!(on.contains(&one.asks()), "it goes on with the next one");
    }
    assert!(on.contains(&by_tcp(&cluster, 80)), "the template lives on");
    let listed = ipvsadm(&cluster, "director", &["-Lcn"]);
    let template = listed.lines().find(|line| line.contains("NONE"));
    let template = template.unwrap_or_else(|| panic!("{listed}"));
    assert!(template.contains("[2001:db8::]:0"), "{template}");
}

#[test]
fn a_group_of_ipv6_is_edited_and_traced_by_hand() {
    let cluster = boot("t-six-group", 2, &[8000, 8042, 443], &[]);
    let group = service("many", "8000-8099", &[1], "number = 7");
    let _daemon = cluster.start_daemon(&config(&[group]));
    cluster.wait_until_ready();
    assert_eq!(by_tcp(&cluster, 8042), 1);
    let second = server_address(2).to_string();
    let add = ["-a", "-f", "7", "-6", "-r", &second, "-g", "-w", "1"];
    let _nothing = ipvsadm(&cluster, "director", &add);
    cluster.eventually("the server is added", || {
        ipvsadm(&cluster, "director", &["-Ln"]).contains(&format!("[{second}]:0"))
    });
    let listed = ipvsadm(&cluster, "director", &["-Ln"]);
    assert!(listed.contains("FWM  7 IPv6 rr"), "{listed}");
    let answered: BTreeSet<u8> = [8000, 8042, 8000].map(|p| by_tcp(&cluster, p)).into();
    assert_eq!(answered, BTreeSet::from([1, 2]));

    let made = format!("[{VIP}]:443");
    let make = ["-A", "-t", &made, "-s", "sh", "-b", "sh-port"];
    let _nothing = ipvsadm(&cluster, "director", &make);
    let real = format!("[{second}]:443");
    let _nothing = ipvsadm(
        &cluster,
        "director",
        &["-a", "-t", &made, "-r", &real, "-g"],
    );
    let client = format!("[{}]:4000", host(1));
    cluster.eventually("the service that was made has its server", || {
        let words = ["trace", client.as_str(), made.as_str()];
        let told = cluster.evenkeel(&words).succeeded();
        told.contains(&format!("forward to {real}"))
    });
    assert_eq!(by_tcp(&cluster, 443), 2);
    let v4 =
        cluster
            .director()
            .evenkeel(&["ipvsadm", "-a", "-t", &made, "-r", "198.18.14.12", "-g"]);
    v4.assert_refused(
        2,
        &["Different address family is allowed only for tunneling servers"],
    );
    let saved = ipvsadm(&cluster, "director", &["-Sn"]);
    assert!(
        saved.contains(&format!("-A -t {made} -s sh -b sh-port")),
        "{saved}"
    );
}

/// A host behind a router whose link to it is narrow, as in IPv4's test of the same.
const BEHIND: [&str; 9] = [
    "ip netns add far",
    "ip link add far0 type veth peer name eth0 netns far",
    "ip link set far0 mtu 1300 up",
    "ip address add 2001:db8:1::1/64 dev far0 nodad",
    "echo 1 > /proc/sys/net/ipv6/conf/all/forwarding",
    "ip -n far link set eth0 up",
    "ip -n far address add 2001:db8:1::2/64 dev eth0 nodad",
    "ip -n far route add default via 2001:db8:1::1",
    "ip -n far link set lo up",
];

#[test]
fn a_narrow_link_is_found_by_the_real_server_behind_the_director() {
    let cluster = boot("t-six-mtu", 2, &[], &[]);
    for line in BEHIND {
        // The client's node is the router.
        let _nothing = cluster.run("client", &["sh", "-c", line]);
    }
    for number in [1, 2] {
        let route = format!("ip -6 route add 2001:db8:1::/64 via {}", host(1));
        let _nothing = cluster.run(&server(number), &["sh", "-c", &route]);
        // Much, so that whole segments are sent; it ends with the test.
        let _thread = cluster.node(&server(number)).thread(|| {
            use std::io::Write as _;
            let any = (std::net::Ipv6Addr::UNSPECIFIED, 82);
            let listener = std::net::TcpListener::bind(any).expect("the port is free");
            for mut stream in listener.incoming().flatten() {
                let _sent = stream.write_all(&vec![0x5a; 300_000]);
            }
        });
    }
    let _daemon = cluster.start_daemon(&config(&[service("much", "82", &[1, 2], "")]));
    cluster.wait_until_ready();
    let fetch = format!("exec 3<>/dev/tcp/{VIP}/82; cat <&3 | wc -c");
    for _ in 0..4 {
        let words = [
            "ip", "netns", "exec", "far", "timeout", "20", "bash", "-c", &fetch,
        ];
        assert_eq!(cluster.run("client", &words).trim(), "300000");
    }
    for number in [1, 2] {
        let words = [
            "ip",
            "route",
            "get",
            "2001:db8:1::2",
            "from",
            &VIP.to_string(),
        ];
        let route = cluster.run(&server(number), &words);
        assert!(route.contains("mtu 1300"), "{number}: {route}");
    }
}
