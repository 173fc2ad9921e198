//! Frames that go over a veth pair to a program and come back, on one processor.
//!
//! Each case has a pair of its own: the generator sends out of one end, where a sink takes what
//! comes back, and the program to be measured is at the other.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use evenkeel_bpf::Attachment;
use nix::sched::{CloneFlags, unshare};

use crate::director::Director;
use evenkeel_netns_tests::Samples;

/// Frames of a run.
const FRAMES: u32 = 400_000;

/// How long the last frames of a run may take to come back.
const PATIENCE: Duration = Duration::from_millis(100);

/// Leaves the host's interfaces behind; the new ones vanish with this process.
pub(crate) fn enter_namespace() -> anyhow::Result<()> {
    unshare(CloneFlags::CLONE_NEWNET)?;
    // The sink counts all frames, so there must be no others; where there is no IPv6, there are none.
    let _absent = fs::write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1");
    Ok(())
}

/// A case and its veth pair.
pub(crate) struct Lane {
    figures: Figures,
    /// Place of the director whose program and clients they are.
    director: usize,
    /// Whether every frame must be forwarded as one of a known flow.
    balances: bool,
    generator: u32,
    _attachments: Vec<Attachment>,
}

/// What a case gave.
#[derive(Debug)]
pub(crate) struct Figures {
    pub(crate) name: String,
    /// Million frames per second at the sink.
    pub(crate) mpps: Samples,
    /// Share of the frames sent that never came there.
    pub(crate) loss: Samples,
}

/// The veth pairs with their programs, and what goes on between these directors.
pub(crate) fn lanes(directors: &mut [Director]) -> anyhow::Result<Vec<Lane>> {
    let balancing = directors.iter().map(Director::clients).enumerate();
    let balancing = balancing.map(|(at, flows)| (format!("evenkeel_{flows}"), "evenkeel", at));
    let cases: Vec<_> = [("drop", "sink"), ("bare_tx", "send_back")]
        .map(|(name, program)| (name.to_owned(), program, 0))
        .into_iter()
        .chain(balancing)
        .collect();
    let mut lanes = Vec::new();
    for (number, (name, program, at)) in cases.into_iter().enumerate() {
        let (near, far) = (format!("near{number}"), format!("far{number}"));
        ip(&["link", "add", &near, "type", "veth", "peer", "name", &far])?;
        let director = directors.get_mut(at).context("no such director")?;
        let attachments = vec![
            director.attach("sink", &near)?,
            director.attach(program, &far)?,
        ];
        ip(&["link", "set", &near, "up"])?;
        ip(&["link", "set", &far, "up"])?;
        lanes.push(Lane {
            figures: Figures {
                name,
                mpps: Samples::default(),
                loss: Samples::default(),
            },
            director: at,
            balances: program == "evenkeel",
            generator: nix::net::if_::if_nametoindex(near.as_str())?,
            _attachments: attachments,
        });
    }
    Ok(lanes)
}

/// Measures every case once.
pub(crate) fn round(lanes: &mut [Lane], directors: &[Director]) -> anyhow::Result<()> {
    for lane in lanes {
        let director = directors.get(lane.director).context("no such director")?;
        let (seconds, sunk) =
            run(lane, director).with_context(|| format!("closed loop `{}`", lane.figures.name))?;
        lane.figures.mpps.add(f64::from(sunk) / seconds / 1e6);
        let loss = 1.0 - f64::from(sunk) / f64::from(FRAMES);
        lane.figures.loss.add(loss);
    }
    Ok(())
}

impl Lane {
    pub(crate) fn into_figures(self) -> Figures {
        self.figures
    }
}

/// Sends the frames of a run: how long that took, and how many came to the sink.
fn run(lane: &Lane, director: &Director) -> anyhow::Result<(f64, u32)> {
    let before = director.counts()?;
    let at_first = director.sunk()?;
    let start = Instant::now();
    director.generate(lane.generator, FRAMES)?;
    let took = start.elapsed();
    let end = Instant::now() + PATIENCE;
    let mut sunk = director.sunk()? - at_first;
    while sunk < u64::from(FRAMES) && Instant::now() < end {
        sunk = director.sunk()? - at_first;
    }
    // Some may be lost in the rings of the pair; more would be a fault.
    ensure!(
        (u64::from(FRAMES / 2)..=u64::from(FRAMES)).contains(&sunk),
        "{sunk} frames of {FRAMES} came to the sink"
    );
    if lane.balances {
        let forwarded = director.counts()?.packets - before.packets;
        ensure!(
            (sunk..=u64::from(FRAMES)).contains(&forwarded),
            "{forwarded} frames were forwarded, but {sunk} came to the sink"
        );
        director.expect(&before, forwarded, 0)?;
    }
    Ok((took.as_secs_f64(), u32::try_from(sunk)?))
}

pub(crate) fn ip(arguments: &[&str]) -> anyhow::Result<()> {
    let output = Command::new("ip")
        .args(arguments)
        .output()
        .context("starting `ip` (package iproute2)")?;
    ensure!(
        output.status.success(),
        "`ip {}`: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr).trim_end()
    );
    Ok(())
}
