//! ipvsadm's commands and options.

use crate::ipvsadm::words::{Known, Takes};

/// Commands, each of which must come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Command {
    List,
    Save,
    Help,
    Version,
    /// Change something, by the command's long name.
    Change(&'static str),
}

/// Options, in the order in which ipvsadm checks them against the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Flag {
    Numeric,
    Connection,
    /// Carries the protocol number; 0 for a firewall mark.
    Service(u8),
    /// Only for commands that change something, by ipvsadm's name for it.
    EditOnly(&'static str),
    /// How packets reach a real server, by its letter.
    Forwarding(char),
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
pub(super) enum Id {
    Command(Command),
    Flag(Flag),
}

const fn command(long: &'static str, short: Option<char>, takes: Takes) -> Known<Id> {
    let id = Id::Command(Command::Change(long));
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

/// An option of the commands that change something; `name` is what messages call it.
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
pub(super) const OPTIONS: &[Known<Id>] = &[
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
    flag("masquerading", Some('m'), Nothing, Flag::Forwarding('m')),
    flag("ipip", Some('i'), Nothing, Flag::Forwarding('i')),
    flag("gatewaying", Some('g'), Nothing, Flag::Forwarding('g')),
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
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Numeric => "numeric",
            Self::Connection => "connection",
            Self::Service(_) => "service-address",
            Self::EditOnly(name) => name,
            Self::Forwarding(_) => "forwarding-method",
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
    pub(super) const fn is_subject(self) -> bool {
        matches!(
            self,
            Self::Connection | Self::Service(_) | Self::Timeout | Self::Daemon
        )
    }
}

/// ipvsadm's table of options, in the order in which it checks them against the command.
pub(super) const TABLE: [&str; 34] = [
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

/// Place of an option in ipvsadm's table, which decides what is complained about first.
pub(super) fn check_order(flag: Flag) -> usize {
    let name = flag.name();
    let place = TABLE.iter().position(|known| *known == name);
    // `--sort` and `-6` are not in it; nothing is complained of them.
    place.unwrap_or(TABLE.len())
}
