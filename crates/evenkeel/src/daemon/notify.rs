//! Tells the service manager how far the daemon is; says nothing where there is none.

use sd_notify::NotifyState;

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

/// The daemon ends.
pub(crate) fn stopping() {
    send(&[NotifyState::Stopping]);
}

fn send(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "cannot tell the service manager");
    }
}
