//! Real servers on other links than the clients': behind further interfaces, in a VLAN, and behind a router.

use std::collections::BTreeSet;
use std::process::{Child, Command, Stdio};

use evenkeel_bpf::{Mode, PassProgram, attach_pass};
use evenkeel_lab::offload;
use evenkeel_netns_tests::Cluster;
use evenkeel_netns_tests::cluster::{Daemon, WEB, config, server, server_address};
use evenkeel_netns_tests::texts::service_of;

/// On the second link, alone.
const SECOND: &str = "10.1.1.12";
/// On the third link, or in VLAN 7 of it.
const THIRD: &str = "10.1.7.13";
/// On both servers, reached through one of them.
const ROUTED: &str = "10.1.9.9";

/// Keeps a node's namespace known to `ip`.
struct Anchor(Child);

impl Anchor {
    fn new(cluster: &Cluster, node: &str) -> Self {
        let mut command = Command::new("sleep");
        command.arg("1000").stdout(Stdio::null());
        Self(cluster.node(node).spawn(command).expect("sleep starts"))
    }

    fn pid(&self) -> String {
        self.0.id().to_string()
    }
}

impl Drop for Anchor {
    fn drop(&mut self) {
        // It may have ended with its node.
        let _ended = self.0.kill();
        let _status = self.0.wait();
    }
}

/// A cable between the director and another node; frames that the director redirects need a program at its end.
fn cable(
    cluster: &Cluster,
    name: &'static str,
    to: &str,
    of_director: &[&str],
    of_other: &[&str],
) -> PassProgram {
    let ends = ["director", to].map(|node| Anchor::new(cluster, node));
    let [director, server] = ends.each_ref().map(Anchor::pid);
    let made = Command::new("nsenter")
        .args(["--target", &director, "--net", "ip", "link", "add", name])
        .args(["type", "veth", "peer", "name", name, "netns", &server])
        .status();
    assert!(made.is_ok_and(|status| status.success()), "{name}");
    let up = format!("ip link set {name} up");
    let loose = format!("echo 0 > /proc/sys/net/ipv4/conf/{name}/rp_filter");
    for (node, lines) in [("director", of_director), (to, of_other)] {
        for line in [
            up.as_str(),
            "echo 0 > /proc/sys/net/ipv4/conf/all/rp_filter",
            &loose,
        ]
        .iter()
        .chain(lines)
        {
            let _nothing = cluster.run(node, &["sh", "-c", line]);
        }
    }
    let attached = cluster.node(to).thread(move || {
        offload::switch_off(name).expect("veth has offloads");
        let index = nix::net::if_::if_nametoindex(name).expect("the cable is there");
        attach_pass(name, index, Mode::Native).expect("veth takes a program")
    });
    attached.expect("a thread").join().expect("it attaches")
}

/// Three servers on three links, one of them in two ways.
struct Links {
    cluster: Cluster,
    text: String,
    _programs: [PassProgram; 3],
}

impl Links {
    /// With the third server's address on this interface of its link.
    fn boot(name: &str, third: &str) -> Self {
        let cluster = Cluster::boot(name, 3);
        let second = cable(
            &cluster,
            "eth1",
            &server(2),
            &["ip address add 10.1.1.10/24 dev eth1"],
            &[
                "ip address add 10.1.1.12/24 dev eth1",
                "ip address add 10.1.9.9/32 dev lo",
            ],
        );
        let tag = match third {
            "eth2" => "true",
            _ => {
                "ip link add vlan7 link eth2 type vlan id 7 && ip link set vlan7 up && \
                  echo 0 > /proc/sys/net/ipv4/conf/vlan7/rp_filter"
            }
        };
        let [of_director, of_server] =
            [10, 13].map(|host| format!("ip address add 10.1.7.{host}/24 dev {third}"));
        let third = cable(
            &cluster,
            "eth2",
            &server(3),
            &[tag, &of_director],
            &[tag, &of_server, "ip address add 10.1.9.9/32 dev lo"],
        );
        let fourth = cable(
            &cluster,
            "eth3",
            "client",
            &["ip address add 10.1.3.10/24 dev eth3"],
            &["ip address add 10.1.3.1/24 dev eth3"],
        );
        let _nothing = cluster.run("director", &["ip", "route", "add", ROUTED, "via", SECOND]);
        let servers = [SECOND, THIRD, ROUTED].map(|address| address.parse().expect("an address"));
        let servers = [&[server_address(1)], &servers[..]].concat();
        let vip = evenkeel_netns_tests::cluster::VIP;
        let service = service_of(
            "web",
            (vip, WEB),
            &servers,
            "check = { tcp = true, every = \"100ms\", timeout = \"100ms\", fall = 50, rise = 1 }",
        );
        let text = config(&[service]).replace(
            "interface = \"eth0\"\n",
            "interface = \"eth0\"\nmore-interfaces = [\"eth1\", \"eth2\", \"eth3\"]\n",
        );
        Self {
            cluster,
            text,
            _programs: [second, third, fourth],
        }
    }

    fn start_daemon(&self) -> Daemon {
        let daemon = self.cluster.start_daemon(&self.text);
        self.cluster.wait_until_ready();
        daemon
    }

