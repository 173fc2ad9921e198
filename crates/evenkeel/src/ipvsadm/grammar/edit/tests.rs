//! What is expected here was read off ipvsadm 1.31 itself, but where a comment says otherwise.

use super::*;
use crate::ipvsadm::grammar::parse;

fn parse_line(line: &str) -> Result<Request, Refused> {
    let words: Vec<String> = line.split_whitespace().map(ToOwned::to_owned).collect();
    parse("ipvsadm", &words)
}

fn edit(line: &str) -> Edit {
    match parse_line(line) {
        Ok(Request::Edit(edit)) => edit,
        other => panic!("{line}: {other:?}"),
    }
}

fn refuses(cases: &[(&str, &str, u8)]) {
    for (line, message, code) in cases {
        let refused = parse_line(line).expect_err(line);
        assert_eq!(
            (refused.message.as_str(), refused.code),
            (*message, *code),
            "{line}"
        );
    }
}

const SERVICE: ServiceId = ServiceId::Single {
    protocol: Protocol::Tcp,
    address: SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::new(1, 2, 3, 4)), 80),
};

fn plain(scheduler: &str) -> ServiceSettings {
    ServiceSettings {
        scheduler: scheduler.to_owned(),
        options: ServiceOptions::default(),
    }
}

#[test]
fn missing_options_are_asked_for() {
    let needs = |line: &str, option: &str, command: &str| {
        let message =
            format!("You need to supply the '{option}' option for the '{command}' command");
        refuses(&[(line, &message, 2)]);
    };
    for (letter, command) in [
        ("A", "add-service"),
        ("E", "edit-service"),
        ("D", "delete-service"),
    ] {
        needs(&format!("-{letter}"), "service-address", command);
    }
    for (letter, command) in [
        ("a", "add-server"),
        ("e", "edit-server"),
        ("d", "delete-server"),
    ] {
        needs(
            &format!("-{letter} -r 1.2.3.4:80"),
            "service-address",
            command,
        );
        needs(&format!("-{letter} -t 1.2.3.4:80"), "real-server", command);
    }
    needs("-A -x 5", "service-address", "add-service");
}

#[test]
fn options_of_other_commands_are_illegal() {
    let cases = [
        ("-A -t 1.2.3.4:80 -w 3", "weight", "add-service"),
        ("-A -t 1.2.3.4:80 -g", "forwarding-method", "add-service"),
        ("-A -t 1.2.3.4:80 -r 1.2.3.4", "real-server", "add-service"),
        ("-A -t 1.2.3.4:80 -n -x 3", "numeric", "add-service"),
        ("-A -t 1.2.3.4:80 --tun-type gue", "tun-type", "add-service"),
        ("-D -t 1.2.3.4:80 -s rr", "scheduler", "delete-service"),
        ("-a -w 3 -r 1.2.3.4 -n", "numeric", "add-server"),
        ("-a -t 1.2.3.4:80 -r 5.6.7.8 -p", "persistent", "add-server"),
        (
            "-d -t 1.2.3.4:80 -r 5.6.7.8 -w 1",
            "weight",
            "delete-server",
        ),
        ("-C -n", "numeric", "flush"),
        ("-C -t 1.2.3.4:80", "service-address", "flush"),
        ("-C --stats", "stats", "flush"),
        ("-Z -t 1.2.3.4:80 -s rr", "scheduler", "zero"),
        ("-Z -c", "connection", "zero"),
        ("--set 1 2 3 -n", "numeric", "set"),
        ("--set 1 -n 2 3", "numeric", "set"),
        ("--set 1 2 3 --timeout", "timeout", "set"),
        ("--set 1 2 3 -t 1.2.3.4:80", "service-address", "set"),
        ("-R -n", "numeric", "restore"),
        (
            "--start-daemon backup --syncid 3 -n",
            "numeric",
            "start-daemon",
        ),
        (
            "--stop-daemon master --mcast-interface eth0",
            "mcast-interface",
            "stop-daemon",
        ),
    ];
    for (line, option, command) in cases {
        let message = format!("Illegal '{option}' option with the '{command}' command");
        refuses(&[(line, &message, 2)]);
    }
}

