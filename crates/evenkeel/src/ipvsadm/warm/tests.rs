use evenkeel_api::{Protocol, Rates, RouterRole, ServiceOptions, Totals};

use super::*;

fn service(address: &str, gate: GateStatus, router: Option<(&str, Role)>) -> ServiceListing {
    ServiceListing {
        service: ServiceId::Single {
            protocol: Protocol::Tcp,
            address: address.parse().unwrap(),
        },
        scheduler: "rr".to_owned(),
        options: ServiceOptions::default(),
        totals: Totals::default(),
        rates: Rates::default(),
        gate,
        virtual_router: router.map(|(name, role)| RouterRole {
            name: name.to_owned(),
            role,
        }),
        servers: Vec::new(),
    }
}

#[test]
fn a_backups_services_are_held_and_the_note_names_the_virtual_router() {
    let paper = Some(("paper", Role::Backup));
    let services = vec![
        service("198.18.14.146:80", GateStatus::Closed, paper),
        service("198.18.14.146:443", GateStatus::Closed, paper),
    ];
    let (listed, held) = part(services);
    assert!(listed.is_empty());
    let expected =
        "2 services held warm, not listed: this director is Backup of virtual router \"paper\"\n";
    assert_eq!(left_out(&held).as_deref(), Some(expected));
}

#[test]
fn services_of_an_open_gate_are_listed_and_nothing_is_said() {
    let services = vec![
        service("198.18.14.146:80", GateStatus::Open, None),
        service(
            "198.18.14.147:80",
            GateStatus::Open,
            Some(("b", Role::Active)),
        ),
    ];
    let (listed, held) = part(services.clone());
    assert_eq!(listed, services);
    assert_eq!(left_out(&held), None);
}

#[test]
fn each_reason_is_said_once() {
    let held = [
        service(
            "10.0.0.1:80",
            GateStatus::Draining,
            Some(("a", Role::Backup)),
        ),
        service(
            "10.0.0.2:80",
            GateStatus::Closed,
            Some(("b", Role::Initialize)),
        ),
        service("10.0.0.3:80", GateStatus::Closed, Some(("c", Role::Active))),
        service("10.0.0.4:80", GateStatus::Closed, None),
        service("10.0.0.4:81", GateStatus::Closed, None),
        service("10.0.0.5:80", GateStatus::Draining, None),
    ];
    let expected = "6 services held warm, not listed: \
         this director is Backup of virtual router \"a\"; \
         this director takes no part in virtual router \"b\"; \
         the gate of virtual router \"c\" is not open yet; \
         the gate of 10.0.0.4 is closed; the gate of 10.0.0.5 is draining\n";
    assert_eq!(left_out(&held).as_deref(), Some(expected));
}

#[test]
fn one_that_was_asked_for_is_not_called_left_out() {
    let held = [service(
        "198.18.14.146:80",
        GateStatus::Closed,
        Some(("paper", Role::Backup)),
    )];
    let expected = "1 service held warm: this director is Backup of virtual router \"paper\"\n";
    assert_eq!(listed(&held).as_deref(), Some(expected));
}
