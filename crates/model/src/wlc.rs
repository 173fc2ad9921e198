//! IPVS's weighted least connection, to the pick (net/netfilter/ipvs/ip_vs_wlc.c).
//!
//! Pure: the picks themselves happen in the data plane, which [`pick`] is the model of.

/// What a connection of a server costs, an active one 256 times as much beside (`ip_vs_dest_conn_overhead`).
fn overhead(active: u32, inactive: u32) -> u64 {
    u64::from(active) * 256 + u64::from(active) + u64::from(inactive)
}

/// Returns the index of a new flow's server among `(weight, active, inactive)`, which are the servers in list
/// order with their ActiveConn and InActConn; `None` where none has a weight.
///
/// It is the one with the least overhead for its weight, of equal ones the first.
#[must_use]
pub fn pick(servers: &[(u16, u32, u32)]) -> Option<usize> {
    let eligible = servers.iter().enumerate().filter(|(_, s)| s.0 > 0);
    let least = eligible.reduce(|least, server| {
        let (&(weight, active, inactive), &(least_weight, least_active, least_inactive)) =
            (server.1, least.1);
        // Fractions are compared crosswise; 41 bits by 16 fit.
        let load = overhead(active, inactive) * u64::from(least_weight);
        let least_load = overhead(least_active, least_inactive) * u64::from(weight);
        if least_load > load { server } else { least }
    });
    least.map(|(index, _)| index)
}

#[cfg(test)]
mod tests;
