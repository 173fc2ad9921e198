//! What can go wrong with a lab, in words for the person at the terminal.

use std::error::Error;
use std::io;
use std::path::PathBuf;

use crate::topology::TopologyError;

/// Why an operation on a lab failed.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// The caller is not root.
    #[error("a lab makes network namespaces, which needs root; run `{command}`")]
    NotRoot {
        /// The same command with sudo.
        command: String,
    },
    /// The topology file can't be read.
    #[error("can't read the topology file `{}`; give the path of a file, as in `lab up lab.toml`", path.display())]
    ReadTopology {
        /// The file.
        path: PathBuf,
        /// Cause.
        #[source]
        source: io::Error,
    },
    /// The topology has a mistake.
    #[error(transparent)]
    Topology(#[from] TopologyError),
    /// A name that the caller asked for is taken.
    #[error(
        "a lab named `{name}` is running; choose another name, or end it with `lab down --lab {name}`"
    )]
    NameTaken {
        /// The name.
        name: String,
    },
    /// A name that can't be a folder's.
    #[error("`{name}` can't name a lab: use 1 to 32 letters, digits, `-` or `_`")]
    BadName {
        /// The name.
        name: String,
    },
    /// No lab is running.
    #[error("no lab is running; start one with `lab up FILE`")]
    NoLab,
    /// No lab has that name.
    #[error("no lab named `{name}` is running; running: {running}")]
    UnknownLab {
        /// The name asked for.
        name: String,
        /// Names of the running ones.
        running: String,
    },
    /// Several labs are running and none was named.
    #[error("several labs are running; add `--lab NAME` with one of: {running}")]
    WhichLab {
        /// Names of the running ones.
        running: String,
    },
    /// The lab has no such node.
    #[error("lab `{lab}` has no node `{node}`; its nodes: {nodes}")]
    UnknownNode {
        /// The lab.
        lab: String,
        /// The name asked for.
        node: String,
        /// Names of its nodes.
        nodes: String,
    },
    /// The node is powered off.
    #[error("node `{node}` is off; `lab power on {node}` boots it")]
    NodeOff {
        /// The node.
        node: String,
    },
    /// The node is powered on already.
    #[error("node `{node}` is on already")]
    NodeOn {
        /// The node.
        node: String,
    },
    /// The node's daemon does not run.
    #[error("no daemon runs in node `{node}`")]
    NoDaemon {
        /// The node.
        node: String,
    },
    /// nginx was asked for and is not installed.
    #[error(
        "nginx is not installed; install it (Debian: `apt-get install nginx-light`) or leave out `--with nginx`"
    )]
    NoNginx,
    /// The kernel was built without something the lab needs.
    #[error("this kernel has no {what}; a lab needs a kernel with {option}")]
    KernelLacks {
        /// What is missing.
        what: &'static str,
        /// The option of the kernel's configuration.
        option: &'static str,
        /// Cause.
        #[source]
        source: io::Error,
    },
    /// The kernel refused a node's namespaces.
    #[error(
        "the kernel refused new namespaces; a lab needs CAP_SYS_ADMIN and kernel support for network, mount, \
         pid and uts namespaces (in a container, run it with `--privileged`)"
    )]
    Namespaces(#[source] io::Error),
    /// The switch could not be made or changed.
    #[error("can't {action} at the lab's switch")]
    Switch {
        /// What was tried.
        action: String,
        /// Cause.
        #[source]
        source: io::Error,
    },
    /// A director's port at the switch took no XDP program.
    #[error("can't attach the XDP program that passes everything to the switch port of `{node}`")]
    PortProgram {
        /// The node.
        node: String,
        /// Cause.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// A node did not boot.
    #[error("node `{node}` did not boot: {reason}")]
    Boot {
        /// The node.
        node: String,
        /// What its first process reported.
        reason: String,
    },
    /// A command could not be started in a node.
    #[error("can't start `{program}` in node `{node}`")]
    Spawn {
        /// The node.
        node: String,
        /// The program.
        program: String,
        /// Cause.
        #[source]
        source: io::Error,
    },
    /// The lab's folder can't be read or written.
    #[error("can't {action} `{}`", path.display())]
    State {
        /// What was tried.
        action: &'static str,
        /// File or folder.
        path: PathBuf,
        /// Cause.
        #[source]
        source: io::Error,
    },
    /// The keeper did not answer as it should.
    #[error("the keeper of lab `{lab}` does not answer; `lab list` shows which labs are alive")]
    Keeper {
        /// The lab.
        lab: String,
        /// Cause.
        #[source]
        source: io::Error,
    },
    /// The keeper refused, in its own words.
    #[error("{0}")]
    Refused(String),
    /// An own thread, runtime or process could not be started.
    #[error("can't start {what}")]
    Start {
        /// What.
        what: &'static str,
        /// Cause.
        #[source]
        source: io::Error,
    },
}

/// An error and its causes in one line, for where only a text can go.
pub(crate) fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
