//! `lab paper`: plays Figures 5 to 8 of the paper on the cluster of its Figure 4, and judges them.
//!
//! A real director, real connections and real HTTP: the director is asked through its own API and its
//! own `ipvsadm`, the client's requests are counted one by one, and a packet socket at the switch sees
//! what the director sends. Nothing is retried, and waiting is for conditions or for the end of a
//! stated bound. The verdicts are in [`judge`], which knows no lab; this module must not judge.

mod act;
mod cluster;
mod evidence;
mod judge;
mod listing;
mod report;
mod setup;
mod tap;
mod watch;

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::error::LabError;
use crate::lab::{Options, WebServer, require_root};
use crate::paper::act::{fault, restoration, sharing};
use crate::paper::cluster::Cluster;
use crate::paper::report::Report;
use crate::paper::setup::Setup;

/// How the paper's cluster is played.
#[derive(Clone, Debug, Default)]
pub struct PaperOptions {
    /// Where the figures are written as JSON, also when they did not hold.
    pub json: Option<PathBuf>,
    /// What real servers run.
    pub web_server: WebServer,
    /// The lab's name; `None`: the topology's, with a suffix where that is taken.
    pub name: Option<String>,
    /// As in [`Options::program`](crate::Options::program).
    pub program: Option<PathBuf>,
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
    /// The director did not get ready.
    #[error("the director `{director}` did not get ready: {state}; the end of its log:\n{log}")]
    NotReady {
        /// Its node.
        director: String,
        /// What it lacks.
        state: String,
        /// The last lines of its log.
        log: String,
    },
    /// The director's `ipvsadm` failed.
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
    /// The JSON file can't be written.
    #[error("can't write `{}`; give `--json` the path of a file in a folder that exists", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Cause.
        #[source]
        source: io::Error,
    },
    /// The narrative can't be written.
    #[error("can't write the output")]
    Output(#[source] io::Error),
    /// A signal asked for the end.
    #[error("interrupted; the lab is gone")]
    Interrupted,
}

/// Plays the figures, telling `out` what happens; whether every one of them held.
///
/// To be called where no runtime runs. The lab is gone when this returns; SIGINT, SIGTERM and SIGHUP
/// end it early.
///
/// # Errors
/// The figures could not be played to their end. Those that were are in the JSON file, with the cause.
pub fn run(options: PaperOptions, out: &mut dyn Write) -> Result<bool, PaperError> {
    require_root()?;
    // Before the lab: a file that can't be written is no reason to wait for the last figure.
    let json = match &options.json {
        Some(path) => Some((path.clone(), create(path)?)),
        None => None,
    };
    let mut report = Report::new(options.web_server);
    let started = Instant::now();
    let played = play(options, &mut report, out);
    report.finish(
        started.elapsed(),
        played.as_ref().err().map(error_with_causes),
    );
    let told = match &played {
        Ok(()) => report.write_end(out).map_err(PaperError::Output),
        Err(_) => Ok(()),
    };
    if let Some((path, file)) = json {
        write_json(&report, file).map_err(|source| PaperError::Json { path, source })?;
    }
    played.and(told).map(|()| report.held())
}

fn play(options: PaperOptions, report: &mut Report, out: &mut dyn Write) -> Result<(), PaperError> {
    let setup = Setup::of_the_paper()?;
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
    let director = &cluster.setup.director;
    let standing = format!(
        "\nThe cluster is up after {} ms: {director} has checked its {} real servers and lists them all.\n",
        started.elapsed().as_millis(),
        cluster.setup.servers.len(),
    );
    say(out, &standing)?;

    let sharing = sharing(&mut cluster)?;
    report.add(judge::figure5(&cluster.setup, &sharing), out)?;
    let fault = fault(&mut cluster)?;
    report.add(judge::figure6(&cluster.setup, &fault), out)?;
    report.add(judge::figure7(&cluster.setup, &fault), out)?;
    let restoration = restoration(&mut cluster)?;
    report.add(judge::figure8(&cluster.setup, &restoration), out)
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

fn error_with_causes(error: &PaperError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
