//! How late the VRRP thread's timers fired.

use std::time::Duration;

/// Buckets: the first up to 16 us, each further one up to twice as much, the last without an end.
const BUCKETS: usize = 20;
const FIRST: Duration = Duration::from_micros(16);

/// A histogram of lateness; recording allocates nothing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lateness {
    counts: [u64; BUCKETS],
    max: Duration,
}

impl Lateness {
    /// Counts a timer that fired this long after it was due.
    pub(super) fn record(&mut self, late: Duration) {
        let bound = |bucket: usize| FIRST * (1 << bucket);
        let bucket = (0..BUCKETS - 1).find(|&bucket| late <= bound(bucket));
        if let Some(count) = self.counts.get_mut(bucket.unwrap_or(BUCKETS - 1)) {
            *count += 1;
        }
        self.max = self.max.max(late);
    }

    /// The greatest.
    pub(crate) const fn max(&self) -> Duration {
        self.max
    }

    /// Upper bound (`None`: none) and number of each bucket that is not empty.
    pub(crate) fn buckets(&self) -> impl Iterator<Item = (Option<Duration>, u64)> {
        let buckets = self.counts.iter().enumerate();
        buckets
            .filter(|(_, count)| **count > 0)
            .map(|(bucket, count)| {
                let bound = (bucket < BUCKETS - 1).then(|| FIRST * (1 << bucket));
                (bound, *count)
            })
    }
}

#[cfg(test)]
mod tests;
