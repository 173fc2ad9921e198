//! `evenkeel drain` and `evenkeel ready`.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use evenkeel_api::{
    Client, ClientError, ConnectionState, ConnectionsQuery, Edit, EditRefusal, EditRequest,
    GateStatus, ServerStatus, ServiceId, ServiceStatus, Status,
};
use serde::Serialize;

use crate::command_error::CommandError;
use crate::commands::events::may_come_back;
use crate::commands::server_name::{self, Host};
use crate::output::{print, print_error};

/// Pause between two looks at the server's connections.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// The daemon spends at most one part in so many on being looked at.
const SHARE: u32 = 5;

/// Give a real server no new connections; those that it has go on.
///
/// It has weight 0 for new connections until `evenkeel ready`, whatever its checks and the config file say, also
/// over reloads and restarts of the daemon. Its connections stay with it, those too that the consistent hash alone
/// places, and so do clients whom persistence has sent there. An edit of the server by `ipvsadm` ends it. It is this
/// director's alone: drain the server on the other directors too.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The service by its name, or by its address and port; and the server's address.
    #[arg(value_name = "SERVICE/SERVER", value_parser = names)]
    target: Names,

    /// Wait until its last connection is gone: ended, and forgotten after the time that ended ones are remembered.
    #[arg(long)]
    wait: bool,

    /// How long to wait at most, such as `90s` or `10m`; then the exit status is 1 [default: without end].
    #[arg(long, value_name = "DURATION", requires = "wait", value_parser = duration)]
    timeout: Option<Duration>,

    /// Print it as JSON.
    #[arg(long)]
    json: bool,
}

/// Give a drained server new connections again.
#[derive(Debug, clap::Args)]
pub(crate) struct ReadyArgs {
    /// The service by its name, or by its address and port; and the server's address.
    #[arg(value_name = "SERVICE/SERVER", value_parser = names)]
    target: Names,

    /// Print it as JSON.
    #[arg(long)]
    json: bool,
}

/// A server as the command line names it.
#[derive(Clone, Debug)]
struct Names {
    service: String,
    server: Host,
}

fn names(text: &str) -> Result<Names, String> {
    let Some((service, server)) = text.rsplit_once('/') else {
        return Err("not a service and a server, such as `web/198.18.14.12`".to_owned());
    };
    Ok(Names {
        service: service.to_owned(),
        server: server_name::host(server)?,
    })
}

fn duration(text: &str) -> Result<Duration, String> {
    evenkeel_config::parse_duration(text).map_err(|error| error.to_string())
}

/// What became of it, as `--json` has it.
#[derive(Debug, Serialize)]
struct Outcome {
    service: String,
    server: SocketAddr,
    drained: bool,
    /// False where that was so before.
    changed: bool,
    active: u64,
    inactive: u64,
    /// Connections that outlive the server's leave from the list.
    kept: u64,
    /// How long it took until none was left, or until the timeout; `None`: nobody waited.
    #[serde(skip_serializing_if = "Option::is_none")]
    waited_ms: Option<u64>,
}

pub(crate) fn run(args: &Args, socket: PathBuf) -> Result<ExitCode, CommandError> {
    super::runtime()?.block_on(drain(args, &Client::new(socket)))
}

pub(crate) fn run_ready(args: &ReadyArgs, socket: PathBuf) -> Result<ExitCode, CommandError> {
    super::runtime()?.block_on(ready(args, &Client::new(socket)))
}

async fn drain(args: &Args, client: &Client) -> Result<ExitCode, CommandError> {
    let status = client.status().await?;
    let service = server_name::service(&status.services, &args.target.service)?;
    let server = server_name::server(service, args.target.server)?;
    let target = Target::new(service, server.address);
    edit(client, &target, true).await?;
    if service.gate != GateStatus::Open
        && let Some(router) = &service.virtual_router
    {
        print_error(&format!(
            "this director does not serve `{}` now: its connections are on the Active of virtual router {router}\n",
            target.name
        ));
    }
    let begun = Instant::now();
    let mut left = Left::ask(client, &target).await?;
    if args.wait {
        left = wait(client, &target, begun, args.timeout).await?;
    }
    let waited = begun.elapsed();
    if args.json {
        let outcome = Outcome {
            changed: !server.drained,
            waited_ms: args
                .wait
                .then(|| u64::try_from(waited.as_millis()).unwrap_or(u64::MAX)),
            ..target.outcome(true, left)
        };
        print(&super::json(&outcome)?)?;
    } else {
        print(&told(
            &target,
            server.drained,
            args.wait.then_some(waited),
            left,
        ))?;
    }
    if args.wait && left.total() > 0 {
        let (service, server) = (&target.name, target.server.ip());
        let waited = waited.as_secs_f64();
        return Err(CommandError::message(format!(
            "{left} of {} left after {waited:.1} s",
            target.server
        ))
        .hint(format!(
            "It stays drained. See them: `evenkeel connections --service {service} --server {server}`."
        ))
        .hint(format!(
            "Take it back: `evenkeel ready {service}/{server}`."
        )));
    }
    Ok(ExitCode::SUCCESS)
}

