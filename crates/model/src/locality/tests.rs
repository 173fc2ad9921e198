use super::*;

const EXPIRATION: u64 = 86_400;

fn lblc() -> Localities<u8, char> {
    Localities::new(Scheduler::Locality, EXPIRATION).unwrap()
}

fn lblcr() -> Localities<u8, char> {
    Localities::new(Scheduler::ReplicatedLocality, EXPIRATION).unwrap()
}

/// Servers a, b, .. with weight, ActiveConn and InActConn.
fn list(loads: &[Loaded]) -> Vec<Candidate<char>> {
    let named = ('a'..).zip(loads);
    named
        .map(|(server, loaded)| Candidate {
            server,
            loaded: *loaded,
            overloaded: false,
        })
        .collect()
}

#[test]
fn other_schedulers_remember_no_addresses() {
    assert!(Localities::<u8, char>::new(Scheduler::DestinationHash, EXPIRATION).is_none());
}

#[test]
fn an_address_keeps_its_server_until_that_is_busy_and_another_is_half_idle() {
    for mut model in [lblc(), lblcr()] {
        assert_eq!(model.pick(0, 1, &list(&[(2, 0, 0), (2, 0, 0)])), Some('a'));
        // More loaded than another one is not busy.
        assert_eq!(model.pick(1, 1, &list(&[(2, 2, 9), (2, 0, 0)])), Some('a'));
        // Busy, but so is everybody.
        assert_eq!(model.pick(2, 1, &list(&[(2, 3, 0), (2, 1, 0)])), Some('a'));
        assert_eq!(model.pick(3, 1, &list(&[(2, 3, 0), (2, 0, 7)])), Some('b'));
        // Another address has its own.
        assert_eq!(model.pick(4, 2, &list(&[(2, 0, 0), (2, 0, 7)])), Some('a'));
        assert_eq!(model.pick(5, 1, &list(&[(2, 9, 0), (2, 1, 7)])), Some('b'));
    }
}

#[test]
fn lblc_changes_the_server_and_lblcr_adds_one() {
    let (idle, busy) = (list(&[(1, 0, 0), (1, 0, 1)]), list(&[(1, 2, 0), (1, 0, 1)]));
    let (mut single, mut set) = (lblc(), lblcr());
    for model in [&mut single, &mut set] {
        assert_eq!(model.pick(0, 1, &idle), Some('a'));
        assert_eq!(model.pick(0, 1, &busy), Some('b'));
    }
    assert_eq!(single.pick(0, 1, &idle), Some('b'));
    assert_eq!(set.pick(0, 1, &idle), Some('a'), "the less loaded of both");
    // Of equals the newest.
    assert_eq!(set.pick(0, 1, &list(&[(1, 0, 0), (1, 0, 0)])), Some('b'));
}

#[test]
fn a_server_without_a_weight_or_that_left_is_not_used() {
    for mut model in [lblc(), lblcr()] {
        assert_eq!(model.pick(0, 1, &list(&[(1, 0, 0), (1, 0, 0)])), Some('a'));
        assert_eq!(model.pick(0, 1, &list(&[(0, 0, 0), (1, 0, 0)])), Some('b'));
        assert_eq!(model.pick(0, 1, &list(&[(1, 0, 1)])), Some('a'));
        assert_eq!(model.pick(0, 1, &list(&[(0, 0, 0)])), None);
        assert_eq!(model.pick(0, 1, &[]), None);
    }
}

#[test]
fn above_its_threshold_a_server_stays_that_of_lblc_but_not_of_lblcr() {
    let mut servers = list(&[(1, 0, 0), (1, 0, 1)]);
    let (mut single, mut set) = (lblc(), lblcr());
    for model in [&mut single, &mut set] {
        assert_eq!(model.pick(0, 1, &servers), Some('a'));
    }
    servers[0].overloaded = true;
    assert_eq!(single.pick(0, 1, &servers), Some('a'));
    assert_eq!(set.pick(0, 1, &servers), Some('b'));
    assert_eq!(single.pick(0, 2, &servers), Some('b'), "a new address");
}

#[test]
fn the_most_loaded_of_a_set_leaves_it_after_a_day_without_a_change() {
    let mut model = lblcr();
    let idle = list(&[(1, 0, 0), (1, 0, 1)]);
    model.pick(0, 1, &idle);
    assert_eq!(model.pick(9, 1, &list(&[(1, 2, 0), (1, 0, 1)])), Some('b'));
    for now in (0..=EXPIRATION + 9).step_by(9) {
        assert_eq!(model.pick(now, 1, &idle), Some('a'));
    }
    let crossed = list(&[(1, 0, 2), (1, 0, 1)]);
    let later = EXPIRATION + 10;
    assert_eq!(model.pick(later, 1, &crossed), Some('b'), "and a leaves");
    assert_eq!(model.pick(later + 1, 1, &idle), Some('b'));
}

#[test]
fn an_address_is_forgotten_after_a_day_without_a_flow() {
    let (before, after) = (list(&[(1, 0, 0), (1, 0, 1)]), list(&[(1, 0, 1), (1, 0, 0)]));
    for mut model in [lblc(), lblcr()] {
        assert_eq!(model.pick(0, 1, &before), Some('a'));
        assert_eq!(model.pick(EXPIRATION - 1, 1, &after), Some('a'));
        assert_eq!(model.pick(2 * EXPIRATION - 1, 1, &after), Some('b'));
    }
}
