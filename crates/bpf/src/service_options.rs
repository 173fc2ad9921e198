//! A service's options in the words of its half, and back.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use evenkeel_abi::{ConnState, Service, ServiceFlags, Shared, Tick, high, low, pair};
use evenkeel_datapath::tcp::{SCTP_TIMEOUTS, TIMEOUTS};
use evenkeel_model::{
    Fragments, MaglevOptions, MaglevSlots, OnRemoval, Persistence, Protocol, SchedulerFlags,
    ServiceEntry, ServiceKey, ServiceOptions, Timeouts,
};

/// Writes them.
pub(crate) fn write(half: &Service, entry: &ServiceEntry) {
    let ServiceEntry { key, options, .. } = entry;
    let is_v6 = entry.is_ipv6();
    half.flags.store(flags(key, options, is_v6), Relaxed);
    let persistence = options.persistence.map_or(0, |persistence| {
        let ticks = u32::try_from(ticks(persistence.timeout)).unwrap_or(u32::MAX);
        pair(ticks, mask(persistence.prefix, is_v6))
    });
    half.persistence.store(persistence, Relaxed);
    let listens = entry.listens();
    let is_sctp = listens
        .iter()
        .any(|listen| listen.protocol == Protocol::Sctp);
    for (word, ticks) in half
        .timeouts
        .iter()
        .zip(timeouts(&options.timeouts, is_sctp))
    {
        word.store(ticks, Relaxed);
    }
}

/// Reads them back; `slots` is the number of slots of its consistent hash.
pub(crate) fn read(half: &Service, slots: u32) -> ServiceOptions {
    let flags = half.flags.load(Relaxed);
    let has = |flag: u64| flags & flag != 0;
    let persistence = half.persistence.load(Relaxed);
    ServiceOptions {
        one_packet: has(ServiceFlags::ONE_PACKET),
        persistence: (low(persistence) != 0).then(|| Persistence {
            timeout: whole_seconds(low(persistence).into()),
            prefix: prefix(high(persistence), has(ServiceFlags::IPV6)),
        }),
        fragments: if has(ServiceFlags::FRAGMENTS_BY_ADDRESS) {
            Fragments::ByAddress
        } else {
            Fragments::Follow
        },
        timeouts: read_timeouts(&half.timeouts),
        on_removal: if has(ServiceFlags::GONE_RESET) {
            OnRemoval::Reset
        } else if has(ServiceFlags::GONE_KEEP) {
            OnRemoval::Keep
        } else {
            OnRemoval::Drop
        },
        flags: SchedulerFlags {
            port: has(ServiceFlags::HASH_PORT),
            fallback: has(ServiceFlags::FALLBACK),
        },
        maglev: MaglevOptions {
            slots: match slots {
                65_537 => MaglevSlots::Small,
                655_373 => MaglevSlots::Large,
                _ => MaglevSlots::Auto,
            },
            by_client: has(ServiceFlags::HASH_CLIENT),
        },
    }
}

fn flags(key: &ServiceKey, options: &ServiceOptions, is_v6: bool) -> u64 {
    let flags = [
        (is_v6, ServiceFlags::IPV6),
        (key.group().is_some(), ServiceFlags::GROUP),
        (
            options.fragments == Fragments::ByAddress,
            ServiceFlags::FRAGMENTS_BY_ADDRESS,
        ),
        (options.one_packet, ServiceFlags::ONE_PACKET),
        (options.flags.port, ServiceFlags::HASH_PORT),
        (options.flags.fallback, ServiceFlags::FALLBACK),
        (options.maglev.by_client, ServiceFlags::HASH_CLIENT),
        (
            options.on_removal == OnRemoval::Reset,
            ServiceFlags::GONE_RESET,
        ),
        (
            options.on_removal == OnRemoval::Keep,
            ServiceFlags::GONE_KEEP,
        ),
    ];
    let set = flags.into_iter().filter(|(is_set, _)| *is_set);
    set.fold(0, |all, (_, flag)| all | flag)
}

/// The mask of a prefix length, as it lies in a packet; with IPv6 the length itself.
pub(crate) fn mask(prefix: u8, is_v6: bool) -> u32 {
    if is_v6 {
        return prefix.into();
    }
    let bits = u32::MAX.checked_shl(32 - u32::from(prefix.min(32)));
    bits.unwrap_or(0).to_be()
}

/// The prefix length of such a word.
fn prefix(mask: u32, is_v6: bool) -> u8 {
    let length = if is_v6 { mask } else { mask.count_ones() };
    u8::try_from(length).unwrap_or(u8::MAX)
}

/// Ticks in a time, rounded up.
fn ticks(time: Duration) -> u64 {
    u64::try_from(time.as_nanos().div_ceil(1 << Tick::SHIFT)).unwrap_or(u64::MAX)
}

/// The whole seconds that ticks were made of.
const fn whole_seconds(ticks: u64) -> Duration {
    Duration::from_secs((ticks << Tick::SHIFT) / 1_000_000_000)
}

/// How long entries live without a packet, in ticks, by the number of their state.
///
/// As `ip_vs_set_timeout` in net/netfilter/ipvs/ip_vs_ctl.c changes them: the rest is the kernel's.
fn timeouts(options: &Timeouts, is_sctp: bool) -> [u64; 16] {
    let (mut all, established) = if is_sctp {
        (SCTP_TIMEOUTS, options.sctp)
    } else {
        (TIMEOUTS, options.tcp)
    };
    let changeable = [
        (ConnState::Established, established),
        (ConnState::FinWait, options.tcp_fin),
        (ConnState::Udp, options.udp),
    ];
    for (state, time) in changeable {
        if let (Some(time), Some(word)) = (time, all.get_mut(usize::from(state as u8))) {
            *word = ticks(time);
        }
    }
    all
}

/// The timeouts of a service as it stands in the maps; IPVS's own are taken for none.
fn read_timeouts(words: &[Shared; 16]) -> Timeouts {
    let close = usize::from(ConnState::Close as u8);
    let is_sctp =
        words.get(close).map(|word| word.load(Relaxed)) == SCTP_TIMEOUTS.get(close).copied();
    let of = |state: ConnState| {
        let state = usize::from(state as u8);
        let ticks = words.get(state)?.load(Relaxed);
        let is_own = TIMEOUTS.get(state) != Some(&ticks);
        is_own.then(|| whole_seconds(ticks))
    };
    let established = of(ConnState::Established);
    Timeouts {
        tcp: established.filter(|_| !is_sctp),
        tcp_fin: of(ConnState::FinWait),
        udp: of(ConnState::Udp),
        sctp: established.filter(|_| is_sctp),
    }
}

#[cfg(test)]
mod tests;
