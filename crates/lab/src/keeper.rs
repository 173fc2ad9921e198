//! Keeping a lab until somebody ends it.
//!
//! One task on one thread: it waits for a signal or a request, and carries each request out before the
//! next. Operations block that thread; there is nothing else to do meanwhile.

use std::fmt::Write as _;
use std::io::{self, Read as _, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::control::{Answer, REQUEST_MAX, Request};
use crate::error::{LabError, with_causes};
use crate::lab::{Lab, Options};
use crate::state::{LabState, control_socket};
use crate::topology::Topology;

/// How long a client may take to say what it wants.
const PATIENCE: Duration = Duration::from_secs(5);

/// Said before the name of a detached lab that stands.
pub(crate) const READY: &str = "ready ";

/// What a detached keeper is told on its standard input.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct KeeperSpec {
    pub(crate) topology: Topology,
    pub(crate) options: Options,
}

/// Starts a lab and keeps it until SIGINT, SIGTERM, SIGHUP or a request to end it.
///
/// `started` is called once the lab stands.
pub(crate) fn keep(spec: KeeperSpec, started: impl FnOnce(&LabState)) -> Result<(), LabError> {
    let starting = |source| LabError::Start {
        what: "the keeper",
        source,
    };
    let (runtime, signals) = Signals::with_runtime().map_err(starting)?;
    let lab = Lab::start(spec.topology, spec.options)?;
    let guard = runtime.enter();
    let listener = UnixListener::bind(control_socket(lab.folder())).map_err(starting)?;
    drop(guard);
    started(&lab.state());
    let asked = runtime.block_on(serve(&lab, &listener, signals));
    drop(lab);
    if let Some(mut client) = asked {
        // The lab is down whether or not the one who asked still listens.
        let _told = runtime.block_on(answer(&mut client, &Answer::Done));
    }
    Ok(())
}

/// The hidden subcommand of a detached lab's keeper: tells the caller by one line how the start went.
pub(crate) fn run_detached() -> ExitCode {
    let mut text = String::new();
    let spec = io::stdin()
        .read_to_string(&mut text)
        .and_then(|_length| Ok(serde_json::from_str::<KeeperSpec>(&text)?));
    // Whoever started the keeper may be gone; the lab stands all the same.
    let say = |line: &str| drop(writeln!(io::stdout(), "{line}"));
    let kept = match spec {
        Ok(spec) => keep(spec, |state| {
            say(&format!("{READY}{}", state.name));
        })
        .map_err(|err| with_causes(&err)),
        Err(err) => Err(format!("what the keeper was told: {err}")),
    };
    match kept {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            say(&reason.replace('\n', " "));
            ExitCode::FAILURE
        }
    }
}

/// The signals that end a lab.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
}

impl Signals {
    /// Takes the signals, on a runtime of their own. To be called before the lab starts: then a signal
    /// during its start ends it as soon as it stands.
    pub(crate) fn with_runtime() -> io::Result<(Runtime, Self)> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let guard = runtime.enter();
        let signals = Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
        };
        drop(guard);
        Ok((runtime, signals))
    }

    pub(crate) async fn any(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hang_up.recv() => {}
        }
    }
}

/// Serves requests until a signal or [`Request::Down`]; the client that asked for the end.
async fn serve(lab: &Lab, listener: &UnixListener, mut signals: Signals) -> Option<UnixStream> {
    loop {
        let mut client = tokio::select! {
            () = signals.any() => return None,
            accepted = listener.accept() => match accepted {
                Ok((client, _address)) => client,
                Err(err) => {
                    tracing::warn!(%err, "a request was lost");
                    continue;
                }
            },
        };
        let reply = match read_request(&mut client).await {
            Ok(Request::Down) => return Some(client),
            Ok(Request::Power { node, on: true }) => Answer::of(lab.power_on(&node)),
            Ok(Request::Power { node, on: false }) => Answer::of(lab.power_off(&node).map(drop)),
            Ok(Request::Link { node, up }) => Answer::of(lab.set_link(&node, up).map(drop)),
            Err(err) => {
                let mut reason = String::from("the request makes no sense");
                // Writing to a string can't fail.
                let _written = write!(reason, ": {err}");
                Answer::Refused(reason)
            }
        };
        if let Err(err) = answer(&mut client, &reply).await {
            tracing::debug!(%err, "an answer was not taken");
        }
    }
}

async fn read_request(client: &mut UnixStream) -> io::Result<Request> {
    let mut line = String::new();
    let limit = u64::try_from(REQUEST_MAX).unwrap_or(u64::MAX);
    let mut reader = BufReader::new(client).take(limit);
    tokio::time::timeout(PATIENCE, reader.read_line(&mut line)).await??;
    Ok(serde_json::from_str(&line)?)
}

async fn answer(client: &mut UnixStream, answer: &Answer) -> io::Result<()> {
    let mut line = serde_json::to_string(answer)?;
    line.push('\n');
    client.write_all(line.as_bytes()).await
}
