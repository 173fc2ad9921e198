//! What can go wrong, in words for the operator.

use std::error::Error;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use evenkeel_model::ServiceKey;

/// A cause of another library.
pub(crate) type Cause = Box<dyn Error + Send + Sync>;

/// Why a data plane did not start; nothing of a fresh start is left behind.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The kernel is older than the floor.
    #[error("kernel `{found}` is too old: evenkeel needs Linux 6.1 or later")]
    KernelTooOld {
        /// Its release.
        found: String,
    },
    /// The process lacks privileges.
    #[error(
        "no permission to {what}: run as root (with sudo), or with the capabilities CAP_NET_ADMIN, CAP_NET_RAW, CAP_BPF and CAP_PERFMON and a pin directory that is this user's"
    )]
    NotPermitted {
        /// What was refused, as a verb and its object.
        what: String,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// The interface does not exist, or has another index than the caller thinks.
    #[error("there is no interface `{interface}`: `ip link` lists those that exist")]
    NoInterface {
        /// Its name.
        interface: String,
    },
    /// Two interfaces have the same place in the table of interfaces.
    #[error(
        "interface `{interface}` has an index that differs from another one's by a multiple of {modulus}"
    )]
    InterfacesCollide {
        /// Its name.
        interface: String,
        /// Places of the table.
        modulus: u32,
    },
    /// The pins' directory is on another file system.
    #[error(
        "`{}` is not on a bpf file system: mount one with `mount -t bpf bpf /sys/fs/bpf`", path.display()
    )]
    NotBpffs {
        /// The directory, or the nearest one that exists.
        path: PathBuf,
    },
    /// Another daemon uses the pins.
    #[error("another evenkeel uses the pins in `{}`", pin_dir.display())]
    InUse {
        /// Their directory.
        pin_dir: PathBuf,
    },
    /// Somebody else's program runs on the interface.
    #[error(
        "another XDP program is on interface `{interface}`: `ip -d link show dev {interface}` shows it, `ip link set dev {interface} xdp off` (or `xdpgeneric off`) takes it off; a program that holds it by a link must end first"
    )]
    ForeignProgram {
        /// The interface.
        interface: String,
    },
    /// The driver does not run XDP.
    #[error(
        "interface `{interface}` can't run XDP in its driver: choose generic mode in the configuration, or, on veth, an MTU below 3,500"
    )]
    NativeUnsupported {
        /// The interface.
        interface: String,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// The kernel attached the program without a link that can be pinned.
    #[error(
        "the kernel gave no link for interface `{interface}`, so the program could not outlive the daemon; it was taken off again"
    )]
    NoLink {
        /// The interface.
        interface: String,
    },
    /// The pins are not this version's.
    #[error(
        "the pins in `{}` can't be adopted: {what}; `evenkeel purge` removes them (forwarding stops until the next start)", pin_dir.display()
    )]
    StalePins {
        /// Their directory.
        pin_dir: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// A configured size is not that of the pinned map.
    #[error(
        "the configuration asks for {configured} entries in table `{map}`, the pinned one has {pinned}: restore the old size, or run `evenkeel purge` first (forwarding stops until the next start)"
    )]
    Resized {
        /// Name of the map.
        map: &'static str,
        /// Entries as configured.
        configured: u32,
        /// Entries of the pinned map.
        pinned: u32,
    },
    /// The verifier refused the program.
    #[error("the kernel refused the program `{program}`; the end of its log:\n{log}")]
    Refused {
        /// Name of the program.
        program: String,
        /// Last lines of the verifier's log.
        log: String,
    },
    /// A system call failed.
    #[error("`{what}` failed")]
    Failed {
        /// What was tried.
        what: String,
        /// Why.
        #[source]
        source: Cause,
    },
}

impl StartError {
    /// Why the pins of a predecessor can't be adopted; `None`: that is not what went wrong.
    #[must_use]
    pub fn of_pins(&self) -> Option<String> {
        match self {
            Self::StalePins { what, .. } => Some(what.clone()),
            Self::Resized {
                map,
                configured,
                pinned,
            } => Some(format!(
                "table `{map}` has {pinned} entries, and {configured} are configured"
            )),
            Self::KernelTooOld { .. }
            | Self::NotPermitted { .. }
            | Self::NoInterface { .. }
            | Self::InterfacesCollide { .. }
            | Self::NotBpffs { .. }
            | Self::InUse { .. }
            | Self::ForeignProgram { .. }
            | Self::NativeUnsupported { .. }
            | Self::NoLink { .. }
            | Self::Refused { .. }
            | Self::Failed { .. } => None,
        }
    }
}

