use evenkeel_api::Protocol;

use super::*;

fn connection(client: &str, server: &str, state: ConnectionState) -> Connection {
    Connection {
        protocol: Some(Protocol::Tcp),
        template: false,
        state,
        client: client.parse().unwrap(),
        virtual_address: "198.18.14.146:80".parse().unwrap(),
        destination: server.parse().unwrap(),
        expires_s: 60,
        service: Some(ServiceId::Single {
            protocol: Protocol::Tcp,
            address: "198.18.14.146:80".parse().unwrap(),
        }),
        half_open: false,
        assured: true,
    }
}

fn has(asked: ConnectionsQuery, connection: &Connection) -> bool {
    Wanted::read(&asked).unwrap().has(connection)
}

fn of_client(client: &str, prefix: impl Into<Option<u8>>) -> ConnectionsQuery {
    ConnectionsQuery {
        client: Some(client.parse().unwrap()),
        prefix: prefix.into(),
        ..ConnectionsQuery::default()
    }
}

#[test]
fn each_condition_selects_and_all_must_hold() {
    let one = connection(
        "198.18.14.1:4000",
        "198.18.14.12:80",
        ConnectionState::Established,
    );
    let all = ConnectionsQuery::default();
    assert!(has(all, &one));
    let web = one.service.unwrap();
    let server = |text: &str| Some(text.parse().unwrap());
    let group = ServiceId::Group { group: 7 };
    let cases = [
        (all.of_service(web), true),
        (all.of_service(group), false),
        (
            ConnectionsQuery {
                server: server("198.18.14.12"),
                ..all
            },
            true,
        ),
        (
            ConnectionsQuery {
                server: server("198.18.14.13"),
                ..all
            },
            false,
        ),
        (
            ConnectionsQuery {
                state: Some(ConnectionState::Established),
                ..all
            },
            true,
        ),
        (
            ConnectionsQuery {
                state: Some(ConnectionState::FinWait),
                ..all.of_service(web)
            },
            false,
        ),
    ];
    for (asked, expected) in cases {
        assert_eq!(has(asked, &one), expected, "{asked:?}");
    }
    let other = ServiceId::Single {
        protocol: Protocol::Udp,
        address: "198.18.14.146:80".parse().unwrap(),
    };
    assert!(!has(all.of_service(other), &one), "another protocol");
    let nobodys = Connection {
        service: None,
        ..one
    };
    assert!(!has(all.of_service(web), &nobodys));
}

#[test]
fn clients_are_alike_in_their_leading_bits() {
    let v4 = |client: &str| connection(client, "198.18.14.12:80", ConnectionState::Udp);
    let v6 = |client: &str| connection(client, "[2001:db8::12]:80", ConnectionState::Udp);
    let cases = [
        (of_client("198.18.14.1", None), v4("198.18.14.1:9"), true),
        (of_client("198.18.14.1", None), v4("198.18.14.2:9"), false),
        (of_client("198.18.14.1", 31), v4("198.18.14.0:9"), true),
        (of_client("198.18.14.1", 31), v4("198.18.14.2:9"), false),
        (of_client("198.18.14.9", 8), v4("198.255.255.255:9"), true),
        (of_client("198.18.14.9", 8), v4("199.18.14.9:9"), false),
        (of_client("0.0.0.0", 0), v4("255.255.255.255:9"), true),
        (of_client("0.0.0.0", 0), v6("[::1]:9"), false),
        (of_client("::", 0), v4("1.2.3.4:9"), false),
        (of_client("::", 0), v6("[ff00::1]:9"), true),
        (
            of_client("2001:db8::1", 64),
            v6("[2001:db8::ffff:1]:9"),
            true,
        ),
        (
            of_client("2001:db8::1", 64),
            v6("[2001:db8:0:1::1]:9"),
            false,
        ),
        (of_client("2001:db8::1", 128), v6("[2001:db8::1]:9"), true),
        (of_client("2001:db8::1", 127), v6("[2001:db8::2]:9"), false),
    ];
    for (asked, connection, expected) in cases {
        assert_eq!(
            has(asked, &connection),
            expected,
            "{asked:?} {connection:?}"
        );
    }
}

#[test]
fn conditions_that_make_no_sense_are_refused() {
    let all = ConnectionsQuery::default();
    let cases = [
        (
            of_client("198.18.14.1", 33),
            "a prefix of 33 bits, and 198.18.14.1 has 32",
        ),
        (
            of_client("::1", 129),
            "a prefix of 129 bits, and ::1 has 128",
        ),
        (
            ConnectionsQuery {
                prefix: Some(8),
                ..all
            },
            "a prefix without a client",
        ),
        (
            ConnectionsQuery {
                protocol: Some(Protocol::Tcp),
                ..all
            },
            "a service is a protocol and an address, or a group",
        ),
        (
            ConnectionsQuery {
                virtual_address: Some("198.18.14.146:80".parse().unwrap()),
                group: Some(7),
                ..all
            },
            "a service is a protocol and an address, or a group",
        ),
    ];
    for (asked, expected) in cases {
        assert_eq!(Wanted::read(&asked).unwrap_err(), expected, "{asked:?}");
    }
}
