//! Acts the figures out on the running cluster, and brings back what was seen. It judges nothing.

mod handover;

use std::time::{Duration, Instant};

use crate::link::node_mac;
use crate::load::{OpenLoad, sequential};
use crate::paper::PaperError;
use crate::paper::cluster::Cluster;
use crate::paper::evidence::{Fault, Partner, Restoration, Sharing};
use crate::paper::judge::SEQUENCE;
use crate::paper::listing;
use crate::paper::roles::RoleWatch;
use crate::paper::tap::Tap;
use crate::paper::watch::Watch;

pub(crate) use self::handover::{power_off, power_on, restart, stop};

/// Time from one request of a load to the next.
const EVERY: Duration = Duration::from_millis(5);

/// Requests of Figure 5's load; no multiple of the number of servers, so that a share is odd.
const SHARED: u64 = 301;

/// Requests of a load before something is done to the cluster.
const STEADY: u64 = 200;

/// How long the connection of a failed request stays open: with the request's deadline that is time for
/// two more SYN packets, after 1 and 2 seconds.
const LINGER: Duration = Duration::from_millis(1300);

/// How much later than at its bound something is still waited for, to say how late it was.
const LATENESS: Duration = Duration::from_secs(5);

/// How long the load goes on after the server that came back has served.
const AFTERWARDS: Duration = Duration::from_secs(2);

/// Figure 5.
pub(crate) fn sharing(cluster: &mut Cluster) -> Result<Sharing, PaperError> {
    /// A client's last packet may still be on its way when its request is answered.
    const SETTLING: Duration = Duration::from_secs(2);

    let roles = watch_partner(cluster)?;
    let client = cluster.lab.node(&cluster.setup.client)?;
    let sequence = sequential(client, &cluster.target, &cluster.ports, SEQUENCE)?;
    let listing = cluster.listing_when(SETTLING, |_setup, listing| {
        listing::sections(listing).is_ok_and(|sections| {
            let mut rows = sections.iter().flat_map(|section| &section.rows);
            rows.all(|row| row.active == 0)
        })
    })?;
    let watch = Watch::start(cluster.socket(&cluster.setup.director), &cluster.setup)?;
    let load = start_load(cluster)?;
    cluster.wait(far_off(), || load.sent() >= SHARED)?;
    let load = load.stop()?;
    Ok(Sharing {
        sequence,
        listing,
        load,
        history: watch.stop(),
        partner: partner(cluster, roles)?,
    })
}

/// Figures 6 and 7.
pub(crate) fn fault(cluster: &mut Cluster) -> Result<Fault, PaperError> {
    let roles = watch_partner(cluster)?;
    let victim = cluster.setup.victim.clone();
    let std::net::IpAddr::V4(virtual_address) = cluster.setup.virtual_address() else {
        return Err(PaperError::Setup(String::from(
            "its virtual address is not IPv4",
        )));
    };
    let tap = Tap::start(
        &cluster.lab,
        &cluster.setup.director,
        node_mac(victim.ip),
        virtual_address,
    )?;
    let watch = Watch::start(cluster.socket(&cluster.setup.director), &cluster.setup)?;
    let load = start_load(cluster)?;
    cluster.wait(far_off(), || load.sent() >= STEADY)?;

    let fault = cluster.lab.power_off(&victim.node)?;
    let bound = fault + cluster.setup.removal_bound();
    let removed = || {
        let known = watch.known();
        known.first(fault, victim.address, false).is_some()
    };
    cluster.wait(bound + LATENESS, removed)?;
    let listing_removed = cluster.listing(&cluster.setup.director)?;
    // The last request that the dead server may have got keeps its connection until then.
    cluster.observe_until(bound + cluster.target.deadline + LINGER)?;
    let listing_end = cluster.listing(&cluster.setup.director)?;
    let records = load.stop()?;
    Ok(Fault {
        fault,
        records,
        history: watch.stop(),
        frames: tap.stop()?,
        listing_removed,
        listing_end,
        partner: partner(cluster, roles)?,
    })
}

/// Figure 8.
pub(crate) fn restoration(cluster: &mut Cluster) -> Result<Restoration, PaperError> {
    let roles = watch_partner(cluster)?;
    let victim = cluster.setup.victim.clone();
    let watch = Watch::start(cluster.socket(&cluster.setup.director), &cluster.setup)?;
    let load = start_load(cluster)?;
    cluster.wait(far_off(), || load.sent() >= STEADY)?;

    // Before it, so that its own time counts.
    let power_on = Instant::now();
    cluster.lab.power_on(&victim.node)?;
    let back = || {
        let known = watch.known();
        known.first(power_on, victim.address, true).is_some()
    };
    cluster.wait(power_on + cluster.setup.return_bound() + LATENESS, back)?;
    cluster.observe_until(Instant::now() + AFTERWARDS)?;
    let listing = cluster.listing(&cluster.setup.director)?;
    let records = load.stop()?;
    Ok(Restoration {
        power_on,
        records,
        history: watch.stop(),
        listing,
        partner: partner(cluster, roles)?,
    })
}

fn start_load(cluster: &Cluster) -> Result<OpenLoad, PaperError> {
    let client = cluster.lab.node(&cluster.setup.client)?;
    let load = OpenLoad::start_lingering(client, &cluster.target, &cluster.ports, EVERY, LINGER)?;
    Ok(load)
}

fn watch_partner(cluster: &Cluster) -> Result<RoleWatch, PaperError> {
    let socket = cluster.socket(&cluster.setup.partner);
    Ok(RoleWatch::start(socket)?)
}

fn partner(cluster: &Cluster, roles: RoleWatch) -> Result<Partner, PaperError> {
    Ok(Partner {
        roles: roles.stop(),
        end: cluster.standing(&cluster.setup.partner)?,
    })
}

/// For what only a broken machine keeps from happening.
fn far_off() -> Instant {
    Instant::now() + Duration::from_secs(60)
}
