//! What is expected here was read off ipvsadm 1.31 itself; `|` marks the end of a line.

use std::net::IpAddr;

use evenkeel_api::{
    ConnectionState, Forwarding, GateStatus, Persistence, ServiceOptions, Thresholds,
};

use super::*;

const GIGA: u64 = 1_000_000_000;

fn server(address: &str, weight: u16, active: u64, inactive: u64) -> ServerListing {
    ServerListing {
        address: address.parse().unwrap(),
        forwarding: Forwarding::Direct,
        weight,
        thresholds: Thresholds::default(),
        active,
        inactive,
        persistent: 0,
        totals: Totals::default(),
        rates: Rates::default(),
    }
}

fn table() -> Vec<ServiceListing> {
    let mut first = server("192.168.1.11:80", 2, 1, 0);
    first.totals = Totals {
        conns: 1,
        in_packets: 2,
        in_bytes: 3,
    };
    first.rates = Rates {
        cps: 4,
        in_pps: 5,
        in_bps: 6,
    };
    let mut second = server("192.168.1.12:80", 1, 5, 7);
    second.totals = Totals {
        conns: 999_999_999,
        in_packets: 100_000_000,
        in_bytes: 100_000 * GIGA,
    };
    second.rates = Rates {
        cps: 40,
        in_pps: 500,
        in_bps: 600_000_000,
    };
    let web = ServiceListing {
        service: ServiceId::Single {
            protocol: Protocol::Tcp,
            address: "192.168.1.110:80".parse().unwrap(),
        },
        scheduler: "rr".to_owned(),
        options: ServiceOptions::default(),
        totals: Totals {
            conns: 123_456_789,
            in_packets: 99_999_999,
            in_bytes: 1_234 * GIGA + 567_890_123,
        },
        rates: Rates {
            cps: 5,
            in_pps: 6,
            in_bps: 7,
        },
        gate: GateStatus::Open,
        virtual_router: None,
        servers: vec![second, first],
    };
    let empty = |address: &str| ServiceListing {
        service: ServiceId::Single {
            protocol: Protocol::Tcp,
            address: address.parse().unwrap(),
        },
        scheduler: "rr".to_owned(),
        options: ServiceOptions::default(),
        totals: Totals::default(),
        rates: Rates::default(),
        gate: GateStatus::Open,
        virtual_router: None,
        servers: Vec::new(),
    };
    vec![web, empty("10.0.0.1:443"), empty("127.0.0.1:80")]
}

fn check(format: Format, expected: &str) {
    let listed = services(table(), format, &Names::default()).replace('\n', "|\n");
    assert_eq!(listed, expected);
}

#[test]
fn the_default_listing_is_ipvsadms() {
    check(
        Format::default(),
        "\
Prot LocalAddress:Port Scheduler Flags|
  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn|
TCP  192.168.1.110:80 rr|
  -> 192.168.1.11:80              Route   2      1          0         |
  -> 192.168.1.12:80              Route   1      5          7         |
TCP  10.0.0.1:443 rr|
TCP  127.0.0.1:80 rr|
",
    );
}

#[test]
fn counters_are_shortened_as_ipvsadm_does() {
    let format = Format {
        stats: true,
        rate: true,
        ..Format::default()
    };
    check(
        format,
        "\
Prot LocalAddress:Port               Conns   InPkts  OutPkts  InBytes OutBytes|
  -> RemoteAddress:Port|
TCP  192.168.1.110:80              123456K 99999999        0    1234G        0|
  -> 192.168.1.11:80                     1        2        0        3        0|
  -> 192.168.1.12:80               999999K  100000K        0     100T        0|
TCP  10.0.0.1:443                        0        0        0        0        0|
TCP  127.0.0.1:80                        0        0        0        0        0|
",
    );
}

#[test]
fn exact_counters_push_the_columns_out() {
    let format = Format {
        stats: true,
        exact: true,
        ..Format::default()
    };
    check(
        format,
        "\
Prot LocalAddress:Port               Conns   InPkts  OutPkts  InBytes OutBytes|
  -> RemoteAddress:Port|
TCP  192.168.1.110:80             123456789 99999999        0 1234567890123        0|
  -> 192.168.1.11:80                     1        2        0        3        0|
  -> 192.168.1.12:80              999999999 100000000        0 100000000000000        0|
TCP  10.0.0.1:443                        0        0        0        0        0|
TCP  127.0.0.1:80                        0        0        0        0        0|
",
    );
}

