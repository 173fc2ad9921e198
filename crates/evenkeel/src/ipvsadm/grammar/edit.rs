//! The commands that change something.

use std::net::{IpAddr, SocketAddr};

use evenkeel_api::{
    Edit, Persistence, Protocol, ServerSettings, ServiceId, ServiceOptions, ServiceSettings,
    Thresholds, TimeoutSettings,
};

use crate::ipvsadm::grammar::options::{Flag, TABLE};
use crate::ipvsadm::grammar::values::{Mask, TIMEOUT_S_MAX, Values, timeout};
use crate::ipvsadm::grammar::{Refused, Request};
use crate::ipvsadm::service_name::ServiceName;

/// Exit code of what the kernel refuses.
const KERNEL: u8 = 255;

/// What a command makes of an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    Required,
    Optional,
    Illegal,
}

/// Reads a command that changes something, by its long name.
pub(super) fn read(
    command: &'static str,
    flags: &[Flag],
    values: &Values,
    rest: &[String],
) -> Result<Request, Refused> {
    let (arguments, rest) = rest.split_at(if command == "set" {
        3.min(rest.len())
    } else {
        0
    });
    let timeouts = if command == "set" {
        read_timeouts(arguments)?
    } else {
        TimeoutSettings::default()
    };
    if let Some(unexpected) = rest.first() {
        return Err(Refused::usage(format!("unexpected argument {unexpected}")));
    }
    values.check_flags()?;
    check(command, flags)?;
    let edit = match command {
        "clear" => Edit::Clear,
        "set" => Edit::SetTimeouts { timeouts },
        "restore" => return Ok(Request::Restore),
        "zero" => Edit::Zero {
            service: values.service.map(service_id).transpose()?,
        },
        "add-service" => Edit::AddService {
            settings: service_settings(flags, values)?,
            service: service(values)?,
        },
        "edit-service" => Edit::EditService {
            settings: service_settings(flags, values)?,
            service: service(values)?,
        },
        "delete-service" => Edit::DeleteService {
            service: service(values)?,
        },
        "add-server" => Edit::AddServer {
            settings: server_settings(flags, values)?,
            service: service(values)?,
            server: server(values)?,
        },
        "edit-server" => Edit::EditServer {
            settings: server_settings(flags, values)?,
            service: service(values)?,
            server: server(values)?,
        },
        "delete-server" => Edit::DeleteServer {
            service: service(values)?,
            server: server(values)?,
        },
        other => return Ok(Request::NotThereYet(other)),
    };
    Ok(Request::Edit(edit))
}

fn read_timeouts(arguments: &[String]) -> Result<TimeoutSettings, Refused> {
    let [tcp, tcp_fin, udp] = arguments else {
        return Err(Refused::usage("--set option requires 3 timeout values"));
    };
    // 0 leaves what is set.
    let read = |value: &String| timeout(value, 0).map(|seconds| Some(seconds).filter(|s| *s > 0));
    Ok(TimeoutSettings {
        tcp_s: read(tcp)?,
        tcp_fin_s: read(tcp_fin)?,
        udp_s: read(udp)?,
    })
}

/// Whether the options go with the command.
fn check(command: &str, flags: &[Flag]) -> Result<(), Refused> {
    let called = if command == "clear" { "flush" } else { command };
    for name in TABLE {
        let given = flags.iter().any(|flag| flag.name() == name);
        match rule(command, name) {
            Rule::Required if !given => {
                return Err(Refused::usage(format!(
                    "You need to supply the '{name}' option for the '{called}' command"
                )));
            }
            Rule::Illegal if given => {
                return Err(Refused::usage(format!(
                    "Illegal '{name}' option with the '{called}' command"
                )));
            }
            Rule::Required | Rule::Optional | Rule::Illegal => {}
        }
    }
    Ok(())
}

fn rule(command: &str, option: &str) -> Rule {
    let of_service = matches!(command, "add-service" | "edit-service");
    let of_server = matches!(command, "add-server" | "edit-server");
    match option {
        "service-address" => match command {
            "zero" => Rule::Optional,
            "delete-service" | "delete-server" => Rule::Required,
            _ if of_service || of_server => Rule::Required,
            _ => Rule::Illegal,
        },
        "scheduler" | "persistent" | "netmask" | "ops" | "pe" | "sched-flags" if of_service => {
            Rule::Optional
        }
        "real-server" if of_server || command == "delete-server" => Rule::Required,
        "forwarding-method" | "weight" | "u-threshold" | "l-threshold" | "tun-type"
        | "tun-port" | "tun-nocsum" | "tun-csum" | "tun-remcsum"
            if of_server =>
        {
            Rule::Optional
        }
        "mcast-interface" | "mcast-group" | "mcast-port" | "mcast-ttl" | "sync-maxlen"
            if command == "start-daemon" =>
        {
            Rule::Optional
        }
        "syncid" if matches!(command, "start-daemon" | "stop-daemon") => Rule::Optional,
        _ => Rule::Illegal,
    }
}

