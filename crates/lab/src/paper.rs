//! `lab paper`: plays Figures 5 to 13 of the paper on the cluster of its Figure 4, and judges them.
//!
//! Real directors, real connections and real HTTP: the directors are asked through their own API and
//! their own `ipvsadm`, the client's requests are counted one by one, and a packet socket at the switch
//! sees what the director sends. Nothing is retried, and waiting is for conditions or for the end of a
//! stated bound. The verdicts are in [`judge`], which knows no lab; this module must not judge.
//!
//! Figures 9 to 13, and a director whose daemon is stopped, are played in rounds on the same cluster. What
//! is measured while the machine itself stands still measures the machine: such an act is played again.

mod act;
pub mod chaos;
mod cluster;
pub mod crowd;
mod evidence;
pub mod failover;
mod figure;
mod judge;
mod listing;
mod numbers;
mod report;
mod roles;
mod rounds;
mod setup;
pub mod soak;
mod table;
mod tap;
mod watch;

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use evenkeel_api::ClientError;

use crate::error::{LabError, with_causes};
use crate::lab::{Options, WebServer, require_root};
use crate::paper::cluster::Cluster;
use crate::paper::evidence::Handover;
use crate::paper::figure::Figure;
use crate::paper::numbers::Numbers;
use crate::paper::report::Report;
use crate::paper::rounds::{Event, Measured, Round};
use crate::paper::setup::Setup;

/// How the paper's cluster is played.
#[derive(Clone, Debug)]
pub struct PaperOptions {
    /// Time between the directors' advertisements, 10 to 500 ms in steps of 10; `None`: the topology's,
    /// 100 ms.
    pub adverts: Option<Duration>,
    /// How often Figures 9 to 13 are played, 1 at least.
    pub rounds: u32,
    /// How often an act of a round is played again where the machine stood still in it.
    pub repeats: u32,
    /// Where the figures are written as JSON, also when they did not hold.
    pub json: Option<PathBuf>,
    /// What real servers run.
    pub web_server: WebServer,
    /// The lab's name; `None`: the topology's, with a suffix where that is taken.
    pub name: Option<String>,
    /// As in [`Options::program`](crate::Options::program).
    pub program: Option<PathBuf>,
}

impl Default for PaperOptions {
    fn default() -> Self {
        Self {
            adverts: None,
            rounds: 1,
            repeats: 3,
            json: None,
            web_server: WebServer::default(),
            name: None,
            program: None,
        }
    }
}

/// What a run came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Every figure held, in every round.
    Held,
    /// One did not.
    NotHeld,
    /// Every figure held, but the machine stood still in so many rounds that the others prove nothing.
    TooNoisy,
}

/// Why the figures could not be played to their end.
#[derive(Debug, thiserror::Error)]
pub enum PaperError {
    /// The lab failed.
    #[error(transparent)]
    Lab(#[from] LabError),
    /// The built-in topology or the config in it is not what the figures need.
    #[error("the paper's topology can't be played: {0}")]
    Setup(String),
    /// Another time between advertisements than the figures allow.
    #[error(
        "advertisements every {} ms can't be played: give 10 to 500 ms, in steps of 10 ms",
        .0.as_millis()
    )]
    Adverts(Duration),
    /// A director did not get ready.
    #[error("the director `{director}` did not get ready: {state}; the end of its log:\n{log}")]
    NotReady {
        /// Its node.
        director: String,
        /// What it lacks.
        state: String,
        /// The last lines of its log.
        log: String,
    },
    /// A director's daemon did not say what it holds.
    #[error("the director `{director}` does not say what it holds")]
    Director {
        /// Its node.
        director: String,
        /// Cause.
        #[source]
        source: ClientError,
    },
    /// A director's `ipvsadm` failed.
    #[error("`ipvsadm -L` failed in `{director}`: {reason}")]
    Listing {
        /// Its node.
        director: String,
        /// What it said.
        reason: String,
    },
    /// The packet socket at the switch failed.
    #[error("can't watch the packets of `{director}` at the switch")]
    Tap {
        /// The node.
        director: String,
        /// Cause.
        #[source]
        source: io::Error,
    },
    /// A process of many connections failed.
    #[error("the connections of `{node}` can't be held: {reason}")]
    Crowd {
        /// Its node.
        node: String,
        /// What it did not do.
        reason: String,
    },
    /// The JSON file can't be written.
    #[error("can't write `{}`; give `--json` the path of a file in a folder that exists", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Cause.
        #[source]
        source: io::Error,
    },
    /// The JSON file holds something else than the rows of a measurement.
    #[error("`{}` holds no rows of `lab failover` ({reason}); give `--json` another path", path.display())]
    NoRows {
        /// The file.
        path: PathBuf,
        /// What it is instead.
        reason: String,
    },
    /// The JSON file holds the rows of a measurement with other settings.
    #[error(
        "`{}` holds rows with {theirs}, and this run has {ours}; give the same, or `--json` another path",
        path.display()
    )]
    OtherRows {
        /// The file.
        path: PathBuf,
        /// Their settings.
        theirs: String,
        /// The run's.
        ours: String,
    },
    /// The narrative can't be written.
    #[error("can't write the output")]
    Output(#[source] io::Error),
    /// A signal asked for the end.
    #[error("interrupted; the lab is gone")]
    Interrupted,
}

