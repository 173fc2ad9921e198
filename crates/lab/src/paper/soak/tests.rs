use evenkeel_api::{
    Edits, InterfaceStatus, RouterCount, Stance, TableStatus, VirtualRouterStatus,
    VrrpThreadStatus, XdpMode,
};

use super::*;

fn status(became_active: u64, lateness: [u64; 3]) -> Status {
    let [first, second, more] = lateness;
    let bucket = |up_to_us, count| LatenessBucket { up_to_us, count };
    Status {
        api_version: 1,
        version: String::new(),
        director: String::from("laicoz"),
        pid: 2,
        started: 1,
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
        virtual_routers: vec![VirtualRouterStatus {
            name: String::from("paper"),
            id: 51,
            version: 3,
            role: Role::Active,
            reason: String::new(),
            since_s: 0,
            priority: 150,
            preempt: true,
            may_take_over: true,
            stopping: false,
            stance: Stance::Ordinary,
            priority_in_force: None,
            handing_over: false,
            addresses: Vec::new(),
            advert_interval_ms: 100,
            master_down_us: 0,
            partner: None,
            counters: vec![RouterCount {
                kind: String::from("became-active"),
                count: became_active,
            }],
            troubles: Vec::new(),
            address_held_by: Vec::new(),
        }],
        vrrp_thread: Some(VrrpThreadStatus {
            real_time: true,
            real_time_reason: None,
            memory_locked: true,
            memory_locked_reason: None,
            lateness: vec![
                bucket(Some(16), first),
                bucket(Some(1024), second),
                bucket(None, more),
            ],
            max_us: 999,
        }),
        sync: None,
        services: Vec::new(),
        edits: Edits::default(),
        drops: Vec::new(),
        events: Vec::new(),
        problems: Vec::new(),
    }
}

fn watched(roles: &[Role], became_active: [u64; 2]) -> Watched {
    let now = Instant::now();
    let [before, after] = became_active;
    Watched {
        director: String::from("laicoz"),
        role: Role::Active,
        roles: Roles(roles.iter().map(|role| (now, *role)).collect()),
        before: status(before, [10, 1, 0]),
        after: status(after, [6010, 3, 1]),
    }
}

#[test]
fn a_director_that_kept_its_role_holds() {
    assert!(judge(&watched(&[Role::Active], [1, 1])).held);
}

#[test]
fn another_role_in_between_another_daemon_or_silence_does_not() {
    for (roles, became_active) in [
        (&[Role::Active, Role::Backup, Role::Active][..], [1, 2]),
        (&[Role::Backup], [1, 1]),
        // It was gone and back between two looks.
        (&[Role::Active], [1, 2]),
        (&[], [1, 1]),
    ] {
        assert!(!judge(&watched(roles, became_active)).held, "{roles:?}");
    }
    let mut restarted = watched(&[Role::Active], [1, 1]);
    restarted.after.started += 1;
    assert!(!judge(&restarted).held);
}

#[test]
fn the_histogram_is_of_the_watched_time_alone() {
    let both = [
        watched(&[Role::Active], [1, 1]),
        watched(&[Role::Active], [1, 1]),
    ];
    let expected = "
Lateness of the VRRP threads, in wake-ups for a timer:

                         laicoz      laicoz
  at most 16 us            6000        6000
  at most 1024 us             2           2
  more                        1           1
  laicoz: 999 us at most since its start, with real-time priority
  laicoz: 999 us at most since its start, with real-time priority
";
    assert_eq!(lateness(&both), expected);
}

#[test]
fn burners_end_with_their_guard() {
    let burners = Burners::start().unwrap();
    let stop = Arc::downgrade(&burners.stop);
    assert!(!burners.threads.is_empty());
    drop(burners);
    assert!(stop.upgrade().is_none(), "one still burns");
}
