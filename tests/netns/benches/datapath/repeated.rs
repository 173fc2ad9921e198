//! Nanoseconds per packet by `BPF_PROG_TEST_RUN`.

use crate::director::{Director, Packets};
use evenkeel_netns_tests::Samples;

/// Packets of a run.
const REPEAT: u32 = 1_000_000;

/// New flows of a run, few beside [`HALF_OPEN`](crate::HALF_OPEN), and runs of a round.
const NEW_FLOWS: u32 = 100_000;
const NEW_RUNS: u32 = 5;

/// What each program took, in nanoseconds per packet, the writing of the headers included.
#[derive(Debug, Default)]
pub(crate) struct Nanoseconds {
    /// Writing the headers alone.
    pub(crate) floor: Samples,
    pub(crate) yardstick_one: Samples,
    pub(crate) yardstick_many: Samples,
    pub(crate) known_one: Samples,
    pub(crate) known_many: Samples,
    /// A new flow while many are established.
    pub(crate) new: Samples,
}

/// The cases, and what they gave so far.
pub(crate) struct Repeated<'a> {
    one: &'a Director,
    many: &'a Director,
    samples: Nanoseconds,
}

impl<'a> Repeated<'a> {
    pub(crate) fn new(one: &'a Director, many: &'a Director) -> Self {
        Self {
            one,
            many,
            samples: Nanoseconds::default(),
        }
    }

    /// Measures every case once.
    pub(crate) fn round(&mut self) -> anyhow::Result<()> {
        let floor = self.many.run("floor", Packets::Known, REPEAT)?;
        self.samples.floor.add(floor);
        self.samples.yardstick_one.add(yardstick(self.one)?);
        self.samples.known_one.add(known(self.one)?);
        self.samples.yardstick_many.add(yardstick(self.many)?);
        self.samples.known_many.add(known(self.many)?);
        self.samples.new.add(new(self.many)?);
        Ok(())
    }

    pub(crate) fn into_samples(self) -> Nanoseconds {
        self.samples
    }
}

fn yardstick(director: &Director) -> anyhow::Result<f64> {
    let took = director.run("yardstick", Packets::Known, REPEAT)?;
    director.expect_hits()?;
    Ok(took)
}

fn known(director: &Director) -> anyhow::Result<f64> {
    let before = director.counts()?;
    let took = director.run("measured", Packets::Known, REPEAT)?;
    director.expect(&before, REPEAT.into(), 0)?;
    Ok(took)
}

fn new(director: &Director) -> anyhow::Result<f64> {
    let mut sum = 0.0;
    for _ in 0..NEW_RUNS {
        let before = director.counts()?;
        sum += director.run("measured", Packets::New, NEW_FLOWS)?;
        director.expect(&before, NEW_FLOWS.into(), NEW_FLOWS.into())?;
        director.forget_half_open(NEW_FLOWS)?;
    }
    Ok(sum / f64::from(NEW_RUNS))
}
