use crate::daemon::Daemon;
use crate::{Told, evenkeel, program, told};

fn ipvsadm(words: &[&str]) -> Told {
    let mut command = program("/sbin/ipvsadm");
    command.args(words);
    told(command)
}

#[test]
fn the_programs_name_makes_it_an_ipvsadm() {
    let told = ipvsadm(&["-v"]);
    let expected = "ipvsadm v1.31 2019/12/24 (compiled with popt and IPVS v1.2.1)\n";
    assert_eq!((told.code, told.out.as_str()), (Some(0), expected));
    let told = evenkeel(&["ipvsadm", "--version"]);
    assert_eq!((told.code, told.out.as_str()), (Some(0), expected));
}

#[test]
fn refusals_go_to_standard_error_with_ipvsadms_codes() {
    let told = ipvsadm(&["--frob"]);
    let expected = "Try `/sbin/ipvsadm -h' or '/sbin/ipvsadm --help' for more information.\n";
    assert_eq!((told.code, told.err.as_str()), (Some(255), expected));
    let told = ipvsadm(&["-L", "-n", "junk"]);
    assert_eq!(
        (told.code, told.err.as_str()),
        (Some(2), "unexpected argument junk\n")
    );
    let told = evenkeel(&["ipvsadm", "-L", "-s", "rr"]);
    let expected = "Illegal 'scheduler' option with the 'list' command\n";
    assert_eq!((told.code, told.err.as_str()), (Some(2), expected));
}

#[test]
fn sync_daemons_are_not_there_yet() {
    let told = ipvsadm(&["--start-daemon", "master"]);
    assert_eq!(told.code, Some(1));
    assert!(
        told.err.contains("`start-daemon` is not supported yet"),
        "{}",
        told.err
    );
}

#[test]
fn help_works_under_both_names() {
    for told in [ipvsadm(&["-h"]), evenkeel(&["ipvsadm", "--help"])] {
        assert_eq!(told.code, Some(0), "{told:?}");
        assert!(
            told.out
                .contains("\nUsage:\n  ipvsadm -A|E virtual-service "),
            "{told:?}"
        );
    }
}

/// Two services of one virtual router, and one of the director's own.
fn services(role: &str, gate: &str) -> String {
    let zero = r#""totals":{"conns":0,"in_packets":0,"in_bytes":0},"rates":{"cps":0,"in_pps":0,"in_bps":0}"#;
    let shared = |protocol: &str, address: &str| {
        format!(
            r#"{{"protocol":"{protocol}","address":"{address}","scheduler":"wlc",{zero},"gate":"{gate}",
            "virtual_router":{{"name":"paper","role":"{role}"}},"servers":[{{"address":"198.18.14.12:80",
            "forwarding":"local","weight":2,"active":0,"inactive":0,{zero}}}]}}"#
        )
    };
    format!(
        r#"{{"api_version":1,"services":[{},{},{{"protocol":"tcp","address":"198.18.14.150:80","scheduler":"rr",
        {zero},"gate":"open","virtual_router":null,"servers":[]}}]}}"#,
        shared("tcp", "198.18.14.146:80"),
        shared("udp", "198.18.14.146:53"),
    )
}

/// What the face prints of `services`, and its exit code.
fn ipvsadm_of(services: String, words: &[&str]) -> Told {
    let daemon = Daemon::start(vec![services]);
    let mut command = program("ipvsadm");
    command.args(words).env("EVENKEEL_SOCKET", daemon.socket());
    told(command)
}

const NOTE: &str =
    "2 services held warm, not listed: this director is Backup of virtual router \"paper\"\n";

#[test]
fn a_backup_lists_what_it_acts_for_and_says_what_it_holds() {
    for words in [&["-Ln"][..], &["-L", "-n", "--nosort"], &["-ln", "--sort"]] {
        let told = ipvsadm_of(services("backup", "closed"), words);
        let expected = "\
IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn
TCP  198.18.14.150:80 rr
";
        assert_eq!(
            (told.code, told.out.as_str(), told.err.as_str()),
            (Some(0), expected, NOTE),
            "{words:?}"
        );
    }
    let told = ipvsadm_of(services("backup", "draining"), &["-Ln", "--stats"]);
    assert_eq!((told.code, told.err.as_str()), (Some(0), NOTE));
    assert!(!told.out.contains("198.18.14.146"), "{told:?}");
}

#[test]
fn an_active_director_lists_all_and_says_nothing() {
    let told = ipvsadm_of(services("active", "open"), &["-Ln"]);
    let expected = "\
IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn
TCP  198.18.14.146:80 wlc
  -> 198.18.14.12:80              Local   2      0          0         \n\
TCP  198.18.14.150:80 rr
UDP  198.18.14.146:53 wlc
  -> 198.18.14.12:80              Local   2      0          0         \n";
    assert_eq!(
        (told.code, told.out.as_str(), told.err.as_str()),
        (Some(0), expected, "")
    );
}

#[test]
fn a_held_service_that_is_asked_for_is_shown_with_a_note() {
    let words = ["-Ln", "-u", "198.18.14.146:53"];
    let told = ipvsadm_of(services("backup", "closed"), &words);
    let expected = "\
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn
UDP  198.18.14.146:53 wlc
  -> 198.18.14.12:80              Local   2      0          0         \n";
    let note = "1 service held warm: this director is Backup of virtual router \"paper\"\n";
    assert_eq!(
        (told.code, told.out.as_str(), told.err.as_str()),
        (Some(0), expected, note)
    );
    let words = ["-Ln", "-u", "198.18.14.146:80"];
    let told = ipvsadm_of(services("backup", "closed"), &words);
    assert_eq!(
        (told.code, told.err.as_str()),
        (Some(1), "No such service\n")
    );
}

#[test]
fn a_backup_saves_all_services() {
    let told = ipvsadm_of(services("backup", "closed"), &["-S", "-n"]);
    let expected = "\
-A -t 198.18.14.146:80 -s wlc
-a -t 198.18.14.146:80 -r 198.18.14.12:80 -g -w 2
-A -t 198.18.14.150:80 -s rr
-A -u 198.18.14.146:53 -s wlc
-a -u 198.18.14.146:53 -r 198.18.14.12:80 -g -w 2
";
    assert_eq!(
        (told.code, told.out.as_str(), told.err.as_str()),
        (Some(0), expected, "")
    );
}
