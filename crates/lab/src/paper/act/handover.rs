//! The directors change places: whoever has the virtual address loses power or its daemon, or the one
//! that shall have it comes back.

use std::time::{Duration, Instant};

use evenkeel_api::Role;
use nix::sys::signal::Signal;

use crate::error::LabError;
use crate::lab::Lab;
use crate::load::OpenLoad;
use crate::paper::PaperError;
use crate::paper::act::{EVERY, LATENESS, far_off, partner, watch_partner};
use crate::paper::cluster::Cluster;
use crate::paper::evidence::{Handover, Partner, Return, Takeover};
use crate::paper::roles::{RoleWatch, Roles};
use crate::paper::setup::SILENCE_BOUND;
use crate::probe::UdpProbe;
use crate::streams::Streams;

/// Time from one datagram of the probe to the next.
const PROBE_EVERY: Duration = Duration::from_millis(1);

/// Long-lived connections.
const STREAMS: usize = 6;

/// How long traffic has run when something is done to the directors.
const STEADY_FOR: Duration = Duration::from_millis(300);

/// How long the traffic goes on after the longest silence that a figure allows.
const AFTERWARDS: Duration = Duration::from_millis(500);

/// The director loses its power, `phase` later than it might: Figures 9 to 11.
///
/// Traffic and advertisements begin together, so that without a phase of its own every round would meet
/// the same moment between two advertisements.
pub(crate) fn power_off(cluster: &mut Cluster, phase: Duration) -> Result<Takeover, PaperError> {
    takeover(cluster, phase, |lab, director| {
        lab.power_off(director).map(drop)
    })
}

/// The director's daemon is told to end.
pub(crate) fn stop(cluster: &mut Cluster, phase: Duration) -> Result<Takeover, PaperError> {
    takeover(cluster, phase, |lab, director| {
        lab.signal_daemon(director, Signal::SIGTERM).map(drop)
    })
}

/// The director is powered on: Figures 12 and 13.
pub(crate) fn power_on(cluster: &mut Cluster) -> Result<Return, PaperError> {
    back(cluster, Lab::power_on)
}

/// The director's daemon is started again.
pub(crate) fn restart(cluster: &mut Cluster) -> Result<Return, PaperError> {
    back(cluster, |lab, director| {
        lab.start_daemon(director).map(drop)
    })
}

fn takeover(
    cluster: &mut Cluster,
    phase: Duration,
    end: impl Fn(&Lab, &str) -> Result<(), LabError>,
) -> Result<Takeover, PaperError> {
    let director = cluster.setup.director.clone();
    let heir = cluster.setup.partner.clone();
    let daemon = cluster.lab.daemon(&director)?;
    let watch = watch_partner(cluster)?;
    let traffic = Traffic::start(cluster)?;
    let from = traffic.wait_until_steady(cluster)?;
    let before = Partner {
        roles: watch.known().clone(),
        end: cluster.standing(&heir)?,
    };
    cluster.observe_until(Instant::now() + phase)?;

    let cause = Instant::now();
    end(&cluster.lab, &director)?;
    wait_for(cluster, &watch, cause, SILENCE_BOUND)?;
    let listing = cluster.listing(&heir)?;
    let shown = cause + SILENCE_BOUND + AFTERWARDS;
    let has_ended = || daemon.is_none_or(|daemon| !daemon.is_alive());
    let ended = cluster.wait(shown, has_ended)?.then(Instant::now);
    cluster.observe_until(shown.max(Instant::now() + AFTERWARDS))?;

    let times = [from, cause, Instant::now()];
    let end = cluster.standing(&heir)?;
    Ok(Takeover {
        before,
        handover: traffic.stop(cluster, times, watch.stop())?,
        listing,
        end,
        ended,
    })
}

fn back(
    cluster: &mut Cluster,
    start: impl Fn(&Lab, &str) -> Result<(), LabError>,
) -> Result<Return, PaperError> {
    let director = cluster.setup.director.clone();
    let watch_of_partner = watch_partner(cluster)?;
    let traffic = Traffic::start(cluster)?;
    let from = traffic.wait_until_steady(cluster)?;

    let cause = Instant::now();
    start(&cluster.lab, &director)?;
    // A node that is off has no socket.
    let watch = RoleWatch::start(cluster.socket(&director))?;
    let bound = cluster.setup.takeover_bound();
    wait_for(cluster, &watch, cause, bound)?;
    let listing = cluster.listing(&director)?;
    cluster.observe_until(Instant::now() + SILENCE_BOUND + AFTERWARDS)?;

    let times = [from, cause, Instant::now()];
    let standing = cluster.standing(&director)?;
    let partner = partner(cluster, watch_of_partner)?;
    Ok(Return {
        handover: traffic.stop(cluster, times, watch.stop())?,
        listing,
        director: standing,
        partner,
    })
}

/// Waits until the heir is Active, a good while longer than it may take.
fn wait_for(
    cluster: &mut Cluster,
    heir: &RoleWatch,
    cause: Instant,
    bound: Duration,
) -> Result<(), PaperError> {
    let active = || heir.known().became(Role::Active, cause).is_some();
    cluster.wait(cause + bound + LATENESS, active).map(drop)
}

/// Everything that asks through the virtual address while the directors change places.
struct Traffic {
    probe: UdpProbe,
    load: OpenLoad,
    streams: Streams,
}

impl Traffic {
    fn start(cluster: &Cluster) -> Result<Self, PaperError> {
        let client = cluster.lab.node(&cluster.setup.client)?;
        let echo = cluster.setup.echo_address;
        Ok(Self {
            streams: Streams::start(client, &cluster.target, &cluster.ports, STREAMS)?,
            load: OpenLoad::start(client, &cluster.target, &cluster.ports, EVERY)?,
            probe: UdpProbe::start(client, echo, PROBE_EVERY)?,
        })
    }

    /// Waits until everything is answered, and a while longer; since when it was.
    fn wait_until_steady(&self, cluster: &mut Cluster) -> Result<Instant, PaperError> {
        let streams = u64::try_from(STREAMS).unwrap_or(u64::MAX);
        let all = || {
            self.probe.answered() > 0 && self.load.sent() > 0 && self.streams.answers() > streams
        };
        cluster.wait(far_off(), all)?;
        let from = Instant::now();
        cluster.observe_until(from + STEADY_FOR)?;
        Ok(from)
    }

    /// Ends the traffic; what came of it, and when it was measured: from where, the cause, to where.
    fn stop(
        self,
        cluster: &Cluster,
        [from, cause, to]: [Instant; 3],
        heir: Roles,
    ) -> Result<Handover, PaperError> {
        Ok(Handover {
            from,
            cause,
            to,
            streams: self.streams.stop()?,
            records: self.load.stop()?,
            echoes: self.probe.stop()?,
            heir,
            stalls: cluster.stalls.stalls(from, to),
        })
    }
}