fn told(target: &Target, was: bool, waited: Option<Duration>, left: Left) -> String {
    let (server, service) = (target.server, &target.name);
    let already = if was { "already " } else { "" };
    match waited {
        Some(waited) if left.total() == 0 => {
            let seconds = waited.as_secs_f64();
            format!(
                "{server} of `{service}` is {already}drained: no connection left after {seconds:.1} s\n"
            )
        }
        Some(_) => String::new(),
        None if left.total() == 0 => {
            format!("{server} of `{service}` is {already}drained: no connection left\n")
        }
        None => format!("{server} of `{service}` is {already}drained: {left} left\n"),
    }
}

async fn ready(args: &ReadyArgs, client: &Client) -> Result<ExitCode, CommandError> {
    let status = client.status().await?;
    let service = server_name::service(&status.services, &args.target.service)?;
    let (target, was) = match server_name::server(service, args.target.server) {
        Ok(server) => (Target::new(service, server.address), server.drained),
        // One that the config has no more may be drained still, for the day on which it is back.
        Err(error) => {
            let drained = drained(&status, service.service);
            let found = drained.into_iter().find(|s| args.target.server.is(*s));
            (Target::new(service, found.ok_or(error)?), true)
        }
    };
    edit(client, &target, false).await?;
    let text = if args.json {
        let outcome = Outcome {
            changed: was,
            ..target.outcome(false, Left::ask(client, &target).await?)
        };
        super::json(&outcome)?
    } else {
        let (server, service) = (target.server, &target.name);
        if was {
            format!(
                "{server} of `{service}` gets new connections again, once its checks are good\n"
            )
        } else {
            format!("{server} of `{service}` was not drained\n")
        }
    };
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// All that are drained of a service, configured or not.
fn drained(status: &Status, service: ServiceId) -> Vec<SocketAddr> {
    let mut edited = status.edits.services.iter();
    let edited = edited.find(|edited| edited.service == service);
    edited.map_or_else(Vec::new, |edited| edited.drained.clone())
}

/// A server that was found.
struct Target {
    name: String,
    service: ServiceId,
    server: SocketAddr,
}

impl Target {
    fn new(service: &ServiceStatus, server: SocketAddr) -> Self {
        Self {
            name: service.name.clone(),
            service: service.service,
            server,
        }
    }

    fn outcome(&self, drained: bool, left: Left) -> Outcome {
        Outcome {
            service: self.name.clone(),
            server: self.server,
            drained,
            changed: true,
            active: left.active,
            inactive: left.inactive,
            kept: left.kept,
            waited_ms: None,
        }
    }

    fn find<'s>(&self, status: &'s Status) -> Option<&'s ServerStatus> {
        let mut services = status.services.iter();
        let service = services.find(|service| service.service == self.service)?;
        service.servers.iter().find(|s| s.address == self.server)
    }
}

/// Has the daemon drain the server, or take that back.
async fn edit(client: &Client, target: &Target, drain: bool) -> Result<(), CommandError> {
    let (service, server) = (target.service, target.server.ip());
    let edit = if drain {
        Edit::Drain { service, server }
    } else {
        Edit::Ready { service, server }
    };
    let answer = client.edit(&EditRequest { edits: vec![edit] }).await?;
    for warning in answer.warnings {
        print_error(&format!("warning: {warning}\n"));
    }
    match answer.refused.first().copied().flatten() {
        None => Ok(()),
        // Somebody else was quicker.
        Some(EditRefusal::NoSuchService | EditRefusal::NoSuchServer) => Err(gone(target)),
        Some(refusal) => Err(CommandError::message(format!(
            "the daemon refuses it: {refusal:?}"
        ))),
    }
}