#[test]
fn rates_are_ipvsadms() {
    let format = Format {
        rate: true,
        ..Format::default()
    };
    check(
        format,
        "\
Prot LocalAddress:Port                 CPS    InPPS   OutPPS    InBPS   OutBPS|
  -> RemoteAddress:Port|
TCP  192.168.1.110:80                    5        6        0        7        0|
  -> 192.168.1.11:80                     4        5        0        6        0|
  -> 192.168.1.12:80                    40      500        0  600000K        0|
TCP  10.0.0.1:443                        0        0        0        0        0|
TCP  127.0.0.1:80                        0        0        0        0        0|
",
    );
}

#[test]
fn thresholds_persistence_and_tunnels_are_ipvsadms() {
    let thresholds = Format {
        thresholds: true,
        ..Format::default()
    };
    check(
        thresholds,
        "\
Prot LocalAddress:Port            Uthreshold Lthreshold ActiveConn InActConn |
  -> RemoteAddress:Port|
TCP  192.168.1.110:80 rr|
  -> 192.168.1.11:80              0          0          1          0         |
  -> 192.168.1.12:80              0          0          5          7         |
TCP  10.0.0.1:443 rr|
TCP  127.0.0.1:80 rr|
",
    );
    let persistent_conn = Format {
        persistent_conn: true,
        ..Format::default()
    };
    check(
        persistent_conn,
        "\
Prot LocalAddress:Port            Weight    PersistConn ActiveConn InActConn |
  -> RemoteAddress:Port|
TCP  192.168.1.110:80 rr|
  -> 192.168.1.11:80              2         0           1          0         |
  -> 192.168.1.12:80              1         0           5          7         |
TCP  10.0.0.1:443 rr|
TCP  127.0.0.1:80 rr|
",
    );
    let tun_info = Format {
        tun_info: true,
        ..Format::default()
    };
    check(
        tun_info,
        "\
Prot LocalAddress:Port Scheduler Flags|
  -> RemoteAddress:Port           Forward TunnelInfo    Weight ActiveConn InActConn|
TCP  192.168.1.110:80 rr|
  -> 192.168.1.11:80              Route   n/a           2      1          0         |
  -> 192.168.1.12:80              Route   n/a           1      5          7         |
TCP  10.0.0.1:443 rr|
TCP  127.0.0.1:80 rr|
",
    );
}

/// A name server whose second real server is the director itself.
fn name_service() -> ServiceListing {
    let mut own = server("10.0.0.2:53", 3, 0, 9);
    own.forwarding = Forwarding::Local;
    ServiceListing {
        service: ServiceId::Single {
            protocol: Protocol::Udp,
            address: "10.0.0.1:53".parse().unwrap(),
        },
        scheduler: "wrr".to_owned(),
        options: ServiceOptions::default(),
        servers: vec![server("10.0.0.3:53", 1, 0, 4), own],
        ..table().remove(1)
    }
}

#[test]
fn udp_comes_after_tcp_and_a_local_server_is_called_local() {
    let mut table = table();
    table.insert(0, name_service());
    let listed = services(table, Format::default(), &Names::default()).replace('\n', "|\n");
    let expected = "\
Prot LocalAddress:Port Scheduler Flags|
  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn|
TCP  192.168.1.110:80 rr|
  -> 192.168.1.11:80              Route   2      1          0         |
  -> 192.168.1.12:80              Route   1      5          7         |
TCP  10.0.0.1:443 rr|
TCP  127.0.0.1:80 rr|
UDP  10.0.0.1:53 wrr|
  -> 10.0.0.2:53                  Local   3      0          9         |
  -> 10.0.0.3:53                  Route   1      0          4         |
";
    assert_eq!(listed, expected);
}

#[test]
fn saved_rules_are_ipvsadms_and_a_local_server_is_saved_as_a_direct_one() {
    let mut table = table();
    table.insert(0, name_service());
    let expected = "\
-A -t 192.168.1.110:80 -s rr
-a -t 192.168.1.110:80 -r 192.168.1.11:80 -g -w 2
-a -t 192.168.1.110:80 -r 192.168.1.12:80 -g -w 1
-A -t 10.0.0.1:443 -s rr
-A -t 127.0.0.1:80 -s rr
-A -u 10.0.0.1:53 -s wrr
-a -u 10.0.0.1:53 -r 10.0.0.2:53 -g -w 3
-a -u 10.0.0.1:53 -r 10.0.0.3:53 -g -w 1
";
    assert_eq!(rules(table, &Names::default()), expected);
}

