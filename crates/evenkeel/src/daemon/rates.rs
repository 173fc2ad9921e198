//! Rates as IPVS's estimator makes them (`est_timer` and `ip_vs_read_estimator` in
//! net/netfilter/ipvs/ip_vs_est.c): every two seconds a moving average with weight 1/4, in integers.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

use evenkeel_api::{Rates, Totals};

/// Time between two samples.
pub(crate) const PERIOD: Duration = Duration::from_secs(2);

/// A moving average in fixed point: `SCALE` bits behind the point.
#[derive(Clone, Copy, Debug, Default)]
struct Average<const SCALE: u32> {
    last: u64,
    value: i64,
}

impl<const SCALE: u32> Average<SCALE> {
    /// Takes the counter as it is, one period after the last time.
    fn sample(&mut self, counter: u64) {
        // A counter that went back belongs to something new under the old name.
        let change = counter.saturating_sub(self.last);
        self.last = counter;
        // Per second, of a change in two: one bit less.
        let rate = i64::try_from(change)
            .unwrap_or(i64::MAX)
            .saturating_mul(1 << (SCALE - 1));
        self.value = self
            .value
            .saturating_add(rate.saturating_sub(self.value) >> 2);
    }

    fn per_second(self) -> u64 {
        let rounded = self.value.saturating_add((1 << (SCALE - 1)) - 1) >> SCALE;
        u64::try_from(rounded).unwrap_or(0)
    }
}

/// Rates of one thing.
#[derive(Clone, Copy, Debug, Default)]
struct Estimate {
    cps: Average<10>,
    pps: Average<10>,
    bps: Average<5>,
}

/// Rates of all things that are counted.
#[derive(Debug)]
pub(crate) struct Estimator<K>(HashMap<K, Estimate>);

impl<K> Default for Estimator<K> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Eq + Hash> Estimator<K> {
    /// Takes all counters, one [`PERIOD`] after the last time; what is not among them is forgotten.
    pub(crate) fn sample(&mut self, counters: impl Iterator<Item = (K, Totals)>) {
        let mut old = std::mem::take(&mut self.0);
        self.0 = counters
            .map(|(key, totals)| {
                let first = Estimate {
                    cps: Average::starting_at(totals.conns),
                    pps: Average::starting_at(totals.in_packets),
                    bps: Average::starting_at(totals.in_bytes),
                };
                let mut estimate = old.remove(&key).unwrap_or(first);
                estimate.cps.sample(totals.conns);
                estimate.pps.sample(totals.in_packets);
                estimate.bps.sample(totals.in_bytes);
                (key, estimate)
            })
            .collect();
    }

    /// Begins anew with one thing, at rate 0.
    pub(crate) fn forget(&mut self, key: &K) {
        self.0.remove(key);
    }

    /// The rates of one thing; 0 where it has not been sampled.
    pub(crate) fn rates(&self, key: &K) -> Rates {
        self.0
            .get(key)
            .map_or_else(Rates::default, |estimate| Rates {
                cps: estimate.cps.per_second(),
                in_pps: estimate.pps.per_second(),
                in_bps: estimate.bps.per_second(),
            })
    }
}

impl<const SCALE: u32> Average<SCALE> {
    /// What was counted before the first sample (by an earlier daemon) is no rate.
    const fn starting_at(counter: u64) -> Self {
        Self {
            last: counter,
            value: 0,
        }
    }
}

#[cfg(test)]
mod tests;