fn gone(target: &Target) -> CommandError {
    let message = format!(
        "{} is no server of `{}` any more",
        target.server, target.name
    );
    CommandError::message(message).hint("`evenkeel events` shows what happened.")
}

/// Waits until no connection is left, or the time is over; how many are left then.
async fn wait(
    client: &Client,
    target: &Target,
    begun: Instant,
    timeout: Option<Duration>,
) -> Result<Left, CommandError> {
    let until = timeout.and_then(|timeout| begun.checked_add(timeout));
    let mut away = false;
    let mut known = None;
    loop {
        let asked = Instant::now();
        match look(client, target).await {
            Ok(left) if left.total() == 0 => return Ok(left),
            Ok(left) => {
                known = Some(left);
                away = false;
            }
            // The drain outlives the daemon, and so does the wait.
            Err(Trouble::Client(error)) if may_come_back(&error) => {
                if !std::mem::replace(&mut away, true) {
                    print_error(&format!("{error}; waiting for it\n"));
                }
                if until.is_some_and(|until| until <= Instant::now()) {
                    return known.ok_or_else(|| error.into());
                }
            }
            Err(Trouble::Client(error)) => return Err(error.into()),
            Err(Trouble::Command(error)) => return Err(error),
        }
        let pause = LOOK_EVERY.max(asked.elapsed().saturating_mul(SHARE));
        let now = Instant::now();
        let rest = until.map(|until| until.saturating_duration_since(now));
        if let (Some(Duration::ZERO), Some(left)) = (rest, known) {
            return Ok(left);
        }
        tokio::time::sleep(rest.map_or(pause, |rest| rest.min(pause))).await;
    }
}

/// Why a look failed.
enum Trouble {
    Client(ClientError),
    Command(CommandError),
}

/// What is left, of a server that is drained still.
async fn look(client: &Client, target: &Target) -> Result<Left, Trouble> {
    let status = client.status().await.map_err(Trouble::Client)?;
    let Some(server) = target.find(&status) else {
        return Err(Trouble::Command(gone(target)));
    };
    if !server.drained {
        let message = format!(
            "{} of `{}` is not drained any more: somebody took it back",
            target.server, target.name
        );
        return Err(Trouble::Command(CommandError::message(message)));
    }
    Left::of(client, target, Some(server))
        .await
        .map_err(Trouble::Client)
}

/// Connections that a server still has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Left {
    active: u64,
    inactive: u64,
    kept: u64,
}

impl Left {
    const fn total(self) -> u64 {
        self.active
            .saturating_add(self.inactive)
            .saturating_add(self.kept)
    }

    async fn ask(client: &Client, target: &Target) -> Result<Self, ClientError> {
        let status = client.status().await?;
        Self::of(client, target, target.find(&status)).await
    }

    async fn of(
        client: &Client,
        target: &Target,
        server: Option<&ServerStatus>,
    ) -> Result<Self, ClientError> {
        if let Some(listed) = server.filter(|server| server.listed) {
            return Ok(Self {
                active: listed.active,
                inactive: listed.inactive,
                kept: 0,
            });
        }
        // One that has left the list has no counters, but connections that the tables remember.
        let all = ConnectionsQuery {
            server: Some(target.server.ip()),
            limit: Some(0),
            ..ConnectionsQuery::default()
        }
        .of_service(target.service);
        let templates = ConnectionsQuery {
            state: Some(ConnectionState::None),
            ..all
        };
        let count = async |of| {
            client
                .connections_of(&of)
                .await
                .map(|answer| answer.matched)
        };
        let (all, templates) = (count(all).await?, count(templates).await?);
        let kept = all.unwrap_or(0).saturating_sub(templates.unwrap_or(0));
        Ok(Self {
            kept,
            ..Self::default()
        })
    }
}

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let connections = match self.total() {
            1 => "1 connection".to_owned(),
            count => format!("{count} connections"),
        };
        if self.kept > 0 {
            return write!(f, "{connections} (the server has left the list)");
        }
        let (active, inactive) = (self.active, self.inactive);
        write!(f, "{connections} ({active} active, {inactive} inactive)")
    }
}

#[cfg(test)]
mod tests;
