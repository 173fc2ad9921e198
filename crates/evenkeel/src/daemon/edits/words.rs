//! Edits between the API's words and the model's values.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use evenkeel_api::{
    Edit, EditKind, EditRefusal, EditedServer, EditedService, Edits, Persistence, ServerSettings,
    ServiceId, ServiceOptions, ServiceSettings, Thresholds, TimeoutSettings, Totals,
};
use evenkeel_model::{
    self as model, EditRefused, Edited, Overlay, Scheduler, SchedulerFlags, ServiceEdit,
    ServiceKey, Timeouts, Weight,
};
use serde::{Deserialize, Serialize};

use crate::daemon::view::{self, Counted};

/// Longest timeout that IPVS takes: 31 days.
const TIMEOUT_S_MAX: u32 = 31 * 86_400;

/// What an edit asks for.
pub(super) enum Asked {
    /// An edit of the table.
    Edit(model::Edit),
    /// Counters that begin at zero: a service's, or all.
    Zero(Option<ServiceKey>),
}

pub(super) fn edit(edit: &Edit) -> Result<Asked, EditRefusal> {
    Ok(Asked::Edit(match edit {
        Edit::AddService { service, settings } => {
            let key = key(*service)?;
            model::Edit::AddService(key, service_settings(key, settings)?)
        }
        Edit::EditService { service, settings } => {
            let key = key(*service)?;
            model::Edit::EditService(key, service_settings(key, settings)?)
        }
        Edit::DeleteService { service } => model::Edit::DeleteService(key(*service)?),
        Edit::AddServer {
            service,
            server,
            settings,
        } => {
            let settings = server_settings(*settings);
            model::Edit::AddServer(key(*service)?, host(*server)?, settings)
        }
        Edit::EditServer {
            service,
            server,
            settings,
        } => {
            let settings = server_settings(*settings);
            model::Edit::EditServer(key(*service)?, host(*server)?, settings)
        }
        Edit::DeleteServer { service, server } => {
            model::Edit::DeleteServer(key(*service)?, host(*server)?)
        }
        Edit::Drain { service, server } => model::Edit::Drain(key(*service)?, host(*server)?),
        Edit::Ready { service, server } => model::Edit::Ready(key(*service)?, host(*server)?),
        Edit::Clear => model::Edit::Clear,
        Edit::SetTimeouts { timeouts } => model::Edit::SetTimeouts(read_timeouts(*timeouts)?),
        Edit::Zero { service } => return Ok(Asked::Zero(service.map(key).transpose()?)),
    }))
}

/// The service that an edit adds, or adds a server to.
pub(super) const fn adds_to(edit: &model::Edit) -> Option<ServiceKey> {
    match edit {
        model::Edit::AddService(key, _) | model::Edit::AddServer(key, ..) => Some(*key),
        model::Edit::EditService(..)
        | model::Edit::DeleteService(_)
        | model::Edit::EditServer(..)
        | model::Edit::DeleteServer(..)
        | model::Edit::Drain(..)
        | model::Edit::Ready(..)
        | model::Edit::Clear
        | model::Edit::SetTimeouts(_) => None,
    }
}

pub(super) const fn refusal(refused: EditRefused) -> EditRefusal {
    match refused {
        EditRefused::ServiceExists => EditRefusal::ServiceExists,
        EditRefused::NoSuchService => EditRefusal::NoSuchService,
        EditRefused::ServerExists => EditRefusal::ServerExists,
        EditRefused::NoSuchServer => EditRefusal::NoSuchServer,
        EditRefused::AddressInUse => EditRefusal::AddressInUse,
        EditRefused::NoRoom => EditRefusal::NoRoom,
        EditRefused::NoSuchGroup => EditRefusal::NoSuchGroup,
        EditRefused::Taken => EditRefusal::Taken,
        EditRefused::AddressFamily => EditRefusal::AddressFamily,
    }
}

fn key(service: ServiceId) -> Result<ServiceKey, EditRefusal> {
    let (protocol, address) = match service {
        ServiceId::Single { protocol, address } => (protocol, address),
        ServiceId::Group { group } => {
            let number = model::GroupNumber::new(group).ok_or(EditRefusal::Invalid)?;
            return Ok(ServiceKey::Group(number));
        }
    };
    host(address.ip())?;
    if address.port() == 0 {
        return Err(EditRefusal::Invalid);
    }
    let protocol = match protocol {
        evenkeel_api::Protocol::Tcp => model::Protocol::Tcp,
        evenkeel_api::Protocol::Udp => model::Protocol::Udp,
        evenkeel_api::Protocol::Sctp => model::Protocol::Sctp,
    };
    Ok(ServiceKey::single(protocol, address))
}

