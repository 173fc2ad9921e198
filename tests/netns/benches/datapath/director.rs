//! A data plane with services, real servers and a number of established flows, and the programs that measure it
//! (`xdp/src/bin/bench.rs`).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use evenkeel_abi::{Shared, Word};
use evenkeel_bpf::{Attachment, DataPlane, Mode, Options, Run, Sizes};
use evenkeel_model::{
    Forwarding, GateState, Listens, MacAddress, Protocol, Scheduler, ServerEntry, ServiceEntry,
    ServiceKey, ServiceOptions, Thresholds, Weight,
};

static OBJECT: &[u8] = include_bytes!("../../../../crates/bpf/src/bench.bpf.o");

/// The director's MAC address, as the rounds write it.
const MAC: MacAddress = MacAddress([2, 0, 0, 0, 0, 2]);

/// The port of the first service; that of each following one is the next.
const PORT: u16 = 80;

/// Programs that are the same for both versions of IP.
const PROGRAMS: [&str; 2] = ["send_back", "sink"];

/// A version of IP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
}

impl Family {
    pub(crate) const ALL: [Self; 2] = [Self::V4, Self::V6];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::V4 => "ipv4",
            Self::V6 => "ipv6",
        }
    }

    /// The virtual address, as the rounds write it.
    const fn address(self) -> IpAddr {
        match self {
            Self::V4 => IpAddr::V4(Ipv4Addr::new(198, 18, 14, 146)),
            Self::V6 => IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0xe, 0x92)),
        }
    }

    /// A real server's address.
    fn server(self, number: u16) -> IpAddr {
        let [high, low] = number.to_be_bytes();
        match self {
            Self::V4 => IpAddr::from([198, 19, high, low]),
            Self::V6 => IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0xf, number]),
        }
    }

    /// The length of a frame, padded to Ethernet's least.
    const fn frame_len(self) -> usize {
        match self {
            Self::V4 => 60,
            Self::V6 => 74,
        }
    }

    /// A program of this version.
    const fn program(self, program: Program) -> &'static str {
        match (program, self) {
            (Program::Floor, Self::V4) => "floor",
            (Program::Floor, Self::V6) => "floor6",
            (Program::Yardstick, Self::V4) => "yardstick",
            (Program::Yardstick, Self::V6) => "yardstick6",
            (Program::FillYardstick, Self::V4) => "fill_yardstick",
            (Program::FillYardstick, Self::V6) => "fill_yardstick6",
            (Program::Measured, Self::V4) => "measured",
            (Program::Measured, Self::V6) => "measured6",
        }
    }
}

/// What is run on packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    /// Writes the headers of each round.
    Floor,
    /// Looks the client up in a table.
    Yardstick,
    /// Enters the client into that table.
    FillYardstick,
    /// The balancing program.
    Measured,
}

impl Program {
    const ALL: [Self; 4] = [
        Self::Floor,
        Self::Yardstick,
        Self::FillYardstick,
        Self::Measured,
    ];
}

/// A service, of this scheduler and so many servers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind {
    pub(crate) scheduler: Scheduler,
    pub(crate) servers: u16,
}

const SYN: u64 = 0x02;
const ACK: u64 = 0x10;
const XDP_TX: u32 = 3;

/// Places the flows, so that every run meets the same buckets: by some secrets, one in a million finds both of its own
/// full.
const SECRET: u64 = 0x6576_656e_6b65_656c;

/// Longest wait for what must happen within a second or two.
const PATIENCE: Duration = Duration::from_secs(20);

/// The clients of new flows are numbered from here, above all that are known.
const NEW_CLIENTS: u64 = 1 << 30;

/// The words of the map `WORK`.
struct Work;

impl Work {
    const ROUND: usize = 0;
    const CLIENTS: usize = 1;
    const SHIFT: usize = 2;
    const EVEN: usize = 3;
    const ODD: usize = 4;
    const MISSED: usize = 5;
    const PORT: usize = 6;
    const LEN: usize = 7;
}

/// Which packets a run is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Packets {
    /// Acknowledgements of the known clients, in random order.
    Known,
    /// Acknowledgements of every known client in turn.
    InTurn,
    /// A SYN and an acknowledgement of every client in turn.
    Opening,
    /// SYNs of clients that were never seen.
    New,
}

/// Everything that the data plane counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) packets: u64,
    pub(crate) flows: u64,
    drops: u64,
    events: Vec<u64>,
}

