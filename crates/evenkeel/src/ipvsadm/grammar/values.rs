//! What the options of one command line say.

use std::net::{IpAddr, Ipv4Addr};

use crate::ipvsadm::grammar::Refused;
use crate::ipvsadm::grammar::options::Flag;
use crate::ipvsadm::service_name::{self, ServiceName};

/// Longest timeout: 31 days.
pub(super) const TIMEOUT_S_MAX: u32 = 31 * 86_400;

/// `-p` without a number.
const PERSISTENT_S: u32 = 360;

/// Greatest weight, as ipvsadm 1.31 has it.
const WEIGHT_MAX: u32 = 65_535;

const THRESHOLD_MAX: u32 = 2_147_483_647;

/// Scheduler where none is given.
const SCHEDULER: &str = "wlc";

/// Flags of schedulers. IPVS has flag-3 too, which means nothing to any scheduler and has no place here.
const FLAGS: [&str; 6] = [
    "flag-1",
    "flag-2",
    "sh-fallback",
    "sh-port",
    "mh-fallback",
    "mh-port",
];

/// What `-M` says: a mask of IPv4, or bits of IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mask {
    V4(Ipv4Addr),
    V6(u8),
}

/// Values of options, as far as they were given and mean something here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Values {
    pub(super) service: Option<ServiceName>,
    pub(super) scheduler: Option<String>,
    pub(super) persistent_s: Option<u32>,
    pub(super) mask: Option<Mask>,
    pub(super) scheduler_flags: Option<String>,
    pub(super) server: Option<IpAddr>,
    pub(super) forwarding: Option<char>,
    pub(super) weight: Option<u16>,
    pub(super) upper: Option<u32>,
    pub(super) lower: Option<u32>,
}

impl Values {
    /// Takes an option with its value, as it comes on the command line.
    pub(super) fn take(&mut self, flag: Flag, given: Option<&str>) -> Result<(), Refused> {
        let value = given.unwrap_or_default();
        match flag {
            Flag::Service(0) => self.service = Some(firewall_mark(value)?),
            Flag::Service(protocol) => {
                let name = service_name::parse(protocol, value);
                self.service = Some(name.ok_or_else(|| {
                    Refused::usage("illegal virtual server address[:port] specified")
                })?);
            }
            Flag::Forwarding(letter) => self.forwarding = Some(letter),
            Flag::EditOnly(name) => self.take_edit(name, given)?,
            Flag::Numeric
            | Flag::Connection
            | Flag::Timeout
            | Flag::Daemon
            | Flag::Stats
            | Flag::Rate
            | Flag::Thresholds
            | Flag::PersistentConn
            | Flag::NoSort
            | Flag::Sort
            | Flag::Exact
            | Flag::TunInfo
            | Flag::Ipv6 => {}
            Flag::Syncid => {
                range(value, 0, 255, "illegal syncid specified")?;
            }
        }
        Ok(())
    }

    fn take_edit(&mut self, name: &str, given: Option<&str>) -> Result<(), Refused> {
        let value = given.unwrap_or_default();
        match name {
            "scheduler" => self.scheduler = Some(value.to_owned()),
            "persistent" => {
                self.persistent_s = Some(match given {
                    Some(value) => timeout(value, 1)?,
                    None => PERSISTENT_S,
                });
            }
            "netmask" => self.mask = Some(self.read_mask(value)?),
            "real-server" => {
                let Some(ServiceName::Address(_, address)) = service_name::parse(6, value) else {
                    let message = "illegal real server address[:port] specified";
                    return Err(Refused::usage(message));
                };
                self.server = Some(address.ip());
            }
            "weight" => {
                let weight = range(value, 0, WEIGHT_MAX, "illegal weight specified")?;
                self.weight = u16::try_from(weight).ok();
            }
            "u-threshold" => {
                let message = "illegal u_threshold specified";
                self.upper = Some(range(value, 0, THRESHOLD_MAX, message)?);
            }
            "l-threshold" => {
                let message = "illegal l_threshold specified";
                self.lower = Some(range(value, 0, THRESHOLD_MAX, message)?);
            }
            "sched-flags" => self.scheduler_flags = Some(value.to_owned()),
            "mcast-port" => {
                range(value, 1, 65_535, "illegal mcast-port specified")?;
            }
            "mcast-ttl" => {
                range(value, 1, 255, "illegal mcast-ttl specified")?;
            }
            "sync-maxlen" => {
                range(value, 1, 65_507, "illegal sync-maxlen specified")?;
            }
            "tun-type" if !["ipip", "gue", "gre"].contains(&value) => {
                return Err(Refused::usage("illegal tunnel type specified"));
            }
            "tun-port" => {
                range(value, 1, 65_535, "illegal tunnel port specified")?;
            }
            _ => {}
        }
        Ok(())
    }

