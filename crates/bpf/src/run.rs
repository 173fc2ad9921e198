//! Runs of a loaded program on packets of the caller (`BPF_PROG_TEST_RUN`): parity tests, tracing,
//! measurements. No interface is needed.

use std::time::Duration;

use aya::programs::{ProgramError, TestRun as _, Xdp};
use aya::{TestRunAttrs, TestRunOptions};

use crate::error::{RunError, StartError};
use crate::object::{self, EVENKEEL};
use crate::plane::DataPlane;

/// How far a program may grow a packet: an ICMP error needs 28 bytes.
const GROWTH: usize = 256;

/// How a program is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run<'a> {
    /// Name of the program.
    pub program: &'a str,
    /// Rounds; all see what the round before made of the packet.
    pub repeat: u32,
    /// Index of the interface that the packet seems to come from; it must be in this namespace.
    pub ingress: Option<u32>,
    /// Frames per batch: verdicts are carried out, and nothing comes back.
    pub live_frames: Option<u32>,
}

impl Default for Run<'_> {
    /// The balancing program, once.
    fn default() -> Self {
        Self {
            program: EVENKEEL,
            repeat: 1,
            ingress: None,
            live_frames: None,
        }
    }
}

/// What a run gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ran {
    /// `XDP_DROP` 1, `XDP_PASS` 2, `XDP_TX` 3, `XDP_REDIRECT` 4.
    pub verdict: u32,
    /// The packet afterwards.
    pub packet: Vec<u8>,
    /// Average time of a round.
    pub duration: Duration,
}

impl DataPlane {
    /// Loads a further program of the object, so that it can be run.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn load_program(&mut self, name: &str) -> Result<(), StartError> {
        object::verify(&mut self.ebpf, name).map(drop)
    }

    /// Runs the balancing program once: the verdict, and the packet afterwards.
    ///
    /// # Errors
    /// If the kernel refuses, as it does packets of less than 14 bytes or more than some 3,500.
    pub fn run(&self, packet: &[u8]) -> Result<(u32, Vec<u8>), RunError> {
        let run = Run {
            ingress: Some(self.link_index),
            ..Run::default()
        };
        let ran = self.run_with(packet, run)?;
        Ok((ran.verdict, ran.packet))
    }

    /// Runs a program.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn run_with(&self, packet: &[u8], run: Run<'_>) -> Result<Ran, RunError> {
        let missing = || RunError::NoProgram {
            program: run.program.to_owned(),
        };
        let program = self.ebpf.program(run.program).ok_or_else(missing)?;
        let xdp: &Xdp = program
            .try_into()
            .map_err(|_other: ProgramError| missing())?;
        let context = run.ingress.map(|ingress| context(packet.len(), ingress));
        let mut out = vec![0; packet.len() + GROWTH];
        let live = run.live_frames;
        let options = TestRunOptions {
            data_in: Some(packet),
            data_out: live.is_none().then_some(&mut out[..]),
            ctx_in: context.as_ref().map(|context| &context[..]),
            repeat: run.repeat,
            attrs: live.map_or_else(TestRunAttrs::new, |n| {
                TestRunAttrs::new().xdp_live_frames(n)
            }),
            ..TestRunOptions::default()
        };
        let result = xdp.test_run(options).map_err(|error| RunError::Failed {
            program: run.program.to_owned(),
            source: Box::new(error),
        })?;
        out.truncate(usize::try_from(result.data_size_out).unwrap_or(0));
        Ok(Ran {
            verdict: result.return_value,
            packet: out,
            duration: result.duration,
        })
    }
}

/// `struct xdp_md`: data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex.
fn context(len: usize, ingress: u32) -> [u8; 24] {
    let mut bytes = [0; 24];
    bytes[4..8].copy_from_slice(&u32::try_from(len).unwrap_or(u32::MAX).to_ne_bytes());
    bytes[12..16].copy_from_slice(&ingress.to_ne_bytes());
    bytes
}
