//! Tells the service manager how far the daemon is; says nothing where there is none.

use std::time::Duration;

use sd_notify::NotifyState;

/// An end within this time needs no leave: the service manager waits longer (systemd: 90 s).
const SHORT: Duration = Duration::from_secs(5);

/// What the process may need after the time that was told.
const MARGIN: Duration = Duration::from_secs(5);

/// The daemon does its work.
pub(crate) fn ready() {
    send(&[NotifyState::Ready]);
}

/// The daemon reads its config file again; [`ready`] ends that.
pub(crate) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => send(&[NotifyState::Reloading, now]),
        Err(error) => tracing::debug!(%error, "the monotonic clock can't be read"),
    }
}

/// The daemon ends, within that time.
pub(crate) fn stopping(within: Duration) {
    send(&end(within));
}

/// Asks not to be killed before it is over, where that takes long.
fn end(within: Duration) -> Vec<NotifyState<'static>> {
    let mut states = vec![NotifyState::Stopping];
    if within > SHORT {
        let needed = (within + MARGIN).as_micros();
        let needed = u32::try_from(needed).unwrap_or(u32::MAX);
        states.push(NotifyState::ExtendTimeoutUsec(needed));
    }
    states
}

fn send(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "cannot tell the service manager");
    }
}

#[cfg(test)]
mod tests;