#[test]
fn saved_names_are_never_cut() {
    let name = "laicoz-virtual.laico.cic.unb.br.example".to_owned();
    let names = Names {
        hosts: [(IpAddr::from([10, 0, 0, 1]), name.clone())].into(),
        ports: [((Protocol::Udp, 53), "domain".to_owned())].into(),
    };
    let mut service = name_service();
    service.servers.clear();
    let expected = format!("-A -u {name}:domain -s wrr\n");
    assert_eq!(rules(vec![service], &names), expected);
}

#[test]
fn no_sort_keeps_the_data_planes_order() {
    let format = Format {
        no_sort: true,
        ..Format::default()
    };
    let listed = services(table(), format, &Names::default());
    let second = listed.find("192.168.1.12:80").unwrap();
    let first = listed.find("192.168.1.11:80").unwrap();
    assert!(second < first);
}

#[test]
fn long_names_are_cut_to_their_column() {
    let name = "laicoz-virtual.laico.cic.unb.br".to_owned();
    let names = Names {
        hosts: [(IpAddr::from([198, 18, 14, 146]), name.clone())]
            .into_iter()
            .chain([(IpAddr::from([198, 18, 14, 12]), name)])
            .collect(),
        ports: [((Protocol::Tcp, 80), "http".to_owned())].into(),
    };
    let service = ServiceListing {
        service: ServiceId::Single {
            protocol: Protocol::Tcp,
            address: "198.18.14.146:80".parse().unwrap(),
        },
        servers: vec![server("198.18.14.12:80", 1, 0, 5)],
        ..table().remove(0)
    };
    let listed = services(vec![service], Format::default(), &names);
    let lines: Vec<&str> = listed.lines().skip(2).collect();
    let expected = [
        "TCP  laicoz-virtual.laico.cic.unb rr",
        "  -> laicoz-virtual.laico.cic.unb Route   1      0          5         ",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn connections_are_ipvsadms() {
    let connection = |client: &str, state, expires_s| Connection {
        protocol: Some(Protocol::Tcp),
        template: false,
        state,
        client: client.parse().unwrap(),
        virtual_address: "192.168.1.110:80".parse().unwrap(),
        destination: "192.168.1.12:80".parse().unwrap(),
        expires_s,
        service: None,
        half_open: false,
        assured: true,
    };
    let table = [
        connection("192.168.1.20:55746", ConnectionState::Established, 893),
        connection("192.168.1.20:55747", ConnectionState::SynRecv, 5),
        Connection {
            protocol: Some(Protocol::Udp),
            virtual_address: "192.168.1.110:53".parse().unwrap(),
            destination: "192.168.1.12:53".parse().unwrap(),
            ..connection("192.168.1.20:40000", ConnectionState::Udp, 299)
        },
        Connection {
            template: true,
            ..connection("192.168.1.0:0", ConnectionState::None, 300)
        },
        Connection {
            protocol: None,
            template: true,
            virtual_address: "0.0.0.7:0".parse().unwrap(),
            destination: "192.168.1.12:0".parse().unwrap(),
            ..connection("192.168.1.20:0", ConnectionState::None, 61)
        },
    ];
    let names = Names::default();
    let listed = connections(&table, Format::default(), &names).replace('\n', "|\n");
    let expected = "\
IPVS connection entries|
pro expire state       source             virtual            destination|
TCP 14:53  ESTABLISHED 192.168.1.20:55746 192.168.1.110:80   192.168.1.12:80|
TCP 00:05  SYN_RECV    192.168.1.20:55747 192.168.1.110:80   192.168.1.12:80|
UDP 04:59  UDP         192.168.1.20:40000 192.168.1.110:53   192.168.1.12:53|
TCP 05:00  NONE        192.168.1.0:0      192.168.1.110:80   192.168.1.12:80|
IP  01:01  NONE        192.168.1.20:0     0.0.0.7:0          192.168.1.12:0|
";
    assert_eq!(listed, expected);
    let persistent_conn = Format {
        persistent_conn: true,
        ..Format::default()
    };
    let header = connections(&[], persistent_conn, &names);
    let expected = "IPVS connection entries\n\
        pro expire state       source             virtual            destination        pe name          pe_data\n";
    assert_eq!(header, expected);
}

#[test]
fn a_group_is_listed_as_what_has_a_firewall_mark() {
    let group = ServiceListing {
        service: ServiceId::Group { group: 7 },
        servers: vec![server("10.0.0.3:0", 1, 2, 4)],
        ..name_service()
    };
    let names = Names::default();
    let listing = services(vec![group.clone()], Format::default(), &names);
    let lines: Vec<&str> = listing.lines().skip(2).map(str::trim_end).collect();
    let expected = [
        "FWM  7 wrr",
        "  -> 10.0.0.3:0                   Route   1      2          4",
    ];
    assert_eq!(lines, expected);
    let saved = "-A -f 7 -s wrr\n-a -f 7 -r 10.0.0.3:0 -g -w 1\n";
    assert_eq!(rules(vec![group], &names), saved);
}

/// A service with everything that ipvsadm can give one.
fn optioned(address: &str, scheduler: &str, prefix: u8) -> ServiceListing {
    ServiceListing {
        service: ServiceId::Single {
            protocol: Protocol::Udp,
            address: address.parse().unwrap(),
        },
        scheduler: scheduler.to_owned(),
        options: ServiceOptions {
            persistence: Some(Persistence {
                timeout_s: 300,
                prefix,
            }),
            one_packet: true,
            fallback: true,
            port: true,
        },
        servers: Vec::new(),
        ..name_service()
    }
}

#[test]
fn options_stand_behind_the_scheduler() {
    let cases = [
        (
            optioned("10.0.0.1:443", "sh", 24),
            "UDP  10.0.0.1:443 sh (sh-fallback,sh-port) persistent 300 mask 255.255.255.0 ops",
            "-A -u 10.0.0.1:443 -s sh -p 300 -M 255.255.255.0 -o -b sh-fallback,sh-port",
        ),
        (
            optioned("10.0.0.1:443", "mh", 32),
            "UDP  10.0.0.1:443 mh (mh-fallback,mh-port) persistent 300 ops",
            "-A -u 10.0.0.1:443 -s mh -p 300 -o -b mh-fallback,mh-port",
        ),
        (
            optioned("[2001:db8::1]:443", "rr", 64),
            "UDP  [2001:db8::1]:443 rr (flag-1,flag-2) persistent 300 mask 64 ops",
            "-A -u [2001:db8::1]:443 -s rr -p 300 -M 64 -o -b flag-1,flag-2",
        ),
        (
            optioned("[2001:db8::1]:443", "rr", 128),
            "UDP  [2001:db8::1]:443 rr (flag-1,flag-2) persistent 300 ops",
            "-A -u [2001:db8::1]:443 -s rr -p 300 -o -b flag-1,flag-2",
        ),
    ];
    let names = Names::default();
    for (service, listed, saved) in cases {
        let listing = services(vec![service.clone()], Format::default(), &names);
        assert_eq!(listing.lines().last(), Some(listed));
        assert_eq!(rules(vec![service], &names), format!("{saved}\n"));
    }
}

#[test]
fn thresholds_are_listed_and_not_saved() {
    let server = ServerListing {
        thresholds: Thresholds {
            upper: 20_000,
            lower: 5,
        },
        ..server("10.0.0.11:443", 1, 3, 4)
    };
    let service = ServiceListing {
        servers: vec![server],
        ..name_service()
    };
    let format = Format {
        thresholds: true,
        ..Format::default()
    };
    let names = Names::default();
    let listing = services(vec![service.clone()], format, &names);
    let expected = "  -> 10.0.0.11:443                20000      5          3          4         ";
    assert_eq!(listing.lines().last(), Some(expected));
    let saved = rules(vec![service], &names);
    assert!(saved.ends_with(" -r 10.0.0.11:443 -g -w 1\n"), "{saved}");
}

#[test]
fn timeouts_that_were_not_set_are_those_of_ipvs() {
    let set = TimeoutSettings {
        tcp_fin_s: Some(7),
        ..TimeoutSettings::default()
    };
    assert_eq!(timeouts(set), "Timeout (tcp tcpfin udp): 900 7 300\n");
}
