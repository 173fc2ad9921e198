//! The event loop's part in virtual routers: it passes on what the VRRP thread and the network tell, looks
//! for strangers, and lets roles be handed over before it ends.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use evenkeel_control::Event;
use evenkeel_model::VirtualRouterId;
use evenkeel_vrrp::PREPARATION_MAX;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::command_error::CommandError;
use crate::daemon::event_loop::Daemon;
use crate::daemon::vrrp::{News, Sighting, Strangers, look};
use crate::daemon::{hands, notify, start};

/// Time from the first look for strangers to the second: by then most first elections are over.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// Time between two later looks.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// What giving up the roles may take longer than the protocol's own times.
const STOP_SLACK: Duration = Duration::from_secs(2);

/// What the event loop knows of virtual routers.
#[derive(Debug)]
pub(crate) struct Roles {
    pub(crate) strangers: Strangers,
    sightings: mpsc::Receiver<Sighting>,
    sighted: mpsc::Sender<Sighting>,
    /// The last look of each virtual router, which may go on.
    looking: BTreeMap<VirtualRouterId, JoinHandle<()>>,
    /// Whether the next look is the first since the virtual routers were configured.
    looks_first: bool,
    look_at: Option<Instant>,
    /// The daemon ends then, whatever the roles; `None`: it does not end.
    overdue_at: Option<Instant>,
}

impl Roles {
    pub(crate) fn new() -> Self {
        let (sighted, sightings) = mpsc::channel(16);
        Self {
            strangers: Strangers::default(),
            sightings,
            sighted,
            looking: BTreeMap::new(),
            looks_first: true,
            look_at: None,
            overdue_at: None,
        }
    }

    pub(crate) const fn look_at(&self) -> Option<Instant> {
        self.look_at
    }

    /// Virtual routers were configured: looks now, and again soon.
    pub(crate) const fn look_soon(&mut self, now: Instant) {
        self.looks_first = true;
        self.look_at = Some(now);
    }

    /// A look begins; sets when the next one does.
    fn looks(&mut self, now: Instant) {
        let first = std::mem::replace(&mut self.looks_first, false);
        self.look_at = Some(now + if first { LOOK_AGAIN } else { LOOK_EVERY });
    }

    /// Whether the last look of this virtual router goes on.
    fn is_looking(&self, router: VirtualRouterId) -> bool {
        let last = self.looking.get(&router);
        last.is_some_and(|look| !look.is_finished())
    }

    pub(crate) const fn overdue_at(&self) -> Option<Instant> {
        self.overdue_at
    }

    pub(crate) async fn sighted(&mut self) -> Option<Sighting> {
        self.sightings.recv().await
    }
}

impl Daemon {
    pub(crate) fn handle_news(&mut self, news: News) {
        let event = match news {
            News::HandoverEnded {
                router,
                number,
                end,
            } => {
                self.sync_handed_over(router, end);
                self.handover_ended(router, number, end);
                return;
            }
            News::Wants { router, wants } => {
                self.sync_wants(router, wants);
                return;
            }
            News::Preparing { router } => {
                self.sync_prepare(router);
                return;
            }
            News::Role {
                router,
                from,
                to,
                reason,
            } => {
                self.sync_role(router, to);
                Event::Role {
                    router,
                    from,
                    to,
                    reason,
                }
            }
            News::Trouble { router, what } => Event::RouterTrouble { router, what },
            News::Stopped { .. } | News::Died => return,
        };
        self.control.handle_event(event, Instant::now());
    }

    /// Finds the interface's own addresses, which it may have got, or changed, since the start.
    pub(crate) async fn find_source(&mut self) {
        let hands = &mut self.hands;
        let director = self.control.director();
        match start::sources(&hands.netlink, &hands.link, director).await {
            // What runs goes on with the addresses that it had.
            Ok(found) if hands.vrrp.is_running() => hands.sources = found.or(hands.sources),
            Ok(found) => hands.sources = found,
            Err(error) => tracing::warn!("{}", hands::reason(&error.into())),
        }
    }

    pub(crate) fn tell_link(&self, up: bool) {
        if let Err(error) = self.hands.vrrp.link(up) {
            tracing::error!(event = "vrrp-gone", "{error}");
        }
    }

    pub(crate) fn tell_address_lost(&self, address: IpAddr) {
        if let Err(error) = self.hands.vrrp.address_lost(address) {
            tracing::error!(event = "vrrp-gone", "{error}");
        }
    }

    /// Asks who else answers for the virtual routers' addresses.
    pub(crate) fn look_for_strangers(&mut self) {
        self.roles.looks(Instant::now());
        let (Some(view), Some(asker)) = (self.hands.vrrp.view(), self.hands.vrrp.asker()) else {
            return;
        };
        if !view.seats.is_empty() {
            self.hands.arp.look(&self.hands.link.name);
        }
        let link = &self.hands.link;
        let routers: BTreeSet<_> = view.seats.iter().map(|seat| seat.config.id).collect();
        self.roles.strangers.keep(&routers);
        for seat in view.seats {
            let router = seat.config.id;
            if self.roles.is_looking(router) {
                continue;
            }
            let looking = look(link.index, link.mac, seat, asker.clone());
            let sighted = self.roles.sighted.clone();
            let look = tokio::spawn(async move {
                match looking.await {
                    // The daemon may have ended meanwhile.
                    Ok(Some(sighting)) => drop(sighted.send(sighting).await),
                    Ok(None) => {}
                    Err(error) => tracing::debug!(%error, "cannot look for strangers"),
                }
            });
            self.roles.looking.insert(router, look);
        }
    }

    pub(crate) fn handle_sighting(&mut self, sighting: Sighting) {
        let (router, news) = self.roles.strangers.take(sighting);
        for what in news {
            let event = Event::RouterTrouble { router, what };
            self.control.handle_event(event, Instant::now());
        }
    }

    /// The roles are given up: marks the pins where nothing is served through them any more, and others serve what was.
    pub(crate) fn stopped(&self, succeeded: bool) -> Result<(), CommandError> {
        if !succeeded || self.hands.plane.serves() {
            return Ok(());
        }
        let marked = self.lock.mark_handed_over();
        marked.map_err(|error| {
            let what = "cannot mark the pins as handed over: a version that can't adopt them will refuse them";
            CommandError::new(anyhow::Error::new(error).context(what))
        })
    }

    /// Begins to give the roles up; false if there is nothing to wait for, or no patience.
    pub(crate) fn begin_to_end(&mut self, signal: &'static str) -> bool {
        let hurried = self.roles.overdue_at.is_some();
        let view = self.hands.vrrp.view().filter(|_| !hurried);
        tracing::info!(
            event = "stopping",
            signal,
            "stopping; pins and addresses of no virtual router stay"
        );
        let Some(view) = view else {
            notify::stopping(Duration::ZERO);
            return false;
        };
        let longest = view.seats.iter().map(|seat| seat.master_down).max();
        let within = PREPARATION_MAX + 2 * longest.unwrap_or_default() + STOP_SLACK;
        notify::stopping(within);
        self.roles.overdue_at = Some(Instant::now() + within);
        self.hands.vrrp.stop().is_ok()
    }
}

#[cfg(test)]
mod tests;
