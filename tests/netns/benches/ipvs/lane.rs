//! A case: a director at the far end of a veth pair, with the generator at the near end.

use std::time::{Duration, Instant};

use anyhow::ensure;
use evenkeel_bpf::Attachment;
use evenkeel_model::Scheduler;

use crate::evenkeel::Evenkeel;
use crate::harness::{Burst, Counts, FLOWS, Harness};
use crate::kernel::{Kernel, Task};
use crate::namespace::command;

/// Bursts of a run.
const BURSTS: u32 = 32;

/// Frames of a run.
pub(crate) const FRAMES: u32 = BURSTS * FLOWS;

/// How long the last frames of a run may take to come to the sink.
const PATIENCE: Duration = Duration::from_millis(200);

/// How long all flows may take until they are established.
const OPENING_MAX: Duration = Duration::from_secs(20);

/// Who gets the frames.
enum Director {
    /// A program of the harness.
    Program,
    Evenkeel(Box<Evenkeel>),
    Kernel(Kernel),
}

pub(crate) struct Lane {
    pub(crate) name: &'static str,
    director: Director,
    near: u32,
    _attachments: Vec<Attachment>,
}

/// What a run gave.
pub(crate) struct Outcome {
    /// Nanoseconds per frame that arrived.
    pub(crate) ns: f64,
    /// Share of the frames sent that never did.
    pub(crate) loss: f64,
}

impl Lane {
    /// The case of a program of the harness.
    pub(crate) fn of_program(
        name: &'static str,
        program: &str,
        harness: &mut Harness,
    ) -> anyhow::Result<Self> {
        let (near, far) = pair(harness)?;
        let attachments = vec![
            harness.attach("sink", &near)?,
            harness.attach(program, &far)?,
        ];
        Self::new(name, Director::Program, &[&near, &far], attachments)
    }

    pub(crate) fn of_evenkeel(
        name: &'static str,
        scheduler: Scheduler,
        harness: &mut Harness,
    ) -> anyhow::Result<Self> {
        let (near, far) = pair(harness)?;
        let mut evenkeel = Evenkeel::new(scheduler)?;
        let attachments = vec![harness.attach("sink", &near)?, evenkeel.attach(&far)?];
        Self::new(
            name,
            Director::Evenkeel(Box::new(evenkeel)),
            &[&near, &far],
            attachments,
        )
    }

    pub(crate) fn of_kernel(
        name: &'static str,
        task: Task,
        harness: &mut Harness,
    ) -> anyhow::Result<Self> {
        let number = harness.next_number();
        let (near, real) = (format!("near{number}"), format!("real{number}"));
        let kernel = Kernel::new(task, &near, &real)?;
        let attachments = vec![
            harness.attach("sink", &near)?,
            harness.attach("sink", &real)?,
        ];
        Self::new(name, Director::Kernel(kernel), &[&near, &real], attachments)
    }

    fn new(
        name: &'static str,
        director: Director,
        interfaces: &[&str; 2],
        attachments: Vec<Attachment>,
    ) -> anyhow::Result<Self> {
        for interface in interfaces {
            command(&format!("ip link set {interface} up"))?;
        }
        Ok(Self {
            name,
            director,
            near: nix::net::if_::if_nametoindex(interfaces[0])?,
            _attachments: attachments,
        })
    }

    fn counts(&self) -> anyhow::Result<Option<Counts>> {
        match &self.director {
            Director::Program => Ok(None),
            Director::Evenkeel(evenkeel) => evenkeel.counts().map(Some),
            Director::Kernel(kernel) => kernel.counts().map(Some),
        }
    }

    fn is_settled(&self) -> anyhow::Result<bool> {
        match &self.director {
            Director::Program => Ok(true),
            Director::Evenkeel(evenkeel) => Ok(evenkeel.is_settled()),
            Director::Kernel(kernel) => kernel.is_settled(FLOWS.into()),
        }
    }

    /// Frames that came to the end of their way.
    fn arrived(&self, harness: &Harness) -> anyhow::Result<u64> {
        match &self.director {
            Director::Kernel(kernel) if !kernel.sends() => Ok(kernel.counts()?.packets),
            Director::Program | Director::Evenkeel(_) | Director::Kernel(_) => harness.sunk(),
        }
    }

    /// Opens every flow and waits until all are established.
    pub(crate) fn open_flows(&self, harness: &Harness) -> anyhow::Result<()> {
        let end = Instant::now() + OPENING_MAX;
        harness.send(self.near, Burst::Opening)?;
        while !self.is_settled()? {
            ensure!(
                Instant::now() < end,
                "the flows do not get established: {:?}",
                self.counts()?
            );
            harness.send(self.near, Burst::Known)?;
        }
        Ok(())
    }

    /// Sends the frames of a run.
    pub(crate) fn run(&self, harness: &Harness) -> anyhow::Result<Outcome> {
        let before = self.counts()?;
        let at_first = self.arrived(harness)?;
        let start = Instant::now();
        for _ in 0..BURSTS {
            harness.send(self.near, Burst::Known)?;
        }
        let mut took = start.elapsed();
        let mut arrived = 0;
        while arrived < u64::from(FRAMES) && start.elapsed() < took + PATIENCE {
            let now = self.arrived(harness)? - at_first;
            if now > arrived {
                arrived = now;
                took = start.elapsed();
            }
        }
        let sent = u64::from(FRAMES);
        // Few may be lost in the rings of the pairs: they would cost less than those that arrive.
        ensure!(
            (sent / 100 * 98..=sent).contains(&arrived),
            "{arrived} frames of {sent} arrived"
        );
        if let (Some(before), Some(after)) = (before, self.counts()?) {
            after.expect(&before, arrived, sent)?;
        }
        let arrived = f64::from(u32::try_from(arrived)?);
        Ok(Outcome {
            ns: took.as_secs_f64() * 1e9 / arrived,
            loss: 1.0 - arrived / f64::from(FRAMES),
        })
    }
}

/// Makes a veth pair of this namespace.
fn pair(harness: &mut Harness) -> anyhow::Result<(String, String)> {
    let number = harness.next_number();
    let (near, far) = (format!("near{number}"), format!("far{number}"));
    command(&format!("ip link add {near} type veth peer name {far}"))?;
    Ok((near, far))
}
