use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn range() -> impl Strategy<Value = Range> {
    let ports = prop_oneof![
        3 => (1u16..60, 1u16..9).prop_map(|(first, more)| Ports::range(first, first + more).unwrap()),
        1 => (65_500u16..65_535).prop_map(|first| Ports::range(first, u16::MAX).unwrap()),
        1 => Just(Ports::ANY),
    ];
    let protocol = prop_oneof![Just(Protocol::Tcp), Just(Protocol::Udp)];
    (protocol, ports, 0u32..5)
}

/// Ranges of services that may stand beside each other.
fn without_overlap(ranges: Vec<Range>) -> Vec<Range> {
    let mut kept: Vec<Range> = Vec::new();
    for (protocol, ports, number) in ranges {
        let collides = |(of, others, _): &Range| {
            *of == protocol && others.is_any() == ports.is_any() && others.overlaps(ports)
        };
        if !kept.iter().any(collides) {
            kept.push((protocol, ports, number));
        }
    }
    kept
}

proptest! {
    #[test]
    fn the_last_step_below_a_port_names_the_service_whose_range_holds_it(
        ranges in vec(range(), 0..10),
        ports in vec(prop_oneof![0u16..75, 65_490u16..=65_535], 20),
    ) {
        let steps = steps(&ranges);
        prop_assert_eq!(steps.is_empty(), ranges.is_empty());
        for protocol in Protocol::ALL {
            for port in &ports {
                let at = place(protocol, *port);
                let step = steps.iter().rev().find(|step| step.from() <= at);
                prop_assert_eq!(step.and_then(|step| step.service()), owner(&ranges, at));
            }
        }
    }

    #[test]
    fn ranges_are_read_back_as_they_were_laid(all in vec(range(), 1..10)) {
        let laid = without_overlap(all);
        let read = ranges(&steps(&laid)).unwrap();
        for number in 0..5 {
            let of = |ranges: &[Range]| {
                let address = IpAddr::from([192, 0, 2, 1]);
                let own = ranges.iter().filter(|(_, _, of)| *of == number);
                Listens::new(own.map(|(protocol, ports, _)| Listen { address, protocol: *protocol, ports: *ports }))
            };
            prop_assert_eq!(of(&read), of(&laid));
        }
    }
}
