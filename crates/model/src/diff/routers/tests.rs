use super::*;

fn id(id: i64) -> VirtualRouterId {
    VirtualRouterId::try_from(id).unwrap()
}

fn router(name: &str, number: i64) -> VirtualRouter {
    VirtualRouter {
        name: name.to_owned(),
        id: id(number),
        version: VrrpVersion::V3,
        priority: Priority::DEFAULT,
        advert_interval: Duration::from_millis(100),
        preempt: true,
        preempt_delay: Duration::ZERO,
        addresses: vec![
            IpAddr::from([198, 18, 14, 146]),
            IpAddr::from([198, 18, 14, 147]),
        ],
        peers: Vec::new(),
        source: None,
        checksum: AdvertChecksum::PseudoHeader,
        announcements: VirtualRouter::ANNOUNCEMENTS,
        announce_again: VirtualRouter::ANNOUNCE_AGAIN,
    }
}

fn lines(old: &[VirtualRouter], new: &[VirtualRouter]) -> Vec<String> {
    routers(old, new).lines().collect()
}

#[test]
fn the_order_of_routers_addresses_and_peers_changes_nothing() {
    let mut old = vec![router("web", 51), router("mail", 52)];
    old[0].peers = vec![
        IpAddr::from([198, 18, 14, 3]),
        IpAddr::from([198, 18, 14, 2]),
    ];
    let mut new = old.clone();
    new.reverse();
    new[1].addresses.reverse();
    new[1].peers.reverse();
    let plan = routers(&old, &new);
    assert!(plan.is_empty(), "{plan:?}");
}

#[test]
fn another_id_or_version_is_one_removed_and_one_added() {
    let old = [router("web", 51), router("mail", 52)];
    let mut new = old.clone();
    new[0].id = id(53);
    new[1].version = VrrpVersion::V2;
    assert_eq!(
        lines(&old, &new),
        [
            "virtual router `web` (id 51, VRRPv3) removed",
            "virtual router `mail` (id 52, VRRPv3) removed",
            "virtual router `web` (id 53, VRRPv3) added",
            "virtual router `mail` (id 52, VRRPv2) added",
        ]
    );
}

#[test]
fn every_change_within_a_router_has_its_line() {
    let new = VirtualRouter {
        name: "www".to_owned(),
        id: id(51),
        version: VrrpVersion::V3,
        priority: Priority::OWNER,
        advert_interval: Duration::from_secs(1),
        preempt: false,
        preempt_delay: Duration::from_secs(5),
        addresses: vec![
            IpAddr::from([198, 18, 14, 147]),
            IpAddr::from([198, 18, 14, 148]),
        ],
        peers: vec![
            IpAddr::from([198, 18, 14, 3]),
            IpAddr::from([198, 18, 14, 2]),
        ],
        source: Some(IpAddr::from([198, 18, 14, 1])),
        checksum: AdvertChecksum::Rfc9568,
        announcements: 3,
        announce_again: Duration::ZERO,
    };
    let old = [router("web", 51)];
    let plan = routers(&old, &[new]);
    let [changed] = plan.changed.as_slice() else {
        panic!("{plan:?}");
    };
    assert_eq!(
        changed.router.to_string(),
        "virtual router `www` (id 51, VRRPv3)"
    );
    let changes: Vec<String> = changed.changes.iter().map(ToString::to_string).collect();
    assert_eq!(
        changes,
        [
            "renamed from `web` to `www`",
            "priority 100 to 255",
            "address 198.18.14.146 removed",
            "address 198.18.14.148 added",
            "advertisements every `100ms` to `1s`",
            "preempt `true` to `false`",
            "preempt delay `0s` to `5s`",
            "peers `multicast` to `198.18.14.2 198.18.14.3`",
            "source `automatic` to `198.18.14.1`",
            "checksum `pseudo-header` to `rfc9568`",
            "announcements `5` to `3`",
            "announce again after `5s` to `0s`",
        ]
    );
}