/// Plays the figures, telling `out` what happens; what they came to.
///
/// To be called where no runtime runs. The lab is gone when this returns; SIGINT, SIGTERM and SIGHUP
/// end it early.
///
/// # Errors
/// The figures could not be played to their end. Those that were are in the JSON file, with the cause.
pub fn run(options: PaperOptions, out: &mut dyn Write) -> Result<Outcome, PaperError> {
    let setup = Setup::of_the_paper(options.adverts)?;
    require_root()?;
    // Before the lab: a file that can't be written is no reason to wait for the last figure.
    let json = match &options.json {
        Some(path) => Some((path.clone(), create(path)?)),
        None => None,
    };
    let interval = setup.router.advert_interval;
    let mut report = Report::new(options.web_server, interval, options.rounds.max(1));
    let started = Instant::now();
    let played = play(setup, options, &mut report, out);
    report.finish(
        started.elapsed(),
        played.as_ref().err().map(|error| with_causes(error)),
    );
    let told = match &played {
        Ok(()) => report.write_end(out).map_err(PaperError::Output),
        Err(_) => Ok(()),
    };
    if let Some((path, file)) = json {
        write_json(&report, file).map_err(|source| PaperError::Json { path, source })?;
    }
    played.and(told).map(|()| report.outcome())
}

fn play(
    setup: Setup,
    options: PaperOptions,
    report: &mut Report,
    out: &mut dyn Write,
) -> Result<(), PaperError> {
    say(out, &setup.introduction())?;
    let started = Instant::now();
    let mut cluster = Cluster::start(
        setup,
        Options {
            name: options.name,
            web_server: options.web_server,
            program: options.program,
        },
    )?;
    report.stalls_are_watched(cluster.stalls.is_realtime());
    let standing = format!(
        "\nThe cluster is up after {} ms: {} is Active and lists the {} real servers it has checked; {} \
         is Backup\nand holds them warm.\n",
        started.elapsed().as_millis(),
        cluster.setup.director,
        cluster.setup.servers.len(),
        cluster.setup.partner,
    );
    say(out, &standing)?;

    let sharing = act::sharing(&mut cluster)?;
    report.add(judge::figure5(&cluster.setup, &sharing), out)?;
    let fault = act::fault(&mut cluster)?;
    report.add(judge::figure6(&cluster.setup, &fault), out)?;
    report.add(judge::figure7(&cluster.setup, &fault), out)?;
    let restoration = act::restoration(&mut cluster)?;
    report.add(judge::figure8(&cluster.setup, &restoration), out)?;

    let rounds = options.rounds.max(1);
    for number in 1..=rounds {
        let phase = cluster.setup.router.advert_interval * (number - 1) / rounds;
        let failover = repeated(&mut cluster, options.repeats, |cluster| {
            failover(cluster, phase)
        })?;
        let stop = repeated(&mut cluster, options.repeats, |cluster| {
            stop(cluster, phase)
        })?;
        let round = Round {
            round: number,
            held: failover.held() && stop.held(),
            stalled: failover.stalled() || stop.stalled(),
            events: [failover.measured, stop.measured].concat(),
        };
        let figures = [failover.figures, stop.figures].concat();
        report.add_round(round, figures, out)?;
    }
    Ok(())
}

/// One act of a round, judged.
struct Act {
    figures: Vec<Figure>,
    measured: Vec<Measured>,
}

impl Act {
    fn held(&self) -> bool {
        self.figures.iter().all(Figure::held)
    }

    fn stalled(&self) -> bool {
        self.measured.iter().any(|measured| measured.stalled)
    }
}

/// Plays an act, and again where the machine stood still in it.
fn repeated(
    cluster: &mut Cluster,
    repeats: u32,
    play: impl Fn(&mut Cluster) -> Result<Act, PaperError>,
) -> Result<Act, PaperError> {
    let mut attempts = 0;
    loop {
        attempts += 1;
        let mut act = play(cluster)?;
        if !rounds::is_played_again(act.stalled(), act.held(), attempts, repeats) {
            for measured in &mut act.measured {
                measured.attempts = attempts;
            }
            return Ok(act);
        }
    }
}

/// The director loses its power and comes back: Figures 9 to 13.
fn failover(cluster: &mut Cluster, phase: Duration) -> Result<Act, PaperError> {
    let takeover = act::power_off(cluster, phase)?;
    let back = act::power_on(cluster)?;
    let setup = &cluster.setup;
    Ok(Act {
        figures: vec![
            judge::figure9(setup, &takeover),
            judge::figure10(setup, &takeover),
            judge::figure11(setup, &takeover),
            judge::figure12(setup, &back),
            judge::figure13(setup, &back),
        ],
        measured: vec![
            measured(Event::PowerOff, &takeover.handover),
            measured(Event::Return, &back.handover),
        ],
    })
}

/// The director's daemon is stopped and started again.
fn stop(cluster: &mut Cluster, phase: Duration) -> Result<Act, PaperError> {
    let takeover = act::stop(cluster, phase)?;
    let back = act::restart(cluster)?;
    Ok(Act {
        figures: vec![judge::stop(&cluster.setup, &takeover, &back)],
        measured: vec![
            measured(Event::Stop, &takeover.handover),
            measured(Event::Restart, &back.handover),
        ],
    })
}

fn measured(event: Event, handover: &Handover) -> Measured {
    Measured {
        event,
        stalled: numbers::is_stalled(handover),
        attempts: 1,
        numbers: Numbers::of(handover),
    }
}

fn say(out: &mut dyn Write, text: &str) -> Result<(), PaperError> {
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(PaperError::Output)
}

fn create(path: &Path) -> Result<File, PaperError> {
    File::create(path).map_err(|source| PaperError::Json {
        path: path.to_owned(),
        source,
    })
}

fn write_json(report: &Report, mut file: File) -> io::Result<()> {
    let mut text = serde_json::to_string_pretty(report)?;
    text.push('\n');
    file.write_all(text.as_bytes())
}
