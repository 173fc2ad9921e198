use super::*;

#[test]
fn a_stranger_is_news_once_and_again_after_it_was_gone() {
    let router = VirtualRouterId::try_from(7).expect("in range");
    let address = IpAddr::from([192, 0, 2, 7]);
    let mac = MacAddress([2, 0, 0, 0, 0, 9]);
    let sighting = |macs: Vec<MacAddress>| Sighting {
        router,
        strangers: [(address, macs)].into(),
    };
    let mut strangers = Strangers::default();
    assert_eq!(strangers.take(sighting(vec![mac])).1.len(), 1);
    assert_eq!(strangers.of(router).collect::<Vec<_>>(), [(address, mac)]);
    assert!(strangers.take(sighting(vec![mac])).1.is_empty());
    let gone = Sighting {
        router,
        strangers: BTreeMap::new(),
    };
    assert!(strangers.take(gone).1.is_empty());
    assert_eq!(strangers.of(router).count(), 0);
    assert_eq!(strangers.take(sighting(vec![mac])).1.len(), 1);
    assert_eq!(strangers.sightings(router), 3);
    strangers.keep(&[router].into());
    assert_eq!(strangers.sightings(router), 3);
    strangers.keep(&BTreeSet::new());
    assert_eq!(strangers.sightings(router), 0);
}

#[test]
fn only_a_partner_that_was_heard_before_can_have_been_replaced() {
    let [one, other] = [1, 2].map(|last| Some(IpAddr::from([192, 0, 2, last])));
    for (before, now, another) in [
        (None, None, false),
        (None, one, false),
        (one, one, false),
        (one, other, true),
        (one, None, true),
    ] {
        assert_eq!(is_another(before, now), another, "{before:?} {now:?}");
    }
}
