use evenkeel_api::{API_VERSION, RouterHandover};

use super::*;

fn router(name: &str, outcome: HandoverOutcome, hints: &[&str]) -> RouterHandover {
    RouterHandover {
        router: name.to_owned(),
        outcome,
        message: format!("{outcome:?}"),
        successor: None,
        took_us: None,
        hints: hints.iter().map(|hint| String::from(*hint)).collect(),
    }
}

fn answer(routers: &[RouterHandover], maintenance: bool) -> HandoverAnswer {
    HandoverAnswer {
        api_version: API_VERSION,
        routers: routers.to_vec(),
        maintenance,
    }
}

#[test]
fn what_is_well_and_what_is_not_go_apart_and_hints_come_once() {
    let answer = answer(
        &[
            router("a", HandoverOutcome::HandedOver, &[]),
            router("b", HandoverOutcome::Nobody, &["Look there.", "Wait."]),
            router("c", HandoverOutcome::Nobody, &["Look there."]),
        ],
        false,
    );
    let (out, err) = render(HandoverOrder::Failover, &answer);
    assert_eq!(out, "virtual router a: HandedOver\n");
    assert_eq!(
        err,
        "Error: virtual router b: Nobody\nError: virtual router c: Nobody\nHint: Look there.\nHint: Wait.\n"
    );
}

#[test]
fn maintenance_and_standby_say_how_to_end_them() {
    let good = [router("a", HandoverOutcome::NotActive, &[])];
    let (out, err) = render(HandoverOrder::Maintenance, &answer(&good, true));
    assert_eq!(
        out,
        "virtual router a: NotActive\nin maintenance: takes nothing over until `evenkeel maintenance off`\n"
    );
    assert_eq!(err, "");
    let bad = [router("a", HandoverOutcome::Nobody, &[])];
    let (out, err) = render(HandoverOrder::Maintenance, &answer(&bad, false));
    assert_eq!(out, "");
    assert!(err.ends_with("Error: not in maintenance: all is as before\n"));
    let (out, _) = render(HandoverOrder::Standby, &answer(&good, false));
    assert!(out.ends_with("stands by until `evenkeel standby --off`\n"));
}