pub(crate) struct Director {
    plane: DataPlane,
    family: Family,
    clients: u32,
    next_new: Shared,
}

impl Director {
    /// Loads the programs, puts the services, and opens the flows of `clients` with the first one.
    pub(crate) fn new(
        family: Family,
        clients: u32,
        half_open: u32,
        services: &[Kind],
    ) -> anyhow::Result<Self> {
        let options = Options {
            pin_dir: "/nowhere".into(),
            interface: "none".into(),
            link_index: 1,
            others: Vec::new(),
            mac: MAC,
            address: None,
            address6: None,
            mode: Mode::Native,
            sizes: Sizes {
                connections: 1 << 20,
                half_open,
                arena_words: 1 << 21,
                ..Sizes::default()
            },
        };
        let mut plane = DataPlane::load_object(&options, OBJECT)?;
        for program in Program::ALL.map(|program| family.program(program)) {
            plane.load_program(program)?;
        }
        for program in PROGRAMS {
            plane.load_program(program)?;
        }
        // Opened all at once, they are all unassured for a second: more than is allowed.
        let globals = plane.tables().globals.get(0).context("no globals")?;
        globals.unassured_max.store(u64::MAX, SeqCst);
        globals.secret.store(SECRET, SeqCst);
        for (port, kind) in (PORT..).zip(services) {
            plane.put_service(&service(family, port, *kind))?;
        }
        plane.set_gate(family.address(), GateState::Open)?;
        let director = Self {
            plane,
            family,
            clients,
            next_new: Shared::new(NEW_CLIENTS),
        };
        director.open_flows()?;
        director.run(Program::FillYardstick, Packets::InTurn, clients, 0)?;
        director.expect_hits()?;
        Ok(director)
    }

    /// Opens every flow and waits until all are assured.
    fn open_flows(&self) -> anyhow::Result<()> {
        let before = self.counts()?;
        self.run(Program::Measured, Packets::Opening, self.clients * 2, 0)?;
        let end = Instant::now() + PATIENCE;
        let mut packets = u64::from(self.clients) * 2;
        while packets == u64::from(self.clients) * 2 || self.plane.usage().unassured > 0 {
            ensure!(Instant::now() < end, "the flows do not become assured");
            self.run(Program::Measured, Packets::InTurn, self.clients, 0)?;
            packets += u64::from(self.clients);
        }
        self.expect(&before, packets, u64::from(self.clients))
    }

    /// Runs a program on `repeat` packets to one of the services; the average time of each in nanoseconds.
    pub(crate) fn run(
        &self,
        program: Program,
        packets: Packets,
        repeat: u32,
        service: u16,
    ) -> anyhow::Result<f64> {
        self.prepare(packets, repeat, service)?;
        let run = Run {
            program: self.family.program(program),
            repeat,
            ..Run::default()
        };
        let ran = self
            .plane
            .run_with(&vec![0; self.family.frame_len()], run)?;
        ensure!(
            ran.verdict == XDP_TX,
            "{program:?}: verdict {} on {packets:?}",
            ran.verdict
        );
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52 ns")]
        Ok(ran.duration.as_nanos() as f64)
    }

    /// Sends `repeat` frames of known clients out of an interface of this namespace.
    pub(crate) fn generate(&self, interface: u32, repeat: u32) -> anyhow::Result<()> {
        self.prepare(Packets::Known, repeat, 0)?;
        let run = Run {
            program: self.family.program(Program::Floor),
            repeat,
            ingress: Some(interface),
            live_frames: Some(64),
        };
        self.plane
            .run_with(&vec![0; self.family.frame_len()], run)?;
        Ok(())
    }

    /// Tells the programs which clients' headers to write.
    fn prepare(&self, packets: Packets, repeat: u32, service: u16) -> anyhow::Result<()> {
        let work = self.plane.array::<[Shared; Work::LEN]>("WORK")?;
        let work = work.get(0).context("`WORK` is empty")?;
        let (first, clients, shift, even, odd) = match packets {
            Packets::Known => (None, self.clients.into(), 0, ACK, ACK),
            Packets::InTurn => (Some(0), 0, 0, ACK, ACK),
            Packets::Opening => (Some(0), 0, 1, SYN, ACK),
            Packets::New => {
                let first = self.next_new.fetch_add(repeat.into(), SeqCst);
                (Some(first), 0, 0, SYN, SYN)
            }
        };
        if let Some(first) = first {
            work[Work::ROUND].store(first, SeqCst);
        }
        work[Work::CLIENTS].store(clients, SeqCst);
        work[Work::SHIFT].store(shift, SeqCst);
        work[Work::EVEN].store(even, SeqCst);
        work[Work::ODD].store(odd, SeqCst);
        work[Work::PORT].store((PORT + service).into(), SeqCst);
        Ok(())
    }

