//! What is expected here was read off ipvsadm 1.31 itself.

use super::*;

fn parse_line(line: &str) -> Result<Request, Refused> {
    let words: Vec<String> = line.split_whitespace().map(ToOwned::to_owned).collect();
    parse("ipvsadm", &words)
}

fn format_of(line: &str) -> Format {
    match parse_line(line) {
        Ok(Request::List(_, format)) => format,
        other => panic!("{line}: {other:?}"),
    }
}

fn subject_of(line: &str) -> Subject {
    match parse_line(line) {
        Ok(Request::List(subject, _)) => subject,
        other => panic!("{line}: {other:?}"),
    }
}

#[test]
fn refusals_are_ipvsadms() {
    let try_help = "Try `ipvsadm -h' or 'ipvsadm --help' for more information.";
    let cases = [
        ("-L -x", "-x: missing argument", 255),
        ("-L --foo", "--foo: unknown option", 255),
        ("-Lq", "-Lq: unknown option", 255),
        ("-Ln3", "-Ln3: unknown option", 255),
        ("-L -t", "-t: missing argument", 255),
        ("-L --rat", "--rat: unknown option", 255),
        (
            "-L --stats=3",
            "--stats=3: option does not take an argument",
            255,
        ),
        ("-L -n=3", "-n=3: option does not take an argument", 255),
        ("foo", try_help, 255),
        ("-n", try_help, 255),
        ("-", try_help, 255),
        ("--", try_help, 255),
        ("-q", try_help, 255),
        ("--start-daemon", try_help, 255),
    ];
    refuses(&cases);
}

