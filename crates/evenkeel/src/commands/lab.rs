//! `evenkeel lab`: its command line; the lab itself is the crate `evenkeel-lab`.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Subcommand, ValueEnum};
use evenkeel_lab::paper::chaos::{self, ChaosOptions};
use evenkeel_lab::paper::crowd::{self, CrowdOptions};
use evenkeel_lab::paper::failover::{self, FailoverOptions, Fault, Scheduler, Verdict};
use evenkeel_lab::paper::soak::SoakOptions;
use evenkeel_lab::paper::{self, Outcome, PaperError, PaperOptions};
use evenkeel_lab::{LabError, LabState, Options, WebServer, command};
use evenkeel_model::OnFailure;

use crate::command_error::{CommandError, as_root};
use crate::output::{print, print_error};

/// Exit status of what was measured on a machine too noisy to prove anything.
const TOO_NOISY: u8 = 4;

/// Run a cluster in network namespaces of this machine; needs root.
#[derive(Debug, clap::Args)]
#[command(arg_required_else_help = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

/// Which of the running labs.
#[derive(Debug, clap::Args)]
struct Which {
    /// Which lab, where several are running.
    #[arg(long, value_name = "NAME")]
    lab: Option<String>,
}

impl Which {
    fn name(&self) -> Option<&str> {
        self.lab.as_deref()
    }
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Start the cluster of a topology file, and end it when this command ends.
    Up {
        /// The topology file.
        #[arg(value_name = "FILE")]
        file: PathBuf,

        /// Leave it running until `lab down`.
        #[arg(long)]
        detach: bool,

        /// Name of the lab, instead of the file's.
        #[arg(long, value_name = "NAME")]
        name: Option<String>,

        /// What real servers run instead of the built-in web server.
        #[arg(long, value_enum, value_name = "PROGRAM")]
        with: Option<With>,
    },
    /// Run a command in a node.
    Exec {
        #[command(flatten)]
        which: Which,

        /// The node.
        #[arg(value_name = "NODE")]
        node: String,

        /// The command and its words.
        #[arg(last = true, required = true, value_name = "COMMAND")]
        command: Vec<OsString>,
    },
    /// Switch a node off, as if its plug were pulled, or on again.
    Power {
        #[command(flatten)]
        which: Which,

        #[arg(value_enum, value_name = "off|on", hide_possible_values = true)]
        to: Power,

        /// The node.
        #[arg(value_name = "NODE")]
        node: String,
    },
    /// Unplug a node's cable, or plug it in again.
    Link {
        #[command(flatten)]
        which: Which,

        #[arg(value_enum, value_name = "down|up", hide_possible_values = true)]
        to: Link,

        /// The node.
        #[arg(value_name = "NODE")]
        node: String,
    },
    Paper(Paper),
    Soak(Soak),
    Crowd(Crowd),
    Failover(Failover),
    Chaos(Chaos),
    /// End a lab.
    Down {
        #[command(flatten)]
        which: Which,
    },
    /// Show the running labs.
    List,
}

/// Play Figures 5 to 13 of the paper on its cluster.
///
/// The exit status is 0 if every figure held in every round, 1 if one did not, and 4 if all did but this
/// machine stood still so often that the numbers prove nothing.
#[derive(Debug, clap::Args)]
struct Paper {
    /// Time from one advertisement of a director to the next, 10ms to 500ms [default: 100ms].
    #[arg(long, value_name = "TIME", value_parser = milliseconds)]
    adverts: Option<Duration>,

    /// How often to play Figures 9 to 13.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,

    /// How often to play an act of a round again where this machine stood still in it.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(0..=3))]
    repeats: u32,

    /// Write figures and rounds to this file, as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// What real servers run instead of the built-in web server.
    #[arg(long, value_enum, value_name = "PROGRAM")]
    with: Option<With>,
}

/// Leave the paper's two directors alone on a busy machine; the exit status is 0 if both kept their roles.
#[derive(Debug, clap::Args)]
struct Soak {
    /// For how long.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=1440))]
    minutes: u64,

    /// Time from one advertisement of a director to the next, 10ms to 500ms [default: 100ms].
    #[arg(long, value_name = "TIME", value_parser = milliseconds)]
    adverts: Option<Duration>,
}

/// Hold many connections at once through the paper's cluster while a real server and then a director fail.
///
/// The scheduler is maglev. After each fault every connection sends a request; it is broken if it is reset,
/// answered by another server, or unanswered for 30 s. The exit status is 0 if the real server's failure
/// broke its own connections alone, and the director's no more than the consistent hash moves (none with
/// `--on-failure quiesce`). It needs a hard limit of 15000 open files, and a release build for its numbers.
#[derive(Debug, clap::Args)]
struct Crowd {
    /// How many.
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..=i64::from(crowd::CONNECTIONS_MAX)))]
    connections: u32,

    /// What directors do with a real server that fails.
    #[arg(long, value_enum, value_name = "RULE", default_value = "remove")]
    on_failure: Rule,

    /// Write the numbers to this file, as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Measure what faults of a director cost the connections through it.
