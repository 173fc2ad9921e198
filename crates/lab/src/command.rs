//! What `evenkeel lab` offers: each function is one of its commands, without arguments and output.
//!
//! Every command first removes what labs whose keeper is dead have left.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

use crate::control::{Request, ask};
use crate::entry;
use crate::error::LabError;
use crate::keeper::{self, KeeperSpec, READY};
use crate::lab::{Options, require_root};
use crate::node::spawn_in;
use crate::state::{LabState, running};
use crate::topology::Topology;

/// Reads a topology file.
///
/// # Errors
/// It can't be read, or has a mistake.
pub fn read_topology(path: &Path) -> Result<Topology, LabError> {
    let text = std::fs::read_to_string(path).map_err(|source| LabError::ReadTopology {
        path: path.to_owned(),
        source,
    })?;
    Ok(Topology::parse(&path.display().to_string(), &text)?)
}

/// `lab up`: starts a lab and keeps it until Ctrl-C, SIGTERM or `lab down`; `started` is called once it stands.
///
/// To be called where no runtime runs.
///
/// # Errors
/// The lab could not be started; nothing is left then.
pub fn up(
    topology: Topology,
    options: Options,
    started: impl FnOnce(&LabState),
) -> Result<(), LabError> {
    keeper::keep(KeeperSpec { topology, options }, started)
}

/// `lab up --detach`: starts a lab that stays until `lab down`.
///
/// # Errors
/// The lab could not be started; nothing is left then.
pub fn up_detached(topology: Topology, options: Options) -> Result<LabState, LabError> {
    require_root()?;
    let starting = |source| LabError::Start {
        what: "the lab's keeper",
        source,
    };
    let mut command = Command::new("/proc/self/exe");
    command
        .arg(entry::KEEPER)
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    // SAFETY: the closure makes one system call and allocates nothing.
    unsafe { command.pre_exec(|| Ok(nix::unistd::setsid().map(drop)?)) };
    let mut child = command.spawn().map_err(starting)?;
    let spec = serde_json::to_vec(&KeeperSpec { topology, options })
        .map_err(|err| starting(err.into()))?;
    if let Some(mut input) = child.stdin.take() {
        input.write_all(&spec).map_err(starting)?;
    }
    let mut line = String::new();
    if let Some(output) = child.stdout.take() {
        BufReader::new(output)
            .read_line(&mut line)
            .map_err(starting)?;
    }
    match line.trim_end().strip_prefix(READY) {
        Some(name) => find(Some(name)),
        None if line.is_empty() => Err(LabError::Refused(String::from(
            "the lab's keeper ended without a word",
        ))),
        None => Err(LabError::Refused(line.trim_end().to_owned())),
    }
}

/// `lab list`: the running labs, by name.
///
/// # Errors
/// Not root, or the labs' folders can't be read.
pub fn list() -> Result<Vec<LabState>, LabError> {
    require_root()?;
    running()
}

/// `lab exec`: runs a command in a node, with the caller's terminal and folder; its exit status.
///
/// # Errors
/// No such lab or node, the node is off, or the program can't be started.
pub fn exec(lab: Option<&str>, node: &str, command: Command) -> Result<ExitStatus, LabError> {
    let lab = find(lab)?;
    let state = lab.nodes.get(node).ok_or_else(|| LabError::UnknownNode {
        lab: lab.name.clone(),
        node: node.to_owned(),
        nodes: lab.nodes.keys().cloned().collect::<Vec<_>>().join(", "),
    })?;
    let process = state.process.ok_or_else(|| LabError::NodeOff {
        node: node.to_owned(),
    })?;
    let program = command.get_program().to_string_lossy().into_owned();
    let mut child = spawn_in(node, process, command)?;
    child.wait().map_err(|source| LabError::Spawn {
        node: node.to_owned(),
        program,
        source,
    })
}

/// `lab power on|off`.
///
/// # Errors
/// No such lab or node, or it is so already.
pub fn power(lab: Option<&str>, node: &str, on: bool) -> Result<(), LabError> {
    let node = node.to_owned();
    ask(&find(lab)?, &Request::Power { node, on })
}

/// `lab link up|down`.
///
/// # Errors
/// No such lab or node, or the node is off.
pub fn link(lab: Option<&str>, node: &str, up: bool) -> Result<(), LabError> {
    let node = node.to_owned();
    ask(&find(lab)?, &Request::Link { node, up })
}

/// `lab down`: ends a lab; it is gone when this returns.
///
/// # Errors
/// No such lab.
pub fn down(lab: Option<&str>) -> Result<(), LabError> {
    ask(&find(lab)?, &Request::Down)
}

/// The lab of that name, or the only one.
fn find(name: Option<&str>) -> Result<LabState, LabError> {
    let mut labs = list()?;
    let names = labs
        .iter()
        .map(|lab| lab.name.as_str())
        .collect::<Vec<_>>()
        .join(", ");
    match name {
        _ if labs.is_empty() => Err(LabError::NoLab),
        Some(name) => match labs.iter().position(|lab| lab.name == name) {
            Some(found) => Ok(labs.swap_remove(found)),
            None => Err(LabError::UnknownLab {
                name: name.to_owned(),
                running: names,
            }),
        },
        None if labs.len() > 1 => Err(LabError::WhichLab { running: names }),
        None => Ok(labs.swap_remove(0)),
    }
}
