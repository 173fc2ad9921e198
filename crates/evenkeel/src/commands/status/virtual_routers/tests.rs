use evenkeel_api::{
    API_VERSION, AddressHolder, Edits, Forwarding, InterfaceStatus, LatenessBucket, OnFailure,
    PartnerStatus, Protocol, RouterCount, ServerStatus, ServiceId, TableStatus, XdpMode,
};

use super::*;

fn server(state: ServerState) -> ServerStatus {
    ServerStatus {
        address: "198.18.14.12:80".parse().unwrap(),
        forwarding: Forwarding::Direct,
        weight_configured: 1,
        weight: 1,
        drained: false,
        state,
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

fn service(name: &str, scheduler: &str, gate: GateStatus, router: Option<&str>) -> ServiceStatus {
    ServiceStatus {
        name: name.to_owned(),

        service: ServiceId::Single {
            protocol: Protocol::Tcp,
            address: "198.18.14.146:80".parse().unwrap(),
        },
        listens: Vec::new(),
        scheduler: scheduler.to_owned(),
        gate,
        virtual_router: router.map(ToOwned::to_owned),
        on_failure: OnFailure::Remove,
        servers: vec![server(ServerState::Up), server(ServerState::Down)],
        sorry_server: None,
    }
}

fn router(role: Role) -> VirtualRouterStatus {
    VirtualRouterStatus {
        name: "paper".to_owned(),
        id: 51,
        version: 3,
        role,
        reason: "198.18.14.11 has a higher priority".to_owned(),
        since_s: 7_400,
        priority: 100,
        preempt: true,
        may_take_over: true,
        stopping: false,
        stance: Stance::Ordinary,
        priority_in_force: None,
        handing_over: false,
        addresses: vec![
            "198.18.14.146".parse().unwrap(),
            "198.18.14.147".parse().unwrap(),
        ],
        advert_interval_ms: 100,
        master_down_us: 360_937,
        partner: Some(PartnerStatus {
            address: "198.18.14.11".parse().unwrap(),
            priority: 150,
            last_heard_ms: 34,
            interval_ms: 100,
        }),
        counters: vec![
            RouterCount {
                kind: "adverts-received".to_owned(),
                count: 1_204,
            },
            RouterCount {
                kind: "bad-ttl".to_owned(),
                count: 0,
            },
            RouterCount {
                kind: "transitions".to_owned(),
                count: 1,
            },
        ],
        troubles: Vec::new(),
        address_held_by: Vec::new(),
    }
}

fn status(routers: Vec<VirtualRouterStatus>, services: Vec<ServiceStatus>) -> Status {
    Status {
        api_version: API_VERSION,
        version: String::new(),
        director: String::new(),
        pid: 0,
        started: 0,
        adopted: false,
        ready: true,
        maintenance: false,
        interface: InterfaceStatus {
            name: String::new(),
            mac: String::new(),
            mode: XdpMode::Native,
        },
        more_interfaces: Vec::new(),
        tables: TableStatus {
            connections: 0,
            connections_max: 0,
            half_open: 0,
            half_open_max: 0,
            unassured: 0,
            flood_mode: false,
        },
        virtual_routers: routers,
        vrrp_thread: None,
        sync: None,
        services,
        edits: Edits::default(),
        drops: Vec::new(),
        events: Vec::new(),
        problems: Vec::new(),
    }
}

fn rendered(status: &Status) -> String {
    let mut out = String::new();
    render(&mut out, status);
    out
}

#[test]
fn a_backup_shows_why_its_partner_and_what_it_holds_warm() {
    let services = vec![
        service("web", "rr", GateStatus::Closed, Some("paper")),
        service("dns", "maglev", GateStatus::Closed, Some("paper")),
        service("other", "rr", GateStatus::Open, None),
    ];
    let expected = "
virtual router paper: backup for 2h3m, priority 100, id 51, VRRP 3
  reason     198.18.14.11 has a higher priority
  addresses  198.18.14.146, 198.18.14.147
  partner    198.18.14.11, priority 150, every 100 ms, heard 34 ms ago
  timers     advertises every 100 ms, the Active counts as gone after 360.9 ms of silence, preemption
  services   held warm: web, dns; 2 of 4 servers up
  counters   adverts-received 1204, transitions 1
";
    let status = status(vec![router(Role::Backup)], services);
    assert_eq!(rendered(&status), expected);
}

#[test]
fn who_stands_back_by_command_says_why_and_how_to_end_that() {
    for (stance, words) in [
        (
            Stance::HandedOver,
            "handed over by command: does not preempt",
        ),
        (
            Stance::Standby,
            "nobody else is there (with priority 1), until `evenkeel standby --off`",
        ),
        (
            Stance::Maintenance,
            "takes nothing over until `evenkeel maintenance off`",
        ),
    ] {
        let router = VirtualRouterStatus {
            stance,
            priority_in_force: (stance == Stance::Standby).then_some(1),
            ..router(Role::Backup)
        };
        let out = rendered(&status(vec![router], Vec::new()));
        let line = out.lines().find(|line| line.starts_with("  stands back  "));
        assert!(line.is_some_and(|line| line.contains(words)), "{out}");
    }
    let leaving = VirtualRouterStatus {
        handing_over: true,
        ..router(Role::Active)
    };
    let out = rendered(&status(vec![leaving], Vec::new()));
    assert!(out.contains("VRRP 3, handing over\n"), "{out}");
    assert!(!out.contains("stands back"), "{out}");
}

#[test]
fn an_active_director_shows_what_it_serves_and_what_troubles_it() {
    let active = VirtualRouterStatus {
        preempt: false,
        may_take_over: false,
        stopping: true,
        partner: None,
        counters: Vec::new(),
        troubles: vec!["advertisements with a wrong TTL from 198.18.14.9".to_owned()],
        address_held_by: vec![AddressHolder {
            address: "198.18.14.147".parse().unwrap(),
            mac: "02:00:00:00:00:09".to_owned(),
        }],
        ..router(Role::Active)
    };
    let services = vec![
        service("web", "rr", GateStatus::Open, Some("paper")),
        service("dns", "rr", GateStatus::Closed, Some("paper")),
        service("mail", "rr", GateStatus::Draining, Some("paper")),
    ];
    let expected = "
virtual router paper: active for 2h3m, priority 100, id 51, VRRP 3, stopping
  reason     198.18.14.11 has a higher priority
  addresses  198.18.14.146, 198.18.14.147
  partner    none heard
  timers     advertises every 100 ms, the Active counts as gone after 360.9 ms of silence, no preemption
  waits      takes nothing over before its first round of checks is complete
  services   served: web; 1 of 2 servers up
  services   draining: mail; 1 of 2 servers up
  services   not served yet: dns; 1 of 2 servers up
  trouble    02:00:00:00:00:09 answers for 198.18.14.147, a host outside this virtual router
  trouble    advertisements with a wrong TTL from 198.18.14.9
";
    assert_eq!(rendered(&status(vec![active], services)), expected);
}

#[test]
fn a_virtual_router_without_a_service_says_so() {
    let services = vec![service("web", "rr", GateStatus::Open, Some("another"))];
    let out = rendered(&status(vec![router(Role::Active)], services));
    assert!(
        out.contains("  services   none listens on its addresses\n"),
        "{out}"
    );
}

fn thread() -> VrrpThreadStatus {
    VrrpThreadStatus {
        real_time: true,
        real_time_reason: None,
        memory_locked: true,
        memory_locked_reason: None,
        lateness: vec![
            LatenessBucket {
                up_to_us: Some(16),
                count: 980,
            },
            LatenessBucket {
                up_to_us: Some(1_024),
                count: 15,
            },
            LatenessBucket {
                up_to_us: None,
                count: 5,
            },
        ],
        max_us: 1_250_000,
    }
}

#[test]
fn the_thread_shows_how_well_it_keeps_time() {
    let mut status = status(Vec::new(), Vec::new());
    status.vrrp_thread = Some(thread());
    let expected = "
VRRP thread: real-time, memory locked, 99% of its timers at most 1 ms late, the worst 1.2 s
";
    assert_eq!(rendered(&status), expected);
}

#[test]
fn a_thread_that_is_not_real_time_says_what_that_costs() {
    let mut status = status(Vec::new(), Vec::new());
    status.vrrp_thread = Some(VrrpThreadStatus {
        real_time: false,
        real_time_reason: Some("Operation not permitted".to_owned()),
        memory_locked: false,
        memory_locked_reason: Some("Cannot allocate memory".to_owned()),
        lateness: Vec::new(),
        ..thread()
    });
    let expected = "
VRRP thread: not real-time, memory not locked
  not real-time (Operation not permitted): while the processors are busy its advertisements may be late, and the partner
  may take over without need; it needs LimitRTPRIO=50 in its unit, or CAP_SYS_NICE
  memory not locked (Cannot allocate memory): while memory is short it may wait for the disk, with the same cost;
  it needs LimitMEMLOCK=infinity in its unit, or CAP_IPC_LOCK
";
    assert_eq!(rendered(&status), expected);
}

#[test]
fn services_that_lose_connections_at_a_takeover_are_named_once() {
    let services = vec![
        service("web", "rr", GateStatus::Open, Some("paper")),
        service("dns", "maglev", GateStatus::Open, Some("paper")),
        service("db", "wlc", GateStatus::Closed, Some("paper")),
        service("own", "rr", GateStatus::Open, None),
    ];
    let mut out = String::new();
    render_takeovers(&mut out, &status(Vec::new(), services));
    let expected = "
takeovers
  connections do not survive one under web (rr), db (wlc): there is no connection sync yet, and the new Active
  counts their packets as event unknown-flow; its UDP flows are placed anew. Under scheduler
  maglev both survive, but for those of a server whose weight was 0 at either time
";
    assert_eq!(out, expected);
}

#[test]
fn without_a_service_that_loses_connections_nothing_is_said() {
    let services = vec![
        service("dns", "maglev", GateStatus::Open, Some("paper")),
        service("own", "rr", GateStatus::Open, None),
    ];
    let mut out = String::new();
    render_takeovers(&mut out, &status(Vec::new(), services));
    assert_eq!(out, "");
}

#[test]
fn times_have_the_unit_that_suits_them() {
    let cases = [
        (0, "0 us"),
        (999, "999 us"),
        (1_000, "1 ms"),
        (34_140, "34.1 ms"),
        (999_999, "999.9 ms"),
        (1_000_000, "1 s"),
        (3_609_375, "3.6 s"),
    ];
    for (us, expected) in cases {
        assert_eq!(time(us), expected, "{us}");
    }
}
