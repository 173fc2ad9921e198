//! What a service does beside its scheduler: timeouts, persistence, thresholds and the schedulers' own options.

use std::net::Ipv4Addr;
use std::time::Duration;

use evenkeel_model::{
    MaglevOptions, MaglevSlots, OnRemoval, Persistence, Protocol, Scheduler, SchedulerFlags,
    ServiceOptions, Thresholds, Timeouts,
};

use crate::diagnostic::{Faults, Reported};
use crate::keys::{self, Key};
use crate::listen::Taking;
use crate::reader::{Field, Section};

/// As `ipvsadm --set` and `-p` take them.
const TIMEOUT_MIN: Duration = Duration::from_secs(1);
const TIMEOUT_MAX: Duration = Duration::from_hours(31 * 24);

/// IPVS's default (`IP_VS_TEMPLATE_TIMEOUT` in include/net/ip_vs.h).
const PERSISTENCE: Duration = Duration::from_mins(5);

/// Reads the options of a `[[service]]`; the other arguments are `Err` if they are wrong themselves.
pub(crate) fn read(
    section: &Section<'_>,
    taking: Result<&Taking, Reported>,
    scheduler: Result<Scheduler, Reported>,
    faults: &mut Faults<'_>,
) -> Result<ServiceOptions, Reported> {
    let timeouts = section
        .get(&keys::TIMEOUTS)
        .map(|field| read_timeouts(&field, taking, faults));
    let persistence = section.get(&keys::PERSISTENCE).map(|field| {
        let is_ipv6 = taking.is_ok_and(Taking::is_ipv6);
        read_persistence(&field, is_ipv6, faults)
    });
    let flags = read_flags(section, scheduler, faults);
    let maglev = read_maglev(section, scheduler, faults);
    let on_removal = match section.get(&keys::ON_REMOVAL) {
        Some(field) => {
            let supported = [
                ("drop", OnRemoval::Drop),
                ("reset", OnRemoval::Reset),
                ("keep", OnRemoval::Keep),
            ];
            field.choice("way of connections", &supported, &[], faults)
        }
        None => Ok(OnRemoval::Drop),
    };
    Ok(ServiceOptions {
        persistence: persistence.transpose()?,
        timeouts: timeouts.transpose()?.unwrap_or_default(),
        flags: flags?,
        maglev: maglev?,
        on_removal: on_removal?,
        ..ServiceOptions::default()
    })
}

/// Seconds: what the kernel counts them in.
fn seconds(field: &Field<'_>, faults: &mut Faults<'_>) -> Result<Duration, Reported> {
    let value = field.duration(TIMEOUT_MIN..=TIMEOUT_MAX, faults)?;
    if value.subsec_nanos() != 0 {
        return Err(field.fault(
            format!("`{}` has a fraction of a second", field.key.name),
            "whole seconds",
            format!("write a duration such as `{}`", field.key.example),
            faults,
        ));
    }
    Ok(value)
}

fn read_timeouts(
    field: &Field<'_>,
    taking: Result<&Taking, Reported>,
    faults: &mut Faults<'_>,
) -> Result<Timeouts, Reported> {
    let section = field.section(&keys::TIMEOUTS_TABLE, faults)?;
    let mut of = |key: &'static Key, wanted: &[Protocol]| {
        let Some(field) = section.get(key) else {
            return Ok(None);
        };
        if taking.is_ok_and(|taking| !wanted.iter().any(|of| taking.has(*of))) {
            let names: Vec<&str> = wanted.iter().map(|of| of.name()).collect();
            return Err(faults.add(
                field.key_span,
                format!("`{}` has no meaning in this service", key.name),
                format!("a service of {}", names.join(" or ")),
                "remove it",
            ));
        }
        seconds(&field, faults).map(Some)
    };
    let established = of(&keys::ESTABLISHED, &[Protocol::Tcp, Protocol::Sctp]);
    let tcp_fin = of(&keys::FIN_WAIT, &[Protocol::Tcp]);
    let udp = of(&keys::UDP, &[Protocol::Udp]);
    let is_sctp = taking.is_ok_and(|taking| taking.has(Protocol::Sctp));
    let established = established?;
    Ok(Timeouts {
        tcp: established.filter(|_| !is_sctp),
        tcp_fin: tcp_fin?,
        udp: udp?,
        sctp: established.filter(|_| is_sctp),
    })
}

fn read_persistence(
    field: &Field<'_>,
    is_ipv6: bool,
    faults: &mut Faults<'_>,
) -> Result<Persistence, Reported> {
    let section = field.section(&keys::PERSISTENCE_TABLE, faults)?;
    let timeout = match section.get(&keys::PERSISTENCE_TIMEOUT) {
        Some(field) => seconds(&field, faults),
        None => Ok(PERSISTENCE),
    };
    let prefix = match section.get(&keys::NETMASK) {
        Some(field) if is_ipv6 => read_prefix(&field, faults),
        Some(field) => read_netmask(&field, faults),
        None if is_ipv6 => Ok(128),
        None => Ok(32),
    };
    Ok(Persistence {
        timeout: timeout?,
        prefix: prefix?,
    })
}

