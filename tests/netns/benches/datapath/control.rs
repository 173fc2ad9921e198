//! What the tables cost user space and the kernel: changes of services, memory, the sweep, and the program itself.

use std::fmt;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use evenkeel_abi::{FlowKey, Tick, Word};
use evenkeel_bpf::{DataPlane, Mode, Options, Sizes, SweepBudget};
use evenkeel_model::{
    Forwarding, Listens, MacAddress, Persistence, Protocol, Scheduler, ServerEntry, ServiceEntry,
    ServiceKey, ServiceOptions, Thresholds, Weight,
};
use evenkeel_wire::ipv4;
use serde_json::{Value, json};

use crate::swap::{self, Swap};

/// Services of the large case, and the servers of each.
const SERVICES: u16 = 10_000;
const SERVERS: u16 = 10;

/// Servers of the service that gets one more.
const MANY: u16 = 1_000;

/// The director's MAC address.
pub(crate) const MAC: MacAddress = MacAddress([2, 0, 0, 0, 0, 2]);

/// Times that a change is made; the median counts.
const CHANGES: usize = 21;

/// The figures.
pub(crate) struct Control {
    program: evenkeel_bpf::ProgramFigures,
    start: Duration,
    load: Duration,
    add: Vec<(Scheduler, Duration)>,
    memory: Vec<(u32, f64)>,
    sweep: Vec<Swept>,
    swap: Vec<Swap>,
}

/// The sweep over so many connections.
struct Swept {
    connections: u32,
    /// A pass.
    pass: Duration,
    /// Memory of this process's own for each of them, in bytes.
    own: f64,
    /// The same if they are of a service with persistence, and each has a client of its own.
    own_persistent: f64,
}

pub(crate) fn measure() -> anyhow::Result<Control> {
    let begun = Instant::now();
    let mut plane = plane(1 << 20, Sizes::default())?;
    let start = begun.elapsed();
    let program = plane.program_figures()?;
    drop(plane);
    let memory = [1 << 20, 1 << 23, 10_000_000]
        .into_iter()
        .map(|connections| Ok((connections, bytes_per_connection(connections)?)))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let sweep = [1_000_000, 10_000_000]
        .into_iter()
        .map(sweep)
        .collect::<anyhow::Result<Vec<_>>>()?;
    Ok(Control {
        program,
        start,
        load: load()?,
        add: [
            Scheduler::RoundRobin,
            Scheduler::WeightedLeastConnection,
            Scheduler::Maglev,
        ]
        .into_iter()
        .map(|scheduler| Ok((scheduler, add(scheduler)?)))
        .collect::<anyhow::Result<Vec<_>>>()?,
        memory,
        sweep,
        swap: swap::measure().context("measuring changes under traffic")?,
    })
}

fn plane(connections: u32, sizes: Sizes) -> anyhow::Result<DataPlane> {
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
            connections,
            ..sizes
        },
    };
    Ok(DataPlane::load_detached(&options)?)
}

pub(crate) fn service(number: u16, scheduler: Scheduler, servers: u16) -> ServiceEntry {
    let port = 1 + number;
    let server = |host: u16| {
        let [high, low] = host.to_be_bytes();
        ServerEntry {
            address: SocketAddr::from((Ipv4Addr::new(198, 18, high, low), port)),
            weight: Weight::ONE,
            hash_weight: Weight::ONE,
            forwarding: Forwarding::DirectRouting,
            hop: MacAddress([2, 0, 0, 1, high, low]).into(),
            thresholds: Thresholds::default(),
        }
    };
    let address = SocketAddr::from((Ipv4Addr::new(198, 18, 255, 1), port));
    ServiceEntry {
        key: ServiceKey::single(Protocol::Tcp, address),
        group: Listens::default(),
        scheduler,
        options: ServiceOptions::default(),
        servers: (0..servers).map(server).collect(),
        held: Vec::new(),
    }
}

