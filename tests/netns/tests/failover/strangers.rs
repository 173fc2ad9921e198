//! Who is taken for a host outside the virtual router, and who is not.

use std::net::Ipv4Addr;
use std::time::Duration;

use evenkeel_api::Role;
use evenkeel_netns_tests::cluster::{VIP, server_address};
use evenkeel_netns_tests::texts::router;

use crate::{FRONT, ID, LOW, Pair, with_services};

/// A director's or a real server's hardware address, as `status` writes it.
fn mac(address: Ipv4Addr) -> String {
    let [a, b, c, d] = address.octets();
    format!("02:00:{a:02x}:{b:02x}:{c:02x}:{d:02x}")
}

#[test]
fn an_active_that_advertises_rarely_is_no_stranger() {
    let mut pair = Pair::dark("t-rare");
    // The partner may listen for 18 s before it says who a stranger is.
    pair.cluster.be_patient(Duration::from_secs(60));
    let add = ["ip", "address", "add", "198.18.14.146/32", "dev", "eth0"];
    let _nothing = pair.cluster.run("web2", &add);
    let rarely = |priority| router(FRONT, ID, &[VIP], priority, "adverts = \"5s\"");
    // The owner waits for nobody.
    pair.start_director(&with_services(&rarely(255)));
    let _router = pair.cluster.director().becomes(FRONT, Role::Active);
    pair.start_partner(&with_services(&rarely(LOW)));
    let partner = pair.cluster.partner();
    let mut holders = Vec::new();
    pair.cluster.eventually("the partner sees a stranger", || {
        let router = partner.router(FRONT);
        holders = router.map_or_else(Vec::new, |router| router.address_held_by);
        !holders.is_empty()
    });
    let macs: Vec<String> = holders.into_iter().map(|holder| holder.mac).collect();
    assert_eq!(macs, [mac(server_address(2))]);
    assert_eq!(partner.count(FRONT, "address-held"), 1);
    let log = partner.log();
    let told = log
        .lines()
        .filter(|line| line.contains("outside this virtual router"));
    assert_eq!(told.count(), 1, "{log}");
}
