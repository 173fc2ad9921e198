//! The client processes, one to a node, as the run tells them what to do.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddrV4;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver, TryRecvError};
use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::crowd::{Asked, ClientSpec, Habit, Opened, Order, Reported};
use crate::entry;
use crate::error::LabError;
use crate::paper::PaperError;
use crate::paper::cluster::Cluster;
use crate::paper::crowd::plan::{ClientNode, service_address};

/// Time between two looks at what the processes said.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Most new connections in a second, all clients together: a rate that directors and servers of one small
/// machine follow.
pub(in crate::paper) const RATE: u32 = 6_000;

/// What a process may need beyond the time that its orders take.
const SLACK: Duration = Duration::from_secs(60);

/// How connections are opened.
pub(in crate::paper) struct Opening<'a> {
    /// Each client's first port; the others follow it.
    pub(in crate::paper) first_port: u16,
    /// So many in a second at most, all clients together.
    pub(in crate::paper) rate: u32,
    /// What they do by themselves, in turns.
    pub(in crate::paper) habits: &'a [Habit],
    /// Whether they are opened until they are asked, at most as many as the nodes have.
    pub(in crate::paper) until_asked: bool,
}

/// All client processes; they end with the lab at the latest.
pub(in crate::paper) struct Clients(Vec<Process>);

struct Process {
    node: ClientNode,
    child: Child,
    orders: ChildStdin,
    reports: Receiver<String>,
}

impl Clients {
    /// Starts a process in each of the nodes, which begin to open their connections.
    pub(in crate::paper) fn start(
        cluster: &Cluster,
        nodes: &[ClientNode],
        opening: &Opening<'_>,
    ) -> Result<Self, PaperError> {
        let rate = opening.rate / u32::try_from(nodes.len()).unwrap_or(1).max(1);
        let mut clients = Self(Vec::new());
        for node in nodes {
            let mut process = Process::start(cluster, node)?;
            process.tell(&ClientSpec {
                service: service_address(),
                first_port: opening.first_port,
                connections: node.connections,
                rate: rate.max(1),
                habits: opening.habits.to_vec(),
                until_asked: opening.until_asked,
            })?;
            clients.0.push(process);
        }
        Ok(clients)
    }

    /// Waits until all connections were tried, and an order came where one is waited for; each, by its client's address and port.
    pub(in crate::paper) fn opened(
        &mut self,
        cluster: &mut Cluster,
    ) -> Result<Vec<(SocketAddrV4, Opened)>, PaperError> {
        let connections: u32 = self.0.iter().map(|p| u32::from(p.node.connections)).sum();
        let deadline = Instant::now() + Duration::from_secs(1) * connections / 500 + SLACK;
        let mut all = Vec::new();
        for process in &self.0 {
            let Reported::Opened(opened) = process.report(cluster, deadline)? else {
                return Err(process.failed(String::from("it tells something else")));
            };
            all.extend(opened.into_iter().map(|one| (process.from(one.port), one)));
        }
        Ok(all)
    }

    /// Has every connection that is whole send a request.
    pub(in crate::paper) fn ask(&mut self, order: &Order) -> Result<(), PaperError> {
        self.0
            .iter_mut()
            .try_for_each(|process| process.tell(order))
    }

    /// Waits for what came of the requests.
    pub(in crate::paper) fn asked(
        &mut self,
        cluster: &mut Cluster,
        order: &Order,
    ) -> Result<Vec<(SocketAddrV4, Asked)>, PaperError> {
        let deadline = Instant::now() + order.spread + order.patience + SLACK;
        let mut all = Vec::new();
        for process in &self.0 {
            let Reported::Asked(asked) = process.report(cluster, deadline)? else {
                return Err(process.failed(String::from("it tells something else")));
            };
            all.extend(asked.into_iter().map(|one| (process.from(one.port), one)));
        }
        Ok(all)
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        for process in &mut self.0 {
            // One that has ended by itself needs no killing.
            let _ended = process.child.kill();
            let _status = process.child.wait();
        }
    }
}

impl Process {
    fn start(cluster: &Cluster, node: &ClientNode) -> Result<Self, PaperError> {
        let mut command = Command::new("evenkeel");
        command
            .arg(entry::CROWD_CLIENT)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = cluster.lab.node(&node.name)?.spawn(command)?;
        let pipes = child.stdin.take().zip(child.stdout.take());
        let (orders, output) = pipes.ok_or_else(|| PaperError::Crowd {
            node: node.name.clone(),
            reason: String::from("its process has no pipes"),
        })?;
        let (heard, reports) = mpsc::channel();
        thread::Builder::new()
            .name(format!("hear-{}", node.name))
            .spawn(move || {
                let lines = BufReader::new(output).lines().map_while(Result::ok);
                for line in lines {
                    if heard.send(line).is_err() {
                        return;
                    }
                }
            })
            .map_err(|source| LabError::Start {
                what: "a thread that hears a client",
                source,
            })?;
        Ok(Self {
            node: node.clone(),
            child,
            orders,
            reports,
        })
    }

    fn tell(&mut self, words: &impl Serialize) -> Result<(), PaperError> {
        let told = serde_json::to_string(words)
            .map_err(Into::into)
            .and_then(|line| writeln!(self.orders, "{line}"));
        told.map_err(|error| self.failed(format!("its process does not listen: {error}")))
    }

    fn report(&self, cluster: &mut Cluster, deadline: Instant) -> Result<Reported, PaperError> {
        loop {
            match self.reports.try_recv() {
                Ok(line) => {
                    return serde_json::from_str(&line)
                        .map_err(|error| self.failed(format!("what it tells: {error}")));
                }
                Err(TryRecvError::Disconnected) => {
                    return Err(self.failed(String::from("its process ended")));
                }
                Err(TryRecvError::Empty) if Instant::now() >= deadline => {
                    return Err(self.failed(String::from("its process is not done in time")));
                }
                Err(TryRecvError::Empty) => cluster.observe_until(Instant::now() + LOOK_EVERY)?,
            }
        }
    }

    const fn from(&self, port: u16) -> SocketAddrV4 {
        SocketAddrV4::new(self.node.address, port)
    }

    fn failed(&self, reason: String) -> PaperError {
        PaperError::Crowd {
            node: self.node.name.clone(),
            reason,
        }
    }
}
