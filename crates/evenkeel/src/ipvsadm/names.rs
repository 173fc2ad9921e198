//! Names instead of numbers: hosts from DNS or the hosts file, ports from the services file.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use evenkeel_api::Protocol;

/// All look-ups together take no longer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(1);

/// Look-ups that run at the same time.
const LOOKUPS_MAX: usize = 64;

/// `NI_NUMERICHOST`, `NI_NAMEREQD` and `NI_DGRAM` of netdb.h.
const NUMERIC_HOST: i32 = 1;
const NAME_REQUIRED: i32 = 8;
const DATAGRAM: i32 = 16;

/// What is known by name; all else is printed as a number.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    /// Names of hosts.
    pub(crate) hosts: HashMap<IpAddr, String>,
    /// Names of ports.
    pub(crate) ports: HashMap<(Protocol, u16), String>,
}

impl Names {
    /// Looks up all of `addresses` at once, for at most `patience`.
    ///
    /// A look-up that takes longer is left to itself; its thread ends with the process.
    pub(crate) fn look_up(
        addresses: impl Iterator<Item = (Protocol, SocketAddr)>,
        patience: Duration,
    ) -> Self {
        let addresses: Vec<_> = addresses.collect();
        let ports: HashSet<(Protocol, u16)> = addresses
            .iter()
            .map(|(protocol, address)| (*protocol, address.port()))
            .collect();
        let ports = ports
            .into_iter()
            .filter_map(|(protocol, port)| Some(((protocol, port), port_name(protocol, port)?)))
            .collect();
        let hosts: BTreeSet<IpAddr> = addresses
            .iter()
            .map(|(_protocol, address)| address.ip())
            .collect();
        Self {
            hosts: look_up_hosts(hosts.into_iter().collect(), patience, host_name),
            ports,
        }
    }

    /// `address:port` as ipvsadm prints it.
    pub(crate) fn show(&self, protocol: Protocol, address: SocketAddr) -> String {
        let host = match (self.hosts.get(&address.ip()), address.ip()) {
            (Some(name), IpAddr::V4(_)) => name.clone(),
            (Some(name), IpAddr::V6(_)) => format!("[{name}]"),
            (None, IpAddr::V4(ip)) => ip.to_string(),
            (None, IpAddr::V6(ip)) => format!("[{ip}]"),
        };
        match self.ports.get(&(protocol, address.port())) {
            Some(name) => format!("{host}:{name}"),
            None => format!("{host}:{}", address.port()),
        }
    }
}

fn look_up_hosts(
    hosts: VecDeque<IpAddr>,
    patience: Duration,
    look_up: fn(IpAddr) -> Option<String>,
) -> HashMap<IpAddr, String> {
    let deadline = Instant::now() + patience;
    let wanted = hosts.len();
    let threads = wanted.min(LOOKUPS_MAX);
    let queue = Arc::new(Mutex::new(hosts));
    let (sender, receiver) = mpsc::channel();
    for _thread in 0..threads {
        let queue = Arc::clone(&queue);
        let sender = sender.clone();
        let worker = move || {
            loop {
                let next = queue
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .pop_front();
                let Some(host) = next else { break };
                if sender.send((host, look_up(host))).is_err() {
                    break;
                }
            }
        };
        if std::thread::Builder::new().spawn(worker).is_err() {
            break;
        }
    }
    drop(sender);
    let mut names = HashMap::new();
    for _answer in 0..wanted {
        let left = deadline.saturating_duration_since(Instant::now());
        let Ok((host, name)) = receiver.recv_timeout(left) else {
            break;
        };
        names.extend(name.map(|name| (host, name)));
    }
    names
}

fn host_name(host: IpAddr) -> Option<String> {
    dns_lookup::getnameinfo(&SocketAddr::new(host, 0), NAME_REQUIRED)
        .ok()
        .map(|(name, _port)| name)
}

/// The services file's name for a port.
fn port_name(protocol: Protocol, port: u16) -> Option<String> {
    // getnameinfo gives the names of TCP ports unless told otherwise.
    let flags = match protocol {
        Protocol::Tcp | Protocol::Sctp => NUMERIC_HOST,
        Protocol::Udp => NUMERIC_HOST | DATAGRAM,
    };
    let address = SocketAddr::new(IpAddr::from([127, 0, 0, 1]), port);
    let (_host, name) = dns_lookup::getnameinfo(&address, flags).ok()?;
    (name != port.to_string()).then_some(name)
}

#[cfg(test)]
mod tests;
