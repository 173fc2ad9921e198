//! A lab kept by this process.

use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::daemon;
use crate::entry;
use crate::error::LabError;
use crate::http_server;
use crate::namespace::{NetnsThread, thread_in};
use crate::node::NodeHandle;
use crate::node_init::{NODE_FOLDER, NodeSpec};
use crate::process::ProcessId;
use crate::state::{LabState, NodeState, StateFolder, log_file};
use crate::switch::{Boot, Switch};
use crate::topology::{Node, Topology};

/// How a lab is started.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Options {
    /// The lab's name; `None`: the topology's, with a suffix where that is taken.
    pub name: Option<String>,
    /// What real servers run.
    pub web_server: WebServer,
    /// The program that nodes run and that is `evenkeel` and `ipvsadm` in them; it must call
    /// [`entry::run`]. `None`: this one.
    pub program: Option<PathBuf>,
}

/// What answers HTTP on real servers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum WebServer {
    /// [`http_server`].
    #[default]
    BuiltIn,
    /// nginx, where installed.
    Nginx,
}

/// A running lab; dropping it ends it.
pub struct Lab {
    topology: Topology,
    web_server: WebServer,
    program: PathBuf,
    /// `None` only while dropping.
    switch: Option<SwitchThread>,
    state: Mutex<LabState>,
    folder: StateFolder,
}

type Job = Box<dyn FnOnce(&mut Switch) + Send>;

struct SwitchThread {
    jobs: mpsc::Sender<Job>,
    thread: JoinHandle<()>,
}

impl Lab {
    /// Removes what dead labs left, then makes the switch and boots every node.
    ///
    /// Returns once every node's commands are started; what they offer may take a moment longer.
    ///
    /// # Errors
    /// Not root, name taken, nginx missing, or the kernel refused something; nothing is left then.
    pub fn start(topology: Topology, options: Options) -> Result<Self, LabError> {
        require_root()?;
        if options.web_server == WebServer::Nginx && !is_installed("nginx") {
            return Err(LabError::NoNginx);
        }
        let program = match options.program {
            Some(program) => program,
            None => std::env::current_exe().map_err(|source| LabError::Start {
                what: "nodes without the path of this program",
                source,
            })?,
        };
        let (folder, name) = StateFolder::claim(options.name.as_deref(), &topology.name)?;
        let keeper = ProcessId::own().map_err(|source| LabError::Start {
            what: "a lab without /proc",
            source,
        })?;
        let nodes = topology.nodes.iter().map(|node| {
            let state = NodeState {
                kind: node.kind,
                address: node.address,
                process: None,
                link_up: true,
            };
            (node.name.clone(), state)
        });
        let lab = Self {
            state: Mutex::new(LabState {
                name,
                keeper,
                nodes: nodes.collect(),
            }),
            switch: Some(SwitchThread::start(program.clone())?),
            web_server: options.web_server,
            topology,
            program,
            folder,
        };
        for node in &lab.topology.nodes {
            lab.power_on(&node.name)?;
        }
        Ok(lab)
    }

    /// The lab as other processes see it.
    #[must_use]
    pub fn state(&self) -> LabState {
        self.lock().clone()
    }

    /// What it was made from.
    #[must_use]
    pub fn topology(&self) -> &Topology {
        &self.topology
    }

    /// Where the lab keeps its state and its nodes' logs (`NODE.log`), for as long as it lives.
    #[must_use]
    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// What processes of the node have written so far, over all its boots.
    #[must_use]
    pub fn log(&self, node: &str) -> String {
        std::fs::read(log_file(self.folder.path(), node))
            .map(|text| String::from_utf8_lossy(&text).into_owned())
            .unwrap_or_default()
    }

