//! From a config file to a running daemon, or to an error that says what to do.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::slice;
use std::time::{Instant, SystemTime};

use evenkeel_api::XdpMode;
use evenkeel_bpf::{DataPlane, Interface, Mode, Options, Sizes, StartError};
use evenkeel_control::{Control, Event};
use evenkeel_model::{Director, Priority, ServiceEntry, VirtualService, XdpPreference};
use evenkeel_net::{AddressError, Announcer, LinkError, LinkInfo, Netlink};
use tokio::sync::mpsc;

use crate::command_error::{CommandError, as_root};
use crate::commands::check::{color, load_error};
use crate::daemon::Setup;
use crate::daemon::arp::ArpProblems;
use crate::daemon::edits::{self, EditsFile};
use crate::daemon::event_loop::{Daemon, Signals};
use crate::daemon::handover::Handovers;
use crate::daemon::hands::Hands;
use crate::daemon::journal::Journal;
use crate::daemon::problems::Problems;
use crate::daemon::rates::Estimator;
use crate::daemon::roles::Roles;
use crate::daemon::server::{BindError, Socket};
use crate::daemon::sync::Sync;
use crate::daemon::view::Identity;
use crate::daemon::vrrp::{Sources, Vrrp};
use crate::daemon::ways::{self, Ways};

/// Results of probes that may wait for the event loop.
const RESULTS: usize = 256;

const SECOND_DAEMON: &str =
    "A second daemon needs a socket, pins and an interface of its own: `--socket`, `--pins`.";

const HAND_OVER: &str = "Nothing was touched. With a partner, hand over first and nothing breaks: start the former version \
     (or config), end it by `systemctl stop` (SIGTERM), then start this one; if it refuses still, purge then.";

/// Starts the daemon. Where that fails, nothing that was running before is changed.
pub(crate) async fn start(setup: Setup) -> Result<Daemon, CommandError> {
    let signals = Signals::listen()?;
    let host_name = crate::commands::host_name();
    let configured = evenkeel_config::load(&setup.config, &host_name)
        .map_err(|error| load_error(error, color()))?;
    let (netlink, network) = Netlink::open().await.map_err(CommandError::new)?;
    let (link, more) = links(&netlink, &configured, &setup).await?;
    let interfaces = [slice::from_ref(&link), &more].concat();
    let announcer = Announcer::open().map_err(|error| CommandError::new(error).hint(as_root()))?;
    let mut socket = Socket::bind(&setup.socket).await.map_err(bad_socket)?;
    let (edits_file, overlay) = EditsFile::open(&setup.socket);
    let (handovers, standing) = Handovers::open(&setup.socket);
    let director = Director {
        services: overlay.apply(&configured.services),
        ..configured.clone()
    };
    look_around(&netlink, &interfaces, &director, &setup).await?;
    let sync = Sync::start(&director, Instant::now())?;
    let lock = evenkeel_bpf::lock(&setup.pins).map_err(bad_plane)?;
    let (plane, adopted) = start_plane(&netlink, &interfaces, &director, setup.pins).await?;
    remove_leftovers(&netlink, &director).await;
    let identity = identity(&netlink, &interfaces, &adopted).await?;
    tracing::info!(
        event = "started",
        director = director.name,
        interface = link.name,
        adopted = identity.adopted,
        "started"
    );
    let (results_sender, results) = mpsc::channel(RESULTS);
    let journal = Journal::new();
    let requests = socket.serve(journal.watch());
    let (vrrp, news) = Vrrp::new(standing, sync.is_some());
    let own = own_addresses(&netlink, &director).await;
    let mut control = Control::new(configured, overlay, adopted, own, Instant::now());
    tell_leftovers(&mut control, vrrp.standing.maintenance);
    Ok(Daemon {
        control,
        hands: Hands {
            plane,
            netlink,
            announcer,
            link,
            more,
            ways: Ways::default(),
            sources: Sources::default(),
            arp: ArpProblems::default(),
            vrrp,
            journal,
            edits: edits_file,
            results: results_sender,
        },
        news,
        roles: Roles::new(),
        sync,
        results,
        network,
        requests,
        signals,
        _socket: socket,
        lock,
        config: setup.config,
        host_name,
        problems: Problems::default(),
        estimator: Estimator::default(),
        waiting: Vec::new(),
        handovers,
        identity,
    })
}

