//! Reads what `ipvsadm -L` prints.

use crate::paper::setup::{Server, Setup};

/// A virtual service's lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Section {
    /// `TCP` or `UDP`.
    pub(crate) protocol: String,
    /// Host and port.
    pub(crate) name: String,
    pub(crate) rows: Vec<Row>,
}

/// A real server's line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    /// Host and port.
    pub(crate) name: String,
    pub(crate) forward: String,
    pub(crate) weight: u64,
    pub(crate) active: u64,
    pub(crate) inactive: u64,
}

/// The services of a listing, in its order; a line that can't be read is the error.
pub(crate) fn sections(listing: &str) -> Result<Vec<Section>, String> {
    let mut sections: Vec<Section> = Vec::new();
    for line in listing.lines() {
        let odd = || line.trim().to_owned();
        if line.starts_with("IP Virtual Server ")
            || line.starts_with("Prot LocalAddress:Port ")
            || line.starts_with("  -> RemoteAddress:Port ")
        {
            continue;
        }
        match line.strip_prefix("  -> ") {
            Some(words) => {
                let section = sections.last_mut().ok_or_else(odd)?;
                section.rows.push(row(words).ok_or_else(odd)?);
            }
            None => sections.push(section(line).ok_or_else(odd)?),
        }
    }
    Ok(sections)
}

fn section(line: &str) -> Option<Section> {
    let mut words = line.split_whitespace();
    let (protocol, name, _scheduler) = (words.next()?, words.next()?, words.next()?);
    ["TCP", "UDP"].contains(&protocol).then(|| Section {
        protocol: String::from(protocol),
        name: String::from(name),
        rows: Vec::new(),
    })
}

fn row(line: &str) -> Option<Row> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [name, forward, weight, active, inactive] = words.as_slice() else {
        return None;
    };
    Some(Row {
        name: String::from(*name),
        forward: String::from(*forward),
        weight: weight.parse().ok()?,
        active: active.parse().ok()?,
        inactive: inactive.parse().ok()?,
    })
}

/// Whether a listing shows the paper's services and no other, each with exactly these servers, by name,
/// with `Route` and their weight; and the first with so many inactive connections and no active one
/// where `inactive` is given.
pub(crate) fn shows(
    listing: &str,
    setup: &Setup,
    servers: &[&Server],
    inactive: Option<u64>,
) -> bool {
    let Ok(sections) = sections(listing) else {
        return false;
    };
    let is = |protocol, ports: &[&str], inactive| {
        sections.iter().any(|section| {
            section.protocol == protocol
                && is_named(&section.name, &setup.virtual_host(), ports)
                && has(section, servers, ports, inactive)
        })
    };
    sections.len() == 2 && is("TCP", &["http", "80"], inactive) && is("UDP", &["echo", "7"], None)
}

/// Whether a listing has its head, and no service.
pub(crate) fn shows_nothing(listing: &str) -> bool {
    listing.starts_with("IP Virtual Server ")
        && sections(listing).is_ok_and(|sections| sections.is_empty())
}

fn has(section: &Section, servers: &[&Server], ports: &[&str], inactive: Option<u64>) -> bool {
    section.rows.len() == servers.len()
        && servers.iter().all(|server| {
            section.rows.iter().any(|row| {
                is_named(&row.name, &server.host, ports)
                    && row.forward == "Route"
                    && row.weight == u64::from(server.weight.get())
                    && inactive.is_none_or(|count| (row.active, row.inactive) == (0, count))
            })
        })
}

/// Where the machine has no /etc/services, ipvsadm prints the port's number.
fn is_named(name: &str, host: &str, ports: &[&str]) -> bool {
    name.strip_prefix(host)
        .and_then(|rest| rest.strip_prefix(':'))
        .is_some_and(|port| ports.contains(&port))
}

#[cfg(test)]
pub(crate) mod tests;
