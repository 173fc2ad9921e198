use evenkeel_abi::DropReason;
use evenkeel_model::{GateState, Scheduler};

use std::net::SocketAddr;

use super::*;

fn packet(virtual_address: &str) -> TraceQuery {
    TraceQuery {
        protocol: Protocol::Tcp,
        client: "198.18.14.1:40000".parse().unwrap(),
        virtual_address: virtual_address.parse().unwrap(),
        flags: evenkeel_api::TCP_SYN,
    }
}

/// A packet that goes up to the stack.
fn passed() -> Trace {
    Trace {
        fate: Fate::Passed,
        gate: None,
        scheduler: None,
        chosen: None,
        server: None,
        entry: None,
        entry_after: None,
        events: Vec::new(),
    }
}

/// Why, and what to do next, where there are services of TCP at ports 80 and 443 and of UDP at 53.
fn tell(trace: &Trace, role: Option<Role>) -> (String, Vec<String>) {
    let router = role.map(|role| RouterRole {
        name: "paper".to_owned(),
        role,
    });
    let at =
        |protocol, port: u16| Listens::of(protocol, SocketAddr::from(([198, 18, 14, 146], port)));
    let services = [at(model::Protocol::Tcp, 80), at(model::Protocol::Udp, 53)];
    let story = Story {
        packet: &packet("198.18.14.146:81"),
        trace,
        router: router.as_ref(),
    };
    (story.why(), story.hints(&services))
}

#[test]
fn an_address_of_nobodys_is_told_from_one_without_the_service() {
    let (why, hints) = tell(&passed(), None);
    assert_eq!(why, "198.18.14.146 is no virtual address of this director");
    assert_eq!(hints, ["`evenkeel status` shows the services."]);
    let virtual_address = Trace {
        gate: Some(GateState::Open),
        ..passed()
    };
    let (why, hints) = tell(&virtual_address, None);
    let expected = "198.18.14.146 is a virtual address, but has no TCP service at port 81";
    assert_eq!(why, expected);
    assert_eq!(hints, ["Its services: TCP 80, UDP 53."]);
}

#[test]
fn a_closed_gate_is_told_with_the_role() {
    let closed = Trace {
        gate: Some(GateState::Closed),
        scheduler: Some(Scheduler::RoundRobin),
        ..passed()
    };
    let (why, hints) = tell(&closed, Some(Role::Backup));
    let expected =
        "the gate of 198.18.14.146 is closed: this director is backup in virtual router `paper`";
    assert_eq!(why, expected);
    assert!(hints[0].contains("the Active director"), "{hints:?}");
    let (why, hints) = tell(&closed, None);
    assert_eq!(why, "the gate of 198.18.14.146 is closed");
    assert!(hints[0].contains("waits for"), "{hints:?}");
}

#[test]
fn a_drop_and_a_local_server_are_told() {
    let none = Trace {
        fate: Fate::Answered(DropReason::NoServer),
        ..passed()
    };
    let (why, hints) = tell(&none, None);
    assert_eq!(why, "the service has no server that takes it");
    assert_eq!(hints.len(), 1);
    let local = Trace {
        chosen: Some(Chosen::Scheduler),
        ..passed()
    };
    let (why, hints) = tell(&local, None);
    let expected = "it begins a flow; the server is this director itself";
    assert_eq!((why.as_str(), hints.len()), (expected, 0));
}
