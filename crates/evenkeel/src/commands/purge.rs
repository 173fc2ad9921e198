//! `evenkeel purge`.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use evenkeel_api::{Client, ClientError};
use evenkeel_bpf::{PinLock, StartError};
use evenkeel_model::Director;
use evenkeel_net::Netlink;

use crate::command_error::{CommandError, as_root};
use crate::commands::run::{CONFIG, PINS};
use crate::daemon::ways::Ways;
use crate::daemon::{edits, handover};
use crate::output::{print, print_error};

const STOP_IT: &str =
    "Stop it first: `systemctl stop evenkeel`, or end the `evenkeel run` in its terminal.";

/// Longest wait for the program to be off the interface; milliseconds as a rule.
const OFF_WAIT: Duration = Duration::from_secs(2);

/// Stop forwarding: remove all pins, and the addresses that evenkeel added.
///
/// Edits by hand, maintenance and standby are removed too. Refuses while the daemon runs.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The config file, which names the neighbours that need no more upkeep.
    #[arg(long, value_name = "FILE", default_value = CONFIG)]
    config: PathBuf,

    /// Directory of the pins.
    #[arg(long, value_name = "DIR", default_value = PINS)]
    pins: PathBuf,
}

pub(crate) fn run(args: &Args, socket: PathBuf) -> Result<ExitCode, CommandError> {
    let runtime = super::runtime()?;
    runtime.block_on(refuse_while_running(Client::new(socket.clone())))?;
    let lock = lock(&args.pins)?;
    let mut done = runtime.block_on(purge(args, lock.is_some()))?;
    done.extend(remove_edits(&socket)?);
    done.extend(remove_orders(&socket)?);
    if done.is_empty() {
        print("nothing to remove\n")?;
    } else {
        print(&(done.join("\n") + "\n"))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn remove_edits(socket: &Path) -> Result<Option<String>, CommandError> {
    let removed = edits::remove(socket).map_err(|error| {
        let what = "cannot remove the edits by hand";
        CommandError::new(anyhow::Error::new(error).context(what)).hint(as_root())
    })?;
    Ok(removed.map(|path| format!("removed the edits by hand in {}", path.display())))
}

fn remove_orders(socket: &Path) -> Result<Option<String>, CommandError> {
    let removed = handover::remove(socket).map_err(|error| {
        let what = "cannot remove the orders of maintenance and standby";
        CommandError::new(anyhow::Error::new(error).context(what)).hint(as_root())
    })?;
    Ok(removed.map(|path| format!("removed maintenance and standby in {}", path.display())))
}

/// Holds the pins, so that no daemon uses them; `None` where there are none.
fn lock(pins: &Path) -> Result<Option<PinLock>, CommandError> {
    let exist = pins.try_exists().map_err(|error| {
        let what = format!("cannot look for pins in `{}`", pins.display());
        CommandError::new(anyhow::Error::new(error).context(what)).hint(as_root())
    })?;
    if !exist {
        return Ok(None);
    }
    evenkeel_bpf::lock(pins).map(Some).map_err(|error| {
        let in_use = matches!(error, StartError::InUse { .. });
        let denied = matches!(error, StartError::NotPermitted { .. });
        let error = CommandError::new(error);
        match (in_use, denied) {
            (true, _) => error.hint(STOP_IT),
            (_, true) => error.hint(as_root()),
            (false, false) => error,
        }
    })
}

/// Removes what evenkeel has left; the answer says what.
async fn purge(args: &Args, pinned: bool) -> Result<Vec<String>, CommandError> {
    let (netlink, _events) = Netlink::open().await.map_err(CommandError::new)?;
    // Without the config file there is nothing to tell the interface and the neighbours.
    let director = evenkeel_config::load(&args.config, &super::host_name()).ok();
    let mut done = remove_addresses(&netlink).await?;
    if let Some(director) = &director {
        release_neighbours(&netlink, director).await;
    }
    if pinned {
        let program = match &director {
            Some(director) => program(&netlink, director).await,
            None => None,
        };
        evenkeel_bpf::purge(&args.pins).map_err(|error| {
            let denied = error.source.kind() == io::ErrorKind::PermissionDenied;
            let error = CommandError::new(error);
            if denied { error.hint(as_root()) } else { error }
        })?;
        if let (Some(director), Some(program)) = (&director, program) {
            wait_until_off(&netlink, director, program).await;
        }
        done.push(format!("removed the pins in {}", args.pins.display()));
    }
    Ok(done)
}

/// Number of the XDP program on the director's interfaces; the first that has one tells.
async fn program(netlink: &Netlink, director: &Director) -> Option<u32> {
    for name in director.interfaces() {
        let link = netlink.link(name).await.ok();
        if let Some(program) = link.and_then(|link| link.xdp_program) {
            return Some(program);
        }
    }
    None
}

/// The kernel takes a program off some time after its last pin is gone; a start right after `purge` would
/// find it there.
async fn wait_until_off(netlink: &Netlink, director: &Director, old: u32) {
    let deadline = Instant::now() + OFF_WAIT;
    while program(netlink, director).await == Some(old) && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

async fn refuse_while_running(client: Client) -> Result<(), CommandError> {
    match client.status().await {
        Err(ClientError::NotRunning { .. }) => Ok(()),
        Err(error @ ClientError::PermissionDenied { .. }) => Err(error.into()),
        Ok(_) | Err(_) => Err(CommandError::message(format!(
            "the daemon is running: it listens on `{}`",
            client.socket().display()
        ))
        .hint(STOP_IT)),
    }
}

async fn remove_addresses(netlink: &Netlink) -> Result<Vec<String>, CommandError> {
    let mut done = Vec::new();
    for own in netlink.our_addresses().await.map_err(CommandError::new)? {
        netlink
            .remove_address(own.address)
            .await
            .map_err(|error| CommandError::new(error).hint(as_root()))?;
        done.push(format!("removed address {}", own.address));
    }
    Ok(done)
}

/// Gives the neighbours back to the kernel's ordinary ageing.
async fn release_neighbours(netlink: &Netlink, director: &Director) {
    let mut interfaces = Vec::new();
    for name in director.interfaces() {
        // One that is gone has no neighbours.
        interfaces.extend(netlink.link(name).await);
    }
    let mut ways = Ways::default();
    let services = director.services.iter();
    for server in services.flat_map(|service| &service.servers) {
        let address = server.address.ip();
        let released = async {
            // Only what is watched can be released.
            ways.watch(netlink, &interfaces, address).await?;
            ways.unwatch(netlink, address).await
        };
        if let Err(error) = released.await {
            print_error(&format!("Warning: {error}\n"));
        }
    }
}
