//! What holds of the tables after every packet.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering::SeqCst;

use evenkeel_abi::{Conn, Load, Word, high, low};

use crate::tables::NativeTables;

impl NativeTables {
    /// Every counter equals what the tables hold, a server with thresholds is overloaded if and only if its connections
    /// say so, and no flow has two established entries.
    ///
    /// # Panics
    ///
    /// If that is not so.
    pub fn check(&self) {
        let mut loads: BTreeMap<u32, (u64, u64, u64)> = BTreeMap::new();
        let mut count = |conn: &Conn| {
            let word = Word(conn.word.load(SeqCst));
            if !word.is_free() {
                let load = loads.entry(word.server()).or_default();
                *(if word.is_template() != 0 {
                    &mut load.2
                } else if word.is_active() {
                    &mut load.0
                } else {
                    &mut load.1
                }) += 1;
            }
            word
        };
        let ways = self.conns.iter().flat_map(|bucket| &bucket.ways);
        let words: Vec<_> = ways.map(&mut count).filter(|w| !w.is_free()).collect();
        let half_open = self
            .buckets
            .iter()
            .flat_map(|b| &b.ways)
            .filter(|c| !count(c).is_free())
            .count();
        let unassured = words.iter().filter(|w| w.is_unassured()).count();
        let state = &self.state;
        assert_eq!(
            state.established.load(SeqCst),
            words.len() as u64,
            "established"
        );
        assert_eq!(state.unassured.load(SeqCst), unassured as u64, "unassured");
        assert_eq!(state.half_open.load(SeqCst), half_open as u64, "half-open");
        for (server, load) in (0..).zip(&self.loads) {
            assert_eq!(
                (
                    load.active.load(SeqCst),
                    load.inactive.load(SeqCst),
                    load.persistent.load(SeqCst)
                ),
                loads.get(&server).copied().unwrap_or_default(),
                "server {server}"
            );
            check_overload(server, load);
        }
        self.check_keys(words.len());
    }

    fn check_keys(&self, established: usize) {
        let ways = self.conns.iter().flat_map(|bucket| &bucket.ways);
        let live = ways.filter(|conn| !Word(conn.word.load(SeqCst)).is_free());
        let keys: BTreeSet<_> = live
            .map(|conn| {
                (
                    conn.addresses.load(SeqCst),
                    conn.ports_protocol.load(SeqCst),
                )
            })
            .collect();
        assert_eq!(
            keys.len(),
            established,
            "one entry for each established flow"
        );
    }
}

/// Overloaded from the upper threshold on, and not below the lower one, or three quarters of the upper one.
fn check_overload(server: u32, load: &Load) {
    let thresholds = load.thresholds.load(SeqCst);
    let (upper, lower) = (u64::from(low(thresholds)), u64::from(high(thresholds)));
    let connections = load.active.load(SeqCst) + load.inactive.load(SeqCst);
    let is_overloaded = load.overloaded.load(SeqCst) == 1;
    if upper == 0 {
        return;
    }
    let is_low = match lower {
        0 => connections * 4 < upper * 3,
        _ => connections < lower,
    };
    assert!(!is_low || !is_overloaded, "server {server} is not busy");
    let is_full = connections >= upper && !is_low;
    assert!(!is_full || is_overloaded, "server {server} is overloaded");
}
