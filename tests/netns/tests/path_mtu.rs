//! A narrow link between the clients and the cluster: the router's ICMP errors go to the virtual address, and
//! have to reach the real server.

use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener};

use evenkeel_netns_tests::Cluster;
use evenkeel_netns_tests::cluster::{VIP, config, node, server, service, topology};

/// The router's address at the cluster.
const ROUTER: Ipv4Addr = Ipv4Addr::new(198, 18, 14, 100);

/// Port of the servers that send much.
const MUCH: u16 = 82;

/// What they send, in bytes.
const BYTES: usize = 300_000;

/// A host behind the router, whose end of the link to it takes more than the router's: what it says of its
/// segments' size does not tell of the narrow link.
const BEHIND: [&str; 9] = [
    "ip netns add far",
    "ip link add far0 type veth peer name eth0 netns far",
    "ip link set far0 mtu 1000 up",
    "ip address add 203.0.113.1/24 dev far0",
    "echo 1 > /proc/sys/net/ipv4/ip_forward",
    "ip -n far link set eth0 up",
    "ip -n far address add 203.0.113.2/24 dev eth0",
    "ip -n far route add default via 203.0.113.1",
    "ip -n far link set lo up",
];

#[test]
fn a_narrow_link_behind_the_director_is_found_by_its_real_server() {
    let lab = topology("t-mtu", 2) + &node("router", "client", ROUTER, "");
    let cluster = Cluster::boot_from(&lab, 2);
    for line in BEHIND {
        let _nothing = cluster.run("router", &["sh", "-c", line]);
    }
    for number in [1, 2] {
        let route = "ip route add 203.0.113.0/24 via 198.18.14.100";
        let _nothing = cluster.run(&server(number), &["sh", "-c", route]);
        // It ends with the test.
        let _thread = cluster.node(&server(number)).thread(send_much);
    }
    let check = "check = { tcp = true, port = 80, every = \"200ms\", timeout = \"200ms\", fall = 10, rise = 1 }";
    let _daemon = cluster.start_daemon(&config(&[service("much", MUCH, &[1, 2], check)]));
    cluster.wait_until_ready();

    let fetch = format!("exec 3<>/dev/tcp/{VIP}/{MUCH}; cat <&3 | wc -c");
    for _ in 0..4 {
        let words = [
            "ip", "netns", "exec", "far", "timeout", "20", "bash", "-c", &fetch,
        ];
        let read = cluster.run("router", &words);
        assert_eq!(read.trim(), BYTES.to_string());
    }
    for number in [1, 2] {
        let words = [
            "ip",
            "route",
            "get",
            "203.0.113.2",
            "from",
            &VIP.to_string(),
        ];
        let route = cluster.run(&server(number), &words);
        assert!(route.contains("mtu 1000"), "{number}: {route}");
    }
}

fn send_much() {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, MUCH)).expect("the port is free");
    for stream in listener.incoming() {
        let sent = stream.and_then(|mut stream| stream.write_all(&vec![0x5a; BYTES]));
        // A check says nothing and goes away.
        drop(sent);
    }
}
