//! Measurements: another object that has the balancing program and its maps among others.

use std::sync::atomic::Ordering::{Relaxed, Release};

use aya::maps::{Map, PerCpuArray};
use aya::programs::links::FdLink;

use crate::attach::attach;
use crate::error::{ReadError, StartError, failed};
use crate::mapped::{Mappable, MappedArray};
use crate::object::{self, EVENKEEL};
use crate::options::{Mode, Options};
use crate::plane::DataPlane;
use crate::tables::{mapped, unread};

/// A program on an interface for as long as this value lives.
#[derive(Debug)]
pub struct Attachment {
    _link: FdLink,
}

/// What the kernel tells of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProgramFigures {
    /// Bytes of instructions, as the verifier left them.
    pub bytes: u32,
    /// Instructions that the verifier has looked at.
    pub verified: u32,
}

impl DataPlane {
    /// What the kernel tells of the balancing program.
    ///
    /// # Errors
    /// It tells nothing.
    pub fn program_figures(&mut self) -> Result<ProgramFigures, StartError> {
        let info = object::program(&mut self.ebpf, EVENKEEL)?.info();
        let info = info.map_err(|error| failed("read about the XDP program", error))?;
        Ok(ProgramFigures {
            bytes: info.size_translated().unwrap_or(0),
            verified: info.verified_instruction_count().unwrap_or(0),
        })
    }

    /// Loads another object, without interface and pins; of its programs only the balancing one.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn load_object(options: &Options, object: &[u8]) -> Result<Self, StartError> {
        // A vector is aligned as the headers in the object must be.
        let object = object.to_vec();
        Self::from_loaded(object::load_from(&object, &options.sizes, None)?, options)
    }

    /// Attaches a loaded program of the object; one program may be on many interfaces, which have the MAC address of
    /// the options' one.
    ///
    /// The index is that of the calling thread's network namespace.
    ///
    /// # Errors
    /// As [`start`](Self::start), pins aside.
    pub fn attach(
        &mut self,
        program: &str,
        interface: &str,
        link_index: u32,
        mode: Mode,
    ) -> Result<Attachment, StartError> {
        if let Some(mac) = self
            .tables
            .link(self.link_index)
            .map(|l| l.mac.load(Relaxed))
            && let Some(link) = self.tables.links.get(link_index % self.tables.links.len())
        {
            link.mac.store(mac, Relaxed);
            link.index.store(link_index.into(), Release);
        }
        let xdp = object::program(&mut self.ebpf, program)?;
        let link = attach(xdp, interface, link_index, mode)?;
        Ok(Attachment { _link: link })
    }

    /// Maps an array of the object that is not one of the [`tables`](Self::tables).
    ///
    /// # Errors
    /// If there is none of that name and value size.
    pub fn array<T: Mappable>(&self, name: &str) -> Result<MappedArray<T>, StartError> {
        mapped(&self.ebpf, name)
    }

    /// The first counter of a per-processor array of the object, over all processors.
    ///
    /// # Errors
    /// If there is none of that name, or it can't be read.
    pub fn count_of(&self, name: &'static str) -> Result<u64, ReadError> {
        let missing = || ReadError {
            map: name,
            source: "the object has no such map".into(),
        };
        let map: &Map = self.ebpf.map(name).ok_or_else(missing)?;
        let counters: PerCpuArray<_, u64> = map.try_into().map_err(|error| unread(name, error))?;
        let values = counters.get(&0, 0).map_err(|error| unread(name, error))?;
        Ok(values.iter().sum())
    }
}
