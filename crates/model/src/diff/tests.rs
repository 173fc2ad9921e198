use crate::options::{ServiceOptions, Thresholds};
use std::net::IpAddr;
use std::time::Duration;

use super::*;
use crate::check::{BodyMatch, Cadence};
use crate::service::{Forwarding, Protocol};
use crate::virtual_router::{
    AdvertChecksum, Priority, VirtualRouter, VirtualRouterId, VrrpVersion,
};

fn server(last: u8, weight: i64) -> RealServer {
    RealServer {
        address: SocketAddr::from(([198, 18, 14, last], 80)),
        weight: Weight::try_from(weight).unwrap(),
        forwarding: Forwarding::DirectRouting,
        thresholds: Thresholds::default(),
        drained: false,
    }
}

fn service(name: &str, port: u16) -> VirtualService {
    VirtualService {
        name: name.to_owned(),
        key: ServiceKey::Single {
            protocol: Protocol::Tcp,
            address: SocketAddr::from(([198, 18, 14, 146], port)),
        },
        group: Listens::default(),
        scheduler: Scheduler::RoundRobin,
        options: ServiceOptions::default(),
        on_failure: OnFailure::Remove,
        check: Some(Check {
            kind: CheckKind::Tcp,
            port: None,
            cadence: Cadence {
                every: Duration::from_millis(500),
                timeout: Duration::from_millis(250),
                fall: 2,
                rise: 2,
            },
        }),
        servers: vec![server(12, 1), server(13, 1)],
        sorry_server: None,
    }
}

fn director() -> Director {
    Director {
        name: "laicoz".to_owned(),
        interface: "eth0".to_owned(),
        more_interfaces: Vec::new(),
        xdp: XdpPreference::Auto,
        tables: TableSizes::default(),
        startup_wait: Duration::from_secs(10),
        sync: None,
        virtual_routers: Vec::new(),
        services: vec![service("web", 80), service("tls", 443)],
    }
}

#[test]
fn the_same_configuration_changes_nothing() {
    let plan = diff(&director(), &director());
    assert!(plan.is_empty());
    assert_eq!(plan.to_string(), "nothing changed");
}

#[test]
fn the_order_of_services_and_servers_changes_nothing() {
    let mut new = director();
    new.services.reverse();
    new.services[0].servers.reverse();
    assert!(diff(&director(), &new).is_empty());
}

#[test]
fn a_service_at_another_port_is_one_removed_and_one_added() {
    let mut new = director();
    new.services[1].key =
        ServiceKey::single(Protocol::Tcp, SocketAddr::from(([198, 18, 14, 146], 8443)));
    assert_eq!(
        diff(&director(), &new).to_string(),
        "service `tls` (TCP 198.18.14.146:443) removed\n\
         service `tls` (TCP 198.18.14.146:8443) added"
    );
}

#[test]
fn every_change_within_a_service_has_its_line() {
    let mut new = director();
    let web = &mut new.services[0];
    web.name = "www".to_owned();
    web.on_failure = OnFailure::Quiesce;
    let check = web.check.as_mut().unwrap();
    check.kind = CheckKind::Http {
        path: "/".to_owned(),
        host: Some("www.example".to_owned()),
        status: Some(200),
        body: Some(BodyMatch("it works".to_owned())),
    };
    check.port = Some(8080);
    web.servers = vec![server(13, 0), server(14, 3)];
    web.servers[0].drained = true;
    web.sorry_server = Some(server(20, 1));
    assert_eq!(
        diff(&director(), &new).to_string(),
        "service `www` (TCP 198.18.14.146:80): renamed from `web` to `www`\n\
         service `www` (TCP 198.18.14.146:80): on failure `remove` to `quiesce`\n\
         service `www` (TCP 198.18.14.146:80): check \
         `tcp every 500ms timeout 250ms fall 2 rise 2` to \
         `http / host www.example status 200 body \"it works\" port 8080 \
         every 500ms timeout 250ms fall 2 rise 2`\n\
         service `www` (TCP 198.18.14.146:80): server 198.18.14.12:80 removed\n\
         service `www` (TCP 198.18.14.146:80): server 198.18.14.13:80 weight 1 to 0\n\
         service `www` (TCP 198.18.14.146:80): server 198.18.14.13:80 drained\n\
         service `www` (TCP 198.18.14.146:80): server 198.18.14.14:80 added, weight 3\n\
         service `www` (TCP 198.18.14.146:80): sorry server none to 198.18.14.20:80"
    );
}

#[test]
fn virtual_routers_come_before_the_services_that_depend_on_them() {
    let mut new = director();
    new.services.remove(1);
    new.virtual_routers.push(VirtualRouter {
        name: "front".to_owned(),
        id: VirtualRouterId::try_from(51).unwrap(),
        version: VrrpVersion::V3,
        priority: Priority::DEFAULT,
        advert_interval: Duration::from_millis(100),
        preempt: true,
        preempt_delay: Duration::ZERO,
        addresses: vec![IpAddr::from([198, 18, 14, 146])],
        peers: Vec::new(),
        source: None,
        checksum: AdvertChecksum::PseudoHeader,
        announcements: VirtualRouter::ANNOUNCEMENTS,
        announce_again: VirtualRouter::ANNOUNCE_AGAIN,
    });
    assert_eq!(
        diff(&director(), &new).to_string(),
        "virtual router `front` (id 51, VRRPv3) added\n\
         service `tls` (TCP 198.18.14.146:443) removed"
    );
}

#[test]
fn what_cannot_change_while_running_is_named_with_the_next_step() {
    let mut new = director();
    new.interface = "eth1".to_owned();
    new.xdp = XdpPreference::Native;
    new.tables.connections = 2048;
    let plan = diff(&director(), &new);
    assert_eq!(plan.restart_needed.len(), 3);
    assert_eq!(
        plan.to_string(),
        "interface `eth0` to `eth1`: kept as it is; restart evenkeel to change it\n\
         xdp `auto` to `native`: kept as it is; restart evenkeel to change it\n\
         tables of 1048576 connections, 65536 half-open to 2048, 65536: kept as they are; \
         stop evenkeel, run `evenkeel purge` and start it"
    );
}
