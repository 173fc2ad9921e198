//! What packets see of a change of a service's consistent hash.

use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use evenkeel_bpf::{DataPlane, Mode, Options, Sizes};
use evenkeel_model::{GateState, MaglevSlots, Scheduler, ServiceEntry};
use evenkeel_netns_tests::Samples;
use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, CpuSet, sched_getaffinity, sched_setaffinity, unshare};
use nix::unistd::Pid;

use crate::closed_loop::ip;
use crate::control::{MAC, service};

/// Servers of the service, one of which goes and comes back.
const SERVERS: u16 = 1_000;

/// Changes of each size of the table.
const CHANGES: usize = 21;

const INTERFACE: &str = "swap0";

/// What changes took, in milliseconds.
#[derive(Debug)]
pub(crate) struct Swap {
    pub(crate) slots: u32,
    /// The whole change, as whoever orders it sees it.
    pub(crate) call: Samples,
    /// From the last packet by the old table to the first by the new one.
    pub(crate) seen: Samples,
}

/// Pins, in a file system that nobody else sees.
struct Pins(tempfile::TempDir);

impl Pins {
    fn new() -> anyhow::Result<Self> {
        unshare(CloneFlags::CLONE_NEWNS)?;
        let none: Option<&Path> = None;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
        let folder = tempfile::tempdir()?;
        mount(
            Some("bpf"),
            folder.path(),
            Some("bpf"),
            MsFlags::empty(),
            none,
        )?;
        Ok(Self(folder))
    }
}

impl Drop for Pins {
    fn drop(&mut self) {
        // It ends with this process in any case.
        let _unmounted = umount2(self.0.path(), MntFlags::MNT_DETACH);
    }
}

/// Changes a service while another processor sends packets to it.
pub(crate) fn measure() -> anyhow::Result<Vec<Swap>> {
    let pins = Pins::new().context("making a place for pins")?;
    ip(&[
        "link", "add", INTERFACE, "type", "veth", "peer", "name", "swap1",
    ])?;
    let options = Options {
        pin_dir: pins.0.path().join("evenkeel"),
        interface: INTERFACE.to_owned(),
        link_index: nix::net::if_::if_nametoindex(INTERFACE)?,
        others: Vec::new(),
        mac: MAC,
        address: None,
        address6: None,
        mode: Mode::Generic,
        sizes: Sizes {
            connections: 1 << 16,
            arena_words: 1 << 23,
            ..Sizes::default()
        },
    };
    // The program of the first start runs on for the packets; the second one owns the maps.
    let (packets, _) = DataPlane::start(&options)?;
    let (mut plane, _) = DataPlane::start(&options)?;
    let sizes = [(MaglevSlots::Small, 65_537), (MaglevSlots::Large, 655_373)];
    let swaps = sizes.map(|(size, slots)| of_size(&packets, &mut plane, size, slots));
    swaps.into_iter().collect()
}

fn of_size(
    packets: &DataPlane,
    plane: &mut DataPlane,
    size: MaglevSlots,
    slots: u32,
) -> anyhow::Result<Swap> {
    let entries = [SERVERS, SERVERS - 1].map(|servers| {
        let mut entry = service(0, Scheduler::Maglev, servers);
        entry.options.maglev.slots = size;
        entry
    });
    let [whole, less] = &entries;
    plane.put_service(whole)?;
    for address in whole.addresses() {
        plane.set_gate(address, GateState::Open)?;
    }
    let frame = moving(plane, whole, less)?;
    let mut swap = Swap {
        slots,
        call: Samples::default(),
        seen: Samples::default(),
    };
    for change in 0..CHANGES {
        let entry = &entries[change % 2];
        let stop = AtomicBool::new(false);
        let (call, seen) = thread::scope(|scope| {
            let watcher = scope.spawn(|| watch(packets, &frame, &stop));
            let begun = Instant::now();
            let put = plane.put_service(entry);
            let call = begun.elapsed();
            stop.store(true, SeqCst);
            let seen = watcher.join();
            put.map(|()| (call, seen))
        })?;
        let seen = seen.map_err(|_panic| anyhow::anyhow!("the packets' thread panicked"))??;
        swap.call.add(call.as_secs_f64() * 1e3);
        if let Some(between) = seen {
            swap.seen.add(between.as_secs_f64() * 1e3);
        }
    }
    ensure!(
        swap.seen.count() > CHANGES / 2,
        "too few changes were seen: {swap:?}"
    );
    Ok(swap)
}

/// A packet of no known flow that goes to the server which comes and goes; afterwards the lesser list is in force.
fn moving(
    plane: &mut DataPlane,
    whole: &ServiceEntry,
    less: &ServiceEntry,
) -> anyhow::Result<Vec<u8>> {
    let frames: Vec<Vec<u8>> = (0..u16::MAX)
        .map(|port| frame(whole.key.port(), port))
        .collect();
    let last = whole.servers.last().context("no servers")?.hop.mac.0;
    for frame in frames {
        let (_verdict, out) = plane.run(&frame)?;
        if out.get(..6) == Some(&last[..]) {
            plane.put_service(less)?;
            return Ok(frame);
        }
    }
    anyhow::bail!("no flow goes to the last server")
}

/// An acknowledgement from a port.
fn frame(to: u16, from: u16) -> Vec<u8> {
    let mut frame = [&MAC.0[..], &[2, 0, 0, 0, 0, 1, 8, 0]].concat();
    frame.extend([0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1]);
    frame.extend([198, 18, 255, 1]);
    frame.extend(from.to_be_bytes());
    frame.extend(to.to_be_bytes());
    frame.extend([0, 0, 0, 1, 0, 0, 0, 0, 0x50, 0x10, 0xff, 0xff, 0, 0, 0, 0]);
    frame
}

/// Goes to another processor than that of the change, which is the only one so far; if there is another.
fn leave_the_processor() -> anyhow::Result<()> {
    let myself = Pid::from_raw(0);
    let occupied = sched_getaffinity(myself)?;
    let mut others = CpuSet::new();
    for cpu in 0..CpuSet::count() {
        if !occupied.is_set(cpu)? {
            others.set(cpu)?;
        }
    }
    match sched_setaffinity(myself, &others) {
        Ok(()) | Err(Errno::EINVAL) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Sends the packet again and again until the change is over, and once more: how long it was from the last that went to
/// the first server to the first that went to another; `None`: all went to one.
fn watch(plane: &DataPlane, frame: &[u8], stop: &AtomicBool) -> anyhow::Result<Option<Duration>> {
    leave_the_processor()?;
    let mut first = None;
    let mut last_old = Instant::now();
    loop {
        let ending = stop.load(SeqCst);
        let (_verdict, out) = plane.run(frame)?;
        let now = Instant::now();
        let server = out.get(..6).context("a short frame")?.to_vec();
        if *first.get_or_insert_with(|| server.clone()) != server {
            return Ok(Some(now - last_old));
        }
        last_old = now;
        if ending {
            return Ok(None);
        }
    }
}