/// Why a service was not put; the data plane is as it was.
#[derive(Debug, thiserror::Error)]
pub enum PutError {
    /// A service has IPv4 and IPv6 addresses.
    #[error("service `{service}` has `{one}` and `{other}`: one service is of IPv4 or of IPv6")]
    TwoFamilies {
        /// The service.
        service: ServiceKey,
        /// An address of it, or of a server of it.
        one: IpAddr,
        /// One of the other family.
        other: IpAddr,
    },
    /// A server stands in the list twice.
    #[error("real server `{address}` is listed twice in service `{service}`")]
    Duplicate {
        /// The service.
        service: ServiceKey,
        /// The server.
        address: SocketAddr,
    },
    /// A service lists more servers than packets can be scheduled over.
    #[error("service `{service}` lists {count} real servers: at most {max} fit into one service")]
    TooManyServers {
        /// The service.
        service: ServiceKey,
        /// Its servers.
        count: usize,
        /// The most.
        max: usize,
    },
    /// A table of fixed size is full.
    #[error("no room for more {what}: the table holds {max}")]
    Full {
        /// What it holds.
        what: &'static str,
        /// Its capacity.
        max: u32,
    },
    /// A map could not be changed.
    #[error("map `{map}` could not be changed")]
    Map {
        /// Its name.
        map: &'static str,
        /// Why.
        #[source]
        source: Cause,
    },
}

/// Why a gate was not set.
#[derive(Debug, thiserror::Error)]
pub enum GateError {
    /// No service has the address.
    #[error("no virtual service has the address `{address}`")]
    Unknown {
        /// The address.
        address: IpAddr,
    },
    /// The address is under a virtual router, whose role alone decides.
    #[error("the gate of `{address}` belongs to virtual router `{router}`")]
    Reserved {
        /// The address.
        address: IpAddr,
        /// The virtual router's id.
        router: u8,
    },
}

/// Why counters could not be read.
#[derive(Debug, thiserror::Error)]
#[error("map `{map}` could not be read")]
pub struct ReadError {
    /// Name of the map.
    pub map: &'static str,
    /// Why.
    #[source]
    pub source: Cause,
}

/// Why the pins were not removed.
#[derive(Debug, thiserror::Error)]
#[error("`{}` could not be removed", path.display())]
pub struct PurgeError {
    /// The file or directory.
    pub path: PathBuf,
    /// Why.
    #[source]
    pub source: io::Error,
}

/// Why a program could not be run on a packet.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The object has no such program, or it is not loaded.
    #[error("there is no loaded program `{program}`")]
    NoProgram {
        /// Its name.
        program: String,
    },
    /// The kernel refused the run.
    #[error("the kernel did not run the program `{program}`")]
    Failed {
        /// Its name.
        program: String,
        /// Why.
        #[source]
        source: Cause,
    },
}

/// The `io::Error` at the bottom of an error, if there is one.
pub(crate) fn io_cause<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a io::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(io) = error.downcast_ref() {
            return Some(io);
        }
        next = error.source();
    }
    None
}

/// An `io::Error` of the same number; they can't be cloned.
pub(crate) fn copied(error: &io::Error) -> io::Error {
    error
        .raw_os_error()
        .map_or_else(|| error.kind().into(), io::Error::from_raw_os_error)
}

/// A start's failure: for want of permission, or for another reason.
pub(crate) fn failed(what: &str, error: impl Error + Send + Sync + 'static) -> StartError {
    match io_cause(&error) {
        Some(io) if io.kind() == io::ErrorKind::PermissionDenied => StartError::NotPermitted {
            what: what.to_owned(),
            source: copied(io),
        },
        _ => StartError::Failed {
            what: what.to_owned(),
            source: Box::new(error),
        },
    }
}

/// A map's failure while a service is changed.
pub(crate) fn map_failed(map: &'static str) -> impl Fn(aya::maps::MapError) -> PutError {
    move |error| PutError::Map {
        map,
        source: Box::new(error),
    }
}
