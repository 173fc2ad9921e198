//! Addresses as the config file writes them: unicast, IPv4 or IPv6, with or without a port.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use evenkeel_model::Ports;

use crate::diagnostic::{Faults, Reported};
use crate::reader::Field;

enum Written<'t> {
    Address(IpAddr, Option<u16>),
    /// An IPv6 address with the interface that it is meant on.
    Zone(Ipv6Addr),
    BadPort(IpAddr, &'t str),
    Network(IpAddr),
    BadNumbers,
    HostName,
}

/// Reads a host's unicast address and, where given, its port, which is not 0.
pub(crate) fn read(
    field: &Field<'_>,
    faults: &mut Faults<'_>,
) -> Result<(IpAddr, Option<u16>), Reported> {
    let (address, port) = read_any(field, faults)?;
    check_scope(field, address, faults)?;
    if port == Some(0) {
        let example = SocketAddr::new(address, 80);
        return Err(field.fault(
            "port 0 can't be connected to",
            "a port from 1 to 65535",
            format!("write `{} = \"{example}\"`", field.key.name),
            faults,
        ));
    }
    Ok((address, port))
}

/// Reads a unicast address where a port has no meaning.
pub(crate) fn read_alone(field: &Field<'_>, faults: &mut Faults<'_>) -> Result<IpAddr, Reported> {
    let text = field.text(faults)?;
    if let Written::Address(address, Some(_)) | Written::BadPort(address, _) = classify(text) {
        return Err(field.fault(
            format!("`{text}` has a port"),
            "an address alone",
            format!("leave out the port: `\"{address}\"`"),
            faults,
        ));
    }
    read_any(field, faults).map(|(address, _no_port)| address)
}

/// Reads a unicast address and, where given, its port.
fn read_any(field: &Field<'_>, faults: &mut Faults<'_>) -> Result<(IpAddr, Option<u16>), Reported> {
    let text = field.text(faults)?;
    let expected = field.key.expected.trim_start_matches("a string with ");
    let example = format!("write an address such as `{}`", field.key.example);
    let (message, hint) = match classify(text) {
        Written::Address(address, port) => {
            return check(field, address, faults).map(|()| (address, port));
        }
        Written::Zone(address) => (
            format!("`{text}` names an interface"),
            format!("leave it out: `{address}`; `interface` says where addresses are"),
        ),
        Written::BadPort(_, port) => (
            format!("`{port}` is not a port"),
            "write a port from 1 to 65535 behind the colon".to_owned(),
        ),
        Written::Network(address) => (
            format!("`{text}` is a network, not an address"),
            format!("leave out the prefix length: `{address}`"),
        ),
        Written::BadNumbers => (
            format!("`{text}` is not an IPv4 address"),
            "write four numbers from 0 to 255, without leading zeros, with dots between".to_owned(),
        ),
        Written::HostName => (
            format!("`{text}` is not an address"),
            format!("host names are not looked up here: {example}"),
        ),
    };
    Err(field.fault(message, expected, hint, faults))
}

/// Reads an address and the ports of it that a virtual service takes: `192.0.2.1:80`, `192.0.2.1:80-99` or
/// `192.0.2.1:*`; an IPv6 address stands in brackets.
pub(crate) fn read_with_ports(
    field: &Field<'_>,
    faults: &mut Faults<'_>,
) -> Result<(IpAddr, Ports), Reported> {
    if let Some((Some(address), ports)) = field
        .text(faults)?
        .rsplit_once(':')
        .map(|(address, ports)| (before_port(address), ports))
        && (ports == "*" || ports.contains('-'))
    {
        check(field, address, faults)?;
        check_scope(field, address, faults)?;
        return read_ports(field, address, ports, faults).map(|ports| (address, ports));
    }
    let (address, port) = read(field, faults)?;
    match port {
        Some(port) => Ok((address, Ports::one(port))),
        None => Err(field.fault(
            format!("`{}` has no port", field.key.name),
            "an address and a port",
            format!(
                "write `{} = \"{}\"`",
                field.key.name,
                SocketAddr::new(address, 80)
            ),
            faults,
        )),
    }
}

/// An address as it stands before a colon and a port: IPv6's in brackets.
fn before_port(text: &str) -> Option<IpAddr> {
    match in_brackets(text) {
        Some(inner) => inner.parse().ok().map(IpAddr::V6),
        None => text.parse().ok().map(IpAddr::V4),
    }
}

fn in_brackets(text: &str) -> Option<&str> {
    text.strip_prefix('[')?.strip_suffix(']')
}

