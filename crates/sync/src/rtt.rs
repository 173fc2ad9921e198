//! How long a datagram and its answer take (RFC 6298).

use std::time::Duration;

/// Before the first sample.
const RESEND_FIRST: Duration = Duration::from_millis(100);
/// A director that is busy for this long has lost nothing.
const RESEND_MIN: Duration = Duration::from_millis(20);
/// With doublings: so soon after an outage is over, something comes through.
const RESEND_MAX: Duration = Duration::from_millis(200);

/// The estimate.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RoundTrip {
    smooth: Option<Duration>,
    varies: Duration,
}

impl RoundTrip {
    pub(crate) fn sample(&mut self, took: Duration) {
        match self.smooth {
            None => (self.smooth, self.varies) = (Some(took), took / 2),
            Some(smooth) => {
                self.varies = (self.varies * 3 + smooth.abs_diff(took)) / 4;
                self.smooth = Some((smooth * 7 + took) / 8);
            }
        }
    }

    pub(crate) const fn smooth(&self) -> Option<Duration> {
        self.smooth
    }

    /// When what was not acknowledged is sent again, after so many doublings.
    pub(crate) fn resend_after(&self, doublings: u32) -> Duration {
        let first = self
            .smooth
            .map_or(RESEND_FIRST, |smooth| smooth + self.varies * 4);
        let doubled = first.max(RESEND_MIN) * (1 << doublings.min(8));
        doubled.min(RESEND_MAX.max(first))
    }
}