/// Puts all services.
fn load() -> anyhow::Result<Duration> {
    let sizes = Sizes {
        servers: 1 << 17,
        arena_words: 1 << 23,
        ..Sizes::default()
    };
    let mut plane = plane(1 << 16, sizes)?;
    let begun = Instant::now();
    for number in 0..SERVICES {
        plane.put_service(&service(
            number,
            Scheduler::WeightedLeastConnection,
            SERVERS,
        ))?;
    }
    Ok(begun.elapsed())
}

/// A server comes to a service that has many.
fn add(scheduler: Scheduler) -> anyhow::Result<Duration> {
    let sizes = Sizes {
        arena_words: 1 << 23,
        ..Sizes::default()
    };
    let mut plane = plane(1 << 16, sizes)?;
    plane.put_service(&service(0, scheduler, MANY))?;
    let mut times = (0..CHANGES)
        .map(|change| {
            let servers = MANY + 1 - u16::from(change % 2 == 1);
            let entry = service(0, scheduler, servers);
            let begun = Instant::now();
            plane.put_service(&entry)?;
            Ok(begun.elapsed())
        })
        .collect::<anyhow::Result<Vec<_>>>()?;
    times.sort_unstable();
    Ok(times[CHANGES / 2])
}

/// What the kernel charges for all maps, for each connection beyond the first 1,024.
fn bytes_per_connection(connections: u32) -> anyhow::Result<f64> {
    let charged = |connections| -> anyhow::Result<u64> {
        let plane = plane(connections, Sizes::default())?;
        let charged = charged()?;
        drop(plane);
        Ok(charged)
    };
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52 bytes")]
    let bytes = (charged(connections)? - charged(1024)?) as f64;
    Ok(bytes / f64::from(connections - 1024))
}

/// What the kernel charges for the maps that this process has open.
fn charged() -> anyhow::Result<u64> {
    let mut maps = std::collections::BTreeMap::new();
    for entry in fs::read_dir("/proc/self/fdinfo")? {
        let Ok(text) = fs::read_to_string(entry?.path()) else {
            continue;
        };
        let field = |name: &str| {
            let mut lines = text.lines();
            let line = lines.find_map(|line| line.strip_prefix(name))?;
            line.trim().parse::<u64>().ok()
        };
        if let (Some(id), Some(bytes), true) = (
            field("map_id:"),
            field("memlock:"),
            text.contains("map_type:"),
        ) {
            maps.insert(id, bytes);
        }
    }
    anyhow::ensure!(!maps.is_empty(), "no map is open");
    Ok(maps.values().sum())
}

/// The sweep over so many connections that live on, without persistence, then with it.
fn sweep(connections: u32) -> anyhow::Result<Swept> {
    let (pass, own) = passes(connections, None)?;
    let persistence = Persistence {
        timeout: Duration::from_secs(300),
        prefix: 32,
    };
    let (_pass, own_persistent) = passes(connections, Some(persistence))?;
    Ok(Swept {
        connections,
        pass,
        own,
        own_persistent,
    })
}

/// How long a pass takes over connections of a service's only server, and what each costs in memory.
fn passes(connections: u32, persistence: Option<Persistence>) -> anyhow::Result<(Duration, f64)> {
    let mut plane = plane(connections, Sizes::default())?;
    let mut entry = service(0, Scheduler::RoundRobin, 1);
    entry.options.persistence = persistence;
    plane.put_service(&entry)?;
    let before = own_memory()?;
    let tables = plane.tables();
    let servers = (0..).zip(tables.servers.as_slice());
    let (server, _) = servers
        .into_iter()
        .find(|(_, server)| server.owner.load(SeqCst) != 0)
        .context("no server has a number")?;
    let expiry = tables.now().after(Tick::in_secs(3600));
    let ways = tables.conns.as_slice().iter();
    // Half of the places, as in a full table.
    let ways = ways.flat_map(|bucket| bucket.ways.iter().step_by(2));
    for (client, conn) in (0..connections).zip(ways) {
        let key = FlowKey::new(client, 0, 0, ipv4::TCP);
        conn.addresses.store(key.addresses, SeqCst);
        conn.ports_protocol.store(key.ports_protocol, SeqCst);
        conn.word.store(Word::live(server, 1, expiry).0, SeqCst);
    }
    let state = tables.state.get(0).context("no state")?;
    state.established.store(connections.into(), SeqCst);
    let all = SweepBudget { places: u32::MAX };
    let _first = plane.sweep(all);
    let begun = Instant::now();
    let _second = plane.sweep(all);
    let pass = begun.elapsed();
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52 bytes")]
    let own = (own_memory()? as f64 - before as f64) / f64::from(connections);
    Ok((pass, own.max(0.0)))
}

