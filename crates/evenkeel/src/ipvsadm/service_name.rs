//! How a service is named on ipvsadm's command line: `host[:port]`, or a firewall mark.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// A service as the command line names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ServiceName {
    /// By protocol number, address and port (0 where none was given).
    Address(u8, SocketAddr),
    /// By firewall mark.
    FirewallMark(u32),
}

/// Reads `host[:port]`; host and port may be names. `None`: ipvsadm calls it illegal.
pub(crate) fn parse(protocol: u8, text: &str) -> Option<ServiceName> {
    if text.is_empty() || text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (host, port) = split(text);
    let address = resolve_host(host)?;
    let port = match port {
        Some(port) => resolve_port(protocol, port)?,
        None => 0,
    };
    Some(ServiceName::Address(
        protocol,
        SocketAddr::new(address, port),
    ))
}

fn split(text: &str) -> (&str, Option<&str>) {
    if let Some((host, rest)) = text
        .strip_prefix('[')
        .and_then(|inner| inner.split_once(']'))
    {
        return (host, rest.strip_prefix(':'));
    }
    if text.parse::<Ipv6Addr>().is_ok() {
        return (text, None);
    }
    match text.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (text, None),
    }
}

fn resolve_host(host: &str) -> Option<IpAddr> {
    if host.is_empty() {
        return None;
    }
    if let Ok(address) = host.parse::<IpAddr>() {
        return Some(address);
    }
    let addresses: Vec<IpAddr> = dns_lookup::lookup_host(host).ok()?.collect();
    // IPv4 first: a name that has both means the IPv4 service, as in ipvsadm.
    addresses
        .iter()
        .find(|address| address.is_ipv4())
        .or_else(|| addresses.first())
        .copied()
}

fn resolve_port(protocol: u8, port: &str) -> Option<u16> {
    if let Ok(number) = port.parse::<u16>() {
        return Some(number);
    }
    if port.is_empty() || port.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let hints = dns_lookup::AddrInfoHints {
        protocol: i32::from(protocol),
        ..dns_lookup::AddrInfoHints::default()
    };
    let unspecified = Ipv4Addr::UNSPECIFIED.to_string();
    dns_lookup::getaddrinfo(Some(&unspecified), Some(port), Some(hints))
        .ok()?
        .find_map(Result::ok)
        .map(|info| info.sockaddr.port())
}