/// Tells what people should know of what an earlier daemon left.
fn tell_leftovers(control: &mut Control, maintenance: bool) {
    if maintenance {
        control.handle_event(Event::Maintenance(true), Instant::now());
    }
    for clash in edits::clashes(control, control.configured()) {
        tracing::warn!(event = "config-warning", "{clash}");
    }
}

/// Refuses a config that can't be used on this machine, and warns of what is odd about it.
async fn look_around(
    netlink: &Netlink,
    interfaces: &[LinkInfo],
    director: &Director,
    setup: &Setup,
) -> Result<(), CommandError> {
    if let Some(link) = interfaces.first()
        && let Some(reason) = held_address(netlink, link, director).await
    {
        let file = setup.config.display();
        let error = anyhow::anyhow!("`{file}` can't be used on this machine: {reason}");
        return Err(CommandError::bad_config(error).hint(FREE_ADDRESS));
    }
    for warning in warnings(netlink, interfaces, director).await {
        tracing::warn!(event = "config-warning", "{warning}");
    }
    for link in interfaces.iter().filter(|link| !link.up) {
        tracing::warn!(
            event = "link-down",
            interface = link.name,
            "the interface is down"
        );
    }
    Ok(())
}

async fn identity(
    netlink: &Netlink,
    interfaces: &[LinkInfo],
    adopted: &[ServiceEntry],
) -> Result<Identity, CommandError> {
    // An adopted program keeps its mode, whatever was asked for.
    let mut modes = Vec::new();
    for link in interfaces {
        let attached = netlink.link(&link.name).await.map_err(CommandError::new)?;
        modes.push(if attached.xdp_native {
            XdpMode::Native
        } else {
            XdpMode::Generic
        });
    }
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    Ok(Identity {
        started: since_1970.map_or(0, |since| since.as_secs()),
        adopted: !adopted.is_empty(),
        modes,
    })
}

/// Starts the data plane in the best modes that the config and the interfaces allow.
async fn start_plane(
    netlink: &Netlink,
    interfaces: &[LinkInfo],
    director: &Director,
    pins: PathBuf,
) -> Result<(DataPlane, Vec<ServiceEntry>), CommandError> {
    let [link, more @ ..] = interfaces else {
        return Err(CommandError::message("there is no interface to run on"));
    };
    let own = sources(netlink, link, director)
        .await
        .map_err(CommandError::new)?;
    let mut options = Options {
        pin_dir: pins,
        interface: link.name.clone(),
        link_index: link.index,
        mac: link.mac,
        address: own.v4,
        address6: own.global.or(own.v6),
        mode: best_mode(director.xdp, link),
        others: more
            .iter()
            .map(|link| Interface {
                name: link.name.clone(),
                index: link.index,
                mac: link.mac,
                mode: best_mode(director.xdp, link),
            })
            .collect(),
        sizes: Sizes {
            connections: director.tables.connections,
            half_open: director.tables.half_open,
            ..Sizes::default()
        }
        .with_room_for(&director.services),
    };
    loop {
        let error = match DataPlane::start(&options) {
            Ok(started) => {
                tell_dropped(&started.0);
                return Ok(started);
            }
            Err(error) => error,
        };
        let StartError::NativeUnsupported { interface, .. } = &error else {
            return Err(bad_plane(error));
        };
        let mode = mode_of(&mut options, interface);
        match mode {
            Some(mode @ Mode::Native) if director.xdp == XdpPreference::Auto => {
                tracing::info!(event = "xdp-generic", "{error}; using generic mode");
                *mode = Mode::Generic;
            }
            Some(Mode::Native | Mode::Generic) | None => return Err(bad_plane(error)),
        }
    }
}

