//! The event loop's turns of connection sync.

use std::time::Instant;

use evenkeel_control::mirror::Decision;
use evenkeel_control::{Event, Report};
use evenkeel_model::{Role, ServiceKey, VirtualRouterId};
use evenkeel_vrrp::HandoverEnd;
use tokio::time::sleep_until;

use super::{Plane, Sync};
use crate::daemon::event_loop::Daemon;
use crate::daemon::report;

/// Waits for a datagram, or until something is due; for ever without connection sync. It may be called anew at any time.
pub(crate) async fn wait(sync: &mut Option<Sync>) {
    let Some(sync) = sync else {
        return std::future::pending().await;
    };
    let due = sync.mirror.poll_timeout();
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
        let reports = sync.turn(Plane(&mut self.hands.plane), director, Instant::now());
        let now = Instant::now();
        let decisions = sync.mirror.decide(director, now);
        let known = sync.mirror.known(director);
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
            sync.mirror
                .configure(self.control.director(), Instant::now());
        }
    }

    /// A service was put into the data plane, or taken out.
    pub(crate) fn sync_service(&mut self, key: &ServiceKey) {
        if let Some(sync) = &mut self.sync {
            sync.mirror.service_changed(key);
        }
    }

    /// This director's role in a virtual router changed.
    pub(crate) fn sync_role(&mut self, router: VirtualRouterId, to: Role) {
        if let Some(sync) = &mut self.sync {
            sync.mirror
                .role(router, to, self.control.director(), Instant::now());
        }
    }

    /// Only connection sync keeps this director from preempting, or no longer.
    pub(crate) fn sync_wants(&mut self, router: VirtualRouterId, wants: bool) {
        if let Some(sync) = &mut self.sync {
            sync.mirror.wants(router, wants);
        }
    }

    /// A handover begins.
    pub(crate) fn sync_prepare(&mut self, router: VirtualRouterId) {
        if let Some(sync) = &mut self.sync {
            let plane = Plane(&mut self.hands.plane);
            sync.mirror.prepare(router, &plane, Instant::now());
        }
    }

    /// A handover is over.
    pub(crate) fn sync_handed_over(&mut self, router: VirtualRouterId, end: HandoverEnd) {
        if let Some(sync) = &mut self.sync {
            let done = matches!(end, HandoverEnd::Successor { .. });
            let plane = Plane(&mut self.hands.plane);
            sync.mirror
                .handed_over(router, done, &plane, Instant::now());
        }
    }
}
