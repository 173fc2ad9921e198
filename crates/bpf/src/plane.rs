//! The data plane: its start, fresh or by adoption.

use std::fs;
use std::io::Read as _;
use std::sync::atomic::Ordering::{Relaxed, Release};
use std::time::Duration;

use aya::Ebpf;
use evenkeel_abi::{SCHEMA, Server};
use evenkeel_model::{ServiceEntry, Way};

use crate::adopt;
use crate::attach::{attach_new, replace};
use crate::book::Book;
use crate::convert::{address_word, address6_words, store};
use crate::error::{StartError, failed};
use crate::holders::Holders;
use crate::object::{self, EVENKEEL};
use crate::options::{Options, Sizes};
use crate::pins::{Pins, Undo};
use crate::recount;
use crate::removals::Removals;
use crate::sweep::Position;
use crate::tables::Tables;

/// Seed of the consistent hash, the same on every director.
pub(crate) const HASH_SEED: u32 = 0x6565_6c6b;

/// The oldest kernel, major and minor.
const FLOOR: (u32, u32) = (6, 1);

/// Longest wait for a former program to be off an interface once its pin is gone: the kernel takes it off from a work
/// queue, milliseconds later as a rule.
const OFF_WAIT: Duration = Duration::from_secs(2);

/// A loaded program and its maps.
///
/// Dropping it leaves what is pinned as it is: packets go on being forwarded.
pub struct DataPlane {
    pub(crate) ebpf: Ebpf,
    pub(crate) tables: Tables,
    pub(crate) book: Book,
    pub(crate) position: Position,
    pub(crate) holders: Holders,
    pub(crate) removals: Removals,
    /// Index of the interface that servers are reached by.
    pub(crate) link_index: u32,
    dropped: Option<String>,
}

impl DataPlane {
    /// Starts forwarding: loads and attaches the program, or adopts the pins of a predecessor and puts
    /// this version's program in the place of its program without losing a packet. Pins that can't be adopted are
    /// dropped where [`PinLock::mark_handed_over`](crate::PinLock::mark_handed_over) said that nothing is served through
    /// them: then the start is a fresh one, and [`dropped`](Self::dropped) tells why.
    ///
    /// Returns the services that were adopted; their gates are as the predecessor left them.
    ///
    /// # Errors
    /// See [`StartError`]. A fresh start that fails leaves nothing behind, an adoption that fails leaves
    /// the predecessor's program running.
    pub fn start(options: &Options) -> Result<(Self, Vec<ServiceEntry>), StartError> {
        check_kernel()?;
        check_interfaces(options)?;
        let pins = Pins::new(&options.pin_dir);
        pins.prepare()?;
        let error = match adopt::survey(&pins, &options.sizes) {
            Ok(Some(sizes)) => return Self::adopt(options, sizes, &pins),
            Ok(None) => return Ok((Self::fresh(options, &pins, Duration::ZERO)?, Vec::new())),
            Err(error) => error,
        };
        let Some(why) = error.of_pins().filter(|_| pins.are_handed_over()) else {
            return Err(error);
        };
        let mut plane = Self::fresh(options, &pins, OFF_WAIT)?;
        plane.dropped = Some(why);
        Ok((plane, Vec::new()))
    }

    /// Why a predecessor's pins, through which nothing was served, were dropped at the start; `None`: they were not.
    #[must_use]
    pub fn dropped(&self) -> Option<&str> {
        self.dropped.as_deref()
    }

    /// Loads the program without interface and pins, for tests, tracing and measurements.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn load_detached(options: &Options) -> Result<Self, StartError> {
        Self::load(options, None)
    }

    /// The maps.
    #[must_use]
    pub const fn tables(&self) -> &Tables {
        &self.tables
    }

    /// The kernel's number of the program.
    ///
    /// # Errors
    /// If the kernel does not tell.
    pub fn program_id(&mut self) -> Result<u32, StartError> {
        let program = object::program(&mut self.ebpf, EVENKEEL)?;
        let info = program.info();
        Ok(info
            .map_err(|error| failed("read about the XDP program", error))?
            .id())
    }

    /// The services as put.
    fn entries(&self) -> Vec<ServiceEntry> {
        let records = self.book.services.values();
        let listed = records.filter_map(|record| record.listed.as_ref());
        listed.map(|listed| listed.entry.clone()).collect()
    }

    /// Waits so long for a former program to be off the interfaces.
    fn fresh(options: &Options, pins: &Pins, patience: Duration) -> Result<Self, StartError> {
        let leftover = |error| failed("remove the pins of a predecessor", error);
        pins.clear().map_err(leftover)?;
        let undo = Undo::new(pins);
        pins.prepare()?;
        let mut plane = Self::load(options, Some(pins))?;
        attach_new(&mut plane.ebpf, options, pins, patience)?;
        undo.disarm();
        Ok(plane)
    }

    /// Creates the maps, fills in the constants and loads the program.
    fn load(options: &Options, pins: Option<&Pins>) -> Result<Self, StartError> {
        Self::from_loaded(object::load(&options.sizes, pins)?, options)
    }

    /// Fills in the constants and loads the program.
    pub(crate) fn from_loaded(mut ebpf: Ebpf, options: &Options) -> Result<Self, StartError> {
        let tables = Tables::open(&mut ebpf)?;
        write_globals(&tables, &options.sizes)?;
        write_interfaces(&tables, options)?;
        object::verify(&mut ebpf, EVENKEEL)?;
        Ok(Self {
            ebpf,
            tables,
            book: Book::new(&options.sizes),
            position: Position::default(),
            holders: Holders::default(),
            removals: Removals::default(),
            link_index: options.link_index,
            dropped: None,
        })
    }

    fn adopt(
        options: &Options,
        sizes: Sizes,
        pins: &Pins,
    ) -> Result<(Self, Vec<ServiceEntry>), StartError> {
        let mut ebpf = object::load(&sizes, Some(pins))?;
        let mut tables = Tables::open(&mut ebpf)?;
        let stale = |what| StartError::StalePins {
            pin_dir: pins.dir().to_owned(),
            what,
        };
        let adopted = adopt::rebuild(&mut tables, &sizes).map_err(stale)?;
        object::verify(&mut ebpf, EVENKEEL)?;
        let known: Vec<u32> = options
            .interfaces()
            .iter()
            .map(|interface| interface.index)
            .filter(|index| tables.link(*index).is_some())
            .collect();
        pins.take_up()?;
        write_interfaces(&tables, options)?;
        if let Some(state) = tables.state.get(0) {
            // What the predecessor could not put off any more.
            state.hash_from.store(0, Release);
        }
        replace(&mut ebpf, options, pins, |index| known.contains(&index))?;
        if let Some(globals) = tables.globals.get(0) {
            globals.schema.store(SCHEMA.into(), Release);
        }
        let mut plane = Self {
            ebpf,
            tables,
            book: adopted.book,
            position: Position::default(),
            holders: Holders::default(),
            removals: Removals::default(),
            link_index: options.link_index,
            dropped: None,
        };
        recount::recount(&plane.tables);
        for entry in adopted.unfinished {
            let put = plane.put(&entry, true);
            put.map_err(|error| failed("finish a change of the predecessor", error))?;
        }
        for entry in plane.entries() {
            if let Some(entry) = without_lost_ways(entry, options) {
                let put = plane.put_service(&entry);
                put.map_err(|error| failed("give up an interface of the predecessor", error))?;
            }
        }
        let entries = plane.entries();
        Ok((plane, entries))
    }
}

