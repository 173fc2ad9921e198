//! What goes into the core and what comes out.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use evenkeel_health::TargetId;
use evenkeel_model::{
    CheckKind, Director, GateState, Hop, Overlay, Role, ServiceEntry, ServiceKey, VirtualRouter,
    VirtualRouterId,
};

use crate::report::Report;

/// Something happened that the core must know of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// There is a new, valid configuration.
    Configure(Director),
    /// A probe is complete.
    CheckResult {
        /// The target, as in [`Command::Probe`].
        target: TargetId,
        /// The attempt, as in [`Command::Probe`].
        attempt: u64,
        /// Passed, or why not.
        outcome: Result<(), String>,
    },
    /// The next hop to a watched server is known, or is another one.
    Neighbour {
        /// The server.
        address: IpAddr,
        /// How packets get there.
        hop: Hop,
    },
    /// This director's role in a virtual router changed.
    Role {
        /// The virtual router.
        router: VirtualRouterId,
        /// The old role.
        from: Role,
        /// The new role.
        to: Role,
        /// Why, for people.
        reason: String,
    },
    /// Something is wrong about a virtual router that was not before.
    RouterTrouble {
        /// The virtual router.
        router: VirtualRouterId,
        /// What, for people.
        what: String,
    },
    /// An operator ordered something about a virtual router, or what was ordered has ended.
    RouterOrdered {
        /// The virtual router.
        router: VirtualRouterId,
        /// What, for people.
        what: String,
        /// Whether it is as was ordered.
        done: bool,
    },
    /// This director is in maintenance from now on, or no longer.
    Maintenance(bool),
    /// The director's own addresses are exactly these.
    OwnAddresses(BTreeSet<IpAddr>),
    /// A command could not be executed; it is given again where it still makes sense.
    CommandFailed {
        /// The command.
        what: Box<Command>,
        /// Why, for people.
        reason: String,
        /// The attempt before failed too, for the same reason: people have been told.
        again: bool,
    },
    /// These are the virtual routers whose connections this director has from their Active, by connection sync.
    Synced(BTreeSet<VirtualRouterId>),
    /// What made commands fail may be gone: they are given again at once.
    TryAgain,
}

/// An order to the shell; commands are to be executed in the order in which they come, except that
/// probes run beside everything else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Take part in exactly these virtual routers. Once it is executed, addresses that are in none of them
    /// any more are off the interface and their gates closed.
    ConfigureRouters(Vec<VirtualRouter>),
    /// Let a virtual router take over and preempt; comes once in its life, unless it fails.
    MayTakeOver(VirtualRouterId),
    /// Keep the edits by hand, so that the next start finds them.
    KeepEdits(Overlay),
    /// Make the data plane hold exactly this for the service.
    PutService(ServiceEntry),
    /// Make the data plane forget the service.
    RemoveService(ServiceKey),
    /// Set the gate of a virtual address; like the three below never of one under a virtual router.
    SetGate {
        /// The virtual address.
        address: IpAddr,
        /// The state.
        state: GateState,
    },
    /// Add the virtual address to the interface, unless a local interface has it.
    AddAddress(IpAddr),
    /// Remove the virtual address, if it is evenkeel that added it.
    RemoveAddress(IpAddr),
    /// Tell the neighbours that the virtual address is here.
    Announce(IpAddr),
    /// Have the address resolved and kept resolved, and report it by [`Event::Neighbour`], at once where
    /// it is known already.
    WatchNeighbour(IpAddr),
    /// Stop that.
    UnwatchNeighbour(IpAddr),
    /// Check a target and report by [`Event::CheckResult`].
    Probe {
        /// The target.
        target: TargetId,
        /// Number of this check.
        attempt: u64,
        /// What to do.
        kind: CheckKind,
        /// Where.
        address: SocketAddr,
        /// Total deadline.
        timeout: Duration,
    },
    /// Tell people.
    Report(Report),
    /// The first round of checks is complete, or `startup_wait` has passed; comes once.
    Ready,
}

impl Command {
    /// What it does, in words that follow "could not".
    #[must_use]
    pub fn action(&self) -> String {
        match self {
            Self::ConfigureRouters(_) => "configure the virtual routers".to_owned(),
            Self::MayTakeOver(id) => format!("let virtual router {id} take over"),
            Self::KeepEdits(_) => "keep the edits by hand for the next start".to_owned(),
            Self::PutService(entry) => format!("put service {} into the data plane", entry.key),
            Self::RemoveService(key) => format!("remove service {key} from the data plane"),
            Self::SetGate { address, state } => format!("set the gate of {address} to {state:?}"),
            Self::AddAddress(address) => format!("add address {address}"),
            Self::RemoveAddress(address) => format!("remove address {address}"),
            Self::Announce(address) => format!("announce address {address}"),
            Self::WatchNeighbour(address) => format!("watch neighbour {address}"),
            Self::UnwatchNeighbour(address) => format!("stop watching neighbour {address}"),
            Self::Probe { address, .. } => format!("probe {address}"),
            Self::Report(_) => "report".to_owned(),
            Self::Ready => "tell that the director is ready".to_owned(),
        }
    }
}
