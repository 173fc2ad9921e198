//! Writes what ipvsadm 1.31 writes, byte for byte.
//!
//! Format strings: print_title, print_service_entry, print_largenum and print_conn of ipvsadm.c.

mod options;

use std::fmt::Write as _;

use evenkeel_api::{
    Connection, Protocol, Rates, ServerListing, ServiceId, ServiceListing, TimeoutSettings, Totals,
};

use crate::ipvsadm::grammar::Format;
use crate::ipvsadm::names::Names;
use crate::ipvsadm::order;

/// First line of a listing of all services: the version of IPVS whose behaviour this is, and the
/// default size of its connection table.
pub(crate) const VERSION_LINE: &str = "IP Virtual Server version 1.2.1 (size=4096)\n";

/// `ipvsadm -v`.
pub(crate) const PROGRAM_VERSION: &str =
    "ipvsadm v1.31 2019/12/24 (compiled with popt and IPVS v1.2.1)\n";

/// Timeouts that were not set: IPVS's defaults, which are the data plane's.
const TIMEOUTS_S: [u32; 3] = [900, 120, 300];

/// Columns that a service's name may take, and a real server's.
const SERVICE_NAME_MAX: usize = 33;
const SERVER_NAME_MAX: usize = 28;

/// Which of the layouts; ipvsadm lets the first of them win.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layout {
    Stats,
    Rate,
    Thresholds,
    PersistentConn,
    TunInfo,
    Default,
}

impl From<Format> for Layout {
    fn from(format: Format) -> Self {
        if format.stats {
            Self::Stats
        } else if format.rate {
            Self::Rate
        } else if format.thresholds {
            Self::Thresholds
        } else if format.persistent_conn {
            Self::PersistentConn
        } else if format.tun_info {
            Self::TunInfo
        } else {
            Self::Default
        }
    }
}

/// All services, sorted unless the format says otherwise, without the version line.
pub(crate) fn services(mut services: Vec<ServiceListing>, format: Format, names: &Names) -> String {
    let layout = Layout::from(format);
    if !format.no_sort {
        order::sort_services(&mut services);
    }
    let mut out = title(layout);
    for mut service in services {
        if !format.no_sort {
            order::sort_servers(&mut service.servers);
        }
        write_service(&mut out, &service, layout, format.exact, names);
    }
    out
}

/// All services as the commands that would make them, sorted as a listing is.
pub(crate) fn rules(mut services: Vec<ServiceListing>, names: &Names) -> String {
    order::sort_services(&mut services);
    let mut out = String::new();
    for mut service in services {
        order::sort_servers(&mut service.servers);
        let protocol = protocol_of(service.service);
        let name = match service.service {
            ServiceId::Single { address, .. } => {
                let option = match protocol {
                    Protocol::Tcp => "-t",
                    Protocol::Udp => "-u",
                    Protocol::Sctp => "--sctp-service",
                };
                format!("{option} {}", names.show(protocol, address))
            }
            ServiceId::Group { group } => format!("-f {group}"),
        };
        let options = options::rule(&service);
        line(
            &mut out,
            format_args!("-A {name} -s {}{options}\n", service.scheduler),
        );
        for server in &service.servers {
            line(
                &mut out,
                format_args!(
                    "-a {name} -r {} {} -w {}\n",
                    names.show(protocol, server.address),
                    server.forwarding.save_option(),
                    server.weight
                ),
            );
        }
    }
    out
}

/// `ipvsadm -L --timeout`.
pub(crate) fn timeouts(set: TimeoutSettings) -> String {
    let [tcp, tcp_fin, udp] = TIMEOUTS_S;
    format!(
        "Timeout (tcp tcpfin udp): {} {} {}\n",
        set.tcp_s.unwrap_or(tcp),
        set.tcp_fin_s.unwrap_or(tcp_fin),
        set.udp_s.unwrap_or(udp)
    )
}