/// An address that a host can have, as a config file takes them.
fn host(address: IpAddr) -> Result<IpAddr, EditRefusal> {
    let no_host = address.is_unspecified() || address.is_loopback() || address.is_multicast();
    let is_special = match address {
        IpAddr::V4(address) => address.is_broadcast(),
        IpAddr::V6(address) => {
            address.is_unicast_link_local() || address.to_ipv4_mapped().is_some()
        }
    };
    if no_host || is_special {
        return Err(EditRefusal::Invalid);
    }
    Ok(address)
}

/// Longest prefix of a service's clients; of a group it is not known here whose it is.
fn prefix_max(key: ServiceKey) -> u8 {
    match key {
        ServiceKey::Single { address, .. } if address.is_ipv4() => 32,
        ServiceKey::Single { .. } | ServiceKey::Group(_) => 128,
    }
}

fn service_settings(
    key: ServiceKey,
    settings: &ServiceSettings,
) -> Result<model::ServiceSettings, EditRefusal> {
    let named = |scheduler: &Scheduler| scheduler.name() == settings.scheduler;
    let scheduler = Scheduler::ALL.into_iter().find(named);
    let options = settings.options;
    let persistence = options.persistence.map(|persistence| {
        let Persistence { timeout_s, prefix } = persistence;
        let valid =
            (1..=TIMEOUT_S_MAX).contains(&timeout_s) && (1..=prefix_max(key)).contains(&prefix);
        valid
            .then_some(model::Persistence {
                timeout: seconds(timeout_s),
                prefix,
            })
            .ok_or(EditRefusal::Invalid)
    });
    Ok(model::ServiceSettings {
        scheduler: scheduler.ok_or(EditRefusal::NoSuchScheduler)?,
        flags: SchedulerFlags {
            port: options.port,
            fallback: options.fallback,
        },
        persistence: persistence.transpose()?,
        one_packet: options.one_packet,
    })
}

fn server_settings(settings: ServerSettings) -> model::ServerSettings {
    let weight = Weight::try_from(i64::from(settings.weight));
    model::ServerSettings {
        weight: weight.unwrap_or(Weight::ONE),
        thresholds: model::Thresholds {
            upper: settings.thresholds.upper,
            lower: settings.thresholds.lower,
        },
    }
}

fn read_timeouts(timeouts: TimeoutSettings) -> Result<Timeouts, EditRefusal> {
    let read = |given: Option<u32>| match given {
        None => Ok(None),
        Some(s) if (1..=TIMEOUT_S_MAX).contains(&s) => Ok(Some(seconds(s))),
        Some(_) => Err(EditRefusal::Invalid),
    };
    Ok(Timeouts {
        tcp: read(timeouts.tcp_s)?,
        tcp_fin: read(timeouts.tcp_fin_s)?,
        udp: read(timeouts.udp_s)?,
        sctp: None,
    })
}

const fn seconds(seconds: u32) -> Duration {
    // Lossless; `from` is not const.
    Duration::from_secs(seconds as u64)
}

fn whole_seconds(time: Duration) -> u32 {
    u32::try_from(time.as_secs()).unwrap_or(u32::MAX)
}

/// What a service does beside its scheduler, for listings.
pub(crate) fn options(options: &model::ServiceOptions) -> ServiceOptions {
    ServiceOptions {
        persistence: options.persistence.map(|persistence| Persistence {
            timeout_s: whole_seconds(persistence.timeout),
            prefix: persistence.prefix,
        }),
        one_packet: options.one_packet,
        fallback: options.flags.fallback,
        port: options.flags.port,
    }
}

/// When a server is overloaded, for listings.
pub(crate) const fn thresholds(thresholds: model::Thresholds) -> Thresholds {
    Thresholds {
        upper: thresholds.upper,
        lower: thresholds.lower,
    }
}

pub(crate) fn timeouts(timeouts: Timeouts) -> TimeoutSettings {
    TimeoutSettings {
        tcp_s: timeouts.tcp.map(whole_seconds),
        tcp_fin_s: timeouts.tcp_fin.map(whole_seconds),
        udp_s: timeouts.udp.map(whole_seconds),
    }
}

