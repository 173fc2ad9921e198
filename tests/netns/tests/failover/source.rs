//! The address that advertisements come from.

use evenkeel_api::Role;
use evenkeel_netns_tests::Watch;
use evenkeel_netns_tests::cluster::{DIRECTOR, VIP};
use evenkeel_netns_tests::texts::config;

use crate::{FRONT, HIGH, Pair, front};

#[test]
fn an_interface_that_gets_its_address_late_makes_an_active_director_then() {
    let mut pair = Pair::dark("t-late");
    let own = format!("{DIRECTOR}/24");
    let address = |verb| ["ip", "address", verb, own.as_str(), "dev", "eth0"];
    let _nothing = pair.cluster.run("director", &address("del"));
    pair.start_director(&config(&[front(HIGH, "")]));
    let director = pair.cluster.director();
    let words = [
        "interface `eth0` has no IPv4 address of its own",
        "give it one, or set `source` in this [[virtual-router]]",
    ];
    pair.cluster.eventually("the problem is seen twice", || {
        let problems = director.try_status().map(|status| status.problems);
        let mut problems = problems.iter().flatten();
        problems.any(|problem| {
            problem.attempts >= 2 && words.iter().all(|word| problem.reason.contains(word))
        })
    });
    let log = director.log();
    assert_eq!(log.matches(words[0]).count(), 1, "{log}");
    let watch = Watch::start(&pair.cluster, &[VIP]);

    let _nothing = pair.cluster.run("director", &address("add"));
    let _router = director.becomes(FRONT, Role::Active);
    watch.more_adverts(&pair.cluster, DIRECTOR, 3);
    assert_eq!(director.status().problems, []);
}