    /// Which kind of mask is meant, the service tells, if it came before.
    fn read_mask(&self, value: &str) -> Result<Mask, Refused> {
        if let Some(ServiceName::Address(_, address)) = self.service
            && address.is_ipv6()
        {
            let bits = range(value, 1, 128, "illegal ipv6 netmask specified")?;
            return Ok(Mask::V6(u8::try_from(bits).unwrap_or(128)));
        }
        mask_of(value)
            .map(Mask::V4)
            .ok_or_else(|| Refused::usage("illegal virtual server persistent mask specified"))
    }

    /// The scheduler that is named, or would be taken.
    pub(super) fn scheduler(&self) -> &str {
        self.scheduler.as_deref().unwrap_or(SCHEDULER)
    }

    /// Names of the scheduler's flags.
    pub(super) fn flags(&self) -> impl Iterator<Item = &str> {
        let names = self.scheduler_flags.as_deref().unwrap_or_default();
        names.split(',').filter(|name| !name.is_empty())
    }

    /// Whether the scheduler has the flags; asked when all words are read, and before it is asked whether
    /// the command takes them.
    pub(super) fn check_flags(&self) -> Result<(), Refused> {
        for flag in self.flags() {
            if !FLAGS.contains(&flag) {
                return Err(Refused::usage(format!("invalid scheduler flag `{flag}'")));
            }
            let of = flag.split_once('-').map_or("", |(of, _)| of);
            if of != "flag" && of != self.scheduler() {
                let message = format!("incompatible scheduler flag `{flag}'");
                return Err(Refused::usage(message));
            }
        }
        Ok(())
    }
}

fn firewall_mark(value: &str) -> Result<ServiceName, Refused> {
    match value.parse::<u32>() {
        Ok(mark) if mark > 0 => Ok(ServiceName::FirewallMark(mark)),
        Ok(_) | Err(_) => Err(Refused::usage(format!(
            "invalid fwmark value `{value}' specified"
        ))),
    }
}

/// A timeout in seconds, at least `least`.
pub(super) fn timeout(value: &str, least: u32) -> Result<u32, Refused> {
    let message = format!("invalid timeout value `{value}' specified");
    range(value, least, TIMEOUT_S_MAX, &message)
}

/// A number as strtol reads it: blanks and a sign may come first, nothing may follow.
fn range(value: &str, least: u32, most: u32, message: &str) -> Result<u32, Refused> {
    let number = value.trim_start().parse::<i64>().ok();
    let number = number.and_then(|number| u32::try_from(number).ok());
    number
        .filter(|number| (least..=most).contains(number))
        .ok_or_else(|| Refused::usage(message))
}

/// An IPv4 mask in any shape that inet_aton(3) reads: one to four numbers, of which the last fills what is
/// left, and a blank ends it.
fn mask_of(value: &str) -> Option<Ipv4Addr> {
    let text = value.split(char::is_whitespace).next().unwrap_or_default();
    let parts = text.split('.').map(number_of);
    let parts = parts.collect::<Option<Vec<u32>>>()?;
    let (last, bytes) = parts.split_last()?;
    let left = 4_usize.checked_sub(bytes.len()).filter(|left| *left > 0)?;
    let mut bits = 0_u32;
    for byte in bytes {
        bits = bits << 8 | u32::from(u8::try_from(*byte).ok()?);
    }
    let bits = u64::from(bits) << (8 * left);
    (u64::from(*last) >> (8 * left) == 0).then(|| {
        let bits = bits | u64::from(*last);
        Ipv4Addr::from_bits(u32::try_from(bits).unwrap_or(u32::MAX))
    })
}

/// A number as in C: hexadecimal behind `0x`, octal behind `0`.
fn number_of(text: &str) -> Option<u32> {
    let lower = text.to_ascii_lowercase();
    if let Some(digits) = lower.strip_prefix("0x") {
        return u32::from_str_radix(digits, 16).ok();
    }
    let digits = lower.bytes().all(|byte| byte.is_ascii_digit());
    let radix = if lower.starts_with('0') { 8 } else { 10 };
    u32::from_str_radix(&lower, radix).ok().filter(|_| digits)
}

#[cfg(test)]
mod tests;
