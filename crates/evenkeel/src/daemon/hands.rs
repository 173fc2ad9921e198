//! Executes the core's commands on the data plane and the network.

use std::net::SocketAddr;
use std::time::Duration;

use evenkeel_bpf::DataPlane;
use evenkeel_control::{Command, Event};
use evenkeel_health::TargetId;
use evenkeel_model::{CheckKind, Hop, VirtualRouter};
use evenkeel_net::{AddressError, Announcer, LinkInfo, Netlink, probe};
use tokio::sync::mpsc;

use crate::daemon::arp::ArpProblems;
use crate::daemon::edits::EditsFile;
use crate::daemon::journal::Journal;
use crate::daemon::vrrp::{Ground, Sources, Vrrp};
use crate::daemon::ways::Ways;
use crate::daemon::{notify, report};

/// What the daemon acts with.
pub(crate) struct Hands {
    pub(crate) plane: DataPlane,
    pub(crate) netlink: Netlink,
    pub(crate) announcer: Announcer,
    pub(crate) link: LinkInfo,
    /// The further interfaces.
    pub(crate) more: Vec<LinkInfo>,
    pub(crate) ways: Ways,
    /// The interface's own addresses, as found when virtual routers were configured last.
    pub(crate) sources: Sources,
    pub(crate) arp: ArpProblems,
    pub(crate) vrrp: Vrrp,
    pub(crate) journal: Journal,
    /// Where edits by hand are kept.
    pub(crate) edits: EditsFile,
    /// Where probes leave their results.
    pub(crate) results: mpsc::Sender<Event>,
}

impl Hands {
    /// Executes one command. A probe is only begun; its result comes as an event.
    pub(crate) async fn execute(&mut self, command: &Command) -> anyhow::Result<()> {
        match command {
            Command::KeepEdits(overlay) => self.edits.keep(overlay)?,
            Command::PutService(entry) => self.plane.put_service(entry)?,
            Command::RemoveService(key) => self.plane.remove_service(key)?,
            Command::SetGate { address, state } => self.plane.set_gate(*address, *state)?,
            Command::AddAddress(address) => {
                if self.netlink.address_holder(*address).await?.is_none() {
                    self.netlink.add_address(self.link.index, *address).await?;
                }
            }
            Command::RemoveAddress(address) => match self.netlink.remove_address(*address).await {
                Ok(()) => {}
                Err(error @ AddressError::NotOurs { .. }) => tracing::info!("{error}"),
                Err(error) => return Err(error.into()),
            },
            Command::Announce(address) => {
                self.announcer
                    .announce(self.link.index, self.link.mac, *address)?;
            }
            Command::WatchNeighbour(address) => {
                let interfaces = self.interfaces();
                let watched = self.ways.watch(&self.netlink, &interfaces, *address);
                watched.await?;
            }
            Command::UnwatchNeighbour(address) => {
                self.ways.unwatch(&self.netlink, *address).await?;
            }
            Command::Probe {
                target,
                attempt,
                kind,
                address,
                timeout,
            } => self.probe(*target, *attempt, kind.clone(), *address, *timeout),
            Command::ConfigureRouters(routers) => self.configure_routers(routers)?,
            Command::MayTakeOver(router) => self.vrrp.may_take_over(*router)?,
            Command::Report(news) => {
                report::log(news);
                self.journal.enter(news);
            }
            Command::Ready => {
                tracing::info!(event = "ready", "ready");
                notify::ready();
            }
        }
        Ok(())
    }

    /// The interfaces that the program runs on, the one of the virtual addresses first.
    pub(crate) fn interfaces(&self) -> Vec<LinkInfo> {
        std::iter::once(&self.link)
            .chain(&self.more)
            .cloned()
            .collect()
    }

    /// The interface of this index, if the program runs on it.
    pub(crate) fn interface(&mut self, index: u32) -> Option<&mut LinkInfo> {
        let mut all = std::iter::once(&mut self.link).chain(&mut self.more);
        all.find(|link| link.index == index)
    }

    /// The name of the interface that leads to a next hop.
    pub(crate) fn way_name(&self, hop: Hop) -> Option<String> {
        let index = hop.way?.interface;
        let mut all = std::iter::once(&self.link).chain(&self.more);
        all.find(|link| link.index == index)
            .map(|link| link.name.clone())
    }

    fn configure_routers(&mut self, routers: &[VirtualRouter]) -> anyhow::Result<()> {
        if routers.is_empty() {
            self.arp.forget();
        } else {
            self.arp.look(&self.link.name);
        }
        let ground = Ground {
            link: self.link.clone(),
            sources: self.sources,
        };
        let began = !self.vrrp.is_running();
        self.vrrp.configure(routers, &mut self.plane, &ground)?;
        if began && let Some(view) = self.vrrp.view() {
            report::limits(&view);
        }
        Ok(())
    }

    fn probe(
        &self,
        target: TargetId,
        attempt: u64,
        kind: CheckKind,
        address: SocketAddr,
        timeout: Duration,
    ) {
        let results = self.results.clone();
        tokio::spawn(async move {
            let outcome = probe::run(&kind, address, timeout).await;
            let result = Event::CheckResult {
                target,
                attempt,
                outcome,
            };
            // The daemon may have ended meanwhile.
            drop(results.send(result).await);
        });
    }
}

/// An error and its causes in one line.
pub(crate) fn reason(error: &anyhow::Error) -> String {
    let causes: Vec<String> = error.chain().map(ToString::to_string).collect();
    causes.join(": ")
}
