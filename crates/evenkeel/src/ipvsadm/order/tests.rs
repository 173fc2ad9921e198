use evenkeel_api::{Forwarding, GateStatus, Protocol, Rates, ServiceOptions, Thresholds, Totals};

use super::*;

fn server(address: &str) -> ServerListing {
    ServerListing {
        address: address.parse().unwrap(),
        forwarding: Forwarding::Direct,
        weight: 1,
        thresholds: Thresholds::default(),
        active: 0,
        inactive: 0,
        persistent: 0,
        totals: Totals::default(),
        rates: Rates::default(),
    }
}

fn service(address: &str) -> ServiceListing {
    ServiceListing {
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
    }
}

/// Input and output are a listing of ipvsadm 1.31, first with `--nosort`, then without.
#[test]
fn services_stand_in_ipvsadms_broken_order() {
    let mut services = [
        "192.168.1.110:80",
        "100.64.0.1:80",
        "10.0.0.1:443",
        "10.0.0.1:80",
        "172.16.0.1:80",
        "127.0.0.1:80",
        "203.0.113.9:80",
        "10.0.0.2:80",
    ]
    .map(service)
    .to_vec();
    sort_services(&mut services);
    let sorted: Vec<String> = services
        .iter()
        .filter_map(|s| Some(s.service.address()?.to_string()))
        .collect();
    let expected = [
        "10.0.0.1:80",
        "10.0.0.1:443",
        "100.64.0.1:80",
        "127.0.0.1:80",
        "172.16.0.1:80",
        "192.168.1.110:80",
        "203.0.113.9:80",
        "10.0.0.2:80",
    ];
    assert_eq!(sorted, expected);
}

#[test]
fn servers_stand_in_ipvsadms_broken_order() {
    let mut servers = [
        "192.168.1.12:80",
        "10.0.0.7:80",
        "127.0.0.1:80",
        "203.0.113.5:80",
        "10.0.0.3:80",
    ]
    .map(server)
    .to_vec();
    sort_servers(&mut servers);
    let sorted: Vec<String> = servers.iter().map(|s| s.address.to_string()).collect();
    let expected = [
        "127.0.0.1:80",
        "192.168.1.12:80",
        "203.0.113.5:80",
        "10.0.0.3:80",
        "10.0.0.7:80",
    ];
    assert_eq!(sorted, expected);
}
