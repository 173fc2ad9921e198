//! Edits by hand through `ipvsadm`, with traffic, reloads and restarts.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use evenkeel_api::EditKind;
use evenkeel_lab::load::{self, Target};
use evenkeel_netns_tests::Cluster;
use evenkeel_netns_tests::cluster::{Told, VIP, config, server, service};

use crate::TCP;

/// An address that no config has.
const OTHER: Ipv4Addr = Ipv4Addr::new(198, 18, 14, 147);

fn ipvsadm(cluster: &Cluster, line: &str) -> Told {
    let words: Vec<&str> = line.split_whitespace().collect();
    cluster
        .director()
        .tell(&[&["ipvsadm"], &words[..]].concat())
}

/// Runs a command that ipvsadm accepts without a word.
fn accepted(cluster: &Cluster, line: &str) {
    let told = ipvsadm(cluster, line);
    let said = (told.code, told.out.as_str(), told.err.as_str());
    assert_eq!(said, (Some(0), "", ""), "{line}");
}

/// Runs a command that ipvsadm refuses as the kernel would.
fn refused(cluster: &Cluster, line: &str, message: &str) {
    let told = ipvsadm(cluster, line);
    let message = format!("{message}\n");
    let said = (told.code, told.out.as_str(), told.err.as_str());
    assert_eq!(said, (Some(255), "", message.as_str()), "{line}");
}

fn shell(cluster: &Cluster, script: &str) -> Told {
    cluster.director().tell(&["sh", "-c", script])
}

/// Who answers at an address.
fn answering(cluster: &Cluster, address: Ipv4Addr) -> BTreeSet<String> {
    let target = Target {
        address: (address, 80).into(),
        ..cluster.target(80)
    };
    let records = load::sequential(cluster.node("client"), &target, &cluster.ports, 6).unwrap();
    let answers = records.into_iter().map(|record| record.outcome.unwrap());
    answers.collect()
}

fn servers(numbers: &[u8]) -> BTreeSet<String> {
    numbers.iter().copied().map(server).collect()
}

/// The lines of `ipvsadm -Ln` behind its header, less the columns of connections.
fn table(cluster: &Cluster) -> Vec<String> {
    let listing = ipvsadm(cluster, "-Ln").succeeded();
    let lines = listing.lines().skip(3);
    let shown = lines.map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["->", server, forward, weight, _active, _inactive] => {
                format!("-> {server} {forward} {weight}")
            }
            _ => line.trim_end().to_owned(),
        }
    });
    shown.collect()
}

fn has_table(cluster: &Cluster, expected: &[&str]) {
    let mut found = Vec::new();
    let what = format!("the table is {expected:#?}");
    cluster.eventually(&what, || {
        found = table(cluster);
        found == expected
    });
}

/// A cluster of three servers that hold [`OTHER`] too, and a config with two of them.
fn boot(name: &str) -> (Cluster, String) {
    let cluster = Cluster::boot(name, 3);
    for number in 1..=3 {
        let words = ["ip", "address", "add", "198.18.14.147/32", "dev", "lo"];
        let _nothing = cluster.run(&server(number), &words);
    }
    (cluster, config(&[service("web", 80, &[1, 2], TCP)]))
}

const MADE: [&str; 3] = [
    "-A -t 198.18.14.147:80 -s wrr",
    "-a -t 198.18.14.147:80 -r 198.18.14.12 -w 2",
    "-a -t 198.18.14.147:80 -r 198.18.14.14:80 -g",
];