fn tell_dropped(plane: &DataPlane) {
    if let Some(why) = plane.dropped() {
        tracing::warn!(
            event = "pins-dropped",
            "the former daemon had handed over, and its pins are dropped: {why}"
        );
    }
}

/// Drivers of hardware are known good. On veth, frames vanish unless the peer has a program too; other virtual
/// interfaces mostly have no XDP of their own.
const fn best_mode(preference: XdpPreference, link: &LinkInfo) -> Mode {
    match (preference, &link.kind) {
        (XdpPreference::Native, _) | (XdpPreference::Auto, None) => Mode::Native,
        (XdpPreference::Generic, _) | (XdpPreference::Auto, Some(_)) => Mode::Generic,
    }
}

fn mode_of<'o>(options: &'o mut Options, interface: &str) -> Option<&'o mut Mode> {
    if options.interface == interface {
        return Some(&mut options.mode);
    }
    let mut others = options.others.iter_mut();
    let other = others.find(|other| other.name == interface);
    other.map(|other| &mut other.mode)
}

/// The director's interface, and the further ones.
async fn links(
    netlink: &Netlink,
    director: &Director,
    setup: &Setup,
) -> Result<(LinkInfo, Vec<LinkInfo>), CommandError> {
    let link = |name| async move {
        let found = netlink.link(name).await;
        found.map_err(|error| bad_link(error, setup))
    };
    let first = link(&director.interface).await?;
    let mut more = Vec::new();
    for name in &director.more_interfaces {
        more.push(link(name).await?);
    }
    Ok((first, more))
}

/// What is odd about a config on this machine, though it can be applied.
pub(crate) async fn warnings(
    netlink: &Netlink,
    interfaces: &[LinkInfo],
    director: &Director,
) -> Vec<String> {
    let mut addresses: Vec<IpAddr> = director
        .services
        .iter()
        .flat_map(|service| service.all_servers().map(|server| server.address.ip()))
        .collect();
    addresses.sort_unstable();
    addresses.dedup();
    let own = own_addresses(netlink, director).await;
    let mut warnings = Vec::new();
    let links = match netlink.links().await {
        Ok(links) => links,
        Err(error) => {
            tracing::warn!("{}", super::hands::reason(&error.into()));
            return warnings;
        }
    };
    // A server on the director itself is reached without a link.
    for address in addresses
        .into_iter()
        .filter(|address| !own.contains(address))
    {
        match ways::oddity(netlink, &links, interfaces, address).await {
            Ok(oddity) => warnings.extend(oddity),
            Err(error) => {
                tracing::warn!("{}", super::hands::reason(&error.into()));
                break;
            }
        }
    }
    warnings
}

/// What to do about an address that [`held_address`] names.
pub(crate) const FREE_ADDRESS: &str = "Remove it from the interface (`ip addr del`) and from what configures it at boot: \
     evenkeel adds it while this director is Active.";

/// Why the config can't be used here: an address of a virtual router stands on the interface already, and
/// is not evenkeel's to remove when the role is lost (nor, at priority 255, its to own).
pub(crate) async fn held_address(
    netlink: &Netlink,
    link: &LinkInfo,
    director: &Director,
) -> Option<String> {
    let prefixes = match netlink.prefixes(link.index).await {
        Ok(prefixes) => prefixes,
        Err(error) => {
            tracing::warn!("{}", super::hands::reason(&error.into()));
            return None;
        }
    };
    let held = |address: IpAddr| prefixes.iter().any(|p| p.address == address);
    let mut routers = director.virtual_routers.iter();
    routers.find_map(|router| {
        let address = router.addresses.iter().find(|address| held(**address))?;
        let name = &router.name;
        let owner = if router.priority == Priority::OWNER {
            ", and priority 255 is only for an address that evenkeel adds itself"
        } else {
            ""
        };
        Some(format!(
            "address `{address}` of virtual router `{name}` stands on interface `{}` and was not added by \
             evenkeel{owner}",
            link.name
        ))
    })
}

