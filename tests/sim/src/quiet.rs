//! What holds when nothing goes wrong any more.

use std::net::{IpAddr, SocketAddrV4};
use std::time::Duration;

use evenkeel_model::{GateState, Role};

use evenkeel_sync::Flow;

use crate::Time;
use crate::client::Client;
use crate::node::Node;
use crate::settings::{CADENCE, RouterSettings, STARTUP_WAIT};
use crate::world::World;

/// Time for a trial's answer, with a stale neighbour entry in the way until shortly after a segment was sent again.
const TRIAL: Duration = Duration::from_millis(6000);

/// Time from the last trouble until directors are in sync, see ADR 15.
const SYNC_AGAIN: Duration = Duration::from_secs(4);

/// How often it is asked whether trials are answered.
const STEP: Duration = Duration::from_millis(100);

/// Results of checks that may just have come.
const AT_REST: usize = 16;

impl World {
    /// Everything heals, and within some time all is as it should be, and stays so.
    ///
    /// # Panics
    /// If it is not.
    pub fn settle(&mut self) {
        self.heal();
        // A lone director waits for checks and neighbours, then for a master-down interval; another drains.
        let checks = CADENCE.every * (CADENCE.rise + CADENCE.fall + 1);
        let time = STARTUP_WAIT + checks + self.settings.master_down() * 3;
        // A session that only one side remembers ends after three seconds, and who lacks connections waits.
        let sync = self.settings.sync.map(|sync| sync.wait + SYNC_AGAIN);
        let end = self.now + time + sync.unwrap_or_default();
        loop {
            while self.now < end && self.unsettled().is_some() {
                self.run(STEP);
            }
            // It may have been so for a moment only.
            self.run(self.settings.master_down() * 3);
            if self.now >= end || self.unsettled().is_none() {
                break;
            }
        }
        self.assert_settled();
        self.try_services();
        self.assert_settled();
    }

    fn assert_settled(&self) {
        if let Some(wrong) = self.unsettled() {
            self.fail(&wrong);
        }
    }

    /// What is not as it should be.
    fn unsettled(&self) -> Option<String> {
        let mut routers = self.settings.routers.iter();
        let wrong = routers.find_map(|router| self.check_router(router).err());
        wrong
            .or_else(|| self.check_wishes().err())
            .or_else(|| self.check_tables().err())
    }

    /// The director that is Active in a virtual router: the only one, and the one with the addresses.
    ///
    /// # Panics
    /// If that is not so.
    #[must_use]
    pub fn active(&self, router: &RouterSettings) -> usize {
        match self.only_active(router) {
            Ok(active) => active,
            Err(wrong) => self.fail(&wrong),
        }
    }

    fn only_active(&self, router: &RouterSettings) -> Result<usize, String> {
        let role_of = |director: usize| {
            let roles = self.directors[director].roles();
            let role = roles.into_iter().find(|(id, _)| *id == router.id);
            role.map_or(Role::Initialize, |(_, role)| role)
        };
        let all = 0..self.directors.len();
        let active: Vec<usize> = all.filter(|d| role_of(*d) == Role::Active).collect();
        let [active] = active[..] else {
            return Err(format!(
                "virtual router {}: Active are {active:?}",
                router.id
            ));
        };
        Ok(active)
    }

    fn check_router(&self, router: &RouterSettings) -> Result<(), String> {
        let active = self.only_active(router)?;
        let best = router.priorities.iter().max().copied().unwrap_or_default();
        let number = router.priorities[active];
        if router.preempt && number != best {
            return Err(format!("director {active} is Active in {router:?}"));
        }
        for (number, director) in self.directors.iter().enumerate() {
            for address in &router.addresses {
                let holds = director.host.addresses.contains(address);
                let gate = director.host.plane.gate(*address);
                let wanted = match number == active {
                    true => (true, GateState::Open),
                    false => (false, GateState::Closed),
                };
                if (holds, gate) != wanted {
                    return Err(format!(
                        "director {number} has {address}: {holds}, its gate is {gate:?}; director {active} is Active"
                    ));
                }
            }
        }
        Ok(())
    }

    /// What control wishes is what the data plane holds; servers are in as configured.
    fn check_wishes(&self) -> Result<(), String> {
        for (number, director) in self.directors.iter().enumerate() {
            let Some(daemon) = &director.daemon else {
                return Err(format!("director {number} has no daemon"));
            };
            let view = daemon.control.view();
            if !view.ready || daemon.inputs.len() > AT_REST || !director.host.socket.is_empty() {
                return Err(format!("director {number} is not at rest"));
            }
            if director.host.plane.adopt().len() != view.services.len() {
                return Err(format!(
                    "director {number} holds services that nobody wants"
                ));
            }
            for service in view.services {
                if director.host.plane.held(&service.key) != Some(&service.entry) {
                    return Err(format!(
                        "director {number} does not hold {:?}",
                        service.entry
                    ));
                }
                for server in &service.servers {
                    if server.in_force != Some(server.weight) {
                        return Err(format!("director {number}: not in force: {server:?}"));
                    }
                }
            }
        }
        Ok(())
    }

    /// Every director has what the Active has had for longer than the lag.
    fn check_tables(&self) -> Result<(), String> {
        let Some(sync) = self.settings.sync else {
            return Ok(());
        };
        for router in &self.settings.routers {
            let teller = self.only_active(router)?;
            let addresses: Vec<IpAddr> = router.addresses.iter().copied().map(IpAddr::V4).collect();
            for number in (0..self.directors.len()).filter(|number| *number != teller) {
                let older = self.now.saturating_sub(sync.lag * 2);
                let of = |flow: &Flow| {
                    addresses.contains(&flow.address.ip()) && !self.watch.is_tainted(flow.client)
                };
                let missing =
                    self.watch
                        .mirrors
                        .missing((number, teller), &self.directors, older, of);
                if !missing.is_empty() {
                    return Err(format!("director {number} lacks {missing:?}"));
                }
            }
        }
        Ok(())
    }

    /// New connections to each service are answered, soon.
    fn try_services(&mut self) {
        let services = self.settings.present();
        let usable: Vec<SocketAddrV4> = services
            .filter(|service| self.settings.is_usable(service))
            .map(|service| service.address)
            .collect();
        let now: Time = self.now;
        for client in &mut self.clients {
            client.answered_trials.clear();
            for service in &usable {
                client.open(*service, true, now);
            }
        }
        let end = now + TRIAL;
        let all = |client: &Client| usable.iter().all(|s| client.answered_trials.contains(s));
        while self.now < end && !self.clients.iter().all(all) {
            self.run(STEP);
        }
        for client in &self.clients {
            for service in &usable {
                if !client.answered_trials.contains(service) {
                    let holder = client.holder(*service.ip());
                    self.fail(&format!(
                        "{} gets no answer of {service}, which it takes {} for the holder of",
                        client.node,
                        holder.map_or_else(|| "nobody".to_owned(), |node: Node| node.to_string()),
                    ));
                }
            }
        }
    }
}