    /// Who answers when every entry has its turn twice.
    fn answering(&self) -> Vec<String> {
        let mut answers = self.cluster.answers(WEB, 8);
        answers.sort();
        answers
    }

    /// The interface and VLAN by which packets go to a server, as `status` tells.
    fn way(&self, address: &str) -> (String, Option<u16>) {
        let servers = self.cluster.service(WEB).servers;
        let server = servers
            .into_iter()
            .find(|s| s.address.ip().to_string() == address);
        let server = server.expect("it is configured");
        (server.interface.unwrap_or_default(), server.vlan)
    }
}

fn names(numbers: &[u8]) -> Vec<String> {
    numbers.iter().copied().map(server).collect()
}

#[test]
fn servers_on_other_links_and_behind_routers_serve() {
    let links = Links::boot("t-links", "eth2");
    let _daemon = links.start_daemon();
    assert_eq!(links.answering(), names(&[1, 1, 2, 2, 2, 2, 3, 3]));
    assert_eq!(links.way("198.18.14.12"), ("eth0".to_owned(), None));
    assert_eq!(links.way(SECOND), ("eth1".to_owned(), None));
    assert_eq!(links.way(THIRD), ("eth2".to_owned(), None));
    assert_eq!(links.way(ROUTED), ("eth1".to_owned(), None));
    let status = links.cluster.status();
    let more: BTreeSet<String> = status.more_interfaces.into_iter().map(|i| i.name).collect();
    assert_eq!(more, ["eth1", "eth2", "eth3"].map(str::to_owned).into());
    let odd = format!("real server `{ROUTED}` is behind router `{SECOND}`");
    assert!(
        links.cluster.log().contains(&odd),
        "{}",
        links.cluster.log()
    );
}

#[test]
fn a_server_follows_its_route_to_another_interface() {
    let links = Links::boot("t-route", "eth2");
    let daemon = links.start_daemon();
    let route = ["ip", "route", "replace", ROUTED, "via", THIRD];
    let _nothing = links.cluster.run("director", &route);
    links.cluster.eventually("the new way is known", || {
        links.way(ROUTED) == ("eth2".to_owned(), None)
    });
    assert_eq!(links.answering(), names(&[1, 1, 2, 2, 3, 3, 3, 3]));

    // What was found stays when the daemon is killed, and a successor goes on with it.
    drop(daemon);
    assert_eq!(links.answering(), names(&[1, 1, 2, 2, 3, 3, 3, 3]));
    let _successor = links.start_daemon();
    assert_eq!(links.way(ROUTED), ("eth2".to_owned(), None));
    assert_eq!(links.answering(), names(&[1, 1, 2, 2, 3, 3, 3, 3]));
    let trace = links
        .cluster
        .evenkeel(&["trace", "198.18.14.1:5555", "198.18.14.146:80"]);
    assert!(trace.out.contains(" by eth"), "{trace:?}");
}

#[test]
fn a_server_behind_an_interface_without_the_program_is_told() {
    let links = Links::boot("t-notours", "eth2");
    let text = links.text.replace("\"eth2\", ", "");
    let _daemon = links.cluster.start_daemon(&text);
    links.cluster.eventually("the others serve", || {
        links
            .cluster
            .try_status()
            .is_some_and(|status| status.ready)
    });
    let odd = format!("real server `{THIRD}` is reached by `eth2`, on which evenkeel does not run");
    assert!(
        links.cluster.log().contains(&odd),
        "{}",
        links.cluster.log()
    );
    assert!(!links.answering().contains(&server(3)));
}

#[test]
#[ignore = "needs a kernel with VLAN interfaces: `cargo xtask vm test` has one"]
fn a_server_in_a_vlan_gets_tagged_frames() {
    let links = Links::boot("t-vlan", "vlan7");
    let _daemon = links.start_daemon();
    assert_eq!(links.way(THIRD), ("eth2".to_owned(), Some(7)));
    assert_eq!(links.answering(), names(&[1, 1, 2, 2, 2, 2, 3, 3]));
    let route = ["ip", "route", "replace", ROUTED, "via", THIRD];
    let _nothing = links.cluster.run("director", &route);
    links.cluster.eventually("the new way is known", || {
        links.way(ROUTED) == ("eth2".to_owned(), Some(7))
    });
    assert_eq!(links.answering(), names(&[1, 1, 2, 2, 3, 3, 3, 3]));
}

#[test]
fn clients_come_in_by_any_interface() {
    let links = Links::boot("t-inward", "eth2");
    let _daemon = links.start_daemon();
    let route = "ip route add 198.18.14.146 via 10.1.3.10 dev eth3 src 198.18.14.1";
    let _nothing = links.cluster.run("client", &["sh", "-c", route]);
    let received = || -> u64 {
        let counter = "/sys/class/net/eth3/statistics/rx_packets";
        links
            .cluster
            .run("director", &["cat", counter])
            .trim()
            .parse()
            .expect("a number")
    };
    let before = received();
    assert_eq!(links.answering(), names(&[1, 1, 2, 2, 2, 2, 3, 3]));
    // A SYN, an acknowledgement, a request and a FIN of each.
    assert!(received() >= before + 8 * 4);
}