/// Memory of this process that it shares with nobody, in bytes.
fn own_memory() -> anyhow::Result<u64> {
    let text = fs::read_to_string("/proc/self/status")?;
    let mut lines = text.lines();
    let line = lines.find_map(|line| line.strip_prefix("RssAnon:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
    Ok(kilobytes
        .context("the kernel tells no RssAnon")?
        .parse::<u64>()?
        * 1024)
}

fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

impl Control {
    pub(crate) fn to_json(&self) -> Value {
        let of = |name: &str, counts: &[(u32, f64)]| {
            let values = counts
                .iter()
                .map(|(count, value)| (format!("{name}_{count}"), json!(value)));
            Value::Object(values.collect())
        };
        let swept = |value: fn(&Swept) -> f64| -> Vec<(u32, f64)> {
            let swept = self.sweep.iter();
            swept
                .map(|swept| (swept.connections, value(swept)))
                .collect()
        };
        let add = self
            .add
            .iter()
            .map(|(scheduler, time)| (scheduler.name().to_owned(), json!(milliseconds(*time))));
        let swap = self.swap.iter().map(|swap| {
            json!({
                "slots": swap.slots,
                "call_ms": swap.call.median(),
                "seen_ms": swap.seen.median(),
                "seen_max_ms": swap.seen.max(),
            })
        });
        json!({
            "load_10000_services_of_10_ms": milliseconds(self.load),
            "add_server_to_1000_ms": Value::Object(add.collect()),
            "table_swap": swap.collect::<Vec<_>>(),
            "bytes_per_connection": of("connections", &self.memory),
            "daemon_bytes_per_connection": of("connections", &swept(|swept| swept.own)),
            "daemon_bytes_per_persistent_client": of("connections", &swept(|swept| swept.own_persistent)),
            "sweep_pass_ms": of("connections", &swept(|swept| milliseconds(swept.pass))),
            "program_bytes": self.program.bytes,
            "verified_instructions": self.program.verified,
            "start_ms": milliseconds(self.start),
        })
    }
}

impl fmt::Display for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\ncontrol")?;
        let load = milliseconds(self.load);
        writeln!(f, "load {SERVICES} services of {SERVERS}: {load} ms")?;
        for (scheduler, time) in &self.add {
            let (name, time) = (scheduler.name(), milliseconds(*time));
            writeln!(f, "a server more for one of {MANY}, {name}: {time} ms")?;
        }
        for swap in &self.swap {
            writeln!(
                f,
                "a table of {} slots: changed in {:.3} ms; from the last packet by the old one to the first by the new \
                 one {:.4} ms, at most {:.4}",
                swap.slots,
                swap.call.median(),
                swap.seen.median(),
                swap.seen.max()
            )?;
        }
        for (connections, bytes) in &self.memory {
            writeln!(
                f,
                "{bytes:.1} bytes of maps for each of {connections} connections"
            )?;
        }
        for swept in &self.sweep {
            writeln!(
                f,
                "a pass of the sweep over {} connections: {} ms; the daemon's own memory for each {:.1} bytes, {:.1} with \
                 persistence and a client each",
                swept.connections,
                milliseconds(swept.pass),
                swept.own,
                swept.own_persistent
            )?;
        }
        writeln!(
            f,
            "program: {} bytes, {} verified instructions; maps and program ready in {} ms",
            self.program.bytes,
            self.program.verified,
            milliseconds(self.start)
        )
    }
}
