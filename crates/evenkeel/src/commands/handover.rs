//! `evenkeel failover`, `evenkeel standby` and `evenkeel maintenance`.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::ValueEnum;
use evenkeel_api::{Client, HandoverAnswer, HandoverOrder, HandoverOutcome, HandoverRequest};

use crate::command_error::CommandError;
use crate::output::{print, print_error};

/// Hand virtual routers over to the partner now, and stay Backup.
///
/// Waits until the partner has taken over, and says how long that took; nothing is lost meanwhile, for both
/// directors forward. If nobody takes over, this director stays Active and the command fails. Afterwards it does
/// not preempt, whatever its priority, until the partner fails, `evenkeel failover` there hands back,
/// `evenkeel standby --off`, or a restart of the daemon.
#[derive(Debug, clap::Args)]
pub(crate) struct FailoverArgs {
    /// The virtual routers, by name [default: all that this director is Active for].
    #[arg(value_name = "ROUTER")]
    routers: Vec<String>,

    /// The partner's own address; the command fails if that is not who takes over.
    #[arg(long, value_name = "ADDRESS")]
    to: Option<IpAddr>,

    #[command(flatten)]
    how: How,
}

/// Hand virtual routers over, and take over only while nobody else is there.
///
/// As heartbeat's hb_standby: a director that stands by has priority 1, as Active too, until
/// `evenkeel standby --off`; that outlives the daemon, not the machine.
#[derive(Debug, clap::Args)]
pub(crate) struct StandbyArgs {
    /// The virtual routers, by name [default: all].
    #[arg(value_name = "ROUTER")]
    routers: Vec<String>,

    /// Stand by no longer: priority and failback are those of the config file again, after a failover too.
    #[arg(long)]
    off: bool,

    #[command(flatten)]
    how: How,
}

/// Keep this director from taking anything over, even if its partner dies.
///
/// It hands over what it is Active for first; if nobody takes over, there is no maintenance and the command
/// fails. Maintenance outlives the daemon, not the machine.
#[derive(Debug, clap::Args)]
pub(crate) struct MaintenanceArgs {
    /// Whether to be in maintenance.
    state: Switch,

    /// Give the addresses up even if nobody takes over: then nobody serves them.
    #[arg(long)]
    force: bool,

    #[command(flatten)]
    how: How,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Switch {
    On,
    Off,
}

#[derive(Debug, clap::Args)]
struct How {
    /// How long the partner may take to get ready, such as `500ms` or `1m`, at most 10m [default: 10s].
    #[arg(long, value_name = "DURATION", value_parser = evenkeel_config::parse_duration)]
    timeout: Option<Duration>,

    /// Print the answer as JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn failover(args: FailoverArgs, socket: PathBuf) -> Result<ExitCode, CommandError> {
    let FailoverArgs { routers, to, how } = args;
    order(HandoverOrder::Failover, routers, to, &how, socket)
}

pub(crate) fn standby(args: StandbyArgs, socket: PathBuf) -> Result<ExitCode, CommandError> {
    let StandbyArgs { routers, off, how } = args;
    let what = if off {
        HandoverOrder::Resume
    } else {
        HandoverOrder::Standby
    };
    order(what, routers, None, &how, socket)
}

pub(crate) fn maintenance(
    args: MaintenanceArgs,
    socket: PathBuf,
) -> Result<ExitCode, CommandError> {
    let MaintenanceArgs { state, force, how } = args;
    let what = match (state, force) {
        (Switch::On, false) => HandoverOrder::Maintenance,
        (Switch::On, true) => HandoverOrder::MaintenanceForced,
        (Switch::Off, false) => HandoverOrder::EndMaintenance,
        (Switch::Off, true) => {
            return Err(CommandError::usage(
                "`--force` has no meaning with `maintenance off`",
            ));
        }
    };
    order(what, Vec::new(), None, &how, socket)
}

fn order(
    order: HandoverOrder,
    routers: Vec<String>,
    to: Option<IpAddr>,
    how: &How,
    socket: PathBuf,
) -> Result<ExitCode, CommandError> {
    let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let request = HandoverRequest {
        order,
        routers,
        to,
        patience_ms: how.timeout.map(millis),
    };
    let answer = super::runtime()?.block_on(Client::new(socket).hand_over(&request))?;
    if how.json {
        print(&super::json(&answer)?)?;
    } else {
        let (out, err) = render(order, &answer);
        print(&out)?;
        print_error(&err);
    }
    let is_good = |outcome: HandoverOutcome| outcome.is_good();
    let mut routers = answer.routers.iter();
    Ok(if routers.all(|router| is_good(router.outcome)) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// What is well, for standard output, and what is not, for standard error.
fn render(order: HandoverOrder, answer: &HandoverAnswer) -> (String, String) {
    let (mut out, mut err) = (String::new(), String::new());
    let mut hints: Vec<&str> = Vec::new();
    for router in &answer.routers {
        let (to, heading) = if router.outcome.is_good() {
            (&mut out, "")
        } else {
            (&mut err, "Error: ")
        };
        let line = writeln!(
            to,
            "{heading}virtual router {}: {}",
            router.router, router.message
        );
        debug_assert!(line.is_ok(), "a string takes all that is written to it");
        hints.extend(router.hints.iter().map(String::as_str));
    }
    match order {
        HandoverOrder::Maintenance | HandoverOrder::MaintenanceForced if answer.maintenance => {
            out += "in maintenance: takes nothing over until `evenkeel maintenance off`\n";
        }
        HandoverOrder::Maintenance | HandoverOrder::MaintenanceForced => {
            err += "Error: not in maintenance: all is as before\n";
        }
        HandoverOrder::Standby => out += "stands by until `evenkeel standby --off`\n",
        HandoverOrder::Failover | HandoverOrder::Resume | HandoverOrder::EndMaintenance => {}
    }
    let mut told = Vec::new();
    for hint in hints {
        if !told.contains(&hint) {
            err += &format!("Hint: {hint}\n");
            told.push(hint);
        }
    }
    (out, err)
}

#[cfg(test)]
mod tests;