    /// A node, on or off.
    ///
    /// # Errors
    /// There is no such node.
    pub fn node(&self, name: &str) -> Result<NodeHandle<'_>, LabError> {
        Ok(NodeHandle::new(self, self.known(name)?))
    }

    /// Boots a node: same name, same MAC, nothing of before.
    ///
    /// # Errors
    /// It is on already, or did not boot.
    pub fn power_on(&self, name: &str) -> Result<(), LabError> {
        let node = self.known(name)?;
        let mut state = self.lock();
        if node_state(&mut state, node).process.is_some() {
            return Err(LabError::NodeOn {
                node: name.to_owned(),
            });
        }
        let boot = Boot {
            spec: self.spec(node),
            kind: node.kind,
            log: log_file(self.folder.path(), name),
        };
        let pid = self.at_switch(move |switch| switch.power_on(&boot))??;
        let process = ProcessId::of(pid).map_err(|err| LabError::Boot {
            node: name.to_owned(),
            reason: err.to_string(),
        })?;
        let entry = node_state(&mut state, node);
        entry.process = Some(process);
        entry.link_up = true;
        self.folder.write(&state)
    }

    /// Takes the node's link down, then kills every process of it; its addresses, pins and files go
    /// with them. The instant is when the link was down.
    ///
    /// # Errors
    /// It is off already.
    pub fn power_off(&self, name: &str) -> Result<Instant, LabError> {
        let node = self.known(name)?;
        let mut state = self.lock();
        running(node, &mut state)?;
        let owned = name.to_owned();
        let when = self.at_switch(move |switch| switch.power_off(&owned))??;
        node_state(&mut state, node).process = None;
        self.folder.write(&state)?;
        Ok(when)
    }

    /// Takes the node's link up or down, as if its cable were plugged or pulled; when that was done.
    ///
    /// # Errors
    /// It is off.
    pub fn set_link(&self, name: &str, up: bool) -> Result<Instant, LabError> {
        let node = self.known(name)?;
        let mut state = self.lock();
        running(node, &mut state)?;
        let owned = name.to_owned();
        let when = self.at_switch(move |switch| switch.set_link(&owned, up))??;
        node_state(&mut state, node).link_up = up;
        self.folder.write(&state)?;
        Ok(when)
    }

    /// Runs `work` on a new thread in the switch's network namespace: the bridge is `br0`, a node's
    /// port has the node's name.
    ///
    /// # Errors
    /// No thread could be started.
    pub fn in_switch<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<NetnsThread<T>, LabError> {
        let starting = |source| LabError::Start {
            what: "a thread in the switch's namespace",
            source,
        };
        let netns = self.at_switch(|switch| switch.netns())?.map_err(starting)?;
        thread_in(netns, String::from("switch"), work).map_err(starting)
    }

    pub(crate) fn known(&self, name: &str) -> Result<&Node, LabError> {
        self.topology.node(name).ok_or_else(|| {
            let names: Vec<&str> = self
                .topology
                .nodes
                .iter()
                .map(|node| node.name.as_str())
                .collect();
            LabError::UnknownNode {
                lab: self.lock().name.clone(),
                node: name.to_owned(),
                nodes: names.join(", "),
            }
        })
    }

    /// The first process of a node.
    pub(crate) fn first_process(&self, node: &Node) -> Result<ProcessId, LabError> {
        running(node, &mut self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, LabState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn at_switch<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Switch) -> T + Send + 'static,
    ) -> Result<T, LabError> {
        let (done, result) = mpsc::sync_channel(1);
        let job: Job = Box::new(move |switch| {
            // The caller waits for this, so it can only fail together with the caller.
            let _told = done.send(job(switch));
        });
        let ended = || LabError::Start {
            what: "anything: the lab's switch thread has ended",
            source: io::ErrorKind::BrokenPipe.into(),
        };
        let switch = self.switch.as_ref().ok_or_else(ended)?;
        switch.jobs.send(job).map_err(|_unsent| ended())?;
        result.recv().map_err(|_closed| ended())
    }

    fn spec(&self, node: &Node) -> NodeSpec {
        let mut files = Vec::new();
        let mut commands = Vec::new();
        let command = |words: &[&str]| words.iter().map(|word| String::from(*word)).collect();
        if let Some(config) = &node.config {
            files.push((String::from(daemon::CONFIG_FILE), config.clone()));
            files.push((
                String::from(daemon::KEY_FILE),
                daemon::key(&self.topology.name),
            ));
            commands.push(daemon::command_words());
        }
        if let Some(port) = node.http {
            match self.web_server {
                WebServer::BuiltIn => commands.push(command(&[
                    "evenkeel",
                    entry::HTTP_SERVER,
                    &node.name,
                    &port.to_string(),
                ])),
                WebServer::Nginx => {
                    let path = format!("{NODE_FOLDER}/nginx.conf");
                    let text = http_server::nginx_config(&node.name, port);
                    files.push((String::from("nginx.conf"), text));
                    commands.push(command(&["nginx", "-e", "stderr", "-c", &path]));
                }
            }
        }
        if let Some(port) = node.echo {
            commands.extend(node.virtual_addresses.iter().map(|address| {
                let words = ["evenkeel", entry::ECHO_SERVER];
                command(&[&words[..], &[&address.to_string(), &port.to_string()]].concat())
            }));
        }
        commands.extend(node.boot.iter().cloned());
        NodeSpec {
            secrets: vec![String::from(daemon::KEY_FILE)],
            name: node.name.clone(),
            address: node.address,
            prefix: self.topology.network.prefix(),
            virtual_addresses: node.virtual_addresses.clone(),
            hosts: self.topology.hosts.clone(),
            program: self.program.clone(),
            files,
            commands,
        }
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if let Some(SwitchThread { jobs, thread }) = self.switch.take() {
            drop(jobs);
            // A panic of that thread was reported when it happened, and its nodes died with it.
            let _ended = thread.join();
        }
    }
}

