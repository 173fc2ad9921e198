//! What repeated measurements of one thing gave.

/// One figure per round.
#[derive(Debug, Default)]
pub(crate) struct Samples(Vec<f64>);

impl Samples {
    pub(crate) fn add(&mut self, sample: f64) {
        let at = self.0.partition_point(|other| *other < sample);
        self.0.insert(at, sample);
    }

    /// Not a number while there are no samples, as the others.
    pub(crate) fn min(&self) -> f64 {
        self.0.first().copied().unwrap_or(f64::NAN)
    }

    pub(crate) fn max(&self) -> f64 {
        self.0.last().copied().unwrap_or(f64::NAN)
    }

    pub(crate) fn median(&self) -> f64 {
        let middle = |at: usize| self.0.get(at).copied().unwrap_or(f64::NAN);
        let len = self.0.len();
        f64::midpoint(middle(len.saturating_sub(1) / 2), middle(len / 2))
    }
}
