//! New connections at a steady rate, with connection sync and without.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use evenkeel_netns_tests::Samples;
use evenkeel_netns_tests::sync::count;

use crate::clients::Clients;
use crate::stage::{Look, Stage, Who, peer};

/// New connections a second.
pub(crate) const RATE: u32 = 10_000;

/// How long they are measured.
const MEASURED: Duration = Duration::from_secs(10);

/// Time between two looks at the lag.
const LAG_EVERY: Duration = Duration::from_millis(20);

/// Longest wait until the partner has everything.
const SETTLED_WITHIN: Duration = Duration::from_secs(10);

/// What a run gave.
pub(crate) struct Steady {
    pub(crate) seconds: f64,
    /// Connections that were entered meanwhile.
    pub(crate) conns: f64,
    /// Processor time of the daemons, in seconds.
    pub(crate) cpu: [f64; 2],
    /// `None`: it did not sync.
    pub(crate) synced: Option<Synced>,
}

/// What connection sync did in a run.
pub(crate) struct Synced {
    /// Bytes of UDP that the session sent, and that came back.
    pub(crate) session: [f64; 2],
    /// Bytes that the link took, with all headers, and that came back.
    pub(crate) link: [f64; 2],
    pub(crate) records: f64,
    /// Over the whole run.
    pub(crate) resent: u64,
    pub(crate) missed: u64,
    /// In ms, as the Active reckons it, and as the Backup does.
    pub(crate) lag: [Samples; 2],
    /// Looks that found either half not in sync.
    pub(crate) lagging: usize,
    pub(crate) in_sync_at_end: bool,
    /// From the last packet until the partner had as many entries, in ms.
    pub(crate) settled: f64,
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn delta(from: u64, to: u64) -> f64 {
    to.saturating_sub(from) as f64
}

/// How often it happened between two looks.
fn happened(from: &Look, to: &Look, kind: &str) -> f64 {
    let of = |look: &Look| look.peer.as_ref().map_or(0, |p| count(&p.counters, kind));
    delta(of(from), of(to))
}

pub(crate) fn measure(syncs: bool) -> anyhow::Result<Steady> {
    let mut stage = Stage::boot(syncs)?;
    stage.complete();
    let clients = Clients::start(&stage.cluster, 0, RATE, u32::MAX)?;
    while clients.confirmed() < RATE {
        thread::sleep(LAG_EVERY);
    }
    let whos = [Who::Director, Who::Partner];
    let look = || whos.map(|who| stage.look(who));
    let [from, from_partner] = look();
    let (from, from_partner) = (from?, from_partner?);
    let mut lag = [Samples::default(), Samples::default()];
    let mut lagging = 0;
    while from.when.elapsed() < MEASURED {
        lagging += usize::from(sample(&stage, syncs, &mut lag)?);
        thread::sleep(LAG_EVERY);
    }
    let [to, to_partner] = look();
    let (to, to_partner) = (to?, to_partner?);
    let confirmed = clients.finish()?;
    let ended = Instant::now();
    let synced = syncs.then(|| {
        let settled = settle(&stage, ended)?;
        let end = stage.look(Who::Director)?;
        let counters = &end.peer.as_ref().context("it syncs")?.counters;
        anyhow::Ok(Synced {
            session: ["bytes-sent", "bytes-received"].map(|kind| happened(&from, &to, kind)),
            link: [
                delta(from.link, to.link),
                delta(from_partner.link, to_partner.link),
            ],
            records: happened(&from, &to, "records-sent"),
            resent: count(counters, "resent"),
            missed: count(counters, "missed"),
            lag,
            lagging,
            in_sync_at_end: stage.in_sync(),
            settled,
        })
    });
    let synced = synced.transpose()?;
    let end = stage.look(Who::Director)?;
    end.expect_no_loss()?;
    // A frame that a busy machine lost is a flow that was never entered.
    let lost = delta(end.held(), confirmed.into());
    ensure!(
        lost < f64::from(confirmed) / 100.0,
        "{lost} of {confirmed} flows were not entered"
    );
    Ok(Steady {
        seconds: (to.when - from.when).as_secs_f64(),
        conns: delta(from.held(), to.held()),
        cpu: [
            (to.cpu - from.cpu).as_secs_f64(),
            (to_partner.cpu - from_partner.cpu).as_secs_f64(),
        ],
        synced,
    })
}

/// Looks at both directors, synced or not, so that the looks cost either run the same; whether a half is not in sync.
fn sample(stage: &Stage, syncs: bool, lag: &mut [Samples; 2]) -> anyhow::Result<bool> {
    let mut lags = false;
    for (who, lag) in [Who::Director, Who::Partner].into_iter().zip(lag) {
        let status = stage.director(who).status();
        if !syncs {
            continue;
        }
        let peer = peer(&status, who)?;
        let half = match who {
            Who::Director => peer.outgoing,
            Who::Partner => peer.incoming,
        };
        lags |= half.state != "in-sync";
        let half = half.lag_ms.context("a session tells its lag")?;
        lag.add(f64::from(u32::try_from(half)?));
    }
    Ok(lags)
}

/// Waits until the partner holds what the director does; for how long it did not, in ms.
fn settle(stage: &Stage, since: Instant) -> anyhow::Result<f64> {
    loop {
        let held = [Who::Director, Who::Partner]
            .map(|who| stage.director(who).status().tables.connections);
        let waited = since.elapsed();
        if held[0] == held[1] {
            return Ok(waited.as_secs_f64() * 1000.0);
        }
        ensure!(waited < SETTLED_WITHIN, "the partner lacks flows: {held:?}");
    }
}