/// An address with ports behind it.
fn with(address: IpAddr, ports: &str) -> String {
    match address {
        IpAddr::V4(address) => format!("{address}:{ports}"),
        IpAddr::V6(address) => format!("[{address}]:{ports}"),
    }
}

fn read_ports(
    field: &Field<'_>,
    address: IpAddr,
    text: &str,
    faults: &mut Faults<'_>,
) -> Result<Ports, Reported> {
    let Some((first, last)) = text.split_once('-') else {
        return Ok(Ports::ANY);
    };
    let port = |text: &str| {
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u16>().ok().filter(|port| digits && *port > 0)
    };
    let (message, hint) = match (port(first), port(last)) {
        (Some(first), Some(last)) => match Ports::range(first, last) {
            Some(ports) => return Ok(ports),
            None => (
                format!("the ports `{text}` run backwards"),
                format!("write `\"{}\"`", with(address, &format!("{last}-{first}"))),
            ),
        },
        _ => (
            format!("`{text}` is not a range of ports"),
            format!(
                "write two ports from 1 to 65535: `\"{}\"`",
                with(address, "8000-8099")
            ),
        ),
    };
    Err(field.fault(message, "a port, a range of ports, or `*`", hint, faults))
}

fn classify(text: &str) -> Written<'_> {
    if let Ok(both) = text.parse::<SocketAddr>() {
        return match both {
            SocketAddr::V6(both) if both.scope_id() != 0 => Written::Zone(*both.ip()),
            SocketAddr::V4(_) | SocketAddr::V6(_) => Written::Address(both.ip(), Some(both.port())),
        };
    }
    let bare = in_brackets(text).unwrap_or(text);
    if let Ok(address) = bare.parse::<IpAddr>() {
        return Written::Address(address, None);
    }
    if let Some(address) = zoned(text) {
        return Written::Zone(address);
    }
    if let Some((Some(address), port)) = text
        .rsplit_once(':')
        .map(|(address, port)| (before_port(address), port))
    {
        return Written::BadPort(address, port);
    }
    if let Some((Ok(address), _)) = text
        .split_once('/')
        .map(|(address, prefix)| (address.parse::<IpAddr>(), prefix))
    {
        return Written::Network(address);
    }
    let address = text.split(':').next().unwrap_or_default();
    if address.chars().all(|c| c.is_ascii_digit() || c == '.') {
        Written::BadNumbers
    } else {
        Written::HostName
    }
}

/// An IPv6 address with an interface's name, also in brackets and with a port.
fn zoned(text: &str) -> Option<Ipv6Addr> {
    let bare = match text.strip_prefix('[') {
        Some(inner) => inner.split(']').next().unwrap_or_default(),
        None => text,
    };
    let (address, _zone) = bare.split_once('%')?;
    address.parse().ok()
}

/// Whether an address of hosts on the link of one interface alone: nothing here says which.
pub(crate) const fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(_) => false,
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}

fn check_scope(
    field: &Field<'_>,
    address: IpAddr,
    faults: &mut Faults<'_>,
) -> Result<(), Reported> {
    if !is_link_local(address) {
        return Ok(());
    }
    Err(field.fault(
        format!("`{address}` is a link-local address"),
        "an address that is valid beyond one link",
        "write a global or a unique local address: `2001:db8::1`, `fd00::1`",
        faults,
    ))
}

fn check(field: &Field<'_>, address: IpAddr, faults: &mut Faults<'_>) -> Result<(), Reported> {
    let kind = if address.is_unspecified() {
        Some("the unspecified address")
    } else if address.is_loopback() {
        Some("a loopback address")
    } else if address.is_multicast() {
        Some("a multicast address")
    } else if address == IpAddr::V4(Ipv4Addr::BROADCAST) {
        Some("the broadcast address")
    } else {
        None
    };
    let mapped = match address {
        IpAddr::V6(address) => address.to_ipv4_mapped(),
        IpAddr::V4(_) => None,
    };
    if let Some(v4) = mapped {
        return Err(field.fault(
            format!("`{address}` is an IPv4 address in the form of IPv6"),
            "a unicast address",
            format!("write `{v4}`"),
            faults,
        ));
    }
    if let Some(kind) = kind {
        return Err(field.fault(
            format!("`{address}` is {kind}"),
            if address.is_ipv4() {
                "a unicast IPv4 address"
            } else {
                "a unicast IPv6 address"
            },
            format!("write an address such as `{}`", field.key.example),
            faults,
        ));
    }
    Ok(())
}
