//! The generator and the sink: programs of `xdp/src/bin/bench.rs`.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::Ordering::SeqCst;

use anyhow::{Context as _, ensure};
use evenkeel_abi::Shared;
use evenkeel_bpf::{Attachment, DataPlane, Mode, Options, Run, Sizes};
use evenkeel_model::MacAddress;

use crate::namespace::command;

pub(crate) static OBJECT: &[u8] = include_bytes!("../../../../crates/bpf/src/bench.bpf.o");

/// The service and the director's MAC address, as the generator writes them.
pub(crate) const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 18, 14, 146));
pub(crate) const PORT: u16 = 80;
pub(crate) const MAC: MacAddress = MacAddress([2, 0, 0, 0, 0, 2]);

/// Flows of the service; those of one client address, because its ports are so many.
pub(crate) const FLOWS: u32 = 1024;

/// The number of the first client, whose address is 10.0.92.44. The generator leaves the IP header's checksum
/// zero, and for this address alone that is right: the stack takes no other header.
const FIRST_CLIENT: u64 = 0x5c2c << 10;

/// Frames that are handed over at once: few beside the 256 of a veth's ring.
const BATCH: u32 = 32;

const SYN: u64 = 0x02;
const ACK: u64 = 0x10;

/// The words of the map `WORK`.
struct Work;

impl Work {
    const ROUND: usize = 0;
    const CLIENTS: usize = 1;
    const SHIFT: usize = 2;
    const EVEN: usize = 3;
    const ODD: usize = 4;
    const PORT: usize = 6;
    const LEN: usize = 7;
}

/// What is sent of every flow, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Burst {
    /// A SYN and an acknowledgement.
    Opening,
    /// An acknowledgement.
    Known,
}

pub(crate) struct Harness {
    plane: DataPlane,
    numbers: u32,
    /// The generator on an interface that is never up: the kernel has it among the programs that it calls directly, and
    /// need not patch itself for every burst, which takes longer than the burst.
    _patched: Attachment,
}

impl Harness {
    pub(crate) fn new() -> anyhow::Result<Self> {
        let mut plane = DataPlane::load_object(&options(), OBJECT)?;
        for program in ["floor", "send_back", "sink"] {
            plane.load_program(program)?;
        }
        command("ip link add idle type veth peer name unused")?;
        let patched = attach(&mut plane, "floor", "idle")?;
        Ok(Self {
            plane,
            numbers: 0,
            _patched: patched,
        })
    }

    /// A number for the names of interfaces.
    pub(crate) const fn next_number(&mut self) -> u32 {
        self.numbers += 1;
        self.numbers
    }

    /// Attaches a program to an interface of this namespace.
    pub(crate) fn attach(&mut self, program: &str, interface: &str) -> anyhow::Result<Attachment> {
        attach(&mut self.plane, program, interface)
    }

    /// Sends frames of every flow out of an interface of this namespace.
    pub(crate) fn send(&self, interface: u32, burst: Burst) -> anyhow::Result<()> {
        let (shift, even) = match burst {
            Burst::Opening => (1, SYN),
            Burst::Known => (0, ACK),
        };
        let work = self.plane.array::<[Shared; Work::LEN]>("WORK")?;
        let work = work.get(0).context("`WORK` is empty")?;
        work[Work::ROUND].store(FIRST_CLIENT << shift, SeqCst);
        work[Work::CLIENTS].store(0, SeqCst);
        work[Work::SHIFT].store(shift, SeqCst);
        work[Work::EVEN].store(even, SeqCst);
        work[Work::ODD].store(ACK, SeqCst);
        work[Work::PORT].store(PORT.into(), SeqCst);
        let run = Run {
            program: "floor",
            repeat: FLOWS << shift,
            ingress: Some(interface),
            live_frames: Some(BATCH),
        };
        self.plane.run_with(&[0; 60], run)?;
        Ok(())
    }

    /// Frames that the sink has taken.
    pub(crate) fn sunk(&self) -> anyhow::Result<u64> {
        Ok(self.plane.count_of("SUNK")?)
    }
}

/// What the object is loaded with.
pub(crate) fn options() -> Options {
    Options {
        pin_dir: "/nowhere".into(),
        interface: "none".into(),
        link_index: 1,
        others: Vec::new(),
        mac: MAC,
        address: None,
        address6: None,
        mode: Mode::Native,
        sizes: Sizes::small(),
    }
}

pub(crate) fn attach(
    plane: &mut DataPlane,
    program: &str,
    interface: &str,
) -> anyhow::Result<Attachment> {
    let index = nix::net::if_::if_nametoindex(interface)?;
    Ok(plane.attach(program, interface, index, Mode::Native)?)
}

/// What a director says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Packets forwarded.
    pub(crate) packets: u64,
    /// Flows begun.
    pub(crate) flows: u64,
    /// What must not change while known flows are forwarded.
    pub(crate) others: Vec<u64>,
}

impl Counts {
    /// Fails unless since `before` known flows alone were forwarded, as many packets as arrived or some more that were
    /// lost on the way.
    pub(crate) fn expect(&self, before: &Self, arrived: u64, sent: u64) -> anyhow::Result<()> {
        let packets = self.packets - before.packets;
        ensure!(
            (arrived..=sent).contains(&packets),
            "{packets} packets were forwarded, but {arrived} of {sent} arrived"
        );
        let expected = Self {
            packets: self.packets,
            ..before.clone()
        };
        ensure!(*self == expected, "{self:?} instead of {expected:?}");
        Ok(())
    }
}
