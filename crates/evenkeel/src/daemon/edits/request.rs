//! Requests for edits: made at once, answered when what they added is listed.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use evenkeel_api::{API_VERSION, EditAnswer, EditRefusal, EditRequest, Problem};
use evenkeel_control::Event;
use evenkeel_model::{Edit, ServiceKey};
use tokio::sync::oneshot;

use super::words::{self, Asked};
use crate::daemon::event_loop::Daemon;
use crate::daemon::server::Answer;
use crate::daemon::{hands, start, view, ways};

/// Longest wait for a server that was added to be listed. Its hardware address and its first check take
/// milliseconds, and whoever looks right after an edit expects to see it; one that does not answer is not
/// waited for any longer.
const LISTED_WITHIN: Duration = Duration::from_millis(500);

/// Most warnings of one answer.
const WARNINGS_MAX: usize = 10;

/// An answer that waits for servers to be listed.
pub(crate) struct Waiting {
    until: Instant,
    servers: Vec<(ServiceKey, SocketAddr)>,
    answer: EditAnswer,
    sender: oneshot::Sender<Answer<EditAnswer>>,
}

impl Daemon {
    /// Makes edits by hand; they are in force and kept when the answer comes.
    pub(crate) async fn edit(
        &mut self,
        request: &EditRequest,
        sender: oneshot::Sender<Answer<EditAnswer>>,
    ) {
        match self.make(request).await {
            Ok((answer, servers)) => self.waiting.push(Waiting {
                until: Instant::now() + LISTED_WITHIN,
                servers,
                answer,
                sender,
            }),
            // Whoever asked may have gone meanwhile.
            Err(error) => drop(sender.send(Err(error))),
        }
        self.answer_edits();
    }

    /// Answers requests whose servers are listed, or have had their time.
    pub(crate) fn answer_edits(&mut self) {
        let now = Instant::now();
        let control = &self.control;
        let done = self.waiting.extract_if(.., |waiting| {
            let waits = |(key, server): &(ServiceKey, SocketAddr)| control.waits(*key, *server);
            waiting.until <= now || !waiting.servers.iter().any(waits)
        });
        for Waiting { answer, sender, .. } in done {
            drop(sender.send(Ok(answer)));
        }
    }

    /// When a request must be answered at the latest.
    pub(crate) fn edits_due(&self) -> Option<Instant> {
        self.waiting.iter().map(|waiting| waiting.until).min()
    }

    /// Makes edits in their order; gives the answer, and which servers they added.
    async fn make(
        &mut self,
        request: &EditRequest,
    ) -> Answer<(EditAnswer, Vec<(ServiceKey, SocketAddr)>)> {
        let mut refused = Vec::new();
        let mut warnings = Vec::new();
        let mut together = Vec::new();
        let mut added = Vec::new();
        for edit in &request.edits {
            match words::edit(edit) {
                Ok(Asked::Edit(edit)) => {
                    added.extend(server_of(&edit));
                    together.push((refused.len(), edit));
                    refused.push(None);
                }
                Ok(Asked::Zero(service)) => {
                    self.lay(&mut together, &mut refused, &mut warnings).await;
                    refused.push(self.zero(service, &mut warnings)?);
                }
                Err(refusal) => refused.push(Some(refusal)),
            }
        }
        self.lay(&mut together, &mut refused, &mut warnings).await;
        warnings.truncate(WARNINGS_MAX);
        let answer = EditAnswer {
            api_version: API_VERSION,
            refused,
            warnings,
        };
        Ok((answer, added))
    }