///
/// Every fault is played with every scheduler, each round on a cluster of its own: connections (a third idle, a
/// third streaming, a third asking), new ones all the time, and a datagram every millisecond. After the fault
/// every connection sends a request; it is broken if it is reset, answered by another server, or unanswered
/// for 30 s. With the scheduler `none` each director answers the datagrams itself, evenkeel's and, where it is
/// installed, keepalived's. A round in which this machine stood still is played again. The exit status is 0
/// when all is measured, whatever broke, and 4 if this machine stood still so often that the times of a row
/// prove nothing. It needs a hard limit of 15000 open files, and a release build for its numbers.
#[derive(Debug, clap::Args)]
struct Failover {
    /// How often to play each fault.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,

    /// How often to play a round again where this machine stood still in it.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(0..=3))]
    repeats: u32,

    /// Write each finished row to this file, as JSON; rows that it has already are not measured again.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// Only these faults [default: all].
    #[arg(long, value_name = "FAULT", num_args = 1.., value_delimiter = ',', value_parser = faults())]
    fault: Vec<Fault>,

    /// Only these schedulers [default: all].
    #[arg(long, value_name = "NAME", num_args = 1.., value_delimiter = ',', value_parser = schedulers())]
    scheduler: Vec<Scheduler>,

    /// Connections that stand when the fault comes.
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=i64::from(failover::CONNECTIONS_MAX)))]
    connections: u32,
}

/// Play random faults on the paper's cluster, and check what must hold once they are over.
///
/// The seed determines the faults, by the rules of the project's simulation: lost power, killed, stopped and paused
/// daemons, unplugged cables, lost frames and partitions, dead real servers, handovers, standby, maintenance, and
/// edits; several in a round of 8 s, which may overlap. Then everything heals. The exit status is 0 if after every
/// round one director was Active and its partner Backup and in sync, every request was answered, counters equalled
/// tables, and no connection had broken but with its real server, or in a round in which a director lost its power
/// and, before both were in sync again, something befell its partner or the link between them.
#[derive(Debug, clap::Args)]
struct Chaos {
    /// What determines the faults.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,

    /// No round begins after so many minutes; with 0 there is one.
    #[arg(long, value_name = "M", default_value_t = 5, value_parser = clap::value_parser!(u64).range(0..=1440))]
    minutes: u64,

    /// Connections that stand in each round.
    #[arg(long, value_name = "N", default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=i64::from(chaos::CONNECTIONS_MAX)))]
    connections: u32,

    /// Write the rounds to this file, as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

fn faults() -> impl TypedValueParser<Value = Fault> {
    let values = Fault::ALL.map(|fault| PossibleValue::new(fault.name()).help(fault.about()));
    PossibleValuesParser::new(values).try_map(|name| {
        let mut all = Fault::ALL.into_iter();
        all.find(|fault| fault.name() == name)
            .ok_or("no such fault")
    })
}

fn schedulers() -> impl TypedValueParser<Value = Scheduler> {
    PossibleValuesParser::new(Scheduler::ALL.map(Scheduler::name)).try_map(|name| {
        let mut all = Scheduler::ALL.into_iter();
        all.find(|scheduler| scheduler.name() == name)
            .ok_or("no such scheduler")
    })
}

/// A service's `on-failure`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Rule {
    /// It leaves the list.
    Remove,
    /// It keeps its place, with weight 0.
    Quiesce,
}