/// An overlay in the API's words.
pub(crate) fn edits(overlay: &Overlay) -> Edits {
    let services = overlay.services.iter().map(|(key, edit)| {
        let (kind, settings) = edit.service.as_ref().map(split).unzip();
        let servers = edit.servers.iter().map(|(address, edited)| {
            let (edit, settings) = split(edited);
            EditedServer {
                address: *address,
                edit,
                settings: settings.map(|settings| ServerSettings {
                    weight: settings.weight.get(),
                    thresholds: thresholds(settings.thresholds),
                }),
            }
        });
        EditedService {
            service: service_id(*key),
            edit: kind,
            settings: settings.flatten().map(|settings| ServiceSettings {
                scheduler: settings.scheduler.name().to_owned(),
                options: options(&model::ServiceOptions {
                    one_packet: settings.one_packet,
                    persistence: settings.persistence,
                    flags: settings.flags,
                    ..model::ServiceOptions::default()
                }),
            }),
            servers: servers.collect(),
            drained: edit.drained.iter().copied().collect(),
        }
    });
    Edits {
        services: services.collect(),
        timeouts: timeouts(overlay.timeouts),
    }
}

pub(crate) const fn service_id(key: ServiceKey) -> ServiceId {
    match key {
        ServiceKey::Single { protocol, address } => ServiceId::Single {
            protocol: view::protocol(protocol),
            address,
        },
        ServiceKey::Group(number) => ServiceId::Group {
            group: number.get(),
        },
    }
}

const fn split<T: Copy>(edited: &Edited<T>) -> (EditKind, Option<T>) {
    match edited {
        Edited::Added(settings) => (EditKind::Added, Some(*settings)),
        Edited::Changed(settings) => (EditKind::Changed, Some(*settings)),
        Edited::Removed => (EditKind::Removed, None),
    }
}

/// An overlay from the API's words.
pub(super) fn overlay(edits: &Edits) -> Result<Overlay, EditRefusal> {
    let mut overlay = Overlay {
        timeouts: read_timeouts(edits.timeouts)?,
        ..Overlay::default()
    };
    for edited in &edits.services {
        let key = key(edited.service)?;
        let settings = edited.settings.as_ref();
        let settings = settings.map(|settings| service_settings(key, settings));
        let settings = settings.transpose()?;
        let service = edited.edit.map(|kind| join(kind, settings)).transpose()?;
        let servers = edited.servers.iter().map(|server| {
            let address = SocketAddr::new(host(server.address.ip())?, key.port());
            let settings = server.settings.map(server_settings);
            Ok((address, join(server.edit, settings)?))
        });
        let servers = servers.collect::<Result<Vec<_>, EditRefusal>>()?;
        let drained = edited.drained.iter();
        let drained = drained.map(|server| Ok(SocketAddr::new(host(server.ip())?, key.port())));
        let edit = ServiceEdit {
            service,
            servers,
            drained: drained.collect::<Result<_, EditRefusal>>()?,
        };
        overlay.services.insert(key, edit);
    }
    Ok(overlay)
}

fn join<T>(kind: EditKind, settings: Option<T>) -> Result<Edited<T>, EditRefusal> {
    match kind {
        EditKind::Added => settings.map(Edited::Added).ok_or(EditRefusal::Invalid),
        EditKind::Changed => settings.map(Edited::Changed).ok_or(EditRefusal::Invalid),
        EditKind::Removed => Ok(Edited::Removed),
    }
}

/// Counters of a service or of a real server when `ipvsadm -Z` saw them.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Zeroed {
    #[serde(flatten)]
    service: ServiceId,
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<SocketAddr>,
    totals: Totals,
}

impl Zeroed {
    pub(super) fn of((counted, totals): (&Counted, &Totals)) -> Self {
        let (key, server) = match counted {
            Counted::Service(key) => (*key, None),
            Counted::Server(key, server) => (*key, Some(*server)),
        };
        Self {
            service: service_id(key),
            server,
            totals: *totals,
        }
    }

    pub(super) fn read(&self) -> Result<(Counted, Totals), EditRefusal> {
        let key = key(self.service)?;
        let counted = match self.server {
            None => Counted::Service(key),
            Some(server) => Counted::Server(key, server),
        };
        Ok((counted, self.totals))
    }
}
