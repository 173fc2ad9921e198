use evenkeel_api::{Forwarding, OnFailure, Protocol, ServerState, ServiceId};

use super::*;

fn server_at(address: &str) -> ServerStatus {
    ServerStatus {
        address: address.parse().unwrap(),
        forwarding: Forwarding::Direct,
        weight_configured: 1,
        weight: 1,
        drained: false,
        state: ServerState::Up,
        listed: true,
        reason: String::new(),
        since_s: 0,
        mac: None,
        interface: None,
        vlan: None,
        active: 0,
        inactive: 0,
        conns: 0,
        packets: 0,
        bytes: 0,
    }
}

fn service_at(name: &str, protocol: Protocol, address: &str) -> ServiceStatus {
    ServiceStatus {
        name: name.to_owned(),
        service: ServiceId::Single {
            protocol,
            address: address.parse().unwrap(),
        },
        listens: Vec::new(),
        scheduler: "rr".to_owned(),
        gate: evenkeel_api::GateStatus::Open,
        virtual_router: None,
        on_failure: OnFailure::Remove,
        servers: vec![
            server_at("198.18.14.12:80"),
            server_at("198.18.14.130:80"),
            server_at("[2001:db8::12]:80"),
        ],
        sorry_server: Some(server_at("198.18.14.20:80")),
    }
}

fn services() -> Vec<ServiceStatus> {
    let group = ServiceStatus {
        service: ServiceId::Group { group: 7 },
        ..service_at("many/ports", Protocol::Tcp, "198.18.14.146:1")
    };
    vec![
        service_at("web", Protocol::Tcp, "198.18.14.146:80"),
        service_at("dns", Protocol::Udp, "198.18.14.146:53"),
        service_at("dns-tcp", Protocol::Tcp, "198.18.14.146:53"),
        service_at("six", Protocol::Tcp, "[2001:db8::146]:80"),
        group,
    ]
}

#[test]
fn services_are_found_by_name_and_by_address() {
    let services = services();
    for (named, expected) in [
        ("web", "web"),
        ("198.18.14.146:80", "web"),
        ("TCP 198.18.14.146:80", "web"),
        ("UDP 198.18.14.146:53", "dns"),
        ("[2001:db8::146]:80", "six"),
        ("FWM 7", "many/ports"),
        ("many/ports", "many/ports"),
    ] {
        let found = service(&services, named).unwrap();
        assert_eq!(found.name, expected, "{named}");
    }
}

#[test]
fn unknown_services_get_the_nearest_name() {
    let services = services();
    for (named, message) in [
        (
            "wbe",
            "Error: there is no service `wbe`\nHint: Did you mean `web`?\n",
        ),
        (
            "dns-udp",
            "Error: there is no service `dns-udp`\nHint: Did you mean `dns-tcp`?\n",
        ),
        (
            "198.18.14.146:81",
            "Error: there is no service `198.18.14.146:81`\nHint: Did you mean `198.18.14.146:80`?\n",
        ),
        (
            "mail",
            "Error: there is no service `mail`\nHint: Services: `web`, `dns`, `dns-tcp`, `six`, `many/ports`.\n",
        ),
        (
            "198.18.14.146:53",
            "Error: `198.18.14.146:53` is the address of 2 services\nHint: Name one of them: `dns`, `dns-tcp`.\n",
        ),
    ] {
        let told = service(&services, named).unwrap_err();
        assert_eq!(told.render(), message);
    }
    let told = service(&[], "web").unwrap_err();
    assert!(told.render().contains("`evenkeel status`"));
}

#[test]
fn servers_are_found_by_address_with_or_without_the_port() {
    let web = &services()[0];
    for (named, expected) in [
        ("198.18.14.12", "198.18.14.12:80"),
        ("198.18.14.12:80", "198.18.14.12:80"),
        ("2001:db8::12", "[2001:db8::12]:80"),
        ("[2001:db8::12]", "[2001:db8::12]:80"),
        ("[2001:db8::12]:80", "[2001:db8::12]:80"),
    ] {
        let found = server(web, host(named).unwrap()).unwrap();
        assert_eq!(found.address.to_string(), expected, "{named}");
    }
    for no_address in [
        "",
        "web1",
        "198.18.14",
        "[198.18.14.12",
        "2001:db8::12:80:x",
    ] {
        host(no_address).unwrap_err();
    }
}

#[test]
fn unknown_servers_get_the_nearest_address() {
    let web = &services()[0];
    let told = |named: &str| server(web, host(named).unwrap()).unwrap_err().render();
    for (named, message) in [
        (
            "198.18.14.13",
            "Error: service `web` has no server `198.18.14.13`\nHint: Did you mean `198.18.14.12`?\n",
        ),
        (
            "198.18.14.12:8080",
            "Error: service `web` has no server `198.18.14.12:8080`\nHint: Did you mean `198.18.14.12:80`?\n",
        ),
        (
            "10.9.7.5",
            "Error: service `web` has no server `10.9.7.5`\n\
             Hint: Its servers: `198.18.14.12`, `198.18.14.130`, `2001:db8::12`.\n",
        ),
    ] {
        assert_eq!(told(named), message);
    }
    let sorry = told("198.18.14.20");
    assert!(
        sorry.starts_with("Error: 198.18.14.20 is the sorry server of `web`\n"),
        "{sorry}"
    );
}
