//! What edits make of a service.

use super::{Edited, ServiceEdit, ServiceSettings};
use crate::listen::{Listens, ServiceKey};
use crate::options::ServiceOptions;
use crate::service::{Forwarding, OnFailure, RealServer, VirtualService};

impl ServiceEdit {
    /// The service that was made by hand; nobody checks its servers.
    pub(super) fn made(
        &self,
        key: ServiceKey,
        group: Listens,
        settings: ServiceSettings,
    ) -> VirtualService {
        let options = ServiceOptions::default();
        let mut service = VirtualService {
            name: key.to_string(),
            key,
            group,
            scheduler: settings.scheduler,
            options,
            on_failure: OnFailure::Remove,
            check: None,
            servers: self.added(&[]).collect(),
            sorry_server: None,
        };
        settings.give(&mut service);
        self.drain(&mut service);
        service
    }

    /// The configured service with what was edited.
    pub(super) fn changed(
        &self,
        config: &VirtualService,
        settings: Option<ServiceSettings>,
    ) -> VirtualService {
        let edit_of = |address| self.servers.iter().find(|(edited, _)| *edited == address);
        let kept = config.servers.iter().filter_map(|server| {
            match edit_of(server.address).map(|(_, edited)| edited) {
                None => Some(*server),
                Some(Edited::Removed) => None,
                Some(Edited::Added(settings) | Edited::Changed(settings)) => Some(RealServer {
                    weight: settings.weight,
                    thresholds: settings.thresholds,
                    ..*server
                }),
            }
        });
        let mut service = VirtualService {
            servers: kept.chain(self.added(&config.servers)).collect(),
            ..config.clone()
        };
        if let Some(settings) = settings {
            settings.give(&mut service);
        }
        self.drain(&mut service);
        service
    }

    fn drain(&self, service: &mut VirtualService) {
        for server in &mut service.servers {
            server.drained = self.drained.contains(&server.address);
        }
    }

    /// The servers that were added and are not `configured`.
    fn added(&self, configured: &[RealServer]) -> impl Iterator<Item = RealServer> {
        self.servers.iter().filter_map(|(address, edited)| {
            let Edited::Added(settings) = edited else {
                return None;
            };
            let known = configured.iter().any(|s| s.address == *address);
            (!known).then_some(RealServer {
                address: *address,
                weight: settings.weight,
                forwarding: Forwarding::DirectRouting,
                thresholds: settings.thresholds,
                drained: false,
            })
        })
    }
}

impl ServiceSettings {
    fn give(self, service: &mut VirtualService) {
        service.scheduler = self.scheduler;
        service.options = ServiceOptions {
            one_packet: self.one_packet,
            persistence: self.persistence,
            flags: self.flags,
            ..service.options
        };
    }
}
