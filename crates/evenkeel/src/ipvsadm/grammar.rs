//! ipvsadm's command line: which command, which options go with it, and its messages where they don't.

mod edit;
mod options;
mod values;

use evenkeel_api::Edit;

use self::options::{Command, Flag, Id, OPTIONS, check_order};
use self::values::Values;
use crate::ipvsadm::service_name::ServiceName;
use crate::ipvsadm::words::{self, Given};

/// What the command line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// Show something.
    List(Subject, Format),
    /// `-S`: the table as commands that would make it.
    Save(Format),
    /// `-h`.
    Help,
    /// `-v`.
    Version,
    /// A command that changes something.
    Edit(Edit),
    /// `-R`: the commands on standard input.
    Restore,
    /// A command that is not supported, by its long name.
    NotThereYet(&'static str),
}

/// What a listing shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    /// All services.
    All,
    /// One service.
    Service(ServiceName),
    /// Connections.
    Connections,
    /// Timeouts.
    Timeout,
    /// Sync daemons.
    Daemon,
}

/// How a listing looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "one flag of the command line each, in any combination"
)]
pub(crate) struct Format {
    /// `-n`: addresses and ports as numbers.
    pub(crate) numeric: bool,
    /// `--stats`.
    pub(crate) stats: bool,
    /// `--rate`.
    pub(crate) rate: bool,
    /// `--thresholds`.
    pub(crate) thresholds: bool,
    /// `--persistent-conn`.
    pub(crate) persistent_conn: bool,
    /// `--tun-info`.
    pub(crate) tun_info: bool,
    /// `--nosort`.
    pub(crate) no_sort: bool,
    /// `--exact`.
    pub(crate) exact: bool,
}

/// A command line that ipvsadm refuses, with its message and exit code.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Refused {
    pub(crate) message: String,
    pub(crate) code: u8,
}

impl Refused {
    fn usage(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            code: 2,
        }
    }
}

/// Reads the words after the program's name, which is `program` in messages.
///
/// Names of hosts are resolved on the way, as ipvsadm does.
///
/// # Errors
/// Gives ipvsadm's own message and exit code.
pub(crate) fn parse(program: &str, words: &[String]) -> Result<Request, Refused> {
    if words.is_empty() {
        return Ok(Request::List(Subject::All, Format::default()));
    }
    let split = words::split(OPTIONS, words);
    let Some((first, given)) = split.options.split_first() else {
        return Err(try_help(program));
    };
    let command = match first.id {
        Id::Command(command) => command,
        Id::Flag(_) => return Err(try_help(program)),
    };
    match command {
        Command::Help => return Ok(Request::Help),
        Command::Version => return Ok(Request::Version),
        Command::List | Command::Save | Command::Change(_) => {}
    }
    let role = matches!(command, Command::Change(name) if ROLE_COMMANDS.contains(&name));
    if role {
        check_role(first)?;
    }
    let (flags, values) = read_flags(given)?;
    if let Some(stopped) = split.stopped {
        return Err(Refused {
            message: format!("{}: {}", stopped.word, stopped.complaint),
            code: 255,
        });
    }
    if let Command::Change(name) = command {
        return edit::read(name, &flags, &values, &split.rest);
    }
    if let Some(unexpected) = split.rest.first() {
        return Err(Refused::usage(format!("unexpected argument {unexpected}")));
    }
    values.check_flags()?;
    if command == Command::Save {
        save(flags)
    } else {
        list(flags, values.service)
    }
}

/// ipvsadm's message where the first option is not a command.
pub(crate) fn try_help(program: &str) -> Refused {
    Refused {
        message: format!("Try `{program} -h' or '{program} --help' for more information."),
        code: 255,
    }
}

/// Commands that take the role of a sync daemon.
const ROLE_COMMANDS: [&str; 2] = ["start-daemon", "stop-daemon"];