    /// Makes edits together, and notes at their places which are refused.
    async fn lay(
        &mut self,
        together: &mut Vec<(usize, Edit)>,
        refused: &mut [Option<EditRefusal>],
        warnings: &mut Vec<String>,
    ) {
        if together.is_empty() {
            return;
        }
        let (places, edits): (Vec<usize>, Vec<Edit>) = together.drain(..).unzip();
        let before = self.control.overlay().clone();
        let plane = &self.hands.plane;
        let listed = |key, server| plane.lists(key, server);
        let outcomes = self.control.edit(&edits, listed, Instant::now());
        self.obey().await;
        let full = self.full(&edits, warnings);
        if !full.is_empty() {
            self.control.take_back(&full, &before, Instant::now());
            self.obey().await;
        }
        self.sync_configure();
        for ((place, edit), outcome) in places.into_iter().zip(&edits).zip(&outcomes) {
            let no_room = words::adds_to(edit).is_some_and(|key| full.contains(&key));
            let refusal = outcome.err().map(words::refusal);
            if let Some(refused) = refused.get_mut(place) {
                *refused = refusal.or_else(|| no_room.then_some(EditRefusal::NoRoom));
            }
        }
        // An address that services came to or left is the director's own no more, or again.
        let own = start::own_addresses(&self.hands.netlink, self.control.director()).await;
        let event = Event::OwnAddresses(own);
        self.control.handle_event(event, Instant::now());
        self.obey().await;
        warnings.extend(self.problems.of_edits().map(could_not));
        let made = edits.iter().zip(outcomes);
        let made = made.filter(|(_, outcome)| outcome.is_ok());
        self.warn(made.map(|(edit, _)| edit), warnings).await;
    }

    /// The services that edits added something to and that can't be put.
    fn full(&self, edits: &[Edit], warnings: &mut Vec<String>) -> BTreeSet<ServiceKey> {
        let added: BTreeSet<ServiceKey> = edits.iter().filter_map(words::adds_to).collect();
        let problem = |key: &ServiceKey| self.problems.of_service(*key);
        warnings.extend(added.iter().filter_map(problem).map(could_not));
        added
            .into_iter()
            .filter(|key| problem(key).is_some())
            .collect()
    }

    /// Tells of servers that were added and can't be reached.
    async fn warn(&self, edits: impl Iterator<Item = &Edit>, warnings: &mut Vec<String>) {
        let servers = edits.filter_map(server_of);
        let addresses: BTreeSet<IpAddr> = servers.map(|(_, server)| server.ip()).collect();
        for address in addresses {
            if warnings.len() >= WARNINGS_MAX {
                return;
            }
            warnings.extend(self.off_link(address).await);
        }
    }

    /// Why a real server's address can't be reached, if that is so.
    async fn off_link(&self, address: IpAddr) -> Option<String> {
        if self.control.is_own(address) {
            return None;
        }
        let netlink = &self.hands.netlink;
        let links = netlink.links().await.ok()?;
        let interfaces = self.hands.interfaces();
        let oddity = ways::oddity(netlink, &links, &interfaces, address).await;
        oddity.ok()?
    }

    /// Has the counters of a service, or of all, begin at zero in listings.
    fn zero(
        &mut self,
        service: Option<ServiceKey>,
        warnings: &mut Vec<String>,
    ) -> Answer<Option<EditRefusal>> {
        let services = &self.control.director().services;
        if let Some(key) = service
            && !services.iter().any(|service| service.key == key)
        {
            return Ok(Some(EditRefusal::NoSuchService));
        }
        let held = self.hands.plane.snapshot().map_err(view::unread)?;
        let wanted = held
            .iter()
            .filter(|held| service.is_none_or(|key| key == held.key));
        for (counted, totals) in wanted.flat_map(view::counters) {
            self.estimator.forget(&counted);
            self.hands.edits.baselines.insert(counted, totals);
        }
        if let Err(error) = self.hands.edits.write() {
            let reason = hands::reason(&error.into());
            warnings.push(format!(
                "counters will not be zero after a restart: {reason}"
            ));
        }
        Ok(None)
    }
}

fn could_not(problem: &Problem) -> String {
    format!("could not {}: {}", problem.what, problem.reason)
}

/// The server that an edit adds.
fn server_of(edit: &Edit) -> Option<(ServiceKey, SocketAddr)> {
    match edit {
        Edit::AddServer(key, address, _) => Some((*key, SocketAddr::new(*address, key.port()))),
        Edit::AddService(..)
        | Edit::EditService(..)
        | Edit::DeleteService(_)
        | Edit::EditServer(..)
        | Edit::DeleteServer(..)
        | Edit::Drain(..)
        | Edit::Ready(..)
        | Edit::Clear
        | Edit::SetTimeouts(_) => None,
    }
}
