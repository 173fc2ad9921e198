//! Services and servers as people name them, looked up in what the daemon says of itself.

use std::net::{IpAddr, SocketAddr};

use evenkeel_api::{ServerStatus, ServiceStatus};

use crate::command_error::CommandError;

/// Most names of one hint.
const NAMES_MAX: usize = 10;

/// The service of that name, or of that address and port as `status` shows it.
pub(super) fn service<'s>(
    services: &'s [ServiceStatus],
    named: &str,
) -> Result<&'s ServiceStatus, CommandError> {
    if let Some(service) = services.iter().find(|service| service.name == named) {
        return Ok(service);
    }
    let address: Option<SocketAddr> = named.parse().ok();
    let is_meant = |service: &&ServiceStatus| {
        let by_address = address.is_some() && service.service.address() == address;
        by_address || service.service.to_string() == named
    };
    let meant: Vec<&ServiceStatus> = services.iter().filter(is_meant).collect();
    match meant.as_slice() {
        [service] => Ok(service),
        [] => {
            let error = CommandError::message(format!("there is no service `{named}`"));
            let names = services.iter().flat_map(|service| {
                let address = service.service.address();
                let address = address.map(|address| address.to_string());
                std::iter::once(service.name.clone()).chain(address)
            });
            let names: Vec<String> = names.collect();
            let shown: Vec<String> = services.iter().map(|s| s.name.clone()).collect();
            Err(error.hint(advice(named, &names, "Services", &shown)))
        }
        several => {
            let names: Vec<String> = several.iter().map(|s| s.name.clone()).collect();
            let message = format!("`{named}` is the address of {} services", several.len());
            Err(CommandError::message(message)
                .hint(format!("Name one of them: {}.", quoted(&names))))
        }
    }
}

/// An address, with or without a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Host {
    pub(super) address: IpAddr,
    port: Option<u16>,
}

/// Reads an address with or without a port; an IPv6 address with one stands in brackets.
pub(super) fn host(text: &str) -> Result<Host, &'static str> {
    if let Ok(both) = text.parse::<SocketAddr>() {
        return Ok(Host {
            address: both.ip(),
            port: Some(both.port()),
        });
    }
    let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']'));
    let address = bare.unwrap_or(text).parse();
    address
        .map(|address| Host {
            address,
            port: None,
        })
        .map_err(|_no_address| {
            "not an address, such as `198.18.14.12`, `198.18.14.12:80` or `2001:db8::12`"
        })
}

impl Host {
    /// Whether that is the host, and its port where one was given.
    pub(super) fn is(self, address: SocketAddr) -> bool {
        self.address == address.ip() && self.port.is_none_or(|port| port == address.port())
    }
}

/// The server of a service.
pub(super) fn server(service: &ServiceStatus, named: Host) -> Result<&ServerStatus, CommandError> {
    let found = service.servers.iter().find(|s| named.is(s.address));
    found.ok_or_else(|| {
        let name = &service.name;
        let mut sorry = service.sorry_server.iter();
        if let Some(sorry) = sorry.find(|s| named.is(s.address)) {
            let message = format!("{} is the sorry server of `{name}`", sorry.address.ip());
            return CommandError::message(message).hint(
                "It gets new connections only while no other server takes any: `sorry-server` in the config file \
                 says who it is.",
            );
        }
        let text = match named.port {
            Some(port) => SocketAddr::new(named.address, port).to_string(),
            None => named.address.to_string(),
        };
        let message = format!("service `{name}` has no server `{text}`");
        let addresses = service.servers.iter().map(|s| match named.port {
            Some(_) => s.address.to_string(),
            None => s.address.ip().to_string(),
        });
        let addresses: Vec<String> = addresses.collect();
        CommandError::message(message).hint(advice(&text, &addresses, "Its servers", &addresses))
    })
}

/// What to type instead of a name that nothing has.
fn advice(named: &str, candidates: &[String], what: &str, shown: &[String]) -> String {
    if let Some(similar) = similar(named, candidates) {
        return format!("Did you mean `{similar}`?");
    }
    if shown.is_empty() {
        return "`evenkeel status` shows what there is.".to_owned();
    }
    let (first, more) = shown.split_at(shown.len().min(NAMES_MAX));
    let more = if more.is_empty() {
        String::new()
    } else {
        format!(" and {} more, which `evenkeel status` shows", more.len())
    };
    format!("{what}: {}{more}.", quoted(first))
}

/// The candidate that a word is probably a misspelling of.
fn similar<'c>(word: &str, candidates: &'c [String]) -> Option<&'c str> {
    let word = word.to_lowercase();
    let distances = candidates.iter().map(|candidate| {
        let distance = strsim::damerau_levenshtein(&word, &candidate.to_lowercase());
        (distance, candidate.as_str())
    });
    distances
        .filter(|(distance, candidate)| *distance <= candidate.len().max(3) / 3)
        .min()
        .map(|(_, candidate)| candidate)
}

fn quoted(names: &[String]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests;
