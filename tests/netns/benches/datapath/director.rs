//! A data plane with one service, three real servers and a number of established flows, and the
//! programs that measure it (`xdp/src/bin/bench.rs`).

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
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

/// The service and the director's MAC address, as the rounds write them.
const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 18, 14, 146));
const PORT: u16 = 80;
const MAC: MacAddress = MacAddress([2, 0, 0, 0, 0, 2]);

const PROGRAMS: [&str; 6] = [
    "measured",
    "floor",
    "yardstick",
    "fill_yardstick",
    "send_back",
    "sink",
];

const SYN: u64 = 0x02;
const ACK: u64 = 0x10;
const XDP_TX: u32 = 3;

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
    const LEN: usize = 6;
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
    clients: u32,
    next_new: Shared,
}

impl Director {
    /// Loads the programs and opens the flows of `clients`.
    pub(crate) fn new(clients: u32, half_open: u32) -> anyhow::Result<Self> {
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
                ..Sizes::default()
            },
        };
        let mut plane = DataPlane::load_object(&options, OBJECT)?;
        for program in PROGRAMS {
            plane.load_program(program)?;
        }
        // Opened all at once, they are all unassured for a second: more than is allowed.
        let globals = plane.tables().globals.get(0).context("no globals")?;
        globals.unassured_max.store(u64::MAX, SeqCst);
        plane.put_service(&service())?;
        plane.set_gate(ADDRESS, GateState::Open)?;
        let director = Self {
            plane,
            clients,
            next_new: Shared::new(NEW_CLIENTS),
        };
        director.open_flows()?;
        director.run("fill_yardstick", Packets::InTurn, clients)?;
        director.expect_hits()?;
        Ok(director)
    }

    /// Opens every flow and waits until all are assured.
    fn open_flows(&self) -> anyhow::Result<()> {
        let before = self.counts()?;
        self.run("measured", Packets::Opening, self.clients * 2)?;
        let end = Instant::now() + PATIENCE;
        let mut packets = u64::from(self.clients) * 2;
        while packets == u64::from(self.clients) * 2 || self.plane.usage().unassured > 0 {
            ensure!(Instant::now() < end, "the flows do not become assured");
            self.run("measured", Packets::InTurn, self.clients)?;
            packets += u64::from(self.clients);
        }
        self.expect(&before, packets, u64::from(self.clients))
    }

    /// Runs a program on `repeat` packets; the average time of each in nanoseconds.
    pub(crate) fn run(&self, program: &str, packets: Packets, repeat: u32) -> anyhow::Result<f64> {
        self.prepare(packets, repeat)?;
        let run = Run {
            program,
            repeat,
            ..Run::default()
        };
        let ran = self.plane.run_with(&[0; 60], run)?;
        ensure!(
            ran.verdict == XDP_TX,
            "`{program}`: verdict {} on {packets:?}",
            ran.verdict
        );
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52 ns")]
        Ok(ran.duration.as_nanos() as f64)
    }

    /// Sends `repeat` frames of known clients out of an interface of this namespace.
    pub(crate) fn generate(&self, interface: u32, repeat: u32) -> anyhow::Result<()> {
        self.prepare(Packets::Known, repeat)?;
        let run = Run {
            program: "floor",
            repeat,
            ingress: Some(interface),
            live_frames: Some(64),
        };
        self.plane.run_with(&[0; 60], run)?;
        Ok(())
    }

    /// Tells the programs which clients' headers to write.
    fn prepare(&self, packets: Packets, repeat: u32) -> anyhow::Result<()> {
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
        Ok(())
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
        let service = services.first().context("the service is gone")?;
        let drops = self.plane.drops()?;
        let events = self.plane.events()?;
        Ok(Counts {
            packets: service.stats.packets,
            flows: service.stats.conns,
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

fn service() -> ServiceEntry {
    let server = |host: u8| ServerEntry {
        address: SocketAddr::new(IpAddr::from([198, 18, 14, host]), PORT),
        weight: Weight::ONE,
        hash_weight: Weight::ONE,
        forwarding: Forwarding::DirectRouting,
        hop: MacAddress([2, 0, 0, 0, 1, host]).into(),
        thresholds: Thresholds::default(),
    };
    ServiceEntry {
        key: ServiceKey::Single {
            protocol: Protocol::Tcp,
            address: SocketAddr::new(ADDRESS, PORT),
        },
        group: Listens::default(),
        scheduler: Scheduler::RoundRobin,
        options: ServiceOptions::default(),
        servers: [12, 13, 14].map(server).to_vec(),
    }
}
