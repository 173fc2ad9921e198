//! Starts, starts that must fail, and the purge.

use std::sync::atomic::Ordering::SeqCst;
use std::sync::mpsc;
use std::time::Duration;

use evenkeel_abi::SCHEMA;
use evenkeel_bpf::{Mode, attach_pass};
use evenkeel_lab::probe::UdpProbe;
use evenkeel_netns_tests::Cluster;
use evenkeel_netns_tests::backend::Backend;
use evenkeel_netns_tests::cluster::{PINS, config, server, service, vip};
use evenkeel_netns_tests::streams::{STREAMS, Streams};
use evenkeel_netns_tests::texts::{ECHO, udp};

use crate::{TCP, assert_held, goes_on, load};

fn web() -> String {
    config(&[service("web", 80, &[1, 2], TCP)])
}

/// Names of the pins.
fn pins(cluster: &Cluster) -> String {
    cluster.run(
        "director",
        &["sh", "-c", &format!("ls -A {PINS} 2>/dev/null || true")],
    )
}

fn addresses(cluster: &Cluster, link: &str) -> String {
    cluster.run("director", &["ip", "-4", "address", "show", "dev", link])
}

#[test]
fn beside_a_running_daemon_a_second_one_and_the_purge_are_refused() {
    let cluster = Cluster::boot("t-second", 2);
    let _daemon = cluster.start_daemon(&web());
    cluster.wait_until_ready();
    let load = load(&cluster);
    let program = cluster.link().xdp_program;
    let pins_before = pins(&cluster);
    assert!(!pins_before.is_empty());

    let second = cluster.evenkeel_with_config("run");
    second.assert_refused(1, &["a daemon is running already", "Hint: "]);
    let purge = cluster.evenkeel_with_config("purge");
    purge.assert_refused(1, &["the daemon is running", "Hint: Stop it first"]);

    goes_on(&cluster, &load);
    assert_eq!(cluster.link().xdp_program, program);
    assert_eq!(pins(&cluster), pins_before);
    assert!(addresses(&cluster, "eth0").contains("198.18.14.146/32"));
    assert_held(load);
}

#[test]
fn purge_removes_the_pins_and_only_the_addresses_that_evenkeel_added() {
    let cluster = Cluster::boot("t-purge", 2);
    // An administrator has put the second address elsewhere.
    let _nothing = cluster.run(
        "director",
        &["ip", "address", "add", "198.18.14.147/32", "dev", "lo"],
    );
    let other = service("other", 80, &[2], TCP).replace("198.18.14.146", "198.18.14.147");
    let daemon = cluster.start_daemon(&config(&[service("web", 80, &[1], TCP), other]));
    cluster.wait_until_ready();
    let on_eth0 = addresses(&cluster, "eth0");
    assert!(
        on_eth0.contains("198.18.14.146/32") && !on_eth0.contains("198.18.14.147"),
        "{on_eth0}"
    );
    assert!(addresses(&cluster, "lo").contains("198.18.14.147/32"));
    let status = cluster.status();
    assert_eq!(status.problems, [], "{status:?}");

    assert!(daemon.terminate().success());
    assert_eq!(cluster.answers(80, 2), [server(1), server(1)]);
    assert!(addresses(&cluster, "eth0").contains("198.18.14.146/32"));

    let told = cluster.evenkeel_with_config("purge").succeeded();
    assert!(
        told.contains("198.18.14.146") && !told.contains("198.18.14.147"),
        "{told}"
    );
    assert!(told.contains(PINS), "{told}");
    assert_eq!(pins(&cluster), "");
    assert_eq!(cluster.link().xdp_program, None);
    let left = addresses(&cluster, "eth0");
    assert!(
        left.contains("198.18.14.10/24") && !left.contains("198.18.14.146"),
        "{left}"
    );
    assert!(addresses(&cluster, "lo").contains("198.18.14.147/32"));
    let again = cluster.evenkeel_with_config("purge").succeeded();
    assert_eq!(again, "nothing to remove\n");
}

#[test]
fn another_program_on_the_interface_is_named_and_left_alone() {
    let cluster = Cluster::boot("t-foreign", 2);
    let (attached, told) = mpsc::sync_channel(1);
    let (end, ended) = mpsc::sync_channel::<()>(1);
    let foreign = cluster.node("director").thread(move || {
        let index = nix::net::if_::if_nametoindex("eth0").unwrap();
        let _program = attach_pass("eth0", index, Mode::Native).unwrap();
        attached.send(()).unwrap();
        // Ends with the sender, too.
        let _ended = ended.recv();
    });
    let foreign = foreign.unwrap();
    told.recv().unwrap();
    let program = cluster.link().xdp_program;
    assert!(program.is_some());

    cluster.write_config(&web());
    let refused = cluster.evenkeel_with_config("run");
    refused.assert_refused(
        1,
        &[
            "another XDP program is on interface `eth0`",
            "ip link set dev eth0 xdp off",
        ],
    );
    assert_eq!(cluster.link().xdp_program, program);
    assert_eq!(pins(&cluster), "", "a failed start leaves nothing behind");
    assert!(!addresses(&cluster, "eth0").contains("198.18.14.146"));

    drop(end);
    foreign.join().unwrap();
    let _daemon = cluster.start_daemon(&web());
    cluster.wait_until_ready();
    assert_eq!(cluster.answers(80, 2).len(), 2);
}