#[test]
fn refused_combinations_are_ipvsadms() {
    refuses(&[
        ("foo -L", "unexpected argument foo", 2),
        ("-L junk", "unexpected argument junk", 2),
        ("-L -", "unexpected argument -", 2),
        ("-L -- -n", "unexpected argument -n", 2),
        ("-L -A -D", "invalid option `-A'", 2),
        ("-Lh", "invalid option `-Lh'", 2),
        ("-L --list", "invalid option `--list'", 2),
        ("-L --set", "invalid option `--set'", 2),
        ("-L -n --numeric", "multiple 'numeric' options specified", 2),
        ("-L --exact -X", "multiple 'exact' options specified", 2),
        (
            "-L -m -g",
            "multiple 'forwarding-method' options specified",
            2,
        ),
        (
            "-L -u 1.2.3.4:80 -t 1.2.3.4:80",
            "multiple 'service-address' options specified",
            2,
        ),
        (
            "-L -s rr -o",
            "Illegal 'scheduler' option with the 'list' command",
            2,
        ),
        (
            "-L -g",
            "Illegal 'forwarding-method' option with the 'list' command",
            2,
        ),
        (
            "-L -p -n",
            "Illegal 'persistent' option with the 'list' command",
            2,
        ),
        ("-L -o", "Illegal 'ops' option with the 'list' command", 2),
        ("-L -6", "-6 used before -f\n", 2),
        ("-L -f x", "invalid fwmark value `x' specified", 2),
        ("-L -f 0", "invalid fwmark value `0' specified", 2),
        (
            "-L -t 1.2.3.4:80 -c",
            "The option 'service-address' conflicts with the 'connection' option in the 'list' command",
            2,
        ),
        (
            "-L --timeout -c",
            "The option 'timeout' conflicts with the 'connection' option in the 'list' command",
            2,
        ),
        (
            "-L --daemon --timeout",
            "The option 'daemon' conflicts with the 'timeout' option in the 'list' command",
            2,
        ),
        ("-L -c --stats", "options conflicts in the list command", 2),
        (
            "-Ln --stats --timeout",
            "options conflicts in the list command",
            2,
        ),
    ]);
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

#[test]
fn illegal_service_addresses_are_refused() {
    for address in [
        "80",
        ":80",
        "1.2.3.4:",
        "1.2.3.4:99999",
        "1.2.3.4:80x",
        "1.2.3.4:80:90",
    ] {
        let refused = parse_line(&format!("-L -t {address}")).expect_err(address);
        let expected = "illegal virtual server address[:port] specified";
        assert_eq!(
            (refused.message.as_str(), refused.code),
            (expected, 2),
            "{address}"
        );
    }
}

#[test]
fn a_service_is_named_in_every_way_that_popt_reads() {
    let expected = Subject::Service(ServiceName::Address(6, "1.2.3.4:80".parse().unwrap()));
    for line in [
        "-L -t 1.2.3.4:80",
        "-Lt 1.2.3.4:80",
        "-L -t1.2.3.4:80",
        "-L -t=1.2.3.4:80",
        "-Lnt 1.2.3.4:80",
        "--list --tcp-service 1.2.3.4:80",
        "-l --tcp-service=1.2.3.4:80",
    ] {
        assert_eq!(subject_of(line), expected, "{line}");
    }
    let without_port = Subject::Service(ServiceName::Address(6, "1.2.3.4:0".parse().unwrap()));
    assert_eq!(subject_of("-L -t 1.2.3.4"), without_port);
    let ipv6 = Subject::Service(ServiceName::Address(6, "[::1]:80".parse().unwrap()));
    assert_eq!(subject_of("-L -t [::1]:80"), ipv6);
    let udp = Subject::Service(ServiceName::Address(17, "1.2.3.4:53".parse().unwrap()));
    assert_eq!(subject_of("-L -u 1.2.3.4:53"), udp);
    let mark = Subject::Service(ServiceName::FirewallMark(3));
    assert_eq!(subject_of("-L -f 3 -6"), mark);
}

#[test]
fn no_words_list_everything_by_name() {
    let everything = Request::List(Subject::All, Format::default());
    assert_eq!(parse("ipvsadm", &[]), Ok(everything));
}

#[test]
fn flags_set_the_format() {
    let numeric = Format {
        numeric: true,
        ..Format::default()
    };
    assert_eq!(format_of("-Ln"), numeric);
    assert_eq!(format_of("-l -n --sort --syncid 3"), numeric);
    let all = Format {
        numeric: true,
        stats: true,
        rate: true,
        thresholds: true,
        persistent_conn: true,
        tun_info: true,
        no_sort: true,
        exact: true,
    };
    let line = "-LnX --stats --rate --thresholds --persistent-conn --tun-info --nosort";
    assert_eq!(format_of(line), all);
    assert_eq!(subject_of("-Lc --persistent-conn"), Subject::Connections);
    assert_eq!(subject_of("-L --timeout --tun-info"), Subject::Timeout);
}

#[test]
fn save_takes_numeric_alone() {
    let by_name = Format::default();
    let numeric = Format {
        numeric: true,
        ..by_name
    };
    for (line, format) in [
        ("-S", by_name),
        ("--save", by_name),
        ("-Sn", numeric),
        ("-S --numeric --sort", numeric),
    ] {
        assert_eq!(parse_line(line), Ok(Request::Save(format)), "{line}");
    }
    refuses(&[
        (
            "-S -c",
            "Illegal 'connection' option with the 'save' command",
            2,
        ),
        (
            "-S --exact --stats -t 1.2.3.4:80",
            "Illegal 'service-address' option with the 'save' command",
            2,
        ),
        (
            "-S -f 3 -6",
            "Illegal 'service-address' option with the 'save' command",
            2,
        ),
        (
            "-S --tun-type gre --tun-info",
            "Illegal 'tun-info' option with the 'save' command",
            2,
        ),
        (
            "-S --tun-info -b flag-1",
            "Illegal 'sched-flags' option with the 'save' command",
            2,
        ),
        ("-S junk", "unexpected argument junk", 2),
        ("-S -L", "invalid option `-L'", 2),
    ]);
}

#[test]
fn help_and_version_need_nothing_else() {
    assert_eq!(parse_line("-h foo"), Ok(Request::Help));
    assert_eq!(parse_line("--version"), Ok(Request::Version));
}
