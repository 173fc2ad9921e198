//! A director's daemon apart from its node: to end it and to start it again while the node stays on.

use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::time::Instant;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::error::LabError;
use crate::lab::Lab;
use crate::node_init::NODE_FOLDER;
use crate::process::ProcessId;
use crate::state::log_file;

/// The config file of a director's daemon, by its name in [`NODE_FOLDER`].
pub(crate) const CONFIG_FILE: &str = "evenkeel.toml";

/// The key by which the lab's directors can share their connections, by its name in [`NODE_FOLDER`].
pub(crate) const KEY_FILE: &str = "sync.key";

/// The text of that file: a key that all directors of a lab have. It is no secret.
pub(crate) fn key(lab: &str) -> String {
    let digits = lab.bytes().map(|byte| format!("{byte:02x}"));
    let digits: String = digits.collect();
    digits.chars().cycle().take(64).collect()
}

/// The words that start a director's daemon, at boot and later.
pub(crate) fn command_words() -> Vec<String> {
    let config = format!("{NODE_FOLDER}/{CONFIG_FILE}");
    ["evenkeel", "run", "--config", &config]
        .map(String::from)
        .to_vec()
}

impl Lab {
    /// The node's daemon; `None`: it does not run.
    ///
    /// # Errors
    /// There is no such node, it is off, or its processes can't be read.
    pub fn daemon(&self, node: &str) -> Result<Option<ProcessId>, LabError> {
        let first = self.first_process(self.known(node)?)?;
        let words = command_words();
        let found = processes_like(first).map_err(|source| LabError::Start {
            what: "a search for the node's processes",
            source,
        })?;
        Ok(found.into_iter().find(|process| runs(*process, &words)))
    }

    /// Sends a signal to the node's daemon, and returns at once; when it was sent.
    ///
    /// # Errors
    /// As [`daemon`](Self::daemon), or no daemon runs there.
    pub fn signal_daemon(&self, node: &str, signal: Signal) -> Result<Instant, LabError> {
        let daemon = self.daemon(node)?.ok_or_else(|| LabError::NoDaemon {
            node: node.to_owned(),
        })?;
        let pid = i32::try_from(daemon.pid).map_err(io::Error::other);
        let when = Instant::now();
        pid.and_then(|pid| Ok(kill(Pid::from_raw(pid), signal)?))
            .map_err(|source| LabError::Start {
                what: "a signal to the daemon",
                source,
            })?;
        Ok(when)
    }

    /// Starts the node's daemon as its boot does; when that was asked for.
    ///
    /// # Errors
    /// As [`daemon`](Self::daemon), or the program can't be started.
    pub fn start_daemon(&self, node: &str) -> Result<Instant, LabError> {
        let failed = |source| LabError::Spawn {
            node: node.to_owned(),
            program: String::from("evenkeel"),
            source,
        };
        let log = OpenOptions::new()
            .append(true)
            .open(log_file(self.folder(), node))
            .map_err(failed)?;
        let mut command = Command::new("sh");
        // The shell ends at once, so that the node's first process has the daemon, as after a boot.
        command
            .args(["-c", r#""$@" &"#, "sh"])
            .args(command_words())
            // Ctrl-C at the keeper's terminal is the keeper's alone.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(log.try_clone().map_err(failed)?)
            .stderr(log);
        let when = Instant::now();
        let status = self.node(node)?.spawn(command)?.wait().map_err(failed)?;
        match status.success() {
            true => Ok(when),
            false => Err(failed(io::Error::other(status.to_string()))),
        }
    }
}

/// All processes in the pid namespace of that one.
fn processes_like(first: ProcessId) -> io::Result<Vec<ProcessId>> {
    let namespace = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/pid"));
    let wanted = namespace(&first.pid.to_string())?;
    let mut processes = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let pid: Option<u32> = name.to_str().and_then(|name| name.parse().ok());
        // One that has ended since is none of them.
        if let (Some(pid), Some(name)) = (pid, name.to_str())
            && namespace(name).is_ok_and(|found| found == wanted)
            && let Ok(process) = ProcessId::of(pid)
        {
            processes.push(process);
        }
    }
    Ok(processes)
}

/// Whether the process was started with these words; a zombie has none.
fn runs(process: ProcessId, words: &[String]) -> bool {
    let Ok(line) = fs::read(format!("/proc/{}/cmdline", process.pid)) else {
        return false;
    };
    let line = line.strip_suffix(&[0]).unwrap_or(&line);
    let mut found = line.split(|byte| *byte == 0);
    let program = found.next().and_then(|word| {
        let word = std::str::from_utf8(word).ok()?;
        std::path::Path::new(word).file_name()
    });
    words.split_first().is_some_and(|(first, rest)| {
        program == Some(OsStr::new(first)) && found.eq(rest.iter().map(String::as_bytes))
    })
}