/// The connections' header and lines.
pub(crate) fn connections(connections: &[Connection], format: Format, names: &Names) -> String {
    let mut out = "IPVS connection entries\n".to_owned();
    let [source, virt, destination] = ["source", "virtual", "destination"];
    line(
        &mut out,
        format_args!("pro expire {:<11} {source:<18} {virt:<18} ", "state"),
    );
    if format.persistent_conn {
        line(
            &mut out,
            format_args!("{destination:<18} {:<16} pe_data\n", "pe name"),
        );
    } else {
        line(&mut out, format_args!("{destination}\n"));
    }
    for connection in connections {
        // ipvsadm knows no other names for the ports of IP, and prints them as TCP's.
        let protocol = connection.protocol.unwrap_or(Protocol::Tcp);
        let expires = format!(
            "{:02}:{:02}",
            connection.expires_s / 60,
            connection.expires_s % 60
        );
        line(
            &mut out,
            format_args!(
                "{:<3} {expires:<6} {:<11} {:<18} {:<18} {}\n",
                connection.protocol.map_or("IP", Protocol::name),
                connection.state.name(),
                names.show(protocol, connection.client),
                names.show(protocol, connection.virtual_address),
                names.show(protocol, connection.destination),
            ),
        );
    }
    out
}

fn title(layout: Layout) -> String {
    let local = "Prot LocalAddress:Port";
    let counters = |columns: [&str; 5]| {
        let mut out = format!("{local:<33}");
        for column in columns {
            line(&mut out, format_args!(" {column:>8}"));
        }
        out + "\n  -> RemoteAddress:Port\n"
    };
    match layout {
        Layout::Stats => counters(["Conns", "InPkts", "OutPkts", "InBytes", "OutBytes"]),
        Layout::Rate => counters(["CPS", "InPPS", "OutPPS", "InBPS", "OutBPS"]),
        Layout::Thresholds => format!(
            "{local:<33} Uthreshold Lthreshold ActiveConn InActConn \n  -> RemoteAddress:Port\n"
        ),
        Layout::PersistentConn => format!(
            "{local:<33} Weight    PersistConn ActiveConn InActConn \n  -> RemoteAddress:Port\n"
        ),
        Layout::TunInfo => format!(
            "{local} Scheduler Flags\n  \
             -> RemoteAddress:Port           Forward TunnelInfo    Weight ActiveConn InActConn\n"
        ),
        Layout::Default => format!(
            "{local} Scheduler Flags\n  \
             -> RemoteAddress:Port           Forward Weight ActiveConn InActConn\n"
        ),
    }
}

fn write_service(
    out: &mut String,
    service: &ServiceListing,
    layout: Layout,
    exact: bool,
    names: &Names,
) {
    let protocol = protocol_of(service.service);
    let mut name = match service.service {
        ServiceId::Single { address, .. } => {
            format!("{:<4} {}", protocol.name(), names.show(protocol, address))
        }
        ServiceId::Group { group } if is_ipv6(service) => format!("FWM  {group} IPv6"),
        ServiceId::Group { group } => format!("FWM  {group}"),
    };
    if !is_ipv6(service) {
        cut(&mut name, SERVICE_NAME_MAX);
    }
    match layout {
        Layout::Stats => {
            line(out, format_args!("{name:<33}"));
            write_numbers(out, totals(service.totals), exact);
        }
        Layout::Rate => {
            line(out, format_args!("{name:<33}"));
            write_numbers(out, rates(service.rates), exact);
        }
        Layout::Thresholds | Layout::PersistentConn | Layout::TunInfo | Layout::Default => {
            let options = options::listed(service);
            line(out, format_args!("{name} {}{options}", service.scheduler));
        }
    }
    out.push('\n');
    for server in &service.servers {
        write_server(out, protocol, server, layout, exact, names);
    }
}