/// Lines of `command line | message`, all with the exit code of a usage error.
fn refuses_usage(text: &str) {
    for row in text.lines() {
        let (line, message) = row.split_once(" | ").unwrap();
        refuses(&[(line, message, 2)]);
    }
}

#[test]
fn bad_values_are_refused_before_the_command_is_looked_at() {
    // Debian's takes a weight of any 31 bits; 65535 is the limit that 1.31 was released with.
    refuses_usage(
        "\
-a -t 1.2.3.4:80 -r 5.6.7.8 -w -1 | illegal weight specified
-L -w foo | illegal weight specified
-a -t 1.2.3.4:80 -r 1.2.3.4 -w 5x | illegal weight specified
-a -t 1.2.3.4:80 -r 1.2.3.4 -w 0x10 | illegal weight specified
-a -t 1.2.3.4:80 -r 5.6.7.8 -w 65536 | illegal weight specified
-a -t 1.2.3.4:80 -r 5.6.7.8 -x -1 | illegal u_threshold specified
-a -t 1.2.3.4:80 -r 5.6.7.8 -x 2147483648 | illegal u_threshold specified
-a -t 1.2.3.4:80 -r 5.6.7.8 -y a | illegal l_threshold specified
-a -t 1.2.3.4:80 -r 80 | illegal real server address[:port] specified
-a -t 1.2.3.4:80 -r 5.6.7.8:99999 | illegal real server address[:port] specified
-a -t 1.2.3.4:80 -r :80 | illegal real server address[:port] specified
-A -w 1 -t 80 | illegal virtual server address[:port] specified
-A -t 1.2.3.4:80 -p 0 | invalid timeout value `0' specified
-A -t 1.2.3.4:80 -p abc | invalid timeout value `abc' specified
-A -t 1.2.3.4:80 -p 2678401 | invalid timeout value `2678401' specified
-D -t 1.2.3.4:80 -p 0 | invalid timeout value `0' specified
-A -t 1.2.3.4:80 -M foo | illegal virtual server persistent mask specified
-A -t [fe80::1]:80 -p -M 129 | illegal ipv6 netmask specified
-A -t 1.2.3.4:80 -s sh -b bogus | invalid scheduler flag `bogus'
-D -t 1.2.3.4:80 -b bogus | invalid scheduler flag `bogus'
-a -t 1.2.3.4:80 -r 5.6.7.8 -i --tun-type foo | illegal tunnel type specified
-a -t 1.2.3.4:80 -r 5.6.7.8 -i --tun-port 0 | illegal tunnel port specified
--start-daemon foo | illegal start-daemon parameter specified
--stop-daemon foo | illegal start_daemon specified
--start-daemon master --syncid 256 | illegal syncid specified
--start-daemon master --sync-maxlen 0 | illegal sync-maxlen specified
--start-daemon master --mcast-port 0 | illegal mcast-port specified
--start-daemon master --mcast-ttl 0 | illegal mcast-ttl specified",
    );
}

