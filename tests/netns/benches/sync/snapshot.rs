//! A director comes to one that holds a million connections, and is told all of them.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use evenkeel_lab::probe::{Echoes, UdpProbe};
use evenkeel_netns_tests::Samples;
use evenkeel_netns_tests::cluster::vip;
use evenkeel_netns_tests::sync::{count, is_in_sync};
use evenkeel_netns_tests::texts::ECHO;

use crate::clients::Clients;
use crate::stage::{Memory, Stage, Who, peer};

/// Connections that are held.
pub(crate) const HELD: u32 = 1_000_000;

/// How fast they are entered, and how fast others come later, a second.
const FILL_RATE: u32 = 50_000;
pub(crate) const NEW_RATE: u32 = 1_000;

const PROBE_EVERY: Duration = Duration::from_millis(1);

/// How long all is well before.
const BEFORE: Duration = Duration::from_secs(5);

const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(120);

/// A part of the run, as clients saw it.
pub(crate) struct Part {
    pub(crate) name: &'static str,
    pub(crate) seconds: f64,
    /// New connections that were entered, a second.
    pub(crate) entered: f64,
    /// Datagrams of the probe, and those that no answer came to.
    pub(crate) probed: usize,
    pub(crate) lost: usize,
    /// Round trips of the probe, in ms.
    pub(crate) latency: Samples,
}

/// What a run gave.
pub(crate) struct Snapshot {
    /// From the begin of the session until both halves were in sync.
    pub(crate) seconds: f64,
    /// Entries of the director, and of the partner when it said that it was in sync.
    pub(crate) held: [u64; 2],
    pub(crate) bytes: u64,
    pub(crate) records: u64,
    pub(crate) resent: u64,
    pub(crate) missed: u64,
    /// Processor time of both daemons from the begin of the session, in seconds.
    pub(crate) cpu: [f64; 2],
    pub(crate) memory: [Memory; 2],
    pub(crate) parts: [Part; 3],
}

/// A moment, and how many flows had been placed by then.
#[derive(Clone, Copy)]
struct Mark {
    when: Instant,
    placed: u64,
}

pub(crate) fn measure() -> anyhow::Result<Snapshot> {
    let mut stage = Stage::boot(true)?;
    fill(&stage)?;
    let clients = Clients::start(&stage.cluster, HELD * 2, NEW_RATE, u32::MAX)?;
    let probe = UdpProbe::start(stage.cluster.node("client"), vip(ECHO), PROBE_EVERY)?;
    let answered = probe.answered();
    stage
        .cluster
        .eventually("the probe is answered", || probe.answered() > answered);
    // The last flows before were begun a second and more ago.
    thread::sleep(Duration::from_secs(2));

    let before = mark(&stage)?;
    thread::sleep(BEFORE);
    let started = mark(&stage)?;
    stage.start(Who::Partner);
    wait(&stage, |peer| peer.incoming.state != "down")?;
    let begun = mark(&stage)?;
    let whos = [Who::Director, Who::Partner];
    let cpu = |who| anyhow::Ok(stage.look(who)?.cpu);
    let from = [cpu(whos[0])?, cpu(whos[1])?];
    wait(&stage, is_in_sync)?;
    let done = mark(&stage)?;
    let (director, partner) = (stage.look(Who::Director)?, stage.look(Who::Partner)?);

    let _confirmed = clients.finish()?;
    let echoes = probe.stop()?;
    let counters = &director.peer.as_ref().context("it syncs")?.counters;
    director.expect_no_loss()?;
    Ok(Snapshot {
        seconds: (done.when - begun.when).as_secs_f64(),
        held: [director.held(), partner.held()],
        bytes: count(counters, "bytes-sent"),
        records: count(counters, "records-sent"),
        resent: count(counters, "resent"),
        missed: count(counters, "missed"),
        cpu: [
            (director.cpu - from[0]).as_secs_f64(),
            (partner.cpu - from[1]).as_secs_f64(),
        ],
        memory: [director.memory, partner.memory],
        parts: [
            part("before", before, started, &echoes),
            part("the partner starts", started, begun, &echoes),
            part("the snapshot", begun, done, &echoes),
        ],
    })
}

/// Has the director hold its connections.
fn fill(stage: &Stage) -> anyhow::Result<()> {
    let mut wanted = HELD;
    let mut first = 0;
    while wanted > 0 {
        let clients = Clients::start(&stage.cluster, first, FILL_RATE, wanted)?;
        while clients.confirmed() < wanted {
            thread::sleep(LOOK_EVERY);
        }
        first += clients.finish()?;
        let held = stage.look(Who::Director)?;
        held.expect_no_loss()?;
        // A frame that a busy machine lost is a flow that was never entered.
        wanted = HELD.saturating_sub(u32::try_from(held.held())?);
        ensure!(first < HELD + HELD / 10, "too many flows are not entered");
    }
    Ok(())
}

fn mark(stage: &Stage) -> anyhow::Result<Mark> {
    let look = stage.look(Who::Director)?;
    Ok(Mark {
        when: look.when,
        placed: look.placed(),
    })
}

/// Waits until the partner stands so with the director.
fn wait(
    stage: &Stage,
    mut holds: impl FnMut(&evenkeel_api::SyncPeerStatus) -> bool,
) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        let status = stage.director(Who::Partner).try_status();
        if let Some(status) = status
            && holds(&peer(&status, Who::Partner)?)
        {
            return Ok(());
        }
        thread::sleep(LOOK_EVERY);
    }
    anyhow::bail!(
        "the partner does not come so far\n{}",
        stage.cluster.account()
    )
}

fn part(name: &'static str, from: Mark, to: Mark, echoes: &Echoes) -> Part {
    let seconds = (to.when - from.when).as_secs_f64();
    let mut latency = Samples::default();
    let (mut probed, mut lost) = (0, 0);
    for echo in echoes.sent(from.when, to.when) {
        probed += 1;
        match echo.answered {
            Some(at) => {
                latency.add((at.saturating_duration_since(echo.sent)).as_secs_f64() * 1000.0)
            }
            None => lost += 1,
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let entered = (to.placed - from.placed) as f64 / seconds;
    Part {
        name,
        seconds,
        entered,
        probed,
        lost,
        latency,
    }
}