/// This machine's own addresses, virtual ones left out: real servers there are reached locally.
pub(crate) async fn own_addresses(netlink: &Netlink, director: &Director) -> BTreeSet<IpAddr> {
    match netlink.own_addresses().await {
        Ok(mut own) => {
            let virtual_addresses = virtual_addresses(director);
            own.retain(|address| !virtual_addresses.contains(address));
            own
        }
        Err(error) => {
            tracing::warn!("{}", super::hands::reason(&error.into()));
            BTreeSet::new()
        }
    }
}

/// Addresses of services and of virtual routers.
pub(crate) fn virtual_addresses(director: &Director) -> BTreeSet<IpAddr> {
    let services = director.services.iter().flat_map(VirtualService::addresses);
    let routers = director.virtual_routers.iter();
    let routers = routers.flat_map(|router| &router.addresses);
    services.chain(routers.copied()).collect()
}

/// The interface's own addresses, which advertisements and ICMP errors come from; a virtual one is not its own.
pub(crate) async fn sources(
    netlink: &Netlink,
    link: &LinkInfo,
    director: &Director,
) -> Result<Sources, AddressError> {
    let prefixes = netlink.prefixes(link.index).await?;
    let virtual_addresses = virtual_addresses(director);
    let own = prefixes.iter().map(|prefix| prefix.address);
    let own = own.filter(|address| !virtual_addresses.contains(address));
    let mut sources = Sources::default();
    for address in own {
        match address {
            IpAddr::V4(address) => sources.v4 = sources.v4.or(Some(address)),
            IpAddr::V6(address) if address.is_unicast_link_local() => {
                sources.v6 = sources.v6.or(Some(address));
            }
            IpAddr::V6(address) => sources.global = sources.global.or(Some(address)),
        }
    }
    Ok(sources)
}

/// Removes addresses that an earlier daemon added and that the config no longer has.
async fn remove_leftovers(netlink: &Netlink, director: &Director) {
    let ours = match netlink.our_addresses().await {
        Ok(ours) => ours,
        Err(error) => {
            tracing::warn!("{}", super::hands::reason(&error.into()));
            return;
        }
    };
    for own in ours {
        if virtual_addresses(director).contains(&own.address) {
            continue;
        }
        match netlink.remove_address(own.address).await {
            Ok(()) => {
                tracing::info!(event = "leftover-removed", address = %own.address, "address removed: not in the configuration")
            }
            Err(error) => tracing::warn!("{}", super::hands::reason(&error.into())),
        }
    }
}

fn bad_link(error: LinkError, setup: &Setup) -> CommandError {
    let hint = format!(
        "Set `interface` (and `more-interfaces`) under `[director]` in `{}`, then try again.",
        setup.config.display()
    );
    match error {
        LinkError::Missing { .. } | LinkError::NotEthernet { .. } => {
            CommandError::new(error).hint(hint)
        }
        LinkError::Request { .. } => CommandError::new(error),
    }
}

fn bad_socket(error: BindError) -> CommandError {
    match &error {
        BindError::InUse { .. } => CommandError::new(error)
            .hint("See what it does: `evenkeel status`. Have it read its config again: `evenkeel reload`.")
            .hint(SECOND_DAEMON),
        BindError::Failed { source, .. } => {
            let hint = if source.kind() == io::ErrorKind::PermissionDenied {
                as_root()
            } else if source.kind() == io::ErrorKind::AddrInUse {
                "What is there is not a socket: remove it, or give another path: `--socket PATH`."
                    .to_owned()
            } else {
                "Give another path: `--socket PATH`.".to_owned()
            };
            CommandError::new(error).hint(hint)
        }
    }
}

fn bad_plane(error: StartError) -> CommandError {
    let denied = matches!(error, StartError::NotPermitted { .. });
    let in_use = matches!(error, StartError::InUse { .. });
    let of_pins = error.of_pins().is_some();
    let error = CommandError::new(error);
    if denied {
        error.hint(as_root())
    } else if in_use {
        error.hint(SECOND_DAEMON)
    } else if of_pins {
        error.hint(HAND_OVER)
    } else {
        error
    }
}