#[test]
fn contradictions_are_refused() {
    refuses_usage(
        "\
-A -t 1.2.3.4 | Zero port specified for non-persistent service
-A -t 1.2.3.4 -o | Zero port specified for non-persistent service
-E -t 1.2.3.4 -s rr | Zero port specified for non-persistent service
-A -t 1.2.3.4:53 -o | One-Packet Scheduling is only for UDP virtual services
-A --sctp-service 1.2.3.4:80 -o | One-Packet Scheduling is only for UDP virtual services
-A -t 1.2.3.4:80 -s rr -b sh-port | incompatible scheduler flag `sh-port'
-A -t 1.2.3.4:80 -b sh-port | incompatible scheduler flag `sh-port'
-A -t 1.2.3.4:80 -s sh -b mh-port | incompatible scheduler flag `mh-port'
-A -t 1.2.3.4:80 -s sh -b sh-port -b sh-port | multiple 'sched-flags' options specified
-A -r 5.6.7.8 -b sh-port -c | incompatible scheduler flag `sh-port'
-L -b mh-port -r 5.6.7.8 | incompatible scheduler flag `mh-port'
-S -b mh-port | incompatible scheduler flag `mh-port'
--set 1 2 3 -b sh-port | incompatible scheduler flag `sh-port'
--set 1 2 -b sh-port | --set option requires 3 timeout values
-A -t 1.2.3.4:80 -b sh-port junk | unexpected argument junk
-R -r 5.6.7.8 -b foo -r 5.6.7.8 | multiple 'real-server' options specified
-A -t 1.2.3.4:80 -p 5 junk | unexpected argument junk
-a -t 1.2.3.4:80 -r [fe80::1]:80 | Different address family is allowed only for tunneling servers
-a -t 1.2.3.4:80 -r fe80::1 -m | Different address family is allowed only for tunneling servers
-a -t 1.2.3.4:80 -r 5.6.7.8 --tun-type gue | Tunnel options conflict with forward method
-a -t 1.2.3.4:80 -r 5.6.7.8 -m --tun-port 5 | Tunnel options conflict with forward method
-a -t 1.2.3.4:80 -r 5.6.7.8 -m -g | multiple 'forwarding-method' options specified
-C junk | unexpected argument junk
-Z junk | unexpected argument junk
-R junk | unexpected argument junk
-D -t 1.2.3.4:80 -Z | invalid option `-Z'",
    );
    refuses(&[
        ("-A -t 1.2.3.4:80 -p -5", "-5: unknown option", 255),
        ("-A -6 -f 1", "-6 used before -f\n", 2),
    ]);
}

#[test]
fn timeouts_come_by_three() {
    let three = "--set option requires 3 timeout values";
    refuses(&[
        ("--set", three, 2),
        ("--set 1 2", three, 2),
        ("--set x 2", three, 2),
        ("--set 1 2 3 4", "unexpected argument 4", 2),
        ("--set a 2 3", "invalid timeout value `a' specified", 2),
        (
            "--set 1 2 2678401",
            "invalid timeout value `2678401' specified",
            2,
        ),
        ("--set -1 2 3", "-1: unknown option", 255),
    ]);
    let timeouts = TimeoutSettings {
        tcp_s: Some(2_678_400),
        tcp_fin_s: None,
        udp_s: Some(3),
    };
    assert_eq!(edit("--set 2678400 0 3"), Edit::SetTimeouts { timeouts });
}

/// The messages are our own here: IPVS has all of these, if not every kernel.
#[test]
fn what_is_not_there_yet_is_refused_as_by_a_kernel_without_it() {
    let direct = |method: &str| {
        format!(
            "Operation not supported: {method}; evenkeel forwards by direct routing (-g) only so far"
        )
    };
    refuses(&[
        (
            "-A -u 1.2.3.4:80 --pe sip",
            "Scheduler or persistence engine not found",
            255,
        ),
        (
            "-a -t 1.2.3.4:80 -r 5.6.7.8 -m",
            &direct("masquerading (-m)"),
            255,
        ),
        (
            "-e -t 1.2.3.4:80 -r 5.6.7.8 -i",
            &direct("tunneling (-i)"),
            255,
        ),
        // IPVS takes masks that no prefix is.
        (
            "-A -t 1.2.3.4:80 -p -M 255.0.255.0",
            "illegal virtual server persistent mask specified",
            2,
        ),
        (
            "-A -t 1.2.3.4:80 -p -M 0.0.0.0",
            "illegal virtual server persistent mask specified",
            2,
        ),
    ]);
    let daemon = parse_line("--start-daemon master --syncid 3");
    assert_eq!(daemon, Ok(Request::NotThereYet("start-daemon")));
}

