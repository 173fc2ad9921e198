//! The compiled object and its loading.

use std::io;

use aya::programs::{ProgramError, Xdp};
use aya::{Ebpf, EbpfLoader, VerifierLogLevel};

use crate::error::{StartError, failed};
use crate::maps::specs;
use crate::options::Sizes;
use crate::pins::Pins;

/// The compiled XDP programs, as committed.
pub static OBJECT: &[u8] = aya::include_bytes_aligned!("evenkeel.bpf.o");

/// The program that balances.
pub(crate) const EVENKEEL: &str = "evenkeel";
/// The program that reads the clocks.
pub(crate) const CLOCK: &str = "clock";
/// The program that lets everything through.
pub(crate) const PASS: &str = "pass";

/// Lines of the verifier's log that an error shows; the reason stands at its end.
const LOG_LINES: usize = 12;

/// Creates the maps of the embedded object, or opens those that are pinned.
pub(crate) fn load(sizes: &Sizes, pins: Option<&Pins>) -> Result<Ebpf, StartError> {
    load_from(OBJECT, sizes, pins)
}

/// Creates the maps of an object, or opens those that are pinned.
pub(crate) fn load_from(
    object: &[u8],
    sizes: &Sizes,
    pins: Option<&Pins>,
) -> Result<Ebpf, StartError> {
    let mut loader = EbpfLoader::new();
    // No CO-RE: the program reads packets and its own maps only.
    loader.btf(None).verifier_log_level(VerifierLogLevel::DEBUG);
    for spec in specs(sizes) {
        loader.map_max_entries(spec.name, spec.max_entries);
        if let Some(pins) = pins {
            loader.map_pin_path(spec.name, pins.map(spec.name));
        }
    }
    loader
        .load(object)
        .map_err(|error| failed("load the BPF object and create its maps", error))
}

/// A program of the object.
pub(crate) fn program<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut Xdp, StartError> {
    let missing = || StartError::Failed {
        what: format!("find the XDP program `{name}` in the object"),
        source: "the object has no such program".into(),
    };
    let program = ebpf.program_mut(name).ok_or_else(missing)?;
    program
        .try_into()
        .map_err(|_wrong_type: ProgramError| missing())
}

/// Attempts at loading a program: the verifier gives up with EAGAIN where a signal is pending (`do_check` in
/// kernel/bpf/verifier.c). libbpf makes as many (`PROG_LOAD_ATTEMPTS`).
const LOAD_ATTEMPTS: u32 = 5;

/// Hands a program to the verifier.
pub(crate) fn verify<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut Xdp, StartError> {
    let xdp = program(ebpf, name)?;
    let mut outcome = xdp.load();
    for _again in 1..LOAD_ATTEMPTS {
        if !outcome.as_ref().is_err_and(was_interrupted) {
            break;
        }
        outcome = xdp.load();
    }
    match outcome {
        Ok(()) => Ok(xdp),
        Err(ProgramError::LoadError {
            io_error,
            verifier_log,
        }) => {
            let log = verifier_log.to_string();
            if log.trim().is_empty() {
                return Err(failed("load an XDP program", io_error));
            }
            let lines: Vec<&str> = log.trim_end().lines().collect();
            Err(StartError::Refused {
                program: name.to_owned(),
                log: lines[lines.len().saturating_sub(LOG_LINES)..].join("\n"),
            })
        }
        Err(error) => Err(failed("load an XDP program", error)),
    }
}

fn was_interrupted(error: &ProgramError) -> bool {
    let ProgramError::LoadError { io_error, .. } = error else {
        return false;
    };
    io_error.kind() == io::ErrorKind::WouldBlock
}