#[test]
fn edits_carry_traffic_and_outlive_reloads_and_the_daemon() {
    let (cluster, text) = boot("t-edits");
    let daemon = cluster.start_daemon(&text);
    cluster.wait_until_ready();
    for line in MADE {
        accepted(&cluster, line);
    }
    let both = [
        "TCP  198.18.14.146:80 rr",
        "-> 198.18.14.12:80 Route 1",
        "-> 198.18.14.13:80 Route 1",
        "TCP  198.18.14.147:80 wrr",
        "-> 198.18.14.12:80 Route 2",
        "-> 198.18.14.14:80 Route 1",
    ];
    // Whoever looks right after an edit sees it.
    assert_eq!(table(&cluster), both);
    assert_eq!(answering(&cluster, OTHER), servers(&[1, 3]));
    assert_eq!(answering(&cluster, VIP), servers(&[1, 2]));

    // Edits of the configured service: one server out, another in.
    accepted(&cluster, "-d -t 198.18.14.146:80 -r 198.18.14.13");
    accepted(&cluster, "-a -t 198.18.14.146:80 -r 198.18.14.14 -w 3");
    accepted(&cluster, "-e -t 198.18.14.146:80 -r 198.18.14.12 -w 0");
    let edited = [
        "TCP  198.18.14.146:80 rr",
        "-> 198.18.14.12:80 Route 0",
        "-> 198.18.14.14:80 Route 3",
        "TCP  198.18.14.147:80 wrr",
        "-> 198.18.14.12:80 Route 2",
        "-> 198.18.14.14:80 Route 1",
    ];
    has_table(&cluster, &edited);
    assert_eq!(answering(&cluster, VIP), servers(&[3]));

    let told = cluster.evenkeel(&["reload"]).succeeded();
    assert!(told.contains("nothing changed"), "{told}");
    for line in [
        "  service `web` (TCP 198.18.14.146:80): server 198.18.14.12:80 is set by hand, weight 0 (configured: 1)\n",
        "  service `web` (TCP 198.18.14.146:80): server 198.18.14.13:80 is removed by hand\n",
    ] {
        assert!(told.contains(line), "{told}");
    }
    has_table(&cluster, &edited);

    daemon.kill();
    let _daemon = cluster.start_daemon(&text);
    cluster.eventually("the daemon answers", || cluster.try_status().is_some());
    // They are in force before anything is asked or checked.
    assert_eq!(table(&cluster), edited);
    assert_eq!(answering(&cluster, OTHER), servers(&[1, 3]));
    assert_eq!(answering(&cluster, VIP), servers(&[3]));
    let edits = cluster.status().edits.services;
    let kinds: Vec<Option<EditKind>> = edits.iter().map(|edited| edited.edit).collect();
    assert_eq!(kinds, [None, Some(EditKind::Added)]);
    let status = cluster.evenkeel(&["status"]).succeeded();
    assert!(
        status.contains("TCP 198.18.14.146:80 -> 198.18.14.13:80  removed"),
        "{status}"
    );

    let told = cluster.evenkeel(&["reload", "--forget-edits"]).succeeded();
    assert_eq!(told, "edits by hand forgotten\n");
    has_table(&cluster, &both[..3]);
    assert_eq!(answering(&cluster, VIP), servers(&[1, 2]));
    assert!(cluster.status().edits.is_empty());
    let shown = ["ip", "-4", "address", "show", "dev", "eth0"];
    let addresses = cluster.run("director", &shown);
    assert!(!addresses.contains("198.18.14.147"), "{addresses}");
}

