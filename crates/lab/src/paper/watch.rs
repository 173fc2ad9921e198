//! Asks the director over and over what it lists and where its connections are, and remembers.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use evenkeel_api::{Client, ClientError};

use crate::error::LabError;
use crate::paper::setup::Setup;

/// Time between two questions about the list.
const LIST_EVERY: Duration = Duration::from_millis(25);

/// Questions about the list for one about the connections.
const LISTS_PER_CONNECTIONS: u32 = 2;

/// What the director said.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    /// Real servers that a connection of the client was ever recorded on, by the client's port.
    pub(crate) placed: BTreeMap<u16, BTreeSet<SocketAddr>>,
    /// The list whenever it was another than before, with the time at which the answer was there.
    pub(crate) lists: Vec<(Instant, BTreeSet<SocketAddr>)>,
    /// Connections placed on each listed server since it was added, as of the last answer.
    pub(crate) conns: BTreeMap<SocketAddr, u64>,
}

impl History {
    /// When it was first known after `from` that `server` is in the list, or is not.
    pub(crate) fn first(&self, from: Instant, server: SocketAddr, listed: bool) -> Option<Instant> {
        self.lists
            .iter()
            .find(|(when, list)| *when >= from && list.contains(&server) == listed)
            .map(|(when, _list)| *when)
    }
}

/// A running watch.
#[derive(Debug)]
pub(crate) struct Watch {
    thread: Option<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
    history: Arc<Mutex<History>>,
}

impl Watch {
    /// Begins to ask the daemon behind `socket`.
    pub(crate) fn start(socket: PathBuf, setup: &Setup) -> Result<Self, LabError> {
        let starting = |source| LabError::Start {
            what: "the watch over the director",
            source,
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(starting)?;
        let stop = Arc::new(AtomicBool::new(false));
        let history = Arc::new(Mutex::new(History::default()));
        let asker = Asker {
            client: Client::new(socket),
            service: setup.address,
            history: Arc::clone(&history),
        };
        let stopped = Arc::clone(&stop);
        let thread = std::thread::Builder::new()
            .name(String::from("director-watch"))
            .spawn(move || runtime.block_on(asker.run(&stopped)))
            .map_err(starting)?;
        Ok(Self {
            thread: Some(thread),
            stop,
            history,
        })
    }

    /// What is known so far.
    pub(crate) fn known(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks once more for all, and ends.
    pub(crate) fn stop(mut self) -> History {
        self.end();
        std::mem::take(&mut *self.known())
    }

    fn end(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic of it was reported when it happened; what it knew is all there is.
            let _ended = thread.join();
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.end();
    }
}

struct Asker {
    client: Client,
    service: SocketAddr,
    history: Arc<Mutex<History>>,
}

impl Asker {
    async fn run(&self, stop: &AtomicBool) {
        let mut ticks = tokio::time::interval(LIST_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        for round in 0_u32.. {
            ticks.tick().await;
            let last_look = stop.load(Ordering::Relaxed);
            let mut asked = self.ask_list().await;
            if asked.is_ok() && (last_look || round % LISTS_PER_CONNECTIONS == 0) {
                asked = self.ask_connections().await;
            }
            if let Err(error) = asked {
                tracing::debug!(%error, "the director did not answer");
            }
            if last_look {
                return;
            }
        }
    }

    async fn ask_list(&self) -> Result<(), ClientError> {
        let services = self.client.services().await?.services;
        let conns: BTreeMap<SocketAddr, u64> = services
            .iter()
            .filter(|service| service.service.address() == Some(self.service))
            .flat_map(|service| &service.servers)
            .map(|server| (server.address, server.totals.conns))
            .collect();
        let list: BTreeSet<SocketAddr> = conns.keys().copied().collect();
        let now = Instant::now();
        let mut history = self.history();
        history.conns = conns;
        if history
            .lists
            .last()
            .is_none_or(|(_when, last)| *last != list)
        {
            history.lists.push((now, list));
        }
        Ok(())
    }

    async fn ask_connections(&self) -> Result<(), ClientError> {
        let connections = self.client.connections().await?.connections;
        let mut history = self.history();
        for connection in connections {
            if connection.virtual_address == self.service {
                history
                    .placed
                    .entry(connection.client.port())
                    .or_default()
                    .insert(connection.destination);
            }
        }
        Ok(())
    }

    fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
