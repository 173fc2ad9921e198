use super::*;

fn names(rows: &[Row]) -> Vec<String> {
    rows.iter().map(|row| row.name()).collect()
}

#[test]
fn every_fault_meets_every_scheduler_and_roles_alone_are_of_both_kinds() {
    let all = rows(&Fault::ALL, &Scheduler::ALL, true);
    // Nine by three, and the seven that need no real servers by two kinds.
    assert_eq!(all.len(), 27 + 14);
    let without = rows(&Fault::ALL, &Scheduler::ALL, false);
    assert_eq!(without.len(), 27 + 7);
    assert!(without.iter().all(|row| row.directors == Kind::Evenkeel));
    let mut sorted = all.clone();
    sorted.sort_unstable();
    assert_eq!(
        all, sorted,
        "reports keep the order in which rows are played"
    );
}

#[test]
fn faults_and_schedulers_select_rows_whatever_their_order() {
    let some = rows(
        &[Fault::PowerOff, Fault::Kill, Fault::Kill],
        &[Scheduler::None, Scheduler::Rr],
        true,
    );
    assert_eq!(
        names(&some),
        [
            "kill, evenkeel rr",
            "kill, evenkeel own echo",
            "kill, keepalived own echo",
            "power-off, evenkeel rr",
            "power-off, evenkeel own echo",
            "power-off, keepalived own echo",
        ]
    );
    assert_eq!(
        rows(&[Fault::AddedServer], &[Scheduler::None], true),
        [],
        "directors without services have no real servers"
    );
}

#[test]
fn files_spell_faults_and_schedulers_as_commands_do() {
    for fault in Fault::ALL {
        let json = serde_json::to_string(&fault).unwrap();
        assert_eq!(json, format!("\"{}\"", fault.name()));
    }
    for scheduler in Scheduler::ALL {
        let json = serde_json::to_string(&scheduler).unwrap();
        assert_eq!(json, format!("\"{}\"", scheduler.name()));
    }
}
