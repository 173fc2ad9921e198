//! Edits by hand (`ipvsadm -A -E -D -a -e -d -C --set`), which stand apart from the configuration.
//!
//! Pure values: [`Overlay::edit`] takes an edit or refuses it as IPVS does, and [`Overlay::apply`] lays all of
//! them over configured services. An overlay knows nothing of the configuration that it is laid over, so that
//! it means the same after any number of reloads.

mod drain;
mod lay;
mod over;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, SocketAddr};

use crate::listen::{Listens, ServiceKey};
use crate::options::{Persistence, SchedulerFlags, Thresholds, Timeouts};
use crate::service::{RealServer, Scheduler, VirtualService, Weight};

/// Most real servers of one service, as in a config file.
const SERVERS_MAX: usize = 1_024;

/// Most services that may be made by hand.
const SERVICES_MAX: usize = 8_192;

/// What an edit says of a service; what else a service has stays as configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServiceSettings {
    /// How new flows are placed.
    pub scheduler: Scheduler,
    /// Flags of sh and mh.
    pub flags: SchedulerFlags,
    /// Flows of one client go to one server.
    pub persistence: Option<Persistence>,
    /// Each packet is scheduled by itself.
    pub one_packet: bool,
}

/// What an edit says of a real server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerSettings {
    /// Its weight.
    pub weight: Weight,
    /// When it is overloaded.
    pub thresholds: Thresholds,
}

/// What was done to a service, or to a real server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edited<T> {
    /// It was added: it stands whatever the configuration says of it.
    Added(T),
    /// It was changed: where the configuration has it, it is like this.
    Changed(T),
    /// It was removed, and is hidden where the configuration has it.
    Removed,
}

/// What was done to a service and to its real servers; at least one of both.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceEdit {
    /// To the service itself; `None`: nothing.
    pub service: Option<Edited<ServiceSettings>>,
    /// To its real servers, in the order in which that was first done.
    pub servers: Vec<(SocketAddr, Edited<ServerSettings>)>,
    /// Those of its real servers that are drained, whatever else they are.
    pub drained: BTreeSet<SocketAddr>,
}

impl ServiceEdit {
    fn is_nothing(&self) -> bool {
        self.service.is_none() && self.servers.is_empty() && self.drained.is_empty()
    }
}

/// All edits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overlay {
    /// Services that were edited.
    pub services: BTreeMap<ServiceKey, ServiceEdit>,
    /// Timeouts of services that have none of their own.
    pub timeouts: Timeouts,
}

/// One edit. The port of a real server is its service's: direct routing can't change it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edit {
    /// Make a service without servers.
    AddService(ServiceKey, ServiceSettings),
    /// Change a service.
    EditService(ServiceKey, ServiceSettings),
    /// Remove a service and its servers.
    DeleteService(ServiceKey),
    /// Add a real server to a service.
    AddServer(ServiceKey, IpAddr, ServerSettings),
    /// Change a real server.
    EditServer(ServiceKey, IpAddr, ServerSettings),
    /// Remove a real server.
    DeleteServer(ServiceKey, IpAddr),
    /// Give a real server no new flows, until it is ready, or changed or added anew.
    Drain(ServiceKey, IpAddr),
    /// Give a drained real server new flows again.
    Ready(ServiceKey, IpAddr),
    /// Remove all services.
    Clear,
    /// Set the timeouts that are given, and leave the others.
    SetTimeouts(Timeouts),
}

impl fmt::Display for Edit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AddService(key, settings) => {
                let scheduler = settings.scheduler.name();
                write!(f, "service {key} added, scheduler `{scheduler}`")
            }
            Self::EditService(key, settings) => {
                let scheduler = settings.scheduler.name();
                write!(f, "service {key} changed, scheduler `{scheduler}`")
            }
            Self::DeleteService(key) => write!(f, "service {key} removed"),
            Self::AddServer(key, address, settings) => {
                let weight = settings.weight.get();
                write!(f, "server {address} of {key} added, weight {weight}")
            }
            Self::EditServer(key, address, settings) => {
                let weight = settings.weight.get();
                write!(f, "server {address} of {key} changed, weight {weight}")
            }
            Self::DeleteServer(key, address) => write!(f, "server {address} of {key} removed"),
            Self::Drain(key, address) => write!(f, "server {address} of {key} drained"),
            Self::Ready(key, address) => write!(f, "server {address} of {key} ready"),
            Self::Clear => f.write_str("all services removed"),
            Self::SetTimeouts(_) => f.write_str("timeouts set"),
        }
    }
}

