//! `evenkeel events`.

mod time;

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use evenkeel_api::{Client, ClientError, EVENTS_WAIT_MS_MAX, ErrorKind, EventRecord, Events};

use crate::command_error::CommandError;
use crate::output::{print, print_error};

/// Longest wait of one request while following.
const WAIT: Duration = Duration::from_millis(EVENTS_WAIT_MS_MAX);

/// Pause before a daemon that did not answer is asked again.
const RETRY: Duration = Duration::from_millis(200);

/// Columns of an event's kind; few kinds are longer.
const KIND_WIDTH: usize = 17;

/// Show what happened: changes of roles, servers and config, with their reasons.
///
/// A line has the time (UTC), the kind of event, and what happened and why. The daemon remembers a limited
/// number of events since it started; the log has them all.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Go on with new events until interrupted, over restarts of the daemon.
    #[arg(long, short)]
    follow: bool,

    /// Print each event as one line of JSON.
    #[arg(long)]
    json: bool,

    /// Only events after the one with this number, which `--json` shows as `seq`.
    #[arg(long, value_name = "SEQ")]
    since: Option<u64>,
}

pub(crate) fn run(args: &Args, socket: PathBuf) -> Result<ExitCode, CommandError> {
    super::runtime()?.block_on(show(args, &Client::new(socket)))?;
    Ok(ExitCode::SUCCESS)
}

async fn show(args: &Args, client: &Client) -> Result<(), CommandError> {
    let after = args.since.unwrap_or(0);
    let events = client.events(after, Duration::ZERO).await?;
    // Who asks for all events means all that the daemon knows.
    if args.since.is_some() {
        tell_lost(events.lost);
    }
    print(&render(&events.events, args.json)?)?;
    if args.follow {
        follow(client, Place::new(&events), args.json).await?;
    }
    Ok(())
}

/// Shows what comes after `place`, until that fails.
async fn follow(client: &Client, mut place: Place, json: bool) -> Result<(), CommandError> {
    let mut away = false;
    loop {
        let asked = Instant::now();
        match client.events(place.after, WAIT).await {
            Ok(events) => {
                let next = place.take(events);
                if away || matches!(next, Next::Restarted) {
                    print_error(&place.back(&next));
                    away = false;
                }
                let Next::Events(events) = next else { continue };
                tell_lost(events.lost);
                print(&render(&events.events, json)?)?;
                // A daemon that does not wait must not be asked in a tight loop.
                if events.events.is_empty() && asked.elapsed() < RETRY {
                    tokio::time::sleep(RETRY).await;
                }
            }
            Err(error) if may_come_back(&error) => {
                if !away {
                    print_error(&format!("{error}; waiting for it\n"));
                    away = true;
                }
                tokio::time::sleep(RETRY).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// How far the events of one daemon have been shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    daemon_started_ms: u64,
    after: u64,
}

/// What an answer comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Next {
    /// Events to show.
    Events(Events),
    /// The answer is another daemon's and was asked with the old one's number: ask again.
    Restarted,
}

impl Place {
    const fn new(first: &Events) -> Self {
        Self {
            daemon_started_ms: first.daemon_started_ms,
            after: first.next,
        }
    }

    fn take(&mut self, events: Events) -> Next {
        if self.daemon_started_ms == events.daemon_started_ms {
            self.after = events.next;
            return Next::Events(events);
        }
        *self = Self {
            daemon_started_ms: events.daemon_started_ms,
            after: 0,
        };
        Next::Restarted
    }

    /// What is said when a daemon answers that did not, or that is a new one.
    fn back(&self, next: &Next) -> String {
        match next {
            Next::Events(_) => "the daemon answers again\n".to_owned(),
            Next::Restarted => format!(
                "a daemon answers that started at {}; it numbers its events anew\n",
                time::utc(self.daemon_started_ms)
            ),
        }
    }
}

fn tell_lost(lost: u64) {
    if lost > 0 {
        print_error(&format!(
            "the daemon does not remember {lost} events any more; its log has them\n"
        ));
    }
}

/// Whether a daemon that is restarted may fail like this.
pub(super) const fn may_come_back(error: &ClientError) -> bool {
    match error {
        ClientError::NotRunning { .. }
        | ClientError::Connect { .. }
        | ClientError::Http { .. }
        | ClientError::Answer { .. }
        | ClientError::Timeout { .. } => true,
        // A daemon that is stopping says that it failed.
        ClientError::Refused(answer) => matches!(answer.kind, ErrorKind::Failed),
        ClientError::PermissionDenied { .. }
        | ClientError::NotUnderstood { .. }
        | ClientError::Version { .. } => false,
    }
}

fn render(events: &[EventRecord], json: bool) -> Result<String, CommandError> {
    let mut out = String::new();
    for event in events {
        if json {
            out += &serde_json::to_string(event).map_err(CommandError::new)?;
            out.push('\n');
            continue;
        }
        let time = time::utc(event.time_ms);
        // One line per event, whatever a real server's answer put into the reason.
        let message = event.message.replace(char::is_control, " ");
        let written = writeln!(out, "{time}  {:<KIND_WIDTH$}  {message}", event.kind);
        debug_assert!(written.is_ok(), "a string takes all that is written to it");
    }
    Ok(out)
}

#[cfg(test)]
mod tests;
