//! Texts of topologies and configs, in the pieces that tests put together.

use std::net::Ipv4Addr;

use crate::cluster::{CLIENT, DIRECTOR, PARTNER, VIP, server, server_address};

/// Port of the UDP echo servers.
pub const ECHO: u16 = 7;

/// The text of a topology: `client`, `director`, and `web1` and so on.
#[must_use]
pub fn topology(name: &str, servers: u8) -> String {
    let mut text = head(name);
    text += &node("director", "director", DIRECTOR, "");
    let more = format!("virtual = [\"{VIP}\"]\n");
    for number in 1..=servers {
        text += &node(
            &server(number),
            "real-server",
            server_address(number),
            &more,
        );
    }
    text
}

/// The text of a topology with a second director, `partner`, and echo servers beside the web servers, which
/// also hold the addresses given.
#[must_use]
pub fn pair_topology(name: &str, servers: u8, addresses: &[Ipv4Addr]) -> String {
    let mut text = head(name);
    text += &node("director", "director", DIRECTOR, "");
    text += &node("partner", "director", PARTNER, "");
    let more = held(addresses);
    for number in 1..=servers {
        text += &node(
            &server(number),
            "real-server",
            server_address(number),
            &more,
        );
    }
    text
}

/// Lines of a node that holds these addresses on its `lo` and echoes on them.
#[must_use]
pub fn held(addresses: &[Ipv4Addr]) -> String {
    format!("virtual = {}\necho = {ECHO}\n", list(addresses))
}

fn head(name: &str) -> String {
    let head = format!("[lab]\nname = \"{name}\"\nnetwork = \"198.18.14.0/24\"\n");
    head + &node("client", "client", CLIENT, "")
}

/// One more node for the text of a topology; `more` are further lines of its table.
#[must_use]
pub fn node(name: &str, kind: &str, address: Ipv4Addr, more: &str) -> String {
    format!("\n[[node]]\nname = \"{name}\"\nkind = \"{kind}\"\naddress = \"{address}\"\n{more}")
}

/// A config with the services and virtual routers given, and small tables.
#[must_use]
pub fn config(tables: &[String]) -> String {
    let head = "[director]\nname = \"director\"\ninterface = \"eth0\"\nxdp = \"native\"\n\n\
                [tables]\nconnections = 16384\nhalf-open = 4096\n";
    format!("{head}{}", tables.concat())
}

/// A virtual router; `more` are further lines of its table.
#[must_use]
pub fn router(name: &str, id: u8, addresses: &[Ipv4Addr], priority: u8, more: &str) -> String {
    format!(
        "\n[[virtual-router]]\nname = \"{name}\"\nid = {id}\naddresses = {}\npriority = {priority}\n{more}\n",
        list(addresses)
    )
}

/// A service at the virtual address with those real servers; `more` are further lines of its table.
#[must_use]
pub fn service(name: &str, port: u16, servers: &[u8], more: &str) -> String {
    let addresses: Vec<Ipv4Addr> = servers.iter().copied().map(server_address).collect();
    service_of(name, (VIP, port), &addresses, more)
}

/// As [`service`], at any address and with any real servers.
#[must_use]
pub fn service_of(
    name: &str,
    (address, port): (Ipv4Addr, u16),
    servers: &[Ipv4Addr],
    more: &str,
) -> String {
    let servers: Vec<String> = servers
        .iter()
        .map(|server| format!("{{ address = \"{server}\" }}"))
        .collect();
    format!(
        "\n[[service]]\nname = \"{name}\"\nlisten = \"{address}:{port}\"\nprotocol = \"tcp\"\n\
         scheduler = \"rr\"\nforward = \"direct\"\nservers = [ {} ]\n{more}\n",
        servers.join(", ")
    )
}

/// A service, with the consistent hash as its scheduler.
#[must_use]
pub fn maglev(service: &str) -> String {
    scheduled(service, "maglev")
}

/// A service, with another scheduler.
#[must_use]
pub fn scheduled(service: &str, scheduler: &str) -> String {
    service.replace(
        "scheduler = \"rr\"",
        &format!("scheduler = \"{scheduler}\""),
    )
}

/// A service, of UDP.
#[must_use]
pub fn udp(service: &str) -> String {
    service.replace("protocol = \"tcp\"", "protocol = \"udp\"")
}

fn list(addresses: &[Ipv4Addr]) -> String {
    let addresses: Vec<String> = addresses.iter().map(|a| format!("\"{a}\"")).collect();
    format!("[{}]", addresses.join(", "))
}
