//! Reads what `ipvsadm -L` prints.

use crate::paper::setup::Server;

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

/// The real servers' lines of a listing, in its order; a line that can't be read is the error.
pub(crate) fn rows(listing: &str) -> Result<Vec<Row>, String> {
    listing
        .lines()
        .filter_map(|line| line.strip_prefix("  -> "))
        .filter(|line| !line.starts_with("RemoteAddress:Port"))
        .map(|line| row(line).ok_or_else(|| line.to_owned()))
        .collect()
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

/// Whether a listing shows exactly these servers, by name, with `Route` and their weight, and all of
/// them with so many inactive connections and no active one where `inactive` is given.
pub(crate) fn shows(listing: &str, servers: &[&Server], inactive: Option<u64>) -> bool {
    let Ok(rows) = rows(listing) else {
        return false;
    };
    rows.len() == servers.len()
        && servers.iter().all(|server| {
            rows.iter().any(|row| {
                is_named(row, server)
                    && row.forward == "Route"
                    && row.weight == u64::from(server.weight.get())
                    && inactive.is_none_or(|count| (row.active, row.inactive) == (0, count))
            })
        })
}

/// Where the machine has no /etc/services, ipvsadm prints the port's number.
fn is_named(row: &Row, server: &Server) -> bool {
    row.name
        .strip_prefix(server.host.as_str())
        .and_then(|rest| rest.strip_prefix(':'))
        .is_some_and(|port| port == "http" || port == server.address.port().to_string())
}

#[cfg(test)]
pub(crate) mod tests;