/// The prefix length that IPv6 has in place of a netmask.
fn read_prefix(field: &Field<'_>, faults: &mut Faults<'_>) -> Result<u8, Reported> {
    let text = field.text(faults)?;
    let prefix = text.parse::<u8>().ok();
    match prefix.filter(|prefix| (1..=128).contains(prefix)) {
        Some(prefix) => Ok(prefix),
        None => Err(field.fault(
            format!("`{text}` is not a prefix length"),
            "an IPv6 prefix length from 1 to 128",
            "write `netmask = \"64\"`",
            faults,
        )),
    }
}

fn read_netmask(field: &Field<'_>, faults: &mut Faults<'_>) -> Result<u8, Reported> {
    let text = field.text(faults)?;
    let bits = text.parse::<Ipv4Addr>().ok().map(u32::from);
    let bits = bits.filter(|bits| *bits != 0 && bits.leading_ones() + bits.trailing_zeros() == 32);
    match bits.and_then(|bits| u8::try_from(bits.leading_ones()).ok()) {
        Some(prefix) => Ok(prefix),
        None => Err(field.fault(
            format!("`{text}` is not a netmask"),
            "an IPv4 netmask of leading ones that is not 0.0.0.0",
            format!("write `{}`", keys::NETMASK.example),
            faults,
        )),
    }
}

/// Reads a server's thresholds.
pub(crate) fn read_thresholds(
    section: &Section<'_>,
    faults: &mut Faults<'_>,
) -> Result<Thresholds, Reported> {
    let mut of = |key: &'static Key| match section.get(key) {
        Some(field) => field.integer(0..=i64::from(u32::MAX), faults),
        None => Ok(0),
    };
    let (upper, lower): (Result<u32, _>, Result<u32, _>) =
        (of(&keys::UPPER_THRESHOLD), of(&keys::LOWER_THRESHOLD));
    let (upper, lower) = (upper?, lower?);
    // `ip_vs_add_dest` refuses it with ERANGE.
    if lower > upper
        && let Some(field) = section.get(&keys::LOWER_THRESHOLD)
    {
        return Err(field.fault(
            format!("`lower-threshold` is {lower}, above `upper-threshold`, {upper}"),
            "a number that is not above `upper-threshold`",
            format!("write `upper-threshold = {lower}`, or a lower number here"),
            faults,
        ));
    }
    Ok(Thresholds { upper, lower })
}

fn read_flags(
    section: &Section<'_>,
    scheduler: Result<Scheduler, Reported>,
    faults: &mut Faults<'_>,
) -> Result<SchedulerFlags, Reported> {
    let Some(field) = section.get(&keys::SCHEDULER_FLAGS) else {
        return Ok(SchedulerFlags::default());
    };
    let scheduler = scheduler?;
    let known = if scheduler == Scheduler::SourceHash {
        ["sh-port", "sh-fallback"]
    } else if scheduler == Scheduler::MaglevHash {
        ["mh-port", "mh-fallback"]
    } else {
        return Err(faults.add(
            field.key_span,
            format!("the scheduler `{}` has no flags", scheduler.name()),
            "the scheduler `sh` or `mh`",
            "remove `scheduler-flags`",
        ));
    };
    let mut flags = SchedulerFlags::default();
    let choices = [(known[0], true), (known[1], false)];
    for entry in field.entries(&keys::SCHEDULER_FLAGS_ENTRY, faults)? {
        match entry.choice("flag", &choices, &[], faults)? {
            true => flags.port = true,
            false => flags.fallback = true,
        }
    }
    Ok(flags)
}

fn read_maglev(
    section: &Section<'_>,
    scheduler: Result<Scheduler, Reported>,
    faults: &mut Faults<'_>,
) -> Result<MaglevOptions, Reported> {
    let slots = section.get(&keys::HASH_SLOTS);
    let by = section.get(&keys::HASH_KEY);
    if let Ok(scheduler) = scheduler
        && scheduler != Scheduler::Maglev
        && let Some(field) = slots.as_ref().or(by.as_ref())
    {
        let name = field.key.name;
        return Err(faults.add(
            field.key_span.clone(),
            format!(
                "`{name}` has no meaning with the scheduler `{}`",
                scheduler.name()
            ),
            "the scheduler `maglev`",
            format!("remove `{name}`, or write `scheduler = \"maglev\"`"),
        ));
    }
    let slots = match slots {
        None => Ok(MaglevSlots::Auto),
        Some(field) => match field.integer::<i64>(1..=i64::MAX, faults) {
            Ok(65_537) => Ok(MaglevSlots::Small),
            Ok(655_373) => Ok(MaglevSlots::Large),
            Ok(other) => Err(field.fault(
                format!("a table can't have {other} slots"),
                "65537 or 655373",
                "remove `hash-slots` for a table of at least 100 slots for each server",
                faults,
            )),
            Err(reported) => Err(reported),
        },
    };
    let by_client = match by {
        None => Ok(false),
        Some(field) => field.choice(
            "hash key",
            &[("flow", false), ("client", true)],
            &[],
            faults,
        ),
    };
    Ok(MaglevOptions {
        slots: slots?,
        by_client: by_client?,
    })
}
