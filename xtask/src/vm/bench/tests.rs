use super::{Options, Ratios};
use serde_json::{Value, json};

/// Figures with these net times of a bare program, the slower evenkeel and the faster IPVS.
fn figures(bare_tx: f64, evenkeel: f64, ipvs: f64) -> Value {
    let case = |name: &str, net: f64| json!({"name": name, "net_ns": net});
    json!({"cases": [
        case("drop", 0.0),
        case("bare_tx", bare_tx),
        case("evenkeel_rr", evenkeel),
        case("evenkeel_maglev", evenkeel / 2.0),
        case("stack_drop", ipvs / 2.0),
        case("ipvs_rr", ipvs),
        case("ipvs_mh", ipvs * 2.0),
    ]})
}

fn is_enough(bare_tx: f64, evenkeel: f64, ipvs: f64) -> bool {
    Ratios::of(&figures(bare_tx, evenkeel, ipvs))
        .unwrap()
        .are_enough()
}

#[test]
fn the_slower_evenkeel_is_compared_with_the_faster_ipvs() {
    let expected = Ratios {
        evenkeel_to_ipvs: 6.0,
        bare_tx_to_ipvs: 12.0,
        evenkeel_to_bare_tx: 0.5,
        evenkeel_to_ipvs_past_stack: 3.0,
    };
    assert_eq!(
        Ratios::of(&figures(100.0, 200.0, 1200.0)).unwrap(),
        expected
    );
}

#[test]
fn three_times_as_fast_as_ipvs_is_enough() {
    assert!(is_enough(100.0, 400.0, 1200.0));
    assert!(!is_enough(100.0, 401.0, 1200.0));
}

#[test]
fn a_share_of_bare_tx_is_enough_only_where_that_is_not_much_faster_than_ipvs() {
    assert!(is_enough(650.0, 1000.0, 2599.0));
    assert!(!is_enough(650.0, 1000.0, 2600.0));
    assert!(!is_enough(649.0, 1000.0, 2500.0));
}

#[test]
fn a_case_that_is_lost_in_the_noise_is_named() {
    let error = Ratios::of(&figures(-1.0, 400.0, 1200.0)).unwrap_err();
    assert!(error.to_string().contains("`bare_tx`"), "{error}");
}

#[test]
fn the_ratios_stand_beside_the_cases() {
    let mut figures = figures(100.0, 300.0, 1200.0);
    Ratios::of(&figures).unwrap().add_to(&mut figures);
    assert_eq!(figures["evenkeel_to_ipvs"], 4.0);
    assert_eq!(figures["bare_tx_to_ipvs"], 12.0);
    assert_eq!(figures["evenkeel_to_bare_tx"], 0.333);
    assert_eq!(figures["fast_enough"], true);
    assert_eq!(figures["cases"][1]["name"], "bare_tx");
}

#[test]
fn options_come_in_any_order_and_with_their_values() {
    let options = Options::parse(&["--rounds", "3", "--json", "figures.json"]).unwrap();
    assert_eq!(options.json, Some("figures.json"));
    assert_eq!(options.rounds, Some("3"));
    Options::parse(&["--json"]).unwrap_err();
}
