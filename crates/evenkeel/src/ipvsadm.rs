//! The face of ipvsadm 1.31: its command line, its listings byte for byte, its exit codes.
//!
//! It reads the daemon's API and nothing else. It runs where the program is called `ipvsadm`, and as
//! `evenkeel ipvsadm`.

mod grammar;
mod listing;
mod names;
mod order;
mod service_name;
mod warm;
mod words;

use std::net::SocketAddr;
use std::path::PathBuf;

use evenkeel_api::{Client, Protocol, ServiceListing};

use crate::command_error::CommandError;
use crate::ipvsadm::grammar::{Format, Request, Subject};
use crate::ipvsadm::names::Names;
use crate::ipvsadm::service_name::ServiceName;
use crate::output::{print, print_error};

const HELP: &str = "\
Usage:
  ipvsadm -L|l [virtual-service] [options]
  ipvsadm -S [-n]
  ipvsadm -h
  ipvsadm -v

This is evenkeel's ipvsadm: it shows the director's table as ipvsadm 1.31 does.
-L lists the services whose gate is open; of those that are only held, as on a
director that is Backup, it tells on standard error. -S saves them all.
The table is changed by the config file and `evenkeel reload`; the commands that
change it (-A -E -D -C -R -a -e -d -Z --set --start-daemon --stop-daemon) are
not supported yet.

virtual-service:
  --tcp-service|-t  service-address   service-address is host[:port]
  --udp-service|-u  service-address   service-address is host[:port]
  --sctp-service    service-address   service-address is host[:port]
  --fwmark-service|-f fwmark          fwmark is an integer greater than zero

Options:
  --numeric      -n                   addresses and ports as numbers
  --connection   -c                   current connections
  --timeout                           timeouts (tcp tcpfin udp)
  --daemon                            sync daemons
  --stats                             counters
  --rate                              rates
  --exact        -X                   whole numbers, without K, M, G and T
  --thresholds                        thresholds
  --persistent-conn                   persistent connections
  --tun-info                          tunnels
  --nosort                            no sorting
  --sort                              does nothing, for backwards compatibility
";

/// Exit codes of ipvsadm.
const FAILED: u8 = 1;
const NOT_INITIALIZED: u8 = 2;

/// Runs ipvsadm with the words after the program's name; gives the exit code.
pub(crate) fn run(program: &str, words: &[String], socket: PathBuf) -> u8 {
    let request = match grammar::parse(program, words) {
        Ok(request) => request,
        Err(refused) => {
            print_error(&format!("{refused}\n"));
            return refused.code;
        }
    };
    let text = match request {
        Request::Help => Ok(format!("{}{HELP}", listing::PROGRAM_VERSION)),
        Request::Version => Ok(listing::PROGRAM_VERSION.to_owned()),
        Request::NotThereYet(command) => Err(Failure {
            code: FAILED,
            message: format!(
                "Error: `{command}` is not supported yet\n\
                 Hint: Change the config file, then type `evenkeel reload`.\n"
            ),
        }),
        Request::List(subject, format) => show(&subject, format, socket),
        Request::Save(format) => save(format, socket),
    };
    match text {
        Ok(text) => match print(&text) {
            Ok(()) => 0,
            Err(error) => {
                print_error(&error.render());
                error.exit_code()
            }
        },
        Err(Failure { code, message }) => {
            print_error(&message);
            code
        }
    }
}

struct Failure {
    code: u8,
    message: String,
}

impl Failure {
    /// As ipvsadm fails where the kernel has no IPVS.
    fn not_initialized(error: impl Into<CommandError>) -> Self {
        let error = error.into().render();
        let reason = error.strip_prefix("Error: ").unwrap_or(&error);
        Self {
            code: NOT_INITIALIZED,
            message: format!("Can't initialize ipvs: {reason}"),
        }
    }
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::not_initialized(CommandError::new(error)))
}

fn services(socket: PathBuf) -> Result<Vec<ServiceListing>, Failure> {
    let client = Client::new(socket);
    let answer = runtime()?.block_on(client.services());
    answer
        .map(|answer| answer.services)
        .map_err(Failure::not_initialized)
}

fn show(subject: &Subject, format: Format, socket: PathBuf) -> Result<String, Failure> {
    match subject {
        Subject::All => {
            let (services, held) = warm::part(services(socket)?);
            let names = names_of_services(&services, format);
            let listing = listing::services(services, format, &names);
            tell(warm::left_out(&held));
            Ok(format!("{}{listing}", listing::VERSION_LINE))
        }
        Subject::Service(name) => {
            let service = services(socket)?
                .into_iter()
                .find(|service| is_named(service, *name));
            let services = vec![service.ok_or_else(|| Failure {
                code: FAILED,
                message: "No such service\n".to_owned(),
            })?];
            let names = names_of_services(&services, format);
            let (open, held) = warm::part(services);
            tell(warm::listed(&held));
            let services = [open, held].concat();
            Ok(listing::services(services, format, &names))
        }
        Subject::Connections => {
            let client = Client::new(socket);
            let connections = runtime()?
                .block_on(client.connections())
                .map_err(Failure::not_initialized)?
                .connections;
            let ends = connections.iter().flat_map(|connection| {
                let protocol = connection.protocol;
                [
                    (protocol, connection.client),
                    (protocol, connection.virtual_address),
                    (protocol, connection.destination),
                ]
            });
            let names = names_of(ends, format);
            Ok(listing::connections(&connections, format, &names))
        }
        Subject::Timeout => Ok(listing::TIMEOUTS.to_owned()),
        // There is no sync daemon yet, and ipvsadm prints nothing where none runs.
        Subject::Daemon => Ok(String::new()),
    }
}

/// All services, whatever their gate: a saved table is for another day or another director.
fn save(format: Format, socket: PathBuf) -> Result<String, Failure> {
    let services = services(socket)?;
    let names = names_of_services(&services, format);
    Ok(listing::rules(services, &names))
}

/// Says what no listing of ipvsadm says, where it disturbs nobody who reads one.
fn tell(note: Option<String>) {
    if let Some(note) = note {
        print_error(&note);
    }
}

fn is_named(service: &ServiceListing, name: ServiceName) -> bool {
    match name {
        ServiceName::Address(protocol, address) => {
            service.protocol.number() == protocol && service.address == address
        }
        ServiceName::FirewallMark(_) => false,
    }
}

fn names_of_services(services: &[ServiceListing], format: Format) -> Names {
    let ends = services.iter().flat_map(|service| {
        let servers = service.servers.iter().map(|server| server.address);
        std::iter::once(service.address)
            .chain(servers)
            .map(|address| (service.protocol, address))
    });
    names_of(ends, format)
}

fn names_of(ends: impl Iterator<Item = (Protocol, SocketAddr)>, format: Format) -> Names {
    if format.numeric {
        Names::default()
    } else {
        Names::look_up(ends, names::PATIENCE)
    }
}