#[test]
fn edits_are_refused_as_ipvs_refuses_them() {
    let (cluster, text) = boot("t-refuse");
    let _daemon = cluster.start_daemon(&text);
    cluster.wait_until_ready();
    let before = table(&cluster);
    for (line, message) in [
        ("-A -t 198.18.14.146:80", "Service already exists"),
        ("-E -t 198.18.14.146:81 -s rr", "No such service"),
        ("-D -t 198.18.14.146:81", "No such service"),
        ("-D -u 198.18.14.146:80", "No such service"),
        ("-Z -t 198.18.14.146:81", "No such service"),
        (
            "-a -t 198.18.14.146:81 -r 198.18.14.12",
            "Service not defined",
        ),
        (
            "-e -t 198.18.14.146:81 -r 198.18.14.12",
            "Service not defined",
        ),
        (
            "-d -t 198.18.14.146:81 -r 198.18.14.12",
            "Service not defined",
        ),
        (
            "-a -t 198.18.14.146:80 -r 198.18.14.12",
            "Destination already exists",
        ),
        (
            "-e -t 198.18.14.146:80 -r 198.18.14.14",
            "No such destination",
        ),
        (
            "-d -t 198.18.14.146:80 -r 198.18.14.14",
            "No such destination",
        ),
        (
            "-E -t 198.18.14.146:80 -s nonsense",
            "Scheduler or persistence engine not found",
        ),
        (
            "-a -t 198.18.14.146:80 -r 224.0.0.1",
            "Invalid operation.  Possibly wrong module version, address not unicast, ...",
        ),
    ] {
        refused(&cluster, line, message);
    }
    let own = "Invalid operation.  An address can't be virtual and a host's own at once";
    refused(&cluster, "-A -t 198.18.14.12:80", own);
    refused(&cluster, "-a -t 198.18.14.146:80 -r 198.18.14.146", own);
    assert_eq!(table(&cluster), before);
    assert!(cluster.status().edits.is_empty());

    // A service takes 1,024 servers; that these are not on the link is told, and no mistake.
    accepted(&cluster, "-A -t 198.18.14.147:80");
    let add = "seq 0 1024 | awk '{ print \"-a -t 198.18.14.147:80 -r 10.1.\" int($1 / 256) \".\" $1 % 256 }'";
    let told = shell(&cluster, &format!("{add} | ipvsadm -R"));
    assert_eq!(told.code, Some(255), "{told:?}");
    assert!(told.err.starts_with("Warning: "), "{told:?}");
    assert!(
        told.err.ends_with("\nMemory allocation problem\n"),
        "{told:?}"
    );
}

/// A saved table, cleared and restored, is the same table.
#[test]
fn a_saved_table_is_restored() {
    let (cluster, text) = boot("t-restore");
    let _daemon = cluster.start_daemon(&text);
    cluster.wait_until_ready();
    for line in MADE {
        accepted(&cluster, line);
    }
    accepted(
        &cluster,
        "-A -u 198.18.14.147:53 -s sh -p 60 -M 255.255.255.0 -b sh-port",
    );
    accepted(&cluster, "-E -t 198.18.14.146:80 -s wlc");
    cluster.eventually("all servers are listed", || table(&cluster).len() == 7);
    let saved = ipvsadm(&cluster, "-Sn").succeeded();
    assert_eq!(
        saved,
        "-A -t 198.18.14.146:80 -s wlc\n\
         -a -t 198.18.14.146:80 -r 198.18.14.12:80 -g -w 1\n\
         -a -t 198.18.14.146:80 -r 198.18.14.13:80 -g -w 1\n\
         -A -t 198.18.14.147:80 -s wrr\n\
         -a -t 198.18.14.147:80 -r 198.18.14.12:80 -g -w 2\n\
         -a -t 198.18.14.147:80 -r 198.18.14.14:80 -g -w 1\n\
         -A -u 198.18.14.147:53 -s sh -p 60 -M 255.255.255.0 -b sh-port\n"
    );
    accepted(&cluster, "-C");
    assert_eq!(table(&cluster), Vec::<String>::new());
    let restore = format!("printf '%s' '{saved}' | ipvsadm -R");
    assert_eq!(shell(&cluster, &restore).succeeded(), "");
    cluster.eventually("the saved table is back", || {
        ipvsadm(&cluster, "-Sn").succeeded() == saved
    });
    assert_eq!(answering(&cluster, VIP), servers(&[1, 2]));
    assert_eq!(answering(&cluster, OTHER), servers(&[1, 3]));

    // What the daemon refuses does not end it, a line that is no command does.
    let told = shell(
        &cluster,
        "printf -- '-A -t 198.18.14.146:80\\n\\n-D -u 198.18.14.147:53\\n' | ipvsadm -R",
    );
    assert_eq!(
        (told.code, told.err.as_str()),
        (Some(0), "Service already exists\n")
    );
    let told = shell(
        &cluster,
        "printf -- '-D -t 198.18.14.147:80 # so\\n-C\\n' | ipvsadm -R",
    );
    assert_eq!(
        (told.code, told.err.as_str()),
        (Some(2), "unexpected argument #\n")
    );
    assert_eq!(ipvsadm(&cluster, "-Sn").succeeded().lines().count(), 6);
}

