//! ipvsadm's command line: which command, which options go with it, and its messages where they don't.

use crate::ipvsadm::service_name::{self, ServiceName};
use crate::ipvsadm::words::{self, Given, Known, Takes};

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
    /// A command that changes the table, by its long name.
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

/// Commands, each of which must come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Command {
    List,
    Save,
    Help,
    Version,
    /// By its long name.
    Other(&'static str),
}

/// Options, in the order in which ipvsadm checks them against the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Flag {
    Numeric,
    Connection,
    /// Carries the protocol number; 0 for a firewall mark.
    Service(u8),
    /// Not for listings, by ipvsadm's name for it.
    EditOnly(&'static str),
    Timeout,
    Daemon,
    Stats,
    Rate,
    Thresholds,
    PersistentConn,
    NoSort,
    Sort,
    Syncid,
    Exact,
    TunInfo,
    Ipv6,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Id {
    Command(Command),
    Flag(Flag),
}

const fn command(long: &'static str, short: Option<char>, takes: Takes) -> Known<Id> {
    let id = Id::Command(Command::Other(long));
    Known {
        long,
        short,
        takes,
        id,
    }
}

const fn flag(long: &'static str, short: Option<char>, takes: Takes, flag: Flag) -> Known<Id> {
    let id = Id::Flag(flag);
    Known {
        long,
        short,
        takes,
        id,
    }
}

/// An option of the commands that are not there yet; `name` is what messages call it.
const fn edit(
    long: &'static str,
    short: Option<char>,
    takes: Takes,
    name: &'static str,
) -> Known<Id> {
    flag(long, short, takes, Flag::EditOnly(name))
}

use Takes::{Nothing, PerhapsValue, Value};

#[rustfmt::skip]
const OPTIONS: &[Known<Id>] = &[
    Known { long: "list", short: Some('L'), takes: Nothing, id: Id::Command(Command::List) },
    Known { long: "list", short: Some('l'), takes: Nothing, id: Id::Command(Command::List) },
    Known { long: "save", short: Some('S'), takes: Nothing, id: Id::Command(Command::Save) },
    Known { long: "help", short: Some('h'), takes: Nothing, id: Id::Command(Command::Help) },
    Known { long: "version", short: Some('v'), takes: Nothing, id: Id::Command(Command::Version) },
    command("add-service", Some('A'), Nothing),
    command("edit-service", Some('E'), Nothing),
    command("delete-service", Some('D'), Nothing),
    command("clear", Some('C'), Nothing),
    command("zero", Some('Z'), Nothing),
    command("add-server", Some('a'), Nothing),
    command("edit-server", Some('e'), Nothing),
    command("delete-server", Some('d'), Nothing),
    command("set", None, Nothing),
    command("restore", Some('R'), Nothing),
    command("start-daemon", None, Value),
    command("stop-daemon", None, Value),
    flag("tcp-service", Some('t'), Value, Flag::Service(6)),
    flag("udp-service", Some('u'), Value, Flag::Service(17)),
    flag("sctp-service", None, Value, Flag::Service(132)),
    flag("fwmark-service", Some('f'), Value, Flag::Service(0)),
    flag("ipv6", Some('6'), Nothing, Flag::Ipv6),
    flag("numeric", Some('n'), Nothing, Flag::Numeric),
    flag("connection", Some('c'), Nothing, Flag::Connection),
    flag("timeout", None, Nothing, Flag::Timeout),
    flag("daemon", None, Nothing, Flag::Daemon),
    flag("stats", None, Nothing, Flag::Stats),
    flag("rate", None, Nothing, Flag::Rate),
    flag("thresholds", None, Nothing, Flag::Thresholds),
    flag("persistent-conn", None, Nothing, Flag::PersistentConn),
    flag("nosort", None, Nothing, Flag::NoSort),
    flag("sort", None, Nothing, Flag::Sort),
    flag("syncid", None, Value, Flag::Syncid),
    flag("exact", Some('X'), Nothing, Flag::Exact),
    flag("tun-info", None, Nothing, Flag::TunInfo),
    edit("scheduler", Some('s'), Value, "scheduler"),
    edit("persistent", Some('p'), PerhapsValue, "persistent"),
    edit("netmask", Some('M'), Value, "netmask"),
    edit("real-server", Some('r'), Value, "real-server"),
    edit("masquerading", Some('m'), Nothing, "forwarding-method"),
    edit("ipip", Some('i'), Nothing, "forwarding-method"),
    edit("gatewaying", Some('g'), Nothing, "forwarding-method"),
    edit("weight", Some('w'), Value, "weight"),
    edit("u-threshold", Some('x'), Value, "u-threshold"),
    edit("l-threshold", Some('y'), Value, "l-threshold"),
    edit("mcast-interface", None, Value, "mcast-interface"),
    edit("ops", Some('o'), Nothing, "ops"),
    edit("pe", None, Value, "pe"),
    edit("sched-flags", Some('b'), Value, "sched-flags"),
    edit("sync-maxlen", None, Value, "sync-maxlen"),
    edit("mcast-group", None, Value, "mcast-group"),
    edit("mcast-port", None, Value, "mcast-port"),
    edit("mcast-ttl", None, Value, "mcast-ttl"),
    edit("tun-type", None, Value, "tun-type"),
    edit("tun-port", None, Value, "tun-port"),
    edit("tun-nocsum", None, Nothing, "tun-nocsum"),
    edit("tun-csum", None, Nothing, "tun-csum"),
    edit("tun-remcsum", None, Nothing, "tun-remcsum"),
];

impl Flag {
    /// What messages call it.
    const fn name(self) -> &'static str {
        match self {
            Self::Numeric => "numeric",
            Self::Connection => "connection",
            Self::Service(_) => "service-address",
            Self::EditOnly(name) => name,
            Self::Timeout => "timeout",
            Self::Daemon => "daemon",
            Self::Stats => "stats",
            Self::Rate => "rate",
            Self::Thresholds => "thresholds",
            Self::PersistentConn => "persistent-conn",
            Self::NoSort => "nosort",
            Self::Sort => "sort",
            Self::Syncid => "syncid",
            Self::Exact => "exact",
            Self::TunInfo => "tun-info",
            Self::Ipv6 => "ipv6",
        }
    }

    /// Of these, a listing takes one.
    const fn is_subject(self) -> bool {
        matches!(
            self,
            Self::Connection | Self::Service(_) | Self::Timeout | Self::Daemon
        )
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
        Command::List | Command::Save | Command::Other(_) => {}
    }
    let (flags, service) = read_flags(given)?;
    if let Some(stopped) = split.stopped {
        return Err(Refused {
            message: format!("{}: {}", stopped.word, stopped.complaint),
            code: 255,
        });
    }
    if let Command::Other(name) = command {
        return Ok(Request::NotThereYet(name));
    }
    if let Some(unexpected) = split.rest.first() {
        return Err(Refused::usage(format!("unexpected argument {unexpected}")));
    }
    if command == Command::Save {
        save(flags)
    } else {
        list(flags, service)
    }
}