#[test]
fn stale_pins_are_refused_while_they_go_on_forwarding_and_purge_clears_the_way() {
    let cluster = Cluster::boot("t-stale", 2);
    let daemon = cluster.start_daemon(&web());
    cluster.wait_until_ready();
    let program = cluster.link().xdp_program;
    assert!(daemon.terminate().success());

    cluster.write_config(&web().replace("half-open = 4096", "half-open = 8192"));
    let resized = cluster.evenkeel_with_config("run");
    resized.assert_refused(1, &["HALF_OPEN", "evenkeel purge", "restore the old size"]);
    assert_eq!(cluster.link().xdp_program, program);
    assert_eq!(cluster.answers(80, 2).len(), 2);

    cluster.write_config(&web());
    let _nothing = cluster.run("director", &["rm", &format!("{PINS}/maps/EVENTS")]);
    let incomplete = cluster.evenkeel_with_config("run");
    incomplete.assert_refused(1, &["can't be adopted", "1 of its maps", "evenkeel purge"]);
    assert_eq!(cluster.link().xdp_program, program);
    assert_eq!(cluster.answers(80, 2).len(), 2);

    let _told = cluster.evenkeel_with_config("purge").succeeded();
    let _daemon = cluster.start_daemon(&web());
    cluster.wait_until_ready();
    assert!(!cluster.status().adopted);
    assert_eq!(cluster.answers(80, 2).len(), 2);
}

#[test]
fn a_missing_interface_is_named_with_those_that_exist() {
    let cluster = Cluster::boot("t-nolink", 1);
    cluster.write_config(&web().replace("\"eth0\"", "\"eth9\""));
    let refused = cluster.evenkeel_with_config("run");
    refused.assert_refused(
        1,
        &[
            "interface `eth9` does not exist",
            "`eth0`",
            "Hint: Set `interface`",
        ],
    );
    assert_eq!(pins(&cluster), "");
}

#[test]
fn real_servers_that_are_not_on_the_link_are_reported_and_the_others_serve() {
    let cluster = Cluster::boot("t-offlink", 2);
    // The one is beyond a router, the other one is nobody's.
    let text = web().replace(
        "{ address = \"198.18.14.13\" }",
        "{ address = \"203.0.113.9\" }, { address = \"198.18.14.99\" }",
    );
    let _daemon = cluster.start_daemon(&text);
    cluster.eventually("the first round of checks is over", || {
        cluster.try_status().is_some_and(|status| status.ready)
    });
    assert_eq!(
        cluster.answers(80, 4),
        [server(1), server(1), server(1), server(1)]
    );
    let off_link = "real server `203.0.113.9` is not on the link of `eth0`";
    assert!(cluster.log().contains(off_link));
    cluster.eventually("nobody answers for the third server", || {
        cluster
            .log()
            .contains("nobody answers for 198.18.14.99 on the link")
    });
    let told = cluster.evenkeel(&["reload"]);
    assert!(
        told.err.contains(&format!("Warning: {off_link}")),
        "{told:?}"
    );
    let servers = cluster.service(80).servers;
    let is_listed: Vec<bool> = servers.iter().map(|server| server.listed).collect();
    assert_eq!(is_listed, [true, false, false], "{servers:?}");
    assert!(
        servers
            .iter()
            .skip(1)
            .all(|server| !server.reason.is_empty()),
        "{servers:?}"
    );
}

/// Makes the pins another schema's; the one before.
fn pretend(cluster: &Cluster, schema: u32) -> u64 {
    let constants = evenkeel_bpf::pinned_constants(&cluster.director().pins());
    let constants = constants.unwrap().unwrap();
    let word = constants.get(0).unwrap();
    let before = word.load(SeqCst);
    word.store(schema.into(), SeqCst);
    before
}

#[test]
fn a_newer_schema_adopts_the_one_before_and_refuses_others_while_packets_flow() {
    // Its servers echo; the second director is idle.
    let cluster = Cluster::boot_pair("t-schema", 2);
    let backends = [1, 2].map(|number| Backend::start(&cluster, &server(number)));
    // UDP ports are not checked.
    let by_web = TCP.replace("tcp = true", "tcp = true, port = 80");
    let text = config(&[
        service("streams", STREAMS, &[1, 2], TCP),
        udp(&service("echo", ECHO, &[1, 2], &by_web)),
    ]);
    let daemon = cluster.start_daemon(&text);
    cluster.wait_until_ready();
    let streams = Streams::start(&cluster, 8);
    let probe = UdpProbe::start(cluster.node("client"), vip(ECHO), Duration::from_millis(1));
    let probe = probe.unwrap();
    let get_on = || {
        let answered = probe.answered();
        streams.all_get_on(&cluster);
        cluster.eventually("more echoes", || probe.answered() >= answered + 100);
    };
    get_on();
    let program = cluster.link().xdp_program;
    assert!(daemon.terminate().success());

    let every_pin = || cluster.run("director", &["ls", "-AiR", PINS]);

    // Alone it leaves no mark: what can't be adopted is refused, and goes on.
    for schema in [SCHEMA + 1, 5] {
        let _before = pretend(&cluster, schema);
        let before = every_pin();
        let refused = cluster.evenkeel_with_config("run");
        let told = [
            &format!("schema {schema},"),
            "evenkeel purge",
            "Nothing was touched",
        ];
        refused.assert_refused(1, &told);
        assert_eq!(cluster.link().xdp_program, program);
        assert_eq!(every_pin(), before);
        get_on();
    }

    assert_eq!(pretend(&cluster, 6), 5);
    let _daemon = cluster.start_daemon(&text);
    cluster.wait_until_ready();
    assert!(cluster.status().adopted);
    assert_ne!(cluster.link().xdp_program, program);
    get_on();
    assert_eq!(pretend(&cluster, SCHEMA), u64::from(SCHEMA));
    for end in streams.stop() {
        let _ended = end.unwrap();
    }
    let echoes = probe.stop().unwrap().requests;
    let lost = echoes.iter().filter(|echo| echo.answered.is_none());
    assert_eq!(lost.count(), 0, "of {} probes", echoes.len());
    drop(backends);
}
