//! Nanoseconds per packet by `BPF_PROG_TEST_RUN`.
//!
//! The path of a known flow meets neither the scheduler nor the list of servers, for its entry names the server: it is
//! measured with one service and differently many flows. New flows are measured with every scheduler and list, and
//! differently many flows in the table.

use anyhow::Context as _;
use evenkeel_model::Scheduler;
use evenkeel_netns_tests::Samples;

use crate::HALF_OPEN;
use crate::director::{Director, Family, Kind, Packets, Program};

/// Packets of a run.
const REPEAT: u32 = 1_000_000;

/// New flows of a run, few beside [`HALF_OPEN`].
const NEW_FLOWS: u32 = 100_000;

/// Flows in the table.
pub(crate) const FLOWS: [u32; 3] = [1, 1_000, 1_000_000];

/// Schedulers and lengths of lists; the first is that of known flows.
const KINDS: [Kind; 9] = {
    use Scheduler::{Maglev, RoundRobin as Rr, WeightedLeastConnection as Wlc};
    const fn of(scheduler: Scheduler, servers: u16) -> Kind {
        Kind { scheduler, servers }
    }
    [
        of(Rr, 4),
        of(Rr, 64),
        of(Rr, 1024),
        of(Maglev, 4),
        of(Maglev, 64),
        of(Maglev, 1024),
        of(Wlc, 4),
        of(Wlc, 64),
        of(Wlc, 1024),
    ]
};

/// What a family's packets took, in nanoseconds each, the writing of the headers included.
#[derive(Debug)]
pub(crate) struct Nanoseconds {
    pub(crate) family: Family,
    /// Writing the headers alone.
    pub(crate) floor: Samples,
    /// By the flows in the table.
    pub(crate) yardsticks: Vec<(u32, Samples)>,
    pub(crate) cases: Vec<Case>,
}

/// A case, and what it gave.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) name: String,
    /// Flows in the table.
    pub(crate) flows: u32,
    /// The service of new flows; `None`: the packets are known flows'.
    opens: Option<u16>,
    pub(crate) samples: Samples,
}

impl Nanoseconds {
    fn new(family: Family) -> Self {
        let case = |name: String, flows, opens| Case {
            name: format!("{}_{name}", family.name()),
            flows,
            opens,
            samples: Samples::default(),
        };
        let [.., many] = FLOWS;
        let known = FLOWS.map(|flows| case(format!("known_{flows}"), flows, None));
        let opened = FLOWS.into_iter().rev().flat_map(|flows| {
            let services = (0..).zip(KINDS);
            services.map(move |(service, Kind { scheduler, servers })| {
                let name = format!("new_{}_{servers}", scheduler.name());
                let among = match flows == many {
                    true => String::new(),
                    false => format!("_flows_{flows}"),
                };
                case(name + &among, flows, Some(service))
            })
        });
        Self {
            family,
            floor: Samples::default(),
            yardsticks: FLOWS.map(|flows| (flows, Samples::default())).to_vec(),
            cases: known.into_iter().chain(opened).collect(),
        }
    }

    /// A median without what writing the headers takes.
    pub(crate) fn net(&self, samples: &Samples) -> f64 {
        samples.median() - self.floor.median()
    }

    /// How a case compares with the yardstick of as many flows.
    pub(crate) fn ratio(&self, case: &Case) -> f64 {
        let mut yardsticks = self.yardsticks.iter();
        let yardstick = yardsticks.find(|(flows, _)| *flows == case.flows);
        self.net(&case.samples) / yardstick.map_or(f64::NAN, |(_, samples)| self.net(samples))
    }
}

/// A family's directors, one for each number of flows, and what was measured so far.
pub(crate) struct Repeated {
    pub(crate) directors: Vec<Director>,
    samples: Nanoseconds,
}

impl Repeated {
    pub(crate) fn new(family: Family) -> anyhow::Result<Self> {
        let director = |flows| Director::new(family, flows, HALF_OPEN, &KINDS);
        Ok(Self {
            directors: FLOWS.into_iter().map(director).collect::<Result<_, _>>()?,
            samples: Nanoseconds::new(family),
        })
    }

    /// Measures every case once.
    pub(crate) fn round(&mut self) -> anyhow::Result<()> {
        let directors = &self.directors;
        let of = |flows: u32| {
            let director = directors
                .iter()
                .find(|director| director.clients() == flows);
            director.with_context(|| format!("no director of {flows} flows"))
        };
        let floor = of(FLOWS[0])?.run(Program::Floor, Packets::Known, REPEAT, 0)?;
        self.samples.floor.add(floor);
        for (flows, samples) in &mut self.samples.yardsticks {
            samples.add(yardstick(of(*flows)?)?);
        }
        for case in &mut self.samples.cases {
            let director = of(case.flows)?;
            let took = match case.opens {
                None => known(director),
                Some(service) => new(director, service),
            };
            case.samples.add(took.with_context(|| case.name.clone())?);
        }
        Ok(())
    }

    pub(crate) fn into_samples(self) -> Nanoseconds {
        self.samples
    }
}

fn yardstick(director: &Director) -> anyhow::Result<f64> {
    let took = director.run(Program::Yardstick, Packets::Known, REPEAT, 0)?;
    director.expect_hits()?;
    Ok(took)
}

fn known(director: &Director) -> anyhow::Result<f64> {
    let before = director.counts()?;
    let took = director.run(Program::Measured, Packets::Known, REPEAT, 0)?;
    director.expect(&before, REPEAT.into(), 0)?;
    Ok(took)
}

fn new(director: &Director, service: u16) -> anyhow::Result<f64> {
    let before = director.counts()?;
    let took = director.run(Program::Measured, Packets::New, NEW_FLOWS, service)?;
    director.expect(&before, NEW_FLOWS.into(), NEW_FLOWS.into())?;
    director.forget_half_open(NEW_FLOWS)?;
    Ok(took)
}
