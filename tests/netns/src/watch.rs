//! The lab's record of who answers for virtual addresses, as tests wait for it: by the client.

use std::net::Ipv4Addr;
use std::ops::Deref;
use std::time::{Duration, Instant};

pub use evenkeel_lab::watch::{Mac, Record, Said, Sighting, parse};

use crate::cluster::Cluster;

/// For so long nobody else has answered.
const SETTLED_FOR: Duration = Duration::from_millis(300);

/// A running record; dropping it ends it.
#[derive(Debug)]
pub struct Watch(evenkeel_lab::watch::Watch);

impl Watch {
    /// Begins to ask and to record.
    ///
    /// # Panics
    /// Where the client is off.
    #[must_use]
    pub fn start(cluster: &Cluster, addresses: &[Ipv4Addr]) -> Self {
        let watch = evenkeel_lab::watch::Watch::start(cluster.node("client"), addresses);
        Self(watch.expect("the client is on"))
    }

    /// Waits until that one and nobody else has answered for the address for a while; when that while began.
    pub fn only_answers(&self, cluster: &Cluster, mac: Mac, address: Ipv4Addr) -> Instant {
        let began = Instant::now();
        let mut since = began;
        cluster.eventually(&format!("only {mac:02x?} answers for {address}"), || {
            let Some(from) = Instant::now()
                .checked_sub(SETTLED_FOR)
                .filter(|from| *from > began)
            else {
                return false;
            };
            since = from;
            let record = self.record().since(from);
            let answers = record.answers(mac, address);
            let others = record.answerers(address);
            !answers.is_empty() && others.iter().all(|other| *other == mac)
        });
        since
    }

    /// Waits until so many more advertisements were sent from there.
    pub fn more_adverts(&self, cluster: &Cluster, from: Ipv4Addr, count: usize) {
        let began = Instant::now();
        cluster.eventually(&format!("{count} more advertisements from {from}"), || {
            self.record().since(began).adverts(from).len() >= count
        });
    }
}

impl Deref for Watch {
    type Target = evenkeel_lab::watch::Watch;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

/// None of these refused anything: no reset and no ICMP error came from its hardware address.
///
/// # Panics
/// If one did.
pub fn assert_none_refused(record: &Record, macs: &[Mac]) {
    let refusals = record.refusals(macs);
    assert!(refusals.is_empty(), "a director refused: {refusals:#?}");
}
