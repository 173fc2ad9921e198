use super::*;

fn totals(conns: u64) -> Totals {
    Totals {
        conns,
        in_packets: conns * 10,
        in_bytes: conns * 1_000,
    }
}

#[test]
fn a_steady_flow_approaches_its_rate() {
    let mut estimator = Estimator::default();
    for step in 0..100 {
        // 50 connections per second, sampled every two.
        estimator.sample([("web", totals(step * 100))].into_iter());
    }
    let rates = estimator.rates(&"web");
    assert_eq!((rates.cps, rates.in_pps, rates.in_bps), (50, 500, 50_000));
}

#[test]
fn the_first_step_has_weight_one_quarter() {
    let mut estimator = Estimator::default();
    estimator.sample([("web", totals(0))].into_iter());
    estimator.sample([("web", totals(80))].into_iter());
    assert_eq!(estimator.rates(&"web").cps, 10);
    estimator.sample([("web", totals(80))].into_iter());
    // Three quarters of 10 is 7.5; IPVS adds just less than one half.
    assert_eq!(estimator.rates(&"web").cps, 7);
}

#[test]
fn what_an_earlier_daemon_counted_is_no_rate() {
    let mut estimator = Estimator::default();
    estimator.sample([("web", totals(1_000_000))].into_iter());
    assert_eq!(estimator.rates(&"web"), Rates::default());
}

#[test]
fn what_is_no_longer_counted_is_forgotten() {
    let mut estimator = Estimator::default();
    estimator.sample([("web", totals(0)), ("mail", totals(0))].into_iter());
    estimator.sample([("web", totals(100)), ("mail", totals(100))].into_iter());
    estimator.sample([("web", totals(200))].into_iter());
    assert_eq!(estimator.rates(&"mail"), Rates::default());
    assert!(estimator.rates(&"web").cps > 0);
}
