//! IPVS's schedulers that compare loads, to the pick (net/netfilter/ipvs/ip_vs_{lc,wlc,sed,nq,fo,ovf}.c).
//!
//! Pure: the picks themselves happen in the data plane, which [`pick`] is the model of. Written as the kernel
//! writes them, one by one, where the data plane has one loop for all.

use crate::Scheduler;

/// A server in list order: weight, ActiveConn, InActConn.
pub type Loaded = (u16, u32, u32);

/// What a connection of a server costs, an active one 256 times as much beside (`ip_vs_dest_conn_overhead`).
pub(crate) fn overhead(&(_, active, inactive): &Loaded) -> u64 {
    u64::from(active) * 256 + u64::from(active) + u64::from(inactive)
}

/// Returns the index of a new flow's server; `None` where the scheduler finds none, or compares no loads.
#[must_use]
pub fn pick(scheduler: Scheduler, servers: &[Loaded]) -> Option<usize> {
    match scheduler {
        Scheduler::LeastConnection => first_least(servers, |server| (overhead(server), 1)),
        Scheduler::WeightedLeastConnection => {
            first_least(servers, |server| (overhead(server), server.0.into()))
        }
        Scheduler::ShortestExpectedDelay => shortest_delay(servers),
        Scheduler::NeverQueue => {
            let idle = |server: &Loaded| server.0 > 0 && server.1 == 0;
            let first = servers.iter().position(idle);
            first.or_else(|| shortest_delay(servers))
        }
        Scheduler::Failover => heaviest(servers, |_| true),
        Scheduler::Overflow => heaviest(servers, |&(weight, active, _)| active <= weight.into()),
        Scheduler::RoundRobin
        | Scheduler::WeightedRoundRobin
        | Scheduler::Locality
        | Scheduler::ReplicatedLocality
        | Scheduler::DestinationHash
        | Scheduler::SourceHash
        | Scheduler::MaglevHash
        | Scheduler::TwoChoices
        | Scheduler::Maglev => None,
    }
}

fn shortest_delay(servers: &[Loaded]) -> Option<usize> {
    first_least(servers, |server| (u64::from(server.1) + 1, server.0.into()))
}

/// The first of those with the least cost for their share, among servers with a weight.
fn first_least(servers: &[Loaded], cost: impl Fn(&Loaded) -> (u64, u64)) -> Option<usize> {
    let eligible = servers
        .iter()
        .enumerate()
        .filter(|(_, server)| server.0 > 0);
    let least = eligible.reduce(|least, server| {
        let ((cost_here, share), (least_cost, least_share)) = (cost(server.1), cost(least.1));
        // Fractions are compared crosswise; 41 bits by 16 fit.
        if least_cost * share > cost_here * least_share {
            server
        } else {
            least
        }
    });
    least.map(|(index, _)| index)
}

/// The first of those with the greatest weight, among servers that may have a flow.
fn heaviest(servers: &[Loaded], may: impl Fn(&Loaded) -> bool) -> Option<usize> {
    let able = servers.iter().enumerate();
    let able = able.filter(|(_, server)| server.0 > 0 && may(server));
    let most = able.reduce(|most, server| if server.1.0 > most.1.0 { server } else { most });
    most.map(|(index, _)| index)
}

#[cfg(test)]
mod tests;