/// A program for real servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum With {
    /// The real nginx, where installed.
    Nginx,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Power {
    Off,
    On,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Link {
    Down,
    Up,
}

pub(crate) fn run(args: Args) -> Result<ExitCode, CommandError> {
    match args.action {
        Action::Up {
            file,
            detach,
            name,
            with,
        } => {
            let topology = command::read_topology(&file)?;
            let options = options(name, with);
            if detach {
                print(&describe(&command::up_detached(topology, options)?))?;
            } else {
                command::up(topology, options, |state| {
                    // The lab is what was asked for; a listener that went away ends nothing.
                    drop(print(&format!("{}Ctrl-C ends the lab.\n", describe(state))));
                })?;
            }
        }
        Action::Paper(arguments) => return play_the_paper(arguments),
        Action::Soak(arguments) => return soak(&arguments),
        Action::Crowd(arguments) => return crowd(arguments),
        Action::Failover(arguments) => return failover(arguments),
        Action::Chaos(arguments) => return chaos(arguments),
        Action::Exec {
            which,
            node,
            command,
        } => return exec(which.name(), &node, command),
        Action::Power { which, to, node } => command::power(which.name(), &node, to == Power::On)?,
        Action::Link { which, to, node } => command::link(which.name(), &node, to == Link::Up)?,
        Action::Down { which } => command::down(which.name())?,
        Action::List => {
            let labs = command::list()?;
            if labs.is_empty() {
                print_error("no lab is running\n");
            }
            print(&labs.iter().map(describe).collect::<String>())?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn play_the_paper(arguments: Paper) -> Result<ExitCode, CommandError> {
    let Options { web_server, .. } = options(None, arguments.with);
    let options = PaperOptions {
        adverts: arguments.adverts,
        rounds: arguments.rounds,
        repeats: arguments.repeats,
        json: arguments.json,
        web_server,
        ..PaperOptions::default()
    };
    let outcome = paper::run(options, &mut std::io::stdout().lock())?;
    Ok(match outcome {
        Outcome::Held => ExitCode::SUCCESS,
        Outcome::NotHeld => ExitCode::FAILURE,
        Outcome::TooNoisy => ExitCode::from(TOO_NOISY),
    })
}

fn soak(arguments: &Soak) -> Result<ExitCode, CommandError> {
    let options = SoakOptions {
        length: Duration::from_secs(arguments.minutes * 60),
        adverts: arguments.adverts,
        name: None,
        program: None,
    };
    let kept = paper::soak::run(options, &mut std::io::stdout().lock())?;
    Ok(if kept {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn crowd(arguments: Crowd) -> Result<ExitCode, CommandError> {
    let options = CrowdOptions {
        connections: arguments.connections,
        on_failure: match arguments.on_failure {
            Rule::Remove => OnFailure::Remove,
            Rule::Quiesce => OnFailure::Quiesce,
        },
        json: arguments.json,
        ..CrowdOptions::default()
    };
    let held = crowd::run(options, &mut std::io::stdout().lock())?;
    Ok(if held {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn failover(arguments: Failover) -> Result<ExitCode, CommandError> {
    let mut options = FailoverOptions {
        connections: arguments.connections,
        rounds: arguments.rounds,
        repeats: arguments.repeats,
        json: arguments.json,
        ..FailoverOptions::default()
    };
    if !arguments.fault.is_empty() {
        options.faults = arguments.fault;
    }
    if !arguments.scheduler.is_empty() {
        options.schedulers = arguments.scheduler;
    }
    let verdict = failover::run(&options, &mut std::io::stdout().lock())?;
    Ok(match verdict {
        Verdict::Measured => ExitCode::SUCCESS,
        Verdict::TooNoisy => ExitCode::from(TOO_NOISY),
    })
}

fn chaos(arguments: Chaos) -> Result<ExitCode, CommandError> {
    let options = ChaosOptions {
        seed: arguments.seed,
        length: Duration::from_secs(arguments.minutes * 60),
        connections: arguments.connections,
        json: arguments.json,
        name: None,
        program: None,
    };
    Ok(match chaos::run(&options, &mut std::io::stdout().lock())? {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

/// Reads a time as `100ms`.
fn milliseconds(text: &str) -> Result<Duration, String> {
    text.strip_suffix("ms")
        .and_then(|count| count.parse().ok())
        .map(Duration::from_millis)
        .ok_or_else(|| String::from("write it in milliseconds, as `100ms`"))
}

fn options(name: Option<String>, with: Option<With>) -> Options {
    Options {
        name,
        web_server: match with {
            Some(With::Nginx) => WebServer::Nginx,
            None => WebServer::BuiltIn,
        },
        program: None,
    }
}

/// The command's exit code is ours; 128 and the signal's number where one killed it, as shells have it.
fn exec(lab: Option<&str>, node: &str, words: Vec<OsString>) -> Result<ExitCode, CommandError> {
    use std::os::unix::process::ExitStatusExt as _;

    let mut words = words.into_iter();
    let Some(program) = words.next() else {
        return Err(CommandError::message("no command was given"));
    };
    let mut command = std::process::Command::new(program);
    command.args(words);
    let status = command::exec(lab, node, command)?;
    let code = status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal))
        .and_then(|code| u8::try_from(code).ok())
        .unwrap_or(1);
    Ok(code.into())
}

fn describe(lab: &LabState) -> String {
    let mut out = format!("lab {}\n", lab.name);
    for (name, node) in &lab.nodes {
        let power = match (node.process.is_some(), node.link_up) {
            (false, _) => "off",
            (true, false) => "on, link down",
            (true, true) => "on",
        };
        let written = writeln!(out, "  {name:<12} {:<15} {power}", node.address.to_string());
        debug_assert!(written.is_ok(), "a string takes all that is written to it");
    }
    out
}

impl From<PaperError> for CommandError {
    fn from(error: PaperError) -> Self {
        match error {
            PaperError::Output(error) => Self::output(error),
            PaperError::Lab(error) => error.into(),
            error @ (PaperError::Setup(_)
            | PaperError::Adverts(_)
            | PaperError::NotReady { .. }
            | PaperError::Director { .. }
            | PaperError::Listing { .. }
            | PaperError::Tap { .. }
            | PaperError::Crowd { .. }
            | PaperError::Json { .. }
            | PaperError::NoRows { .. }
            | PaperError::OtherRows { .. }
            | PaperError::Interrupted) => Self::new(error),
        }
    }
}

impl From<LabError> for CommandError {
    fn from(error: LabError) -> Self {
        if matches!(error, LabError::NotRoot { .. }) {
            return Self::message("a lab makes network namespaces, which needs root")
                .hint(as_root());
        }
        // The other messages say what to do next.
        Self::new(error)
    }
}