#[test]
fn counters_begin_at_zero_and_connections_go_on() {
    let (cluster, text) = boot("t-zero");
    let daemon = cluster.start_daemon(&text);
    cluster.wait_until_ready();
    assert_eq!(answering(&cluster, VIP), servers(&[1, 2]));
    let counted = |cluster: &Cluster| {
        let service = cluster.services().services.remove(0);
        let inactive: u64 = service.servers.iter().map(|server| server.inactive).sum();
        let conns = service.servers.iter().map(|server| server.totals.conns);
        (service.totals.conns, conns.sum::<u64>(), inactive)
    };
    cluster.eventually("all have ended", || counted(&cluster) == (6, 6, 6));
    accepted(&cluster, "-Z");
    assert_eq!(counted(&cluster), (0, 0, 6));
    accepted(&cluster, "--set 0 10 20");
    let timeouts = "Timeout (tcp tcpfin udp): 900 10 20\n";
    assert_eq!(ipvsadm(&cluster, "-L --timeout").succeeded(), timeouts);

    daemon.kill();
    let _daemon = cluster.start_daemon(&text);
    cluster.eventually("the daemon answers", || cluster.try_status().is_some());
    assert_eq!(counted(&cluster), (0, 0, 6));
    assert_eq!(ipvsadm(&cluster, "-L --timeout").succeeded(), timeouts);
    assert_eq!(answering(&cluster, VIP), servers(&[1, 2]));
    assert_eq!(counted(&cluster), (6, 6, 12));
}

#[test]
fn edits_that_can_not_be_read_are_put_aside_and_purge_removes_them() {
    let (cluster, text) = boot("t-aside");
    let daemon = cluster.start_daemon(&text);
    cluster.wait_until_ready();
    accepted(&cluster, "-D -t 198.18.14.146:80");
    daemon.kill();
    let _nothing = shell(&cluster, "echo '{' >> /run/evenkeel/evenkeel.edits.json").succeeded();
    let daemon = cluster.start_daemon(&text);
    cluster.wait_until_ready();
    assert_eq!(answering(&cluster, VIP), servers(&[1, 2]));
    let log = cluster.log();
    for words in [
        "event=\"edits-unusable\"",
        "evenkeel.edits.json` can't be read, and the config file alone is in force",
        "what they were is in `/run/evenkeel/evenkeel.edits.json.bad`",
    ] {
        assert!(log.contains(words), "no `{words}` in {log}");
    }
    let files = "cd /run/evenkeel && ls";
    assert!(
        shell(&cluster, files)
            .succeeded()
            .contains("evenkeel.edits.json.bad")
    );
    accepted(&cluster, "-D -t 198.18.14.146:80");
    daemon.kill();
    let told = cluster.evenkeel_with_config("purge").succeeded();
    assert!(
        told.contains("removed the edits by hand in /run/evenkeel/evenkeel.edits.json\n"),
        "{told}"
    );
    let _daemon = cluster.start_daemon(&text);
    cluster.wait_until_ready();
    assert_eq!(answering(&cluster, VIP), servers(&[1, 2]));
}

/// What an edit made virtual may be a real server's own address in the next config.
#[test]
fn a_config_that_contradicts_an_edit_is_taken_and_told() {
    let (cluster, text) = boot("t-clash");
    let daemon = cluster.start_daemon(&text);
    cluster.wait_until_ready();
    accepted(&cluster, "-A -t 198.18.14.14:80");
    let more = config(&[service("web", 80, &[1, 2, 3], TCP)]);
    cluster.write_config(&more);
    let told = cluster.evenkeel(&["reload"]);
    assert_eq!(told.code, Some(0), "{told:?}");
    let clash = "`198.18.14.14` is a host's own address in the config file, and by an edit by hand a virtual one";
    assert!(told.err.contains(clash), "{told:?}");
    daemon.kill();
    let _daemon = cluster.start_daemon(&more);
    cluster.eventually("the next start tells it too", || {
        cluster.log().contains(clash)
    });
    accepted(&cluster, "-D -t 198.18.14.14:80");
    let told = cluster.evenkeel(&["reload"]);
    assert_eq!((told.code, told.err.as_str()), (Some(0), ""), "{told:?}");
}