/// ipvsadm's message where the first option is not a command.
fn try_help(program: &str) -> Refused {
    Refused {
        message: format!("Try `{program} -h' or '{program} --help' for more information."),
        code: 255,
    }
}

fn read_flags(given: &[Given<Id>]) -> Result<(Vec<Flag>, Option<ServiceName>), Refused> {
    let mut flags: Vec<Flag> = Vec::new();
    let mut service = None;
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
        let value = option.value.as_deref().unwrap_or_default();
        match flag {
            Flag::Service(0) => service = Some(firewall_mark(value)?),
            Flag::Service(protocol) => {
                service = Some(service_name::parse(protocol, value).ok_or_else(|| {
                    Refused::usage("illegal virtual server address[:port] specified")
                })?);
            }
            Flag::Ipv6 if !flags.contains(&Flag::Service(0)) => {
                return Err(Refused::usage("-6 used before -f\n"));
            }
            Flag::Ipv6
            | Flag::Numeric
            | Flag::Connection
            | Flag::EditOnly(_)
            | Flag::Timeout
            | Flag::Daemon
            | Flag::Stats
            | Flag::Rate
            | Flag::Thresholds
            | Flag::PersistentConn
            | Flag::NoSort
            | Flag::Sort
            | Flag::Syncid
            | Flag::Exact
            | Flag::TunInfo => {}
        }
    }
    Ok((flags, service))
}

fn firewall_mark(value: &str) -> Result<ServiceName, Refused> {
    match value.parse::<u32>() {
        Ok(mark) if mark > 0 => Ok(ServiceName::FirewallMark(mark)),
        Ok(_) | Err(_) => Err(Refused::usage(format!(
            "invalid fwmark value `{value}' specified"
        ))),
    }
}

fn list(mut flags: Vec<Flag>, service: Option<ServiceName>) -> Result<Request, Refused> {
    flags.sort_by_key(|flag| check_order(*flag));
    let mut subject: Option<Flag> = None;
    for flag in &flags {
        let name = flag.name();
        if matches!(flag, Flag::EditOnly(_)) {
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

/// Place of an option in ipvsadm's table, which decides what is complained about first.
fn check_order(flag: Flag) -> usize {
    const TABLE: [&str; 34] = [
        "numeric",
        "connection",
        "service-address",
        "scheduler",
        "persistent",
        "netmask",
        "real-server",
        "forwarding-method",
        "weight",
        "u-threshold",
        "l-threshold",
        "mcast-interface",
        "timeout",
        "daemon",
        "stats",
        "rate",
        "thresholds",
        "persistent-conn",
        "nosort",
        "syncid",
        "exact",
        "ops",
        "pe",
        "sched-flags",
        "mcast-group",
        "mcast-port",
        "mcast-ttl",
        "sync-maxlen",
        "tun-info",
        "tun-type",
        "tun-port",
        "tun-nocsum",
        "tun-csum",
        "tun-remcsum",
    ];
    let name = flag.name();
    let place = TABLE.iter().position(|known| *known == name);
    // `--sort` and `-6` are not in it; nothing is complained of them.
    place.unwrap_or(TABLE.len())
}

#[cfg(test)]
mod tests;