/// Why an edit is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EditRefused {
    /// It adds a service that is there.
    #[error("the service exists already")]
    ServiceExists,
    /// There is no such service.
    #[error("there is no such service")]
    NoSuchService,
    /// It adds a real server that is there.
    #[error("the server exists already")]
    ServerExists,
    /// The service has no such real server.
    #[error("there is no such server")]
    NoSuchServer,
    /// A virtual address would be a host's own, or a host's own address a virtual one.
    #[error("the address is a virtual one and a host's own at once")]
    AddressInUse,
    /// It adds a group that is not configured: what it takes nobody has said.
    #[error("no such group is configured")]
    NoSuchGroup,
    /// It adds a service whose address and port another one has.
    #[error("another service has the address and port")]
    Taken,
    /// The real server's address is of the other version of IP than the service's.
    #[error("the server is of another address family than its service")]
    AddressFamily,
    /// The service has 1,024 real servers, or 8,192 services were made by hand.
    #[error("there is no room for more")]
    NoRoom,
}

impl Overlay {
    /// Tells whether nothing was edited.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The services that are wanted: the configured ones with the edits, then those made by hand.
    #[must_use]
    pub fn apply(&self, configured: &[VirtualService]) -> Vec<VirtualService> {
        let keys: BTreeSet<ServiceKey> = configured.iter().map(|config| config.key).collect();
        let of_config = configured.iter().map(|config| (config.key, Some(config)));
        let others = self.services.keys().filter(|key| !keys.contains(key));
        of_config
            .chain(others.map(|key| (*key, None)))
            .filter_map(|(key, config)| self.wanted(key, config))
            .collect()
    }

    /// What is wanted of one service.
    fn wanted(&self, key: ServiceKey, config: Option<&VirtualService>) -> Option<VirtualService> {
        let edit = self.services.get(&key);
        let mut service = match (edit.map(|edit| (edit, edit.service)), config) {
            (None, config) => config?.clone(),
            (Some((_, Some(Edited::Removed))), _) => return None,
            (Some((edit, Some(Edited::Added(settings)))), config) => {
                // What a group takes is configured; by hand nobody can say it.
                let group = match key {
                    ServiceKey::Single { .. } => Listens::default(),
                    ServiceKey::Group(_) => config?.group.clone(),
                };
                edit.made(key, group, settings)
            }
            (Some((edit, Some(Edited::Changed(settings)))), config) => {
                edit.changed(config?, Some(settings))
            }
            (Some((edit, None)), config) => edit.changed(config?, None),
        };
        service.options.timeouts = service.options.timeouts.or(self.timeouts);
        // A host that was added as a server is one.
        let is_server =
            |sorry: &RealServer| service.servers.iter().any(|s| s.address == sorry.address);
        service.sorry_server = service.sorry_server.filter(|sorry| !is_server(sorry));
        Some(service)
    }

    /// Takes an edit of what [`apply`](Self::apply) gives for `configured`. What exists and is not `listed`
    /// (a service, or a real server of one) may be added: that changes it.
    ///
    /// # Errors
    /// As IPVS refuses it; nothing has changed then.
    pub fn edit(
        &mut self,
        edit: Edit,
        configured: &[VirtualService],
        listed: impl Fn(ServiceKey, Option<SocketAddr>) -> bool,
    ) -> Result<(), EditRefused> {
        match edit {
            Edit::AddService(key, settings) => {
                if self.finds(key, configured).is_none() {
                    self.check_room(key, configured)?;
                    return self.make(key, settings);
                }
                if listed(key, None) {
                    return Err(EditRefused::ServiceExists);
                }
                self.change(key, settings);
                Ok(())
            }
            Edit::EditService(key, settings) => {
                self.find(key, configured)?;
                self.change(key, settings);
                Ok(())
            }
            Edit::DeleteService(key) => {
                self.find(key, configured)?;
                self.remove(key, configured);
                Ok(())
            }
            Edit::AddServer(key, address, settings) => {
                let service = self.find(key, configured)?;
                let mut addresses = service.addresses();
                if addresses.any(|own| own.is_ipv6() != address.is_ipv6()) {
                    return Err(EditRefused::AddressFamily);
                }
                let address = SocketAddr::new(address, key.port());
                let known = service.all_servers().any(|s| s.address == address);
                if known && listed(key, Some(address)) {
                    return Err(EditRefused::ServerExists);
                }
                if service.servers.iter().any(|s| s.address == address) {
                    self.undrain(key, address);
                    self.change_server(key, address, settings);
                    return Ok(());
                }
                if service.all_servers().count() >= SERVERS_MAX {
                    return Err(EditRefused::NoRoom);
                }
                // What is added anew stands last, where it was before is of no meaning.
                self.undrain(key, address);
                self.forget_server(key, address);
                self.note_server(key, address, Edited::Added(settings));
                Ok(())
            }
            Edit::EditServer(key, address, settings) => {
                let address = self.find_server(key, address, configured)?;
                self.undrain(key, address);
                self.change_server(key, address, settings);
                Ok(())
            }
            Edit::DeleteServer(key, address) => {
                let address = self.find_server(key, address, configured)?;
                self.undrain(key, address);
                self.remove_server(key, address, configured);
                Ok(())
            }
            Edit::Drain(key, address) => self.drain(key, address, configured),
            Edit::Ready(key, address) => self.ready(key, address, configured),
            Edit::Clear => {
                let removed = configured.iter().map(|config| (config.key, REMOVED));
                self.services = removed.collect();
                Ok(())
            }
            Edit::SetTimeouts(timeouts) => {
                self.timeouts = timeouts.or(self.timeouts);
                Ok(())
            }
        }
    }

