//! The face of ipvsadm 1.31: its command line, its listings byte for byte, its exit codes.
//!
//! It reads the daemon's API and nothing else. It runs where the program is called `ipvsadm`, and as
//! `evenkeel ipvsadm`.

mod change;
mod grammar;
mod listing;
mod names;
mod order;
mod service_name;
mod warm;
mod words;

use std::net::SocketAddr;
use std::path::Path;

use evenkeel_api::{Client, Protocol, ServiceId, ServiceListing, Services};

use crate::command_error::CommandError;
use crate::ipvsadm::grammar::{Format, Refused, Request, Subject};
use crate::ipvsadm::names::Names;
use crate::ipvsadm::service_name::ServiceName;
use crate::output::{print, print_error};

const HELP: &str = include_str!("ipvsadm/help.txt");

/// Exit codes of ipvsadm.
const FAILED: u8 = 1;
const NOT_INITIALIZED: u8 = 2;

/// Runs ipvsadm with the words after the program's name; gives the exit code.
pub(crate) fn run(program: &str, words: &[String], socket: &Path) -> u8 {
    match grammar::parse(program, words) {
        Ok(request) => execute(request, program, socket),
        Err(refused) => print_failure(refused.into()),
    }
}

/// Does what was asked for; gives the exit code.
fn execute(request: Request, program: &str, socket: &Path) -> u8 {
    let text = match request {
        Request::Help => Ok(format!("{}{HELP}", listing::PROGRAM_VERSION)),
        Request::Version => Ok(listing::PROGRAM_VERSION.to_owned()),
        Request::NotThereYet(command) => Err(Failure {
            code: FAILED,
            message: format!(
                "Error: `{command}` is not supported yet\n\
                 Hint: Directors don't tell each other of connections yet; scheduler `maglev` places most of \
                 them alike.\n"
            ),
        }),
        Request::List(subject, format) => show(&subject, format, socket),
        Request::Save(format) => save(format, socket),
        Request::Edit(edit) => change::edit(edit, socket),
        Request::Restore => return change::restore(program, socket),
    };
    match text {
        Ok(text) => match print(&text) {
            Ok(()) => 0,
            Err(error) => {
                print_error(&error.render());
                error.exit_code()
            }
        },
        Err(failure) => print_failure(failure),
    }
}

fn print_failure(Failure { code, message }: Failure) -> u8 {
    print_error(&message);
    code
}

struct Failure {
    code: u8,
    message: String,
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        Self {
            message: format!("{refused}\n"),
            code: refused.code,
        }
    }
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

fn services(socket: &Path) -> Result<Vec<ServiceListing>, Failure> {
    ask(socket).map(|answer| answer.services)
}

fn ask(socket: &Path) -> Result<Services, Failure> {
    let client = Client::new(socket);
    let answer = runtime()?.block_on(client.services());
    answer.map_err(Failure::not_initialized)
}

fn show(subject: &Subject, format: Format, socket: &Path) -> Result<String, Failure> {
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
                let protocol = connection.protocol.unwrap_or(Protocol::Tcp);
                [
                    (protocol, connection.client),
                    (protocol, connection.virtual_address),
                    (protocol, connection.destination),
                ]
            });
            let names = names_of(ends, format);
            Ok(listing::connections(&connections, format, &names))
        }
        Subject::Timeout => Ok(listing::timeouts(ask(socket)?.timeouts)),
        // There is no sync daemon yet, and ipvsadm prints nothing where none runs.
        Subject::Daemon => Ok(String::new()),
    }
}

/// All services, whatever their gate: a saved table is for another day or another director.
fn save(format: Format, socket: &Path) -> Result<String, Failure> {
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
            let of = service.service;
            of.address() == Some(address) && of.protocol().is_some_and(|p| p.number() == protocol)
        }
        ServiceName::FirewallMark(group) => service.service == ServiceId::Group { group },
    }
}

fn names_of_services(services: &[ServiceListing], format: Format) -> Names {
    let ends = services.iter().flat_map(|service| {
        let servers = service.servers.iter().map(|server| server.address);
        let protocol = listing::protocol_of(service.service);
        let address = service.service.address().into_iter();
        address
            .chain(servers)
            .map(move |address| (protocol, address))
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
