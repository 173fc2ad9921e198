//! Addresses as the config file writes them: IPv4 unicast, with or without a port.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};

use evenkeel_model::Ports;

use crate::diagnostic::{Faults, Reported};
use crate::reader::Field;

enum Written<'t> {
    V4(Ipv4Addr, Option<u16>),
    V6,
    BadPort(Ipv4Addr, &'t str),
    Network(Ipv4Addr),
    BadNumbers,
    HostName,
}

/// Reads a unicast IPv4 address and, where given, its port, which is not 0.
pub(crate) fn read(
    field: &Field<'_>,
    faults: &mut Faults<'_>,
) -> Result<(Ipv4Addr, Option<u16>), Reported> {
    let (address, port) = read_any(field, faults)?;
    if port == Some(0) {
        return Err(field.fault(
            "port 0 can't be connected to",
            "a port from 1 to 65535",
            format!("write `{} = \"{address}:80\"`", field.key.name),
            faults,
        ));
    }
    Ok((address, port))
}

/// Reads a unicast IPv4 address where a port has no meaning.
pub(crate) fn read_alone(field: &Field<'_>, faults: &mut Faults<'_>) -> Result<Ipv4Addr, Reported> {
    let text = field.text(faults)?;
    if let Written::V4(address, Some(_)) | Written::BadPort(address, _) = classify(text) {
        return Err(field.fault(
            format!("`{text}` has a port"),
            "an IPv4 address alone",
            format!("leave out the port: `\"{address}\"`"),
            faults,
        ));
    }
    read_any(field, faults).map(|(address, _no_port)| address)
}

/// Reads a unicast IPv4 address and, where given, its port.
fn read_any(
    field: &Field<'_>,
    faults: &mut Faults<'_>,
) -> Result<(Ipv4Addr, Option<u16>), Reported> {
    let text = field.text(faults)?;
    let expected = field.key.expected.trim_start_matches("a string with ");
    let example = format!("write an address such as `{}`", field.key.example);
    let (message, hint) = match classify(text) {
        Written::V4(address, port) => {
            return check_v4(field, address, faults).map(|()| (address, port));
        }
        Written::V6 => (format!("IPv6 is not supported yet: `{text}`"), example),
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
/// `192.0.2.1:*`.
pub(crate) fn read_with_ports(
    field: &Field<'_>,
    faults: &mut Faults<'_>,
) -> Result<(Ipv4Addr, Ports), Reported> {
    if let Some((Ok(address), ports)) = field
        .text(faults)?
        .rsplit_once(':')
        .map(|(address, ports)| (address.parse::<Ipv4Addr>(), ports))
        && (ports == "*" || ports.contains('-'))
    {
        check_v4(field, address, faults)?;
        return read_ports(field, address, ports, faults).map(|ports| (address, ports));
    }
    let (address, port) = read(field, faults)?;
    match port {
        Some(port) => Ok((address, Ports::one(port))),
        None => Err(field.fault(
            format!("`{}` has no port", field.key.name),
            "an IPv4 address and a port",
            format!("write `{} = \"{address}:80\"`", field.key.name),
            faults,
        )),
    }
}

fn read_ports(
    field: &Field<'_>,
    address: Ipv4Addr,
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
                format!("write `\"{address}:{last}-{first}\"`"),
            ),
        },
        _ => (
            format!("`{text}` is not a range of ports"),
            format!("write two ports from 1 to 65535: `\"{address}:8000-8099\"`"),
        ),
    };
    Err(field.fault(message, "a port, a range of ports, or `*`", hint, faults))
}

fn classify(text: &str) -> Written<'_> {
    if let Ok(both) = text.parse::<SocketAddrV4>() {
        return Written::V4(*both.ip(), Some(both.port()));
    }
    if let Ok(address) = text.parse::<Ipv4Addr>() {
        return Written::V4(address, None);
    }
    if is_v6(text) {
        return Written::V6;
    }
    if let Some((Ok(address), port)) = text
        .rsplit_once(':')
        .map(|(address, port)| (address.parse::<Ipv4Addr>(), port))
    {
        return Written::BadPort(address, port);
    }
    if let Some((Ok(address), _)) = text
        .split_once('/')
        .map(|(address, prefix)| (address.parse::<Ipv4Addr>(), prefix))
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

/// Whether the text is an IPv6 address, also in brackets, with a port or with a zone.
fn is_v6(text: &str) -> bool {
    let bare = match text.strip_prefix('[') {
        Some(inner) => inner.split(']').next().unwrap_or_default(),
        None => text,
    };
    let without_zone = bare.split('%').next().unwrap_or_default();
    without_zone.parse::<Ipv6Addr>().is_ok()
}

fn check_v4(field: &Field<'_>, address: Ipv4Addr, faults: &mut Faults<'_>) -> Result<(), Reported> {
    let kind = if address.is_unspecified() {
        Some("the unspecified address")
    } else if address.is_loopback() {
        Some("a loopback address")
    } else if address.is_multicast() {
        Some("a multicast address")
    } else if address.is_broadcast() {
        Some("the broadcast address")
    } else {
        None
    };
    if let Some(kind) = kind {
        return Err(field.fault(
            format!("`{address}` is {kind}"),
            "a unicast IPv4 address",
            format!("write an address such as `{}`", field.key.example),
            faults,
        ));
    }
    Ok(())
}