impl SwitchThread {
    fn start(program: PathBuf) -> Result<Self, LabError> {
        let (jobs, queue) = mpsc::channel::<Job>();
        let (made, result) = mpsc::sync_channel(1);
        let starting = |source| LabError::Start {
            what: "the switch thread",
            source,
        };
        let thread = thread::Builder::new()
            .name(String::from("lab-switch"))
            .spawn(move || {
                let mut switch = match Switch::new(program) {
                    Ok(switch) => switch,
                    Err(err) => {
                        let _told = made.send(Err(err));
                        return;
                    }
                };
                let _told = made.send(Ok(()));
                for job in queue {
                    job(&mut switch);
                }
            })
            .map_err(starting)?;
        result
            .recv()
            .map_err(|closed| starting(io::Error::other(closed)))??;
        Ok(Self { jobs, thread })
    }
}

/// Refuses anybody but root, with the command to type instead.
pub(crate) fn require_root() -> Result<(), LabError> {
    if nix::unistd::geteuid().is_root() {
        return Ok(());
    }
    let mut words = vec![String::from("sudo")];
    let program = std::env::current_exe().unwrap_or_else(|_unknown| PathBuf::from("evenkeel"));
    words.push(program.display().to_string());
    words.extend(
        std::env::args_os()
            .skip(1)
            .map(|word| word.to_string_lossy().into_owned()),
    );
    Err(LabError::NotRoot {
        command: words.join(" "),
    })
}

fn node_state<'a>(state: &'a mut LabState, node: &Node) -> &'a mut NodeState {
    state
        .nodes
        .entry(node.name.clone())
        .or_insert_with(|| NodeState {
            kind: node.kind,
            address: node.address,
            process: None,
            link_up: true,
        })
}

fn running(node: &Node, state: &mut LabState) -> Result<ProcessId, LabError> {
    node_state(state, node)
        .process
        .ok_or_else(|| LabError::NodeOff {
            node: node.name.clone(),
        })
}

/// Whether nodes find the program.
pub(crate) fn is_installed(program: &str) -> bool {
    let path = crate::node_init::node_path();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}
