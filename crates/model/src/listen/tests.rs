use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn listen() -> impl Strategy<Value = Listen> {
    let ports = prop_oneof![
        (1u16..40).prop_map(Ports::one),
        (1u16..40, 0u16..6).prop_map(|(first, more)| Ports::range(first, first + more).unwrap()),
        (65_530u16..=65_535).prop_map(|first| Ports::range(first, u16::MAX).unwrap()),
        Just(Ports::ANY),
    ];
    let protocol = prop_oneof![Just(Protocol::Tcp), Just(Protocol::Udp)];
    (1u8..3, protocol, ports).prop_map(|(host, protocol, ports)| Listen {
        address: IpAddr::from([192, 0, 2, host]),
        protocol,
        ports,
    })
}

proptest! {
    #[test]
    fn one_form_takes_what_its_parts_take(parts in vec(listen(), 0..8), host in 1u8..3, port: u16, low in 0u16..50, udp: bool) {
        let protocol = if udp { Protocol::Udp } else { Protocol::Tcp };
        let joined = Listens::new(parts.iter().copied());
        for port in [port, low, u16::MAX - low] {
            let to = SocketAddr::from(([192, 0, 2, host], port));
            prop_assert_eq!(
                joined.iter().filter(|listen| listen.takes(protocol, to)).count(),
                usize::from(parts.iter().any(|listen| listen.takes(protocol, to)))
            );
        }
        prop_assert_eq!(&Listens::new(joined.iter().copied()), &joined);
        let mut backwards = parts;
        backwards.reverse();
        prop_assert_eq!(Listens::new(backwards), joined);
    }
}

#[test]
fn any_port_may_stand_beside_others_of_another_service() {
    let at = |ports| Listen {
        address: IpAddr::from([192, 0, 2, 1]),
        protocol: Protocol::Tcp,
        ports,
    };
    let range = |first, last| Ports::range(first, last).unwrap();
    assert!(!at(Ports::ANY).collides(&at(Ports::one(80))));
    assert!(!at(range(80, 90)).collides(&at(Ports::ANY)));
    assert!(at(Ports::ANY).collides(&at(Ports::ANY)));
    assert!(at(range(80, 90)).collides(&at(range(90, 99))));
    assert!(!at(range(80, 90)).collides(&at(range(91, 99))));
    let udp = Listen {
        protocol: Protocol::Udp,
        ..at(Ports::one(80))
    };
    assert!(!udp.collides(&at(Ports::one(80))));
}

#[test]
fn listens_and_keys_read_as_people_write_them() {
    let listens = Listens::new([
        Listen {
            address: IpAddr::from([192, 0, 2, 1]),
            protocol: Protocol::Tcp,
            ports: Ports::range(8000, 8099).unwrap(),
        },
        Listen {
            address: IpAddr::from([192, 0, 2, 1]),
            protocol: Protocol::Tcp,
            ports: Ports::one(80),
        },
        Listen {
            address: "2001:db8::1".parse().unwrap(),
            protocol: Protocol::Udp,
            ports: Ports::ANY,
        },
    ]);
    assert_eq!(
        listens.to_string(),
        "TCP 192.0.2.1:80, TCP 192.0.2.1:8000-8099, UDP [2001:db8::1]:*"
    );
    assert_eq!(
        ServiceKey::Group(GroupNumber::new(7).unwrap()).to_string(),
        "FWM 7"
    );
    assert_eq!(GroupNumber::new(0), None);
    assert_eq!(Ports::range(0, 5), None);
    assert_eq!(Ports::range(6, 5), None);
}
