//! Schedulers that go by tables of buckets, which user space has dealt out: dh, sh and mh.

use core::sync::atomic::Ordering::Relaxed;

use evenkeel_abi::{DropReason, FlowKey, Service, ServiceFlags, low};

use crate::Tables;
use crate::branchless::{is_zero, select};
use crate::hash::hsiphash;
use crate::rounds::Rounds;
use crate::scheduler::{at, entry, is_unavailable};

/// Key and buckets of mh (`generate_hash_secret`, `CONFIG_IP_VS_MH_TAB_INDEX` 12).
const MH_KEY: u64 = 2_654_435_761;
const MH_BUCKETS: u32 = 4093;

/// How a table of buckets was dealt out.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dealt {
    /// dh and sh, `ip_vs_{dh,sh}_hashkey`: hash_32 of include/linux/hash.h, 8 bits.
    ByHash32,
    /// mh, `ip_vs_mh_hashkey`.
    ByHsiphash,
}

impl Dealt {
    /// The bucket of a number at an offset.
    #[inline(always)]
    const fn bucket(self, of: u32, offset: u32) -> u32 {
        match self {
            Self::ByHash32 => offset.wrapping_add(of.wrapping_mul(0x61c8_8647) >> 24) & 0xff,
            Self::ByHsiphash => hsiphash(of.wrapping_add(offset), MH_KEY) % MH_BUCKETS,
        }
    }

    #[inline(always)]
    const fn buckets(self) -> u32 {
        match self {
            Self::ByHash32 => 1 << 8,
            Self::ByHsiphash => MH_BUCKETS,
        }
    }
}

/// What sh and mh hash: the client's address, and its port where the service says so.
#[inline(always)]
pub(crate) fn client(service: &Service, key: &FlowKey) -> u32 {
    let [high, low_byte, ..] = low(key.ports_protocol).to_ne_bytes();
    let port = u64::from(u16::from_be_bytes([high, low_byte]));
    let flag = service.flags.load(Relaxed) & ServiceFlags::HASH_PORT;
    u32::from_be(low(key.addresses)).wrapping_add(low(select(1 ^ is_zero(flag), port, 0)))
}

/// The flags under which a bucket's server has a substitute.
pub(crate) const FALLS: u64 = ServiceFlags::FALLBACK;

/// IPVS's dh, sh and mh: the server of a bucket; where that is quiesced or overloaded it is refused, or with
/// `sh-fallback` and `mh-fallback` another bucket's taken.
///
/// `ip_vs_{dh,sh,mh}_get` and `ip_vs_{sh,mh}_get_fallback` in net/netfilter/ipvs; user space has dealt the buckets out.
#[inline(always)]
pub(crate) fn static_bucket<T: Tables + ?Sized>(
    tables: &T,
    service: &Service,
    dealt: Dealt,
    of: u32,
    falls: u64,
) -> Result<u32, DropReason> {
    let (start, len) = service.ring.load();
    if len == 0 {
        return Err(DropReason::NoServer);
    }
    let first = dealt.bucket(of, 0);
    let server = entry(tables, start, first)?;
    if !is_unavailable(tables, server) {
        return Ok(server);
    }
    if service.flags.load(Relaxed) & falls == 0 {
        return Err(DropReason::NoServer);
    }
    let mut search = Fallback {
        start,
        dealt,
        of,
        first,
        found: 0,
    };
    tables.repeat(dealt.buckets(), &mut search);
    low(search.found).checked_sub(1).ok_or(DropReason::NoServer)
}

struct Fallback {
    start: u32,
    dealt: Dealt,
    of: u32,
    first: u32,
    /// The server plus one.
    found: u64,
}

impl Rounds for Fallback {
    #[inline(always)]
    fn round<T: Tables + ?Sized>(&mut self, tables: &T, index: u32) -> bool {
        let buckets = self.dealt.buckets();
        if index >= buckets {
            return false;
        }
        let offset = index.wrapping_add(self.first) % buckets;
        let bucket = self.dealt.bucket(self.of, offset);
        let Some(server) = at(tables, self.start, bucket) else {
            return false;
        };
        if is_unavailable(tables, server) {
            return true;
        }
        self.found = u64::from(server) + 1;
        false
    }
}
