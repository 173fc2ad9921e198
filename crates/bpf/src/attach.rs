//! Programs on interfaces.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use aya::Ebpf;
use aya::programs::links::{FdLink, LinkError, PinnedLink};
use aya::programs::xdp::XdpLink;
use aya::programs::{ProgramError, Xdp, XdpMode};
use nix::errno::Errno;

use crate::error::{StartError, copied, failed, io_cause};
use crate::object::{self, EVENKEEL, PASS};
use crate::options::{Interface, Mode, Options, Sizes};
use crate::pins::Pins;

const ATTACH: &str = "attach the XDP program";

/// Time between two attempts at an interface that another program is on still.
const TRY_EVERY: Duration = Duration::from_millis(2);

/// Attaches the loaded program to every interface and pins its links. Waits so long for another program to be off.
pub(crate) fn attach_new(
    ebpf: &mut Ebpf,
    options: &Options,
    pins: &Pins,
    patience: Duration,
) -> Result<(), StartError> {
    let deadline = Instant::now() + patience;
    for (interface, pin) in pinned_at(options, pins) {
        loop {
            match attach_to(ebpf, &interface, &pin) {
                Err(StartError::ForeignProgram { .. }) if Instant::now() < deadline => {
                    thread::sleep(TRY_EVERY);
                }
                attached => break attached?,
            }
        }
    }
    Ok(())
}

/// Every interface, and where the link of the program on it is pinned.
fn pinned_at(options: &Options, pins: &Pins) -> Vec<(Interface, PathBuf)> {
    let with_pin = |interface: Interface| {
        let pin = pins.links().join(&interface.name);
        (interface, pin)
    };
    options.interfaces().into_iter().map(with_pin).collect()
}

fn attach_to(ebpf: &mut Ebpf, interface: &Interface, pin: &Path) -> Result<(), StartError> {
    let xdp = object::program(ebpf, EVENKEEL)?;
    let link = attach(xdp, &interface.name, interface.index, interface.mode)?;
    link.pin(pin)
        .map(drop)
        .map_err(|error| failed("pin the XDP link", error))
}

/// Puts the loaded program in the place of those that the pinned links hold, or attaches it anew
/// where a link holds nothing any more or is another interface's (`is_known` tells by the index). Takes it off
/// interfaces that are none of the options'.
pub(crate) fn replace(
    ebpf: &mut Ebpf,
    options: &Options,
    pins: &Pins,
    is_known: impl Fn(u32) -> bool,
) -> Result<(), StartError> {
    let wanted = pinned_at(options, pins);
    let unpin =
        |pin: &Path| fs::remove_file(pin).map_err(|error| failed("unpin an XDP link", error));
    for (interface, pin) in &wanted {
        if pin.exists() && (!is_known(interface.index) || !replace_one(ebpf, pins, pin)?) {
            unpin(pin)?;
        }
    }
    // Before others are attached: one of them may be an interface that had another name.
    for entry in fs::read_dir(pins.links()).into_iter().flatten().flatten() {
        let path = entry.path();
        if !wanted.iter().any(|(_, pin)| *pin == path) {
            unpin(&path)?;
        }
    }
    for (interface, pin) in &wanted {
        if !pin.exists() {
            attach_to(ebpf, interface, pin)?;
        }
    }
    Ok(())
}

/// Puts the loaded program in the place of the one that a pinned link holds; false: it holds none any more.
fn replace_one(ebpf: &mut Ebpf, pins: &Pins, pin: &Path) -> Result<bool, StartError> {
    let pinned =
        PinnedLink::from_pin(pin).map_err(|error| failed("open the pinned XDP link", error))?;
    let stale = |_not_xdp: LinkError| StartError::StalePins {
        pin_dir: pins.dir().to_owned(),
        what: format!("`{}` is not the link of an XDP program", pin.display()),
    };
    let link: XdpLink = FdLink::from(pinned).try_into().map_err(stale)?;
    let xdp = object::program(ebpf, EVENKEEL)?;
    match xdp.attach_to_link(link) {
        // The link lives by its pin; this handle would only keep it alive after a purge.
        Ok(id) => {
            let link = xdp.take_link(id).map_err(|error| failed(ATTACH, error))?;
            drop(link);
            Ok(true)
        }
        Err(error) if errno(&error) == Some(Errno::ENOLINK) => Ok(false),
        Err(error) => Err(failed("replace the XDP program", error)),
    }
}

/// Attaches a program by a link that can be pinned.
pub(crate) fn attach(
    xdp: &mut Xdp,
    interface: &str,
    link_index: u32,
    mode: Mode,
) -> Result<FdLink, StartError> {
    let mode = match mode {
        Mode::Native => XdpMode::Driver,
        Mode::Generic => XdpMode::Skb,
    };
    let id = xdp
        .attach_to_if_index(link_index, mode)
        .map_err(|error| refused(interface, mode, error))?;
    let link = xdp.take_link(id).map_err(|error| failed(ATTACH, error))?;
    // The kernel's netlink way has no link to pin; dropping it takes the program off.
    FdLink::try_from(link).map_err(|_netlink: LinkError| StartError::NoLink {
        interface: interface.to_owned(),
    })
}

/// Says why an interface did not take the program (`dev_xdp_attach` in net/core/dev.c).
fn refused(interface: &str, mode: XdpMode, error: ProgramError) -> StartError {
    let interface = interface.to_owned();
    match errno(&error) {
        Some(Errno::EBUSY | Errno::EEXIST) => StartError::ForeignProgram { interface },
        Some(Errno::ENODEV) => StartError::NoInterface { interface },
        Some(errno @ (Errno::EOPNOTSUPP | Errno::ERANGE | Errno::EINVAL))
            if mode == XdpMode::Driver =>
        {
            StartError::NativeUnsupported {
                interface,
                source: errno.into(),
            }
        }
        _ => failed(ATTACH, error),
    }
}

/// The system's error number at the bottom of an error.
fn errno(error: &ProgramError) -> Option<Errno> {
    if let ProgramError::XdpError(aya::programs::XdpError::NetlinkError(netlink)) = error {
        return netlink.raw_os_error().map(Errno::from_raw);
    }
    copied(io_cause(error)?).raw_os_error().map(Errno::from_raw)
}

/// A program that lets everything through, on an interface for as long as this value lives.
#[derive(Debug)]
pub struct PassProgram {
    _link: FdLink,
}

/// Attaches the program that lets everything through.
///
/// Native XDP on a veth takes frames that the other end sends back only if it has a program itself.
/// The index is that of the calling thread's network namespace.
///
/// # Errors
/// As [`DataPlane::start`](crate::DataPlane::start), pins aside.
pub fn attach_pass(
    interface: &str,
    link_index: u32,
    mode: Mode,
) -> Result<PassProgram, StartError> {
    let mut ebpf = object::load(&Sizes::least(), None)?;
    let xdp = object::verify(&mut ebpf, PASS)?;
    let link = attach(xdp, interface, link_index, mode)?;
    Ok(PassProgram { _link: link })
}