/// What the kernel refuses, in the words for its error.
fn refused(message: &str) -> Refused {
    Refused {
        message: message.to_owned(),
        code: KERNEL,
    }
}

fn service(values: &Values) -> Result<ServiceId, Refused> {
    match values.service {
        Some(name) => service_id(name),
        None => Err(refused("No such service")),
    }
}

/// The service in the API's words.
fn service_id(name: ServiceName) -> Result<ServiceId, Refused> {
    let (protocol, address) = match name {
        ServiceName::Address(protocol, address) => (protocol, address),
        ServiceName::FirewallMark(group) => return Ok(ServiceId::Group { group }),
    };
    let known = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp];
    let protocol = known.into_iter().find(|known| known.number() == protocol);
    Ok(ServiceId::Single {
        protocol: protocol.ok_or_else(|| refused("Protocol not supported"))?,
        address,
    })
}

fn server(values: &Values) -> Result<IpAddr, Refused> {
    values.server.ok_or_else(|| refused("No such destination"))
}

fn service_settings(flags: &[Flag], values: &Values) -> Result<ServiceSettings, Refused> {
    let one_packet = flags.contains(&Flag::EditOnly("ops"));
    if let Some(ServiceName::Address(protocol, address)) = values.service {
        if address.port() == 0 && values.persistent_s.is_none() {
            let message = "Zero port specified for non-persistent service";
            return Err(Refused::usage(message));
        }
        if one_packet && protocol != Protocol::Udp.number() {
            let message = "One-Packet Scheduling is only for UDP virtual services";
            return Err(Refused::usage(message));
        }
    }
    if flags.contains(&Flag::EditOnly("pe")) {
        return Err(refused("Scheduler or persistence engine not found"));
    }
    let has = |name: &str| values.flags().any(|flag| flag.ends_with(name));
    Ok(ServiceSettings {
        scheduler: values.scheduler().to_owned(),
        options: ServiceOptions {
            persistence: persistence(values)?,
            one_packet,
            fallback: has("-fallback") || has("flag-1"),
            port: has("-port") || has("flag-2"),
        },
    })
}

fn persistence(values: &Values) -> Result<Option<Persistence>, Refused> {
    let Some(timeout_s) = values.persistent_s else {
        return Ok(None);
    };
    debug_assert!((1..=TIMEOUT_S_MAX).contains(&timeout_s), "read as such");
    let whole = match values.service {
        Some(ServiceName::Address(_, SocketAddr::V6(_))) => 128,
        Some(ServiceName::Address(..) | ServiceName::FirewallMark(_)) | None => 32,
    };
    let prefix = match values.mask {
        None => whole,
        Some(Mask::V6(bits)) => bits,
        Some(Mask::V4(mask)) => {
            // IPVS takes any mask; here a client's network is a prefix of its address.
            let bits = mask.to_bits();
            let prefix = bits.leading_ones();
            if prefix == 0 || bits.count_ones() != prefix {
                let message = "illegal virtual server persistent mask specified";
                return Err(Refused::usage(message));
            }
            u8::try_from(prefix).unwrap_or(whole)
        }
    };
    Ok(Some(Persistence { timeout_s, prefix }))
}

fn server_settings(flags: &[Flag], values: &Values) -> Result<ServerSettings, Refused> {
    let families = match values.service {
        Some(ServiceName::Address(_, address)) => Some((address.is_ipv6(), values.server)),
        Some(ServiceName::FirewallMark(_)) | None => None,
    };
    let mixed = matches!(families, Some((v6, Some(server))) if v6 != server.is_ipv6());
    let tunnel = values.forwarding == Some('i');
    if mixed && !tunnel {
        let message = "Different address family is allowed only for tunneling servers";
        return Err(Refused::usage(message));
    }
    if !tunnel && flags.iter().any(|flag| flag.name().starts_with("tun-")) {
        return Err(Refused::usage(
            "Tunnel options conflict with forward method",
        ));
    }
    let unsupported = match values.forwarding {
        Some('m') => Some("masquerading (-m)"),
        Some('i') => Some("tunneling (-i)"),
        Some(_) | None => None,
    };
    if let Some(method) = unsupported {
        return Err(refused(&format!(
            "Operation not supported: {method}; evenkeel forwards by direct routing (-g) only so far"
        )));
    }
    Ok(ServerSettings {
        weight: values.weight.unwrap_or(1),
        thresholds: Thresholds {
            upper: values.upper.unwrap_or(0),
            lower: values.lower.unwrap_or(0),
        },
    })
}

#[cfg(test)]
mod tests;
