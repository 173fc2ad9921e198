//! Follows what a director is to the virtual router: its events say when that changes, its status to
//! what.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use evenkeel_api::{Client, ClientError, Events, Role};

use crate::error::LabError;

/// How long a question for events waits, and so how late the watch ends.
const WAIT: Duration = Duration::from_millis(100);

/// Time between two tries to reach a daemon that does not answer.
const RETRY: Duration = Duration::from_millis(5);

/// The kind of event that tells of another role.
const ROLE_CHANGED: &str = "role-changed";

/// A director's roles: each with the time from which on it was held, or known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Roles(pub(crate) Vec<(Instant, Role)>);

impl Roles {
    /// When it first had that role from `from` on, where it had another one before.
    pub(crate) fn became(&self, role: Role, from: Instant) -> Option<Instant> {
        self.0
            .iter()
            .find(|(when, found)| *when >= from && *found == role)
            .map(|(when, _role)| *when)
    }

    /// Whether it had that role and no other, as far as is known.
    pub(crate) fn are_only(&self, role: Role) -> bool {
        !self.0.is_empty() && self.0.iter().all(|(_when, found)| *found == role)
    }

    /// The roles in their order, for people.
    pub(crate) fn in_words(&self) -> String {
        let words: Vec<&str> = self.0.iter().map(|(_when, role)| role.name()).collect();
        match words.is_empty() {
            true => String::from("unknown"),
            false => words.join(", then "),
        }
    }

    fn note(&mut self, when: Instant, role: Role) {
        if self.0.last().is_none_or(|(_when, last)| *last != role) {
            self.0.push((when, role));
        }
    }
}

/// A running watch; dropping it ends it.
#[derive(Debug)]
pub(crate) struct RoleWatch {
    thread: Option<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
    roles: Arc<Mutex<Roles>>,
}

impl RoleWatch {
    /// Begins to follow the daemon behind `socket`, also where it does not run yet or any more.
    pub(crate) fn start(socket: PathBuf) -> Result<Self, LabError> {
        let starting = |source| LabError::Start {
            what: "the watch over a director's role",
            source,
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(starting)?;
        let stop = Arc::new(AtomicBool::new(false));
        let roles = Arc::new(Mutex::new(Roles::default()));
        let follower = Follower {
            client: Client::new(socket),
            stop: Arc::clone(&stop),
            roles: Arc::clone(&roles),
        };
        let thread = std::thread::Builder::new()
            .name(String::from("role-watch"))
            .spawn(move || runtime.block_on(follower.run()))
            .map_err(starting)?;
        Ok(Self {
            thread: Some(thread),
            stop,
            roles,
        })
    }

    /// What is known so far.
    pub(crate) fn known(&self) -> MutexGuard<'_, Roles> {
        self.roles.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the watch.
    pub(crate) fn stop(mut self) -> Roles {
        self.end();
        self.known().clone()
    }

    fn end(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic was reported when it happened.
            let _ended = thread.join();
        }
    }
}

impl Drop for RoleWatch {
    fn drop(&mut self) {
        self.end();
    }
}

struct Follower {
    client: Client,
    stop: Arc<AtomicBool>,
    roles: Arc<Mutex<Roles>>,
}

impl Follower {
    async fn run(&self) {
        while !self.stop.load(Ordering::Relaxed) {
            if let Err(error) = self.follow().await {
                tracing::debug!(%error, "the director did not answer");
                tokio::time::sleep(RETRY).await;
            }
        }
    }

    /// Follows one life of the daemon.
    async fn follow(&self) -> Result<(), ClientError> {
        // The events first: what changes between the two questions is asked for again.
        let mut last = self.client.events(0, Duration::ZERO).await?;
        self.ask(Instant::now()).await?;
        while !self.stop.load(Ordering::Relaxed) {
            let found = self.client.events(last.next, WAIT).await?;
            if found.daemon_started_ms != last.daemon_started_ms {
                return Ok(());
            }
            if let Some(when) = role_changed(&found) {
                self.ask(when).await?;
            }
            last = found;
        }
        Ok(())
    }

    /// Asks for the role, which it has since `when`.
    async fn ask(&self, when: Instant) -> Result<(), ClientError> {
        let status = self.client.status().await?;
        if let Some(router) = status.virtual_routers.first() {
            let mut roles = self.roles.lock().unwrap_or_else(PoisonError::into_inner);
            roles.note(when, router.role);
        }
        Ok(())
    }
}

/// When the last of these changes of role was.
fn role_changed(events: &Events) -> Option<Instant> {
    let last = events
        .events
        .iter()
        .rfind(|event| event.kind == ROLE_CHANGED)?;
    let now = Instant::now();
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    let age = since_1970.saturating_sub(Duration::from_millis(last.time_ms));
    Some(now.checked_sub(age).unwrap_or(now))
}

#[cfg(test)]
mod tests;