fn check_role(command: &Given<Id>) -> Result<(), Refused> {
    let role = command.value.as_deref().unwrap_or_default();
    if ["master", "backup"].contains(&role) {
        return Ok(());
    }
    Err(Refused::usage(
        if matches!(command.id, Id::Command(Command::Change("start-daemon"))) {
            "illegal start-daemon parameter specified"
        } else {
            "illegal start_daemon specified"
        },
    ))
}

fn read_flags(given: &[Given<Id>]) -> Result<(Vec<Flag>, Values), Refused> {
    let mut flags: Vec<Flag> = Vec::new();
    let mut values = Values::default();
    for option in given {
        let flag = match option.id {
            Id::Flag(flag) => flag,
            Id::Command(_) => {
                return Err(Refused::usage(format!("invalid option `{}'", option.word)));
            }
        };
        if flags.iter().any(|earlier| earlier.name() == flag.name()) {
            let name = flag.name();
            return Err(Refused::usage(format!(
                "multiple '{name}' options specified"
            )));
        }
        flags.push(flag);
        if flag == Flag::Ipv6 && !flags.contains(&Flag::Service(0)) {
            return Err(Refused::usage("-6 used before -f\n"));
        }
        values.take(flag, option.value.as_deref())?;
    }
    Ok((flags, values))
}

fn list(mut flags: Vec<Flag>, service: Option<ServiceName>) -> Result<Request, Refused> {
    flags.sort_by_key(|flag| check_order(*flag));
    let mut subject: Option<Flag> = None;
    for flag in &flags {
        let name = flag.name();
        if matches!(flag, Flag::EditOnly(_) | Flag::Forwarding(_)) {
            let message = format!("Illegal '{name}' option with the 'list' command");
            return Err(Refused::usage(message));
        }
        if !flag.is_subject() {
            continue;
        }
        if let Some(earlier) = subject {
            return Err(Refused::usage(format!(
                "The option '{name}' conflicts with the '{}' option in the 'list' command",
                earlier.name()
            )));
        }
        subject = Some(*flag);
    }
    let has = |flag| flags.contains(&flag);
    let format = Format {
        numeric: has(Flag::Numeric),
        stats: has(Flag::Stats),
        rate: has(Flag::Rate),
        thresholds: has(Flag::Thresholds),
        persistent_conn: has(Flag::PersistentConn),
        tun_info: has(Flag::TunInfo),
        no_sort: has(Flag::NoSort),
        exact: has(Flag::Exact),
    };
    let of_services = format.stats || format.rate || format.thresholds;
    let subject = match (subject, service) {
        (_, Some(service)) => Subject::Service(service),
        (Some(Flag::Connection), None) => Subject::Connections,
        (Some(Flag::Timeout), None) => Subject::Timeout,
        (Some(Flag::Daemon), None) => Subject::Daemon,
        (_, None) => Subject::All,
    };
    match subject {
        Subject::Timeout | Subject::Daemon if of_services || format.persistent_conn => {
            Err(Refused::usage("options conflicts in the list command"))
        }
        Subject::Connections if of_services => {
            Err(Refused::usage("options conflicts in the list command"))
        }
        Subject::All
        | Subject::Service(_)
        | Subject::Connections
        | Subject::Timeout
        | Subject::Daemon => Ok(Request::List(subject, format)),
    }
}

fn save(mut flags: Vec<Flag>) -> Result<Request, Refused> {
    flags.sort_by_key(|flag| check_order(*flag));
    // ipvsadm's table of options has no `--sort`, so nothing forbids it.
    let illegal = flags
        .iter()
        .find(|flag| !matches!(flag, Flag::Numeric | Flag::Sort | Flag::Ipv6));
    if let Some(flag) = illegal {
        let name = flag.name();
        return Err(Refused::usage(format!(
            "Illegal '{name}' option with the 'save' command"
        )));
    }
    Ok(Request::Save(Format {
        numeric: flags.contains(&Flag::Numeric),
        ..Format::default()
    }))
}

#[cfg(test)]
mod tests;
