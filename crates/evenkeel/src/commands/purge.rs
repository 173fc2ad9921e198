//! `evenkeel purge`.

use std::path::PathBuf;
use std::process::ExitCode;

use evenkeel_api::{Client, ClientError};
use evenkeel_config::LoadError;
use evenkeel_model::Director;
use evenkeel_net::Netlink;

use crate::command_error::CommandError;
use crate::commands::run::{CONFIG, PINS};
use crate::daemon::as_root;
use crate::output::{print, print_error};

/// Stop forwarding: remove all pins, and the addresses that evenkeel added.
///
/// Refuses while the daemon runs.
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
    runtime.block_on(refuse_while_running(Client::new(socket)))?;
    let mut done = runtime.block_on(clean_network(args))?;
    if args.pins.exists() {
        evenkeel_bpf::purge(&args.pins).map_err(|error| {
            let denied = error.source.kind() == std::io::ErrorKind::PermissionDenied;
            let error = CommandError::new(error);
            if denied { error.hint(as_root()) } else { error }
        })?;
        done.push(format!("removed the pins in {}", args.pins.display()));
    }
    if done.is_empty() {
        print("nothing to remove\n")?;
    } else {
        print(&(done.join("\n") + "\n"))?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn refuse_while_running(client: Client) -> Result<(), CommandError> {
    match client.status().await {
        Err(ClientError::NotRunning { .. }) => Ok(()),
        Err(error @ ClientError::PermissionDenied { .. }) => Err(error.into()),
        Ok(_) | Err(_) => Err(CommandError::message(format!(
            "the daemon is running: it listens on `{}`",
            client.socket().display()
        ))
        .hint(
            "Stop it first: `systemctl stop evenkeel`, or end the `evenkeel run` in its terminal.",
        )),
    }
}

/// Removes our addresses, and gives the neighbours back to the kernel's ordinary ageing.
async fn clean_network(args: &Args) -> Result<Vec<String>, CommandError> {
    let (netlink, _events) = Netlink::open().await.map_err(CommandError::new)?;
    let mut done = Vec::new();
    for own in netlink.our_addresses().await.map_err(CommandError::new)? {
        netlink
            .remove_address(own.address)
            .await
            .map_err(|error| CommandError::new(error).hint(as_root()))?;
        done.push(format!("removed address {}", own.address));
    }
    match evenkeel_config::load(&args.config, &super::host_name()) {
        Ok(director) => release_neighbours(&netlink, &director).await,
        // Without the file there is nothing to tell which neighbours were kept.
        Err(LoadError::Read { .. } | LoadError::Invalid(_)) => {}
    }
    Ok(done)
}

async fn release_neighbours(netlink: &Netlink, director: &Director) {
    let Ok(link) = netlink.link(&director.interface).await else {
        return;
    };
    let servers = director
        .services
        .iter()
        .flat_map(|service| &service.servers);
    for server in servers {
        let address = server.address.ip();
        let released = async {
            // Only what is watched can be released.
            netlink.watch_neighbour(link.index, address).await?;
            netlink.unwatch_neighbour(link.index, address).await
        };
        if let Err(error) = released.await {
            print_error(&format!("Warning: {error}\n"));
        }
    }
}
