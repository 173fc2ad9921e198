//! The event loop's turns of connection sync.

use std::time::Instant;

use evenkeel_control::{Event, Report};
use evenkeel_model::{Role, VirtualRouterId};
use evenkeel_vrrp::HandoverEnd;
use tokio::time::sleep_until;

use super::{Decision, Sync};
use crate::daemon::event_loop::Daemon;
use crate::daemon::report;

/// Waits for a datagram, or until something is due; for ever without connection sync. It may be called anew at any time.
pub(crate) async fn wait(sync: &mut Option<Sync>) {
    let Some(sync) = sync else {
        return std::future::pending().await;
    };
    let due = sync.due();
    tokio::select! {
        () = sync.receive() => {}
        () = sleep_until(due.into()) => {}
    }
}

impl Daemon {
    /// Tells the other directors what changed, takes in what they tell, and passes on what follows for roles.
    pub(crate) fn sync_turn(&mut self) {
        let Some(sync) = &mut self.sync else {
            return;
        };
        let director = self.control.director();
        let reports = sync.turn(&mut self.hands.plane, director);
        let now = Instant::now();
        let decisions = sync.decide(director, now);
        let known = sync.known(director);
        for news in reports {
            self.tell_of_sync(&news);
        }
        for decision in decisions {
            let told = match decision {
                Decision::Wait(router, wait) => self.hands.vrrp.wait_for_sync(router, wait),
                Decision::Prepared(router) => self.hands.vrrp.prepared(router),
                Decision::Yield(router) => self.hand_over_as_asked(router),
            };
            if let Err(error) = told {
                tracing::error!(event = "vrrp-gone", "{error}");
            }
        }
        if let Some(known) = known {
            self.control.handle_event(Event::Synced(known), now);
        }
    }

    fn tell_of_sync(&mut self, news: &Report) {
        report::log(news);
        self.hands.journal.enter(news);
    }

    /// The configuration is another one, or was edited.
    pub(crate) fn sync_configure(&mut self) {
        if let Some(sync) = &mut self.sync {
            sync.configure(self.control.director(), Instant::now());
        }
    }

    /// A service was put into the data plane, or taken out.
    pub(crate) fn sync_service(&mut self) {
        if let Some(sync) = &mut self.sync {
            sync.service_changed();
        }
    }

    /// This director's role in a virtual router changed.
    pub(crate) fn sync_role(&mut self, router: VirtualRouterId, to: Role) {
        if let Some(sync) = &mut self.sync {
            sync.role(router, to, self.control.director(), Instant::now());
        }
    }

    /// Only connection sync keeps this director from preempting, or no longer.
    pub(crate) fn sync_wants(&mut self, router: VirtualRouterId, wants: bool) {
        if let Some(sync) = &mut self.sync {
            sync.wants(router, wants);
        }
    }

    /// A handover begins.
    pub(crate) fn sync_prepare(&mut self, router: VirtualRouterId) {
        if let Some(sync) = &mut self.sync {
            sync.prepare(router, &self.hands.plane, Instant::now());
        }
    }

    /// A handover is over.
    pub(crate) fn sync_handed_over(&mut self, router: VirtualRouterId, end: HandoverEnd) {
        if let Some(sync) = &mut self.sync {
            let done = matches!(end, HandoverEnd::Successor { .. });
            sync.handed_over(router, done, &self.hands.plane);
        }
    }
}
