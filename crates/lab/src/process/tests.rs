use super::*;

#[test]
fn a_name_with_spaces_and_parentheses_does_not_shift_the_fields() {
    let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 4242 1 2 3";
    assert_eq!(start_time(stat), Some(4242));
}

#[test]
fn a_pid_with_another_start_time_is_another_process() {
    let own = ProcessId::own().unwrap();
    assert!(own.is_alive());
    let other = ProcessId {
        start: own.start + 1,
        ..own
    };
    assert!(!other.is_alive());
}