    /// Known clients.
    pub(crate) const fn clients(&self) -> u32 {
        self.clients
    }

    /// Attaches a program to an interface of this namespace.
    pub(crate) fn attach(&mut self, program: &str, interface: &str) -> anyhow::Result<Attachment> {
        let index = nix::net::if_::if_nametoindex(interface)?;
        let attachment = self.plane.attach(program, interface, index, Mode::Native)?;
        Ok(attachment)
    }

    /// Frames that `sink` has taken.
    pub(crate) fn sunk(&self) -> anyhow::Result<u64> {
        Ok(self.plane.count_of("SUNK")?)
    }

    pub(crate) fn counts(&self) -> anyhow::Result<Counts> {
        let services = self.plane.snapshot()?;
        let drops = self.plane.drops()?;
        let events = self.plane.events()?;
        Ok(Counts {
            packets: services.iter().map(|s| s.stats.packets).sum(),
            flows: services.iter().map(|s| s.stats.conns).sum(),
            drops: drops.iter().map(|counter| counter.value).sum(),
            events: events.iter().map(|counter| counter.value).collect(),
        })
    }

    /// Fails unless since `before` exactly so many packets were forwarded and flows begun, nothing
    /// was dropped, evicted or placed without an entry, and the tables hold them.
    pub(crate) fn expect(&self, before: &Counts, packets: u64, flows: u64) -> anyhow::Result<()> {
        let expected = Counts {
            packets: before.packets + packets,
            flows: before.flows + flows,
            ..before.clone()
        };
        let counts = self.counts()?;
        ensure!(counts == expected, "{counts:?} instead of {expected:?}");
        let usage = self.plane.usage();
        ensure!(
            usage.established == self.clients,
            "{} established flows instead of {}",
            usage.established,
            self.clients
        );
        Ok(())
    }

    /// Fails if the yardstick missed a flow.
    pub(crate) fn expect_hits(&self) -> anyhow::Result<()> {
        let work = self.plane.array::<[Shared; Work::LEN]>("WORK")?;
        let work = work.get(0).context("`WORK` is empty")?;
        let missed = work[Work::MISSED].load(SeqCst);
        ensure!(missed == 0, "the yardstick missed {missed} flows");
        Ok(())
    }

    /// Empties the half-open table; fails unless it held so many flows.
    pub(crate) fn forget_half_open(&self, flows: u32) -> anyhow::Result<()> {
        let tables = self.plane.tables();
        let mut found = 0;
        for conn in tables.half_open.as_slice().iter().flat_map(|b| &b.ways) {
            let word = Word(conn.word.load(SeqCst));
            if word.is_free() {
                continue;
            }
            conn.word.store(Word::FREE.0, SeqCst);
            found += 1;
            let load = tables.loads.get(word.server());
            load.context("a flow of no server")?
                .active
                .fetch_sub(1, SeqCst);
        }
        let state = tables.state.get(0).context("no state")?;
        let counted = state.half_open.swap(0, SeqCst);
        ensure!(
            found == flows && counted == u64::from(flows),
            "{found} half-open flows, {counted} by the counter, instead of {flows}"
        );
        Ok(())
    }
}

fn service(family: Family, port: u16, kind: Kind) -> ServiceEntry {
    let server = |number: u16| {
        let [high, low] = number.to_be_bytes();
        ServerEntry {
            address: SocketAddr::new(family.server(number), port),
            weight: Weight::ONE,
            hash_weight: Weight::ONE,
            forwarding: Forwarding::DirectRouting,
            hop: MacAddress([2, 0, 0, 1, high, low]).into(),
            thresholds: Thresholds::default(),
        }
    };
    ServiceEntry {
        key: ServiceKey::Single {
            protocol: Protocol::Tcp,
            address: SocketAddr::new(family.address(), port),
        },
        group: Listens::default(),
        scheduler: kind.scheduler,
        options: ServiceOptions::default(),
        servers: (1..=kind.servers).map(server).collect(),
        held: Vec::new(),
    }
}
