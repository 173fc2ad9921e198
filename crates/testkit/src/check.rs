//! What holds of the tables after every packet.

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
        let mut loads = vec![(0, 0, 0); self.loads.len()];
        let mut count = |word: Word| {
            let load: &mut (u64, u64, u64) = &mut loads[word.server() as usize];
            *(if word.is_template() != 0 {
                &mut load.2
            } else if word.is_active() {
                &mut load.0
            } else {
                &mut load.1
            }) += 1;
        };
        let word = |conn: &Conn| Some(Word(conn.word.load(SeqCst))).filter(|w| !w.is_free());
        let mut keys = Vec::new();
        let mut unassured = 0_u64;
        for conn in self.conns.iter().flat_map(|bucket| &bucket.ways) {
            if let Some(word) = word(conn) {
                count(word);
                unassured += u64::from(word.is_unassured());
                let ports = conn.ports_protocol.load(SeqCst);
                keys.push((conn.addresses.load(SeqCst), ports));
            }
        }
        let half_open = self.buckets.iter().flat_map(|bucket| &bucket.ways);
        let half_open = half_open.filter_map(word).map(&mut count).count();
        let state = &self.state;
        assert_eq!(
            state.established.load(SeqCst),
            keys.len() as u64,
            "established"
        );
        assert_eq!(state.unassured.load(SeqCst), unassured, "unassured");
        assert_eq!(state.half_open.load(SeqCst), half_open as u64, "half-open");
        for ((server, load), counted) in (0..).zip(&self.loads).zip(loads) {
            assert_eq!(
                (
                    load.active.load(SeqCst),
                    load.inactive.load(SeqCst),
                    load.persistent.load(SeqCst)
                ),
                counted,
                "server {server}"
            );
            check_overload(server, load);
        }
        let established = keys.len();
        keys.sort_unstable();
        keys.dedup();
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