/// The service without ways by interfaces that are none of the options', if it has any: until it is told the new way,
/// its packets leave as they came in, which is right where an interface was made anew.
fn without_lost_ways(mut entry: ServiceEntry, options: &Options) -> Option<ServiceEntry> {
    let interfaces = options.interfaces();
    let is_lost = |way: Way| !interfaces.iter().any(|i| i.index == way.interface);
    let mut changed = false;
    for server in &mut entry.servers {
        if server.hop.way.is_some_and(is_lost) {
            server.hop.way = None;
            changed = true;
        }
    }
    changed.then_some(entry)
}

/// Writes the constants, the schema last: where it stands, the rest does too.
fn write_globals(tables: &Tables, sizes: &Sizes) -> Result<(), StartError> {
    let Some(globals) = tables.globals.get(0) else {
        return Ok(());
    };
    let mut secret = [0; 8];
    fs::File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut secret))
        .map_err(|error| failed("read /dev/urandom", error))?;
    globals.secret.store(u64::from_ne_bytes(secret), Relaxed);
    globals.hash_seed.store(HASH_SEED.into(), Relaxed);
    globals.conns.store(sizes.connections.into(), Relaxed);
    globals
        .conn_buckets
        .store(sizes.conn_buckets().into(), Relaxed);
    globals
        .bucket_mask
        .store(u64::from(sizes.buckets() - 1), Relaxed);
    globals
        .unassured_max
        .store(u64::from(sizes.connections.div_ceil(2)), Relaxed);
    globals.schema.store(SCHEMA.into(), Release);
    Ok(())
}

/// Writes what the program must know of the interfaces, and takes out those that are none any more.
fn write_interfaces(tables: &Tables, options: &Options) -> Result<(), StartError> {
    if let Some(globals) = tables.globals.get(0) {
        globals
            .address
            .store(options.address.map_or(0, address_word).into(), Relaxed);
        let address6 = options.address6.map_or([0, 0], address6_words);
        store(&globals.address6, address6);
    }
    let interfaces = options.interfaces();
    for link in tables.links.as_slice() {
        let index = link.index.load(Relaxed);
        if !interfaces.iter().any(|i| u64::from(i.index) == index) {
            link.index.store(0, Release);
        }
    }
    for interface in &interfaces {
        let Some(link) = tables.links.get(interface.index % tables.links.len()) else {
            continue;
        };
        let there = link.index.load(Relaxed);
        if there != 0 && there != u64::from(interface.index) {
            return Err(StartError::InterfacesCollide {
                interface: interface.name.clone(),
                modulus: tables.links.len(),
            });
        }
        link.mac
            .store(Server::pack_mac(interface.mac.0, 0), Relaxed);
        link.index.store(interface.index.into(), Release);
    }
    Ok(())
}

fn check_kernel() -> Result<(), StartError> {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease")
        .map_err(|error| failed("read /proc/sys/kernel/osrelease", error))?;
    if is_too_old(&release) {
        return Err(StartError::KernelTooOld {
            found: release.trim().to_owned(),
        });
    }
    Ok(())
}

/// Whether a kernel's release is below the floor; one that can't be read is not.
pub(crate) fn is_too_old(release: &str) -> bool {
    let mut numbers = release
        .split(|c: char| !c.is_ascii_digit())
        .map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) < FLOOR,
        _ => false,
    }
}

fn check_interfaces(options: &Options) -> Result<(), StartError> {
    for interface in options.interfaces() {
        match nix::net::if_::if_nametoindex(interface.name.as_str()) {
            Ok(index) if index == interface.index => {}
            Ok(_) | Err(_) => {
                return Err(StartError::NoInterface {
                    interface: interface.name,
                });
            }
        }
    }
    Ok(())
}
