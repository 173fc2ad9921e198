//! Where edits stand over a configuration, in words.

use super::{Edited, Overlay, ServiceEdit};
use crate::diff::ServiceName;
use crate::service::{RealServer, VirtualService};

impl Overlay {
    /// One line for each edit that stands over what is configured; edits of what is not configured stand
    /// over nothing.
    #[must_use]
    pub fn over(&self, configured: &[VirtualService]) -> Vec<String> {
        let edited = configured.iter().filter_map(|config| {
            let edit = self.services.get(&config.key)?;
            Some((config, edit))
        });
        edited
            .flat_map(|(config, edit)| lines(config, edit))
            .collect()
    }
}

fn lines(config: &VirtualService, edit: &ServiceEdit) -> Vec<String> {
    let name = ServiceName::from(config);
    let what = match edit.service {
        Some(Edited::Removed) => return vec![format!("{name} is removed by hand")],
        Some(Edited::Added(_)) => return vec![format!("{name} is replaced by hand")],
        Some(Edited::Changed(settings)) => {
            let scheduler = settings.scheduler.name();
            Some(format!("{name} is set by hand, scheduler `{scheduler}`"))
        }
        None => None,
    };
    let servers = edit.servers.iter().filter_map(|(address, edited)| {
        let mut servers = config.servers.iter();
        let server = servers.find(|server| server.address == *address)?;
        Some(format!("{name}: {}", of_server(server, edited)))
    });
    let drained = config.servers.iter().filter_map(|server| {
        let address = server.address;
        let is = edit.drained.contains(&address);
        is.then(|| format!("{name}: server {address} is drained by hand"))
    });
    what.into_iter().chain(servers).chain(drained).collect()
}

fn of_server(server: &RealServer, edited: &Edited<super::ServerSettings>) -> String {
    let address = server.address;
    match edited {
        Edited::Removed => format!("server {address} is removed by hand"),
        Edited::Added(settings) | Edited::Changed(settings) => {
            let (weight, configured) = (settings.weight.get(), server.weight.get());
            format!("server {address} is set by hand, weight {weight} (configured: {configured})")
        }
    }
}
