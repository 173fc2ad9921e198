use evenkeel_api::EventRecord;

use super::*;

fn moment() -> Instant {
    Instant::now() + Duration::from_secs(1000)
}

#[test]
fn only_changes_are_noted() {
    let start = moment();
    let at = |millis| start + Duration::from_millis(millis);
    let mut roles = Roles::default();
    assert!(!roles.are_only(Role::Backup), "nothing is known");
    assert_eq!(roles.in_words(), "unknown");
    roles.note(at(0), Role::Backup);
    roles.note(at(10), Role::Backup);
    assert!(roles.are_only(Role::Backup));
    roles.note(at(20), Role::Active);
    roles.note(at(30), Role::Backup);
    assert!(!roles.are_only(Role::Backup));
    assert_eq!(roles.in_words(), "backup, then active, then backup");
    assert_eq!(roles.became(Role::Active, at(0)), Some(at(20)));
    assert_eq!(roles.became(Role::Active, at(21)), None);
    assert_eq!(roles.became(Role::Backup, at(21)), Some(at(30)));
}

#[test]
fn an_events_own_time_counts() {
    let event = |seq, kind: &str, ago: Duration| EventRecord {
        seq,
        time_ms: u64::try_from(
            (SystemTime::now() - ago)
                .duration_since(UNIX_EPOCH)
                .unwrap()
                .as_millis(),
        )
        .unwrap(),
        kind: kind.to_owned(),
        message: String::new(),
        warning: false,
        virtual_router: None,
        service: None,
        server: None,
    };
    let mut events = Events {
        api_version: evenkeel_api::API_VERSION,
        daemon_started_ms: 1,
        events: vec![event(1, "server-up", Duration::ZERO)],
        next: 1,
        lost: 0,
    };
    assert_eq!(role_changed(&events), None);
    let ago = Duration::from_secs(7);
    events.events.insert(0, event(2, ROLE_CHANGED, ago));
    let age = role_changed(&events).unwrap().elapsed();
    assert!(age >= ago && age < ago * 2, "{age:?}");
}