    fn finds(&self, key: ServiceKey, configured: &[VirtualService]) -> Option<VirtualService> {
        self.wanted(key, configured.iter().find(|config| config.key == key))
    }

    fn find(
        &self,
        key: ServiceKey,
        configured: &[VirtualService],
    ) -> Result<VirtualService, EditRefused> {
        self.finds(key, configured)
            .ok_or(EditRefused::NoSuchService)
    }

    /// Whether a service may be made beside those that are wanted.
    fn check_room(
        &self,
        key: ServiceKey,
        configured: &[VirtualService],
    ) -> Result<(), EditRefused> {
        match key {
            ServiceKey::Group(_) => {
                let known = configured.iter().any(|config| config.key == key);
                known.then_some(()).ok_or(EditRefused::NoSuchGroup)
            }
            ServiceKey::Single { protocol, address } => {
                let groups = configured.iter().filter(|config| {
                    let mut taken = config.group.iter().filter(|listen| !listen.ports.is_any());
                    taken.any(|listen| listen.takes(protocol, address))
                });
                let mut groups =
                    groups.filter(|config| self.wanted(config.key, Some(config)).is_some());
                groups.next().map_or(Ok(()), |_| Err(EditRefused::Taken))
            }
        }
    }

    fn find_server(
        &self,
        key: ServiceKey,
        address: IpAddr,
        configured: &[VirtualService],
    ) -> Result<SocketAddr, EditRefused> {
        let service = self.find(key, configured)?;
        let address = SocketAddr::new(address, key.port());
        let found = service.servers.iter().any(|s| s.address == address);
        found.then_some(address).ok_or(EditRefused::NoSuchServer)
    }

    fn make(&mut self, key: ServiceKey, settings: ServiceSettings) -> Result<(), EditRefused> {
        let made = |edit: &&ServiceEdit| matches!(edit.service, Some(Edited::Added(_)));
        if self.services.values().filter(made).count() >= SERVICES_MAX {
            return Err(EditRefused::NoRoom);
        }
        let edit = ServiceEdit {
            service: Some(Edited::Added(settings)),
            ..ServiceEdit::default()
        };
        self.services.insert(key, edit);
        Ok(())
    }

    fn change(&mut self, key: ServiceKey, settings: ServiceSettings) {
        let edit = self.services.entry(key).or_default();
        edit.service = Some(match edit.service {
            Some(Edited::Added(_)) => Edited::Added(settings),
            Some(Edited::Changed(_) | Edited::Removed) | None => Edited::Changed(settings),
        });
    }

    fn remove(&mut self, key: ServiceKey, configured: &[VirtualService]) {
        if configured.iter().any(|config| config.key == key) {
            self.services.insert(key, REMOVED);
        } else {
            self.services.remove(&key);
        }
    }

    fn change_server(&mut self, key: ServiceKey, address: SocketAddr, settings: ServerSettings) {
        let edits = self.services.get(&key).map_or(&[][..], |e| &e.servers);
        let before = edits.iter().find(|(edited, _)| *edited == address);
        let edited = match before {
            Some((_, Edited::Added(_))) => Edited::Added(settings),
            Some((_, Edited::Changed(_) | Edited::Removed)) | None => Edited::Changed(settings),
        };
        self.note_server(key, address, edited);
    }

    fn remove_server(
        &mut self,
        key: ServiceKey,
        address: SocketAddr,
        configured: &[VirtualService],
    ) {
        let made = |edit: &ServiceEdit| matches!(edit.service, Some(Edited::Added(_)));
        let by_hand = self.services.get(&key).is_some_and(made);
        let mut configured = configured.iter().filter(|config| config.key == key);
        let has = |config: &VirtualService| config.servers.iter().any(|s| s.address == address);
        if !by_hand && configured.any(has) {
            self.note_server(key, address, Edited::Removed);
        } else {
            self.forget_server(key, address);
        }
    }

    fn note_server(
        &mut self,
        key: ServiceKey,
        address: SocketAddr,
        edited: Edited<ServerSettings>,
    ) {
        let servers = &mut self.services.entry(key).or_default().servers;
        match servers.iter_mut().find(|(known, _)| *known == address) {
            Some((_, before)) => *before = edited,
            None => servers.push((address, edited)),
        }
    }

    fn forget_server(&mut self, key: ServiceKey, address: SocketAddr) {
        let Some(edit) = self.services.get_mut(&key) else {
            return;
        };
        edit.servers.retain(|(known, _)| *known != address);
        self.forget_if_nothing(key);
    }
}

const REMOVED: ServiceEdit = ServiceEdit {
    service: Some(Edited::Removed),
    servers: Vec::new(),
    drained: BTreeSet::new(),
};

#[cfg(test)]
mod tests;
