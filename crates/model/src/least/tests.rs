use super::*;

const WLC: Scheduler = Scheduler::WeightedLeastConnection;

#[test]
fn the_first_of_equals_is_picked() {
    assert_eq!(pick(WLC, &[(1, 0, 0), (1, 0, 0)]), Some(0));
    assert_eq!(pick(WLC, &[(1, 2, 0), (2, 4, 0), (3, 6, 0)]), Some(0));
}

#[test]
fn servers_without_a_weight_are_not_picked() {
    assert_eq!(pick(WLC, &[(0, 0, 0), (1, 9, 9), (0, 0, 0)]), Some(1));
    assert_eq!(pick(WLC, &[(0, 0, 0)]), None);
    assert_eq!(pick(WLC, &[]), None);
}

#[test]
fn the_fewest_connections_for_the_weight_win() {
    assert_eq!(pick(WLC, &[(1, 1, 0), (3, 2, 0)]), Some(1));
    assert_eq!(pick(WLC, &[(1, 1, 0), (3, 3, 0)]), Some(0));
    assert_eq!(pick(WLC, &[(1, 1, 0), (3, 4, 0)]), Some(0));
}

#[test]
fn an_active_connection_weighs_as_much_as_257_inactive_ones() {
    assert_eq!(pick(WLC, &[(1, 1, 0), (1, 0, 257)]), Some(0));
    assert_eq!(pick(WLC, &[(1, 1, 0), (1, 0, 256)]), Some(1));
}

#[test]
fn the_greatest_numbers_do_not_overflow() {
    let most = (u16::MAX, u32::MAX, u32::MAX);
    assert_eq!(
        pick(WLC, &[most, (u16::MAX, u32::MAX, u32::MAX - 1)]),
        Some(1)
    );
}

#[test]
fn connections_that_stay_end_up_in_proportion_to_the_weights() {
    let mut servers = [(1, 0, 0), (2, 0, 0), (3, 0, 0), (0, 0, 0)];
    for _ in 0..600 {
        let picked = pick(WLC, &servers).unwrap();
        servers[picked].1 += 1;
    }
    assert_eq!(servers.map(|s| s.1), [100, 200, 300, 0]);
}

#[test]
fn lc_looks_at_no_weight_but_0() {
    let lc = |servers: &[Loaded]| pick(Scheduler::LeastConnection, servers);
    assert_eq!(lc(&[(1, 1, 0), (9, 1, 1), (1, 1, 0)]), Some(0));
    assert_eq!(lc(&[(0, 0, 0), (9, 1, 1), (1, 1, 0)]), Some(2));
}

#[test]
fn sed_and_nq_look_at_no_inactive_connections() {
    let servers = [(1, 1, 0), (3, 4, 900), (4, 7, 0)];
    assert_eq!(pick(Scheduler::ShortestExpectedDelay, &servers), Some(1));
    assert_eq!(pick(Scheduler::NeverQueue, &servers), Some(1));
    // An idle server has its flow whatever the others' weights.
    let servers = [(9, 1, 0), (0, 0, 0), (1, 0, 9), (1, 0, 0)];
    assert_eq!(pick(Scheduler::ShortestExpectedDelay, &servers), Some(0));
    assert_eq!(pick(Scheduler::NeverQueue, &servers), Some(2));
}

#[test]
fn fo_and_ovf_take_the_heaviest() {
    let servers = [(0, 0, 0), (2, 9, 9), (3, 4, 0), (3, 0, 0)];
    assert_eq!(pick(Scheduler::Failover, &servers), Some(2));
    assert_eq!(pick(Scheduler::Overflow, &servers), Some(3));
    assert_eq!(pick(Scheduler::Overflow, &[(2, 3, 0), (1, 1, 0)]), Some(1));
    assert_eq!(pick(Scheduler::Overflow, &[(2, 3, 0), (1, 2, 0)]), None);
}