fn write_server(
    out: &mut String,
    protocol: Protocol,
    server: &ServerListing,
    layout: Layout,
    exact: bool,
    names: &Names,
) {
    let mut name = names.show(protocol, server.address);
    if server.address.is_ipv4() {
        cut(&mut name, SERVER_NAME_MAX);
    }
    line(out, format_args!("  -> {name:<28}"));
    let forward = server.forwarding.listing_name();
    let (weight, active, inactive) = (server.weight, server.active, server.inactive);
    match layout {
        Layout::Stats => write_numbers(out, totals(server.totals), exact),
        Layout::Rate => {
            // These three are never shortened for a real server.
            let Rates {
                cps,
                in_pps,
                in_bps,
            } = server.rates;
            line(out, format_args!(" {cps:>8} {in_pps:>8} {:>8}", 0));
            write_numbers(out, [in_bps, 0], exact);
        }
        Layout::Thresholds => line(
            out,
            format_args!(
                " {:<10} {:<10} {active:<10} {inactive:<10}",
                server.thresholds.upper, server.thresholds.lower
            ),
        ),
        Layout::PersistentConn => line(
            out,
            format_args!(
                " {weight:<9} {:<11} {active:<10} {inactive:<10}",
                server.persistent
            ),
        ),
        Layout::TunInfo => line(
            out,
            format_args!(
                " {forward:<7} {:<13} {weight:<6} {active:<10} {inactive:<10}",
                "n/a"
            ),
        ),
        Layout::Default => line(
            out,
            format_args!(" {forward:<7} {weight:<6} {active:<10} {inactive:<10}"),
        ),
    }
    out.push('\n');
}

/// The protocol whose names the ports of a service have; those of a group's servers are all 0.
pub(super) fn protocol_of(service: ServiceId) -> Protocol {
    service.protocol().unwrap_or(Protocol::Tcp)
}

/// Whether it is of IPv6; of a group only its servers tell.
fn is_ipv6(service: &ServiceListing) -> bool {
    let address = service.service.address();
    let mut servers = service.servers.iter().map(|server| server.address);
    address
        .or_else(|| servers.next())
        .is_some_and(|address| address.is_ipv6())
}

/// Direct routing sees the clients' packets only, so what goes out is 0, as in IPVS.
fn totals(totals: Totals) -> [u64; 5] {
    [totals.conns, totals.in_packets, 0, totals.in_bytes, 0]
}

fn rates(rates: Rates) -> [u64; 5] {
    [rates.cps, rates.in_pps, 0, rates.in_bps, 0]
}

fn write_numbers<const N: usize>(out: &mut String, numbers: [u64; N], exact: bool) {
    for number in numbers {
        write_number(out, number, exact);
    }
}

/// A number in nine columns, shortened with a letter unless `exact`.
fn write_number(out: &mut String, number: u64, exact: bool) {
    if exact {
        line(out, format_args!(" {number:>8}"));
        return;
    }
    match number {
        0..100_000_000 => line(out, format_args!("{number:>9}")),
        100_000_000..1_000_000_000 => line(out, format_args!("{:>8}K", number / 1_000)),
        1_000_000_000..100_000_000_000 => line(out, format_args!("{:>8}M", number / 1_000_000)),
        100_000_000_000..100_000_000_000_000 => {
            line(out, format_args!("{:>8}G", number / 1_000_000_000));
        }
        100_000_000_000_000.. => line(out, format_args!("{:>8}T", number / 1_000_000_000_000)),
    }
}

fn cut(name: &mut String, columns: usize) {
    if let Some((end, _letter)) = name.char_indices().nth(columns) {
        name.truncate(end);
    }
}

/// Appends; writing to a string cannot fail.
fn line(out: &mut String, arguments: std::fmt::Arguments<'_>) {
    let written = out.write_fmt(arguments);
    debug_assert!(written.is_ok(), "a string takes all that is written to it");
}

#[cfg(test)]
mod tests;
