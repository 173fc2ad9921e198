use super::*;

fn setting(outcome: ArpOutcome) -> ArpSetting {
    ArpSetting {
        name: "arp_ignore",
        wanted: 1,
        outcome,
    }
}

fn overruled(by: u32) -> ArpSetting {
    let hint = "as root: `sysctl ...`".to_owned();
    setting(ArpOutcome::Overruled { by, hint })
}

#[test]
fn a_setting_that_is_overruled_is_news_once_and_a_problem_until_it_is_not() {
    let mut problems = ArpProblems::default();
    let told = problems.take("eth0", &overruled(8)).cloned();
    assert_eq!(
        told,
        Some(Problem {
            what: "set arp_ignore of `eth0` to 1".to_owned(),
            reason:
                "net/ipv4/conf/all/arp_ignore is 8 and overrules it, so that this host answers for \
                     no address, and clients can't find it; as root: `sysctl ...`"
                    .to_owned(),
            attempts: 1,
        })
    );
    assert_eq!(problems.take("eth0", &overruled(8)), None);
    assert_eq!(problems.list().map(|p| p.attempts).collect::<Vec<_>>(), [2]);
    assert!(problems.take("eth0", &overruled(3)).is_some());
    let changed = setting(ArpOutcome::Changed { from: 3 });
    assert_eq!(problems.take("eth0", &changed), None);
    assert_eq!(problems.list().count(), 0);
    assert!(problems.take("eth0", &overruled(3)).is_some());
    problems.forget();
    assert_eq!(problems.list().count(), 0);
}