#[test]
fn services_have_what_the_options_say() {
    let add = |settings| Edit::AddService {
        service: SERVICE,
        settings,
    };
    assert_eq!(edit("-A -t 1.2.3.4:80"), add(plain("wlc")));
    assert_eq!(edit("-At 1.2.3.4:80 -s rr"), add(plain("rr")));
    let with = |scheduler, options| ServiceSettings {
        options,
        ..plain(scheduler)
    };
    let persistent = |timeout_s, prefix| ServiceOptions {
        persistence: Some(Persistence { timeout_s, prefix }),
        ..ServiceOptions::default()
    };
    for (line, timeout_s, prefix) in [
        ("-p", 360, 32),
        ("-p 5", 5, 32),
        ("-p5", 5, 32),
        ("-p=+5", 5, 32),
        ("--persistent=2678400 -M 255.255.254.0", 2_678_400, 23),
    ] {
        let settings = with("wlc", persistent(timeout_s, prefix));
        assert_eq!(edit(&format!("-A -t 1.2.3.4:80 {line}")), add(settings));
    }
    // A mask means nothing without persistence.
    assert_eq!(edit("-A -t 1.2.3.4:80 -M 255.0.255.0"), add(plain("wlc")));
    for (flags, fallback, port) in [
        ("-s sh -b sh-port", false, true),
        ("-b sh-fallback,sh-port, -s sh", true, true),
        ("-s sh -b flag-1", true, false),
    ] {
        let options = ServiceOptions {
            fallback,
            port,
            ..ServiceOptions::default()
        };
        assert_eq!(
            edit(&format!("-A -t 1.2.3.4:80 {flags}")),
            add(with("sh", options))
        );
    }
    let udp = ServiceId::Single {
        protocol: Protocol::Udp,
        address: "1.2.3.4:53".parse().unwrap(),
    };
    let options = ServiceOptions {
        one_packet: true,
        ..ServiceOptions::default()
    };
    let expected = Edit::EditService {
        service: udp,
        settings: with("wlc", options),
    };
    assert_eq!(edit("-E -u 1.2.3.4:53 -o"), expected);
    assert_eq!(
        edit("-D -u 1.2.3.4:53"),
        Edit::DeleteService { service: udp }
    );
    assert_eq!(edit("-Z"), Edit::Zero { service: None });
    assert_eq!(edit("-Z -u 1.2.3.4:53"), Edit::Zero { service: Some(udp) });
    assert_eq!(edit("-C"), Edit::Clear);
    assert_eq!(parse_line("-R"), Ok(Request::Restore));
}

#[test]
fn servers_have_what_the_options_say() {
    let server = "5.6.7.8".parse().unwrap();
    let add = |weight, upper, lower| Edit::AddServer {
        service: SERVICE,
        server,
        settings: ServerSettings {
            weight,
            thresholds: Thresholds { upper, lower },
        },
    };
    for (line, expected) in [
        ("-r 5.6.7.8", add(1, 0, 0)),
        ("-r 5.6.7.8:80 -g", add(1, 0, 0)),
        // With direct routing the port is the service's.
        ("-r 5.6.7.8:81 -g -w 0", add(0, 0, 0)),
        ("-w +65535 -x 10 -y 20 -r 5.6.7.8:http", add(65_535, 10, 20)),
    ] {
        assert_eq!(
            edit(&format!("-a -t 1.2.3.4:80 {line}")),
            expected,
            "{line}"
        );
    }
    let service = SERVICE;
    let removed = edit("-d -t 1.2.3.4:80 -r 5.6.7.8:80");
    assert_eq!(removed, Edit::DeleteServer { service, server });
    assert!(matches!(
        edit("-e -t 1.2.3.4:80 -r 5.6.7.8"),
        Edit::EditServer { .. }
    ));
}
