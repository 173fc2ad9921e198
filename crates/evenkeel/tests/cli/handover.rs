use crate::daemon::Daemon;
use crate::{evenkeel, path};

/// What the daemon answers: outcome, message and hints of one virtual router.
fn answer(outcome: &str, message: &str, hint: &str, maintenance: bool) -> String {
    let hints = if hint.is_empty() {
        String::new()
    } else {
        format!("{hint:?}")
    };
    format!(
        r#"{{"api_version":1,"maintenance":{maintenance},"routers":[{{"router":"front","outcome":"{outcome}",
        "message":"{message}","successor":null,"took_us":null,"hints":[{hints}]}}]}}"#
    )
}

#[test]
fn who_took_over_is_told() {
    let message = "192.0.2.9 (priority 100) took over in 57 ms";
    let daemon = Daemon::start(vec![answer("handed-over", message, "", false)]);
    let told = evenkeel(&["failover", "--socket", path(&daemon.socket())]);
    assert_eq!(
        (told.code, told.out, told.err.as_str()),
        (Some(0), format!("virtual router front: {message}\n"), "")
    );
    let asked = r#"/v1/handover {"order":"failover","routers":[],"to":null,"patience_ms":null}"#;
    assert_eq!(daemon.request(), asked);
}

#[test]
fn a_handover_that_nobody_takes_over_for_fails_with_a_hint() {
    let message = "nobody took over in 1.0 s: still Active";
    let daemon = Daemon::start(vec![answer("nobody", message, "Look there.", false)]);
    let words = ["maintenance", "on", "--timeout", "2s", "--socket"];
    let socket = daemon.socket();
    let told = evenkeel(&[&words[..], &[path(&socket)]].concat());
    assert_eq!(told.code, Some(1), "{told:?}");
    assert_eq!(told.out, "");
    assert_eq!(
        told.err,
        format!(
            "Error: virtual router front: {message}\nError: not in maintenance: all is as before\n\
             Hint: Look there.\n"
        )
    );
}

#[test]
fn json_is_the_answer_and_the_exit_code_says_whether_it_is_good() {
    for (outcome, code) in [("handed-over", 0), ("not-ready", 1)] {
        let daemon = Daemon::start(vec![answer(outcome, "why", "", false)]);
        let socket = daemon.socket();
        let told = evenkeel(&["standby", "front", "--json", "--socket", path(&socket)]);
        assert_eq!(told.code, Some(code), "{told:?}");
        let value: serde_json::Value = serde_json::from_str(&told.out).unwrap();
        assert_eq!(value["routers"][0]["outcome"], outcome);
        assert!(told.err.is_empty(), "{told:?}");
    }
}

#[test]
fn words_that_make_no_sense_are_usage_errors() {
    for words in [
        &["failover", "--timeout", "5"][..],
        &["failover", "--to", "web"],
        &["failover", "--off"],
        &["standby", "--to", "192.0.2.1"],
        &["maintenance"],
        &["maintenance", "yes"],
        &["maintenance", "off", "--force"],
    ] {
        let told = evenkeel(words);
        assert_eq!(told.code, Some(2), "{words:?}: {told:?}");
        assert!(told.out.is_empty(), "{words:?}: {told:?}");
    }
}
