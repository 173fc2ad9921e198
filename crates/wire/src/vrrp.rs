//! VRRP over IPv4 and IPv6: version 3 (RFC 9568, and RFC 5798 before it), and over IPv4 version 2 (RFC 3768).
//!
//! Offsets for the XDP program, [`parse`] for what is received and [`write()`] for what is sent.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::time::Duration;

use crate::{checksum, ipv4, ipv6};

/// The group that advertisements are sent to, 224.0.0.18 (RFC 9568 §5.1.1.2).
pub const GROUP: [u8; 4] = [224, 0, 0, 18];
/// The MAC address of [`GROUP`] (RFC 1112 §6.4).
pub const GROUP_MAC: [u8; 6] = [0x01, 0x00, 0x5e, 0x00, 0x00, 0x12];
/// The group of IPv6, ff02::12 (RFC 9568 §5.1.2.2).
pub const GROUP6: [u8; 16] = [0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x12];
/// The MAC address of [`GROUP6`] (RFC 2464 §7).
pub const GROUP6_MAC: [u8; 6] = [0x33, 0x33, 0x00, 0x00, 0x00, 0x12];
/// The first five bytes of a virtual router's MAC address; its number is the sixth (RFC 9568 §7.3).
pub const VIRTUAL_MAC_PREFIX: [u8; 5] = [0x00, 0x00, 0x5e, 0x00, 0x01];
/// Time to live of advertisements: one with another has passed a router (RFC 9568 §5.1.1.3).
pub const TTL: u8 = 255;
/// Type of service of advertisements that are sent: internetwork control, as keepalived and FRR do.
pub const TOS: u8 = 0xc0;

/// Offset of version (high four bits) and type, from the first byte after the IP header.
pub const VERSION_TYPE: usize = 0;
/// Offset of the virtual router's number.
pub const VIRTUAL_ROUTER: usize = 1;
/// Offset of the priority; 0: the sender stops being Active.
pub const PRIORITY: usize = 2;
/// Offset of the number of addresses.
pub const COUNT: usize = 3;
/// Offset of version 2's kind of authentication.
pub const AUTHENTICATION: usize = 4;
/// Offset of version 2's interval, in seconds.
pub const INTERVAL_V2: usize = 5;
/// Offset of version 3's interval: 4 reserved bits, then 12 bits of centiseconds.
pub const INTERVAL_V3: usize = 4;
/// Offset of the checksum.
pub const CHECKSUM: usize = 6;
/// Offset of the addresses, 4 bytes each, or 16 with IPv6.
pub const ADDRESSES: usize = 8;
/// Length of the authentication data that ends a message of version 2, used or not (RFC 3768 §5.3.10).
pub const AUTHENTICATION_LEN: usize = 8;
/// Type of advertisements, the only one there is.
pub const ADVERTISEMENT: u8 = 1;
/// The byte at [`VERSION_TYPE`] of version 2's advertisements.
pub const ADVERTISEMENT_V2: u8 = 0x21;
/// The byte at [`VERSION_TYPE`] of version 3's advertisements.
pub const ADVERTISEMENT_V3: u8 = 0x31;
/// Bits of the word at [`INTERVAL_V3`] that are the interval.
pub const INTERVAL_V3_BITS: u16 = 0x0fff;
/// Length of the longest packet that [`write()`] makes: 255 addresses of IPv6.
pub const PACKET_LEN_MAX: usize = ipv6::LEN + ADDRESSES + 255 * 16;

/// "Don't fragment", in the high byte of [`ipv4::FRAGMENT`].
const DONT_FRAGMENT: u8 = 0x40;

/// Version of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// RFC 3768.
    V2,
    /// RFC 9568.
    V3,
}

/// What a version 3 checksum covers; version 2's covers the message alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coverage {
    /// The message and a pseudo-header, as RFC 5798 is read by keepalived, FRR and Wireshark.
    PseudoHeader,
    /// The message alone (RFC 9568 §5.2.8).
    Message,
}

/// An advertisement as received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advert<'a> {
    /// Version of the protocol.
    pub version: Version,
    /// Number of the virtual router.
    pub virtual_router: u8,
    /// Priority of the sender; 0: it stops being Active.
    pub priority: u8,
    /// Time to the sender's next advertisement, never zero.
    pub interval: Duration,
    /// Version 2's kind of authentication; 0, and always in version 3: none.
    pub authentication: u8,
    addresses: &'a [u8],
    is_v6: bool,
}

impl<'a> Advert<'a> {
    /// The virtual addresses, at least one, in the order of the message; all of them are of the family of its packet.
    pub fn addresses(&self) -> impl ExactSizeIterator<Item = IpAddr> + Clone + use<'a> {
        let width = width(self.is_v6);
        self.addresses.chunks_exact(width).map(|bytes| {
            if let Some(bytes) = bytes.first_chunk::<16>() {
                return IpAddr::V6(Ipv6Addr::from_octets(*bytes));
            }
            let bytes = bytes.first_chunk::<4>().copied().unwrap_or_default();
            IpAddr::V4(Ipv4Addr::from_octets(bytes))
        })
    }
}

/// Bytes of an address.
const fn width(is_v6: bool) -> usize {
    if is_v6 { 16 } else { 4 }
}

/// Why bytes are no advertisement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// The length is not that of a message with as many addresses as it says.
    Length {
        /// Bytes that were there.
        got: usize,
        /// Bytes that a message with this head has; the head's own length where not even that was there.
        expected: usize,
    },
    /// Neither version 3 nor, over IPv4, version 2.
    Version(u8),
    /// No advertisement.
    Type(u8),
    /// The checksum is wrong, with and without a pseudo-header.
    Checksum,
    /// It lists no address, and must be ignored (RFC 9568 §5.2.5).
    NoAddress,
    /// Its interval is zero, which no timer can follow.
    NoInterval,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length { got, expected } => {
                write!(f, "length {got}, expected {expected}")
            }
            Self::Version(version) => {
                write!(f, "version {version}, expected 3, over IPv4 also 2")
            }
            Self::Type(kind) => write!(f, "type {kind}, expected {ADVERTISEMENT}"),
            Self::Checksum => f.write_str("wrong checksum"),
            Self::NoAddress => f.write_str("no address"),
            Self::NoInterval => f.write_str("interval 0"),
        }
    }
}

impl core::error::Error for Malformed {}

/// Reads the message of a packet of protocol [`ipv4::VRRP`]: what stands between its header and its
/// total length, so that no padding of Ethernet is left.
///
/// Over IPv4 version 3's checksum may cover a pseudo-header of `source` and `destination` or not, over IPv6 it does;
/// reserved bits are ignored (RFC 9568 §5.2). Time to live, authentication and whether the virtual router is one of ours
/// are the caller's to check.
///
/// # Errors
/// A [`Malformed`]. The length must be exact: bytes behind a message belong to some extension of it that
/// changes what it means, such as keepalived's HMAC, and whose sender does not accept ours either.
pub fn parse(message: &[u8], source: IpAddr, destination: IpAddr) -> Result<Advert<'_>, Malformed> {
    let is_v6 = source.is_ipv6();
    let too_short = Malformed::Length {
        got: message.len(),
        expected: ADDRESSES,
    };
    let (head, rest) = message.split_first_chunk::<ADDRESSES>().ok_or(too_short)?;
    let version = match head[VERSION_TYPE] >> 4 {
        2 if !is_v6 => Version::V2,
        3 => Version::V3,
        other => return Err(Malformed::Version(other)),
    };
    let kind = head[VERSION_TYPE] & 0x0f;
    if kind != ADVERTISEMENT {
        return Err(Malformed::Type(kind));
    }
    let list = usize::from(head[COUNT]) * width(is_v6);
    let expected = message_len(version, list);
    if message.len() != expected {
        let got = message.len();
        return Err(Malformed::Length { got, expected });
    }
    if !has_good_checksum(version, message, source, destination) {
        return Err(Malformed::Checksum);
    }
    if list == 0 {
        return Err(Malformed::NoAddress);
    }
    let interval = match version {
        Version::V2 => Duration::from_secs(u64::from(head[INTERVAL_V2])),
        Version::V3 => {
            let word = u16::from_be_bytes([head[INTERVAL_V3], head[INTERVAL_V3 + 1]]);
            Duration::from_millis(u64::from(word & INTERVAL_V3_BITS) * 10)
        }
    };
    if interval.is_zero() {
        return Err(Malformed::NoInterval);
    }
    Ok(Advert {
        version,
        virtual_router: head[VIRTUAL_ROUTER],
        priority: head[PRIORITY],
        interval,
        authentication: match version {
            Version::V2 => head[AUTHENTICATION],
            Version::V3 => 0,
        },
        addresses: &rest[..list],
        is_v6,
    })
}

const fn message_len(version: Version, list: usize) -> usize {
    match version {
        Version::V2 => ADDRESSES + list + AUTHENTICATION_LEN,
        Version::V3 => ADDRESSES + list,
    }
}

fn has_good_checksum(
    version: Version,
    message: &[u8],
    source: IpAddr,
    destination: IpAddr,
) -> bool {
    let sum = sum(0, message);
    let with_pseudo_header = || pseudo_header(sum, source, destination, message.len());
    source.is_ipv4() && checksum::finish(sum) == 0
        || version == Version::V3 && checksum::finish(with_pseudo_header()) == 0
}

/// Adds big-endian words; an odd byte counts as if a zero followed.
fn sum(sum: u32, bytes: &[u8]) -> u32 {
    let (words, rest) = bytes.as_chunks::<2>();
    let words = words.iter().map(|word| u16::from_be_bytes(*word));
    let last = rest.first().map(|byte| u16::from_be_bytes([*byte, 0]));
    words.chain(last).fold(sum, checksum::add)
}

/// Adds RFC 9568 §5.2.8's pseudo-header.
fn pseudo_header(sum_of: u32, source: IpAddr, destination: IpAddr, len: usize) -> u32 {
    // Lengths beyond 16 bits do not come from packets; cut, they only make a wrong checksum.
    let len = u16::try_from(len).unwrap_or(u16::MAX);
    let addresses = add_address(add_address(sum_of, source), destination);
    checksum::add(checksum::add(addresses, u16::from(ipv4::VRRP)), len)
}

fn add_address(sum_of: u32, address: IpAddr) -> u32 {
    match address {
        IpAddr::V4(address) => sum(sum_of, &address.octets()),
        IpAddr::V6(address) => sum(sum_of, &address.octets()),
    }
}

/// An advertisement to be sent; all its addresses are of one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outgoing<'a> {
    /// The sender's own address; with IPv6 its link-local one.
    pub source: IpAddr,
    /// [`GROUP`], [`GROUP6`] or a peer.
    pub destination: IpAddr,
    /// Version of the protocol.
    pub version: Version,
    /// Number of the virtual router.
    pub virtual_router: u8,
    /// The sender's priority; 0: it stops being Active.
    pub priority: u8,
    /// Time to the next advertisement: in version 2 1 s to 255 s in whole seconds, in version 3 10 ms to
    /// 40.95 s in steps of 10 ms.
    pub interval: Duration,
    /// The virtual addresses, 1 to 255.
    pub addresses: &'a [IpAddr],
    /// What version 3's checksum covers; of no meaning in version 2, nor with IPv6.
    pub coverage: Coverage,
}

/// Why an advertisement was not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteError {
    /// The buffer has fewer bytes than the packet, this many.
    Buffer {
        /// Length of the packet.
        needed: usize,
    },
    /// The version has no way to say this interval.
    Interval(Duration),
    /// Not 1 to 255 addresses.
    Addresses(usize),
    /// Addresses of both families, or version 2 with IPv6.
    Family,
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Buffer { needed } => write!(f, "the packet needs `{needed}` bytes"),
            Self::Interval(interval) => {
                write!(
                    f,
                    "interval `{interval:?}` does not fit the protocol's field"
                )
            }
            Self::Addresses(count) => {
                write!(f, "`{count}` addresses, expected 1 to 255")
            }
            Self::Family => f.write_str("addresses of both families, or of IPv6 in version 2"),
        }
    }
}

impl core::error::Error for WriteError {}

/// Writes a whole packet, header included, and returns its length; the rest of the buffer is left.
///
/// With IPv4 "don't fragment" is set and the identification is 0 (RFC 6864 §4.1): a part of an advertisement is
/// of no use to anybody, and XDP programs, evenkeel's among them, don't look into fragments.
///
/// # Errors
/// What does not fit; the buffer is then as it was. [`PACKET_LEN_MAX`] bytes are always enough.
pub fn write(advert: &Outgoing<'_>, buffer: &mut [u8]) -> Result<usize, WriteError> {
    let wrong_count = WriteError::Addresses(advert.addresses.len());
    let count = u8::try_from(advert.addresses.len()).map_err(|_too_many| wrong_count)?;
    if count == 0 {
        return Err(wrong_count);
    }
    let (version_type, [first, second]) = match advert.version {
        Version::V2 => (ADVERTISEMENT_V2, seconds(advert.interval)?),
        Version::V3 => (ADVERTISEMENT_V3, centiseconds(advert.interval)?),
    };
    let is_v6 = advert.source.is_ipv6();
    let mut all = advert.addresses.iter().chain([&advert.destination]);
    if all.any(|address| address.is_ipv6() != is_v6) || is_v6 && advert.version == Version::V2 {
        return Err(WriteError::Family);
    }
    let len = message_len(advert.version, advert.addresses.len() * width(is_v6));
    let header_len = if is_v6 { ipv6::LEN } else { ipv4::MIN_LEN };
    let needed = header_len + len;
    let (header, message) = buffer
        .get_mut(..needed)
        .and_then(|packet| packet.split_at_mut_checked(header_len))
        .ok_or(WriteError::Buffer { needed })?;
    match (advert.source, advert.destination) {
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            header.copy_from_slice(&ipv6_header(source, destination, advert, len)?);
        }
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            header.copy_from_slice(&ipv4_header(source, destination, advert, len)?);
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => {
            return Err(WriteError::Family);
        }
    }
    let head = [
        version_type,
        advert.virtual_router,
        advert.priority,
        count,
        first,
        second,
        0,
        0,
    ];
    message[..ADDRESSES].copy_from_slice(&head);
    let mut at = ADDRESSES;
    for address in advert.addresses {
        let bytes = match address {
            IpAddr::V4(address) => &address.octets()[..],
            IpAddr::V6(address) => &address.octets()[..],
        };
        message[at..at + bytes.len()].copy_from_slice(bytes);
        at += bytes.len();
    }
    message[at..].fill(0);
    let mut sum = sum(0, message);
    if is_v6 || advert.version == Version::V3 && advert.coverage == Coverage::PseudoHeader {
        sum = pseudo_header(sum, advert.source, advert.destination, len);
    }
    message[CHECKSUM..CHECKSUM + 2].copy_from_slice(&checksum::finish(sum).to_be_bytes());
    Ok(needed)
}

/// Authentication type 0 and the interval, as version 2 has them.
fn seconds(interval: Duration) -> Result<[u8; 2], WriteError> {
    match u8::try_from(interval.as_secs()) {
        Ok(seconds) if seconds > 0 && interval.subsec_nanos() == 0 => Ok([0, seconds]),
        Ok(_) | Err(_) => Err(WriteError::Interval(interval)),
    }
}

/// Reserved bits and the interval, as version 3 has them.
fn centiseconds(interval: Duration) -> Result<[u8; 2], WriteError> {
    const NANOS: u128 = 10_000_000;
    match u16::try_from(interval.as_nanos() / NANOS) {
        Ok(count @ 1..=INTERVAL_V3_BITS) if interval.as_nanos().is_multiple_of(NANOS) => {
            Ok(count.to_be_bytes())
        }
        Ok(_) | Err(_) => Err(WriteError::Interval(interval)),
    }
}

fn ipv4_header(
    source: Ipv4Addr,
    destination: Ipv4Addr,
    advert: &Outgoing<'_>,
    len: usize,
) -> Result<[u8; ipv4::MIN_LEN], WriteError> {
    let total = u16::try_from(ipv4::MIN_LEN + len)
        .map_err(|_too_long| WriteError::Addresses(advert.addresses.len()))?;
    let mut header = [0; ipv4::MIN_LEN];
    header[ipv4::VERSION_IHL..ipv4::VERSION_IHL + 2].copy_from_slice(&[0x45, TOS]);
    header[ipv4::TOTAL_LENGTH..ipv4::TOTAL_LENGTH + 2].copy_from_slice(&total.to_be_bytes());
    header[ipv4::FRAGMENT] = DONT_FRAGMENT;
    header[ipv4::TTL..ipv4::TTL + 2].copy_from_slice(&[TTL, ipv4::VRRP]);
    header[ipv4::SOURCE..ipv4::SOURCE + 4].copy_from_slice(&source.octets());
    header[ipv4::DESTINATION..ipv4::DESTINATION + 4].copy_from_slice(&destination.octets());
    let checksum = checksum::finish(sum(0, &header));
    header[ipv4::CHECKSUM..ipv4::CHECKSUM + 2].copy_from_slice(&checksum.to_be_bytes());
    Ok(header)
}

fn ipv6_header(
    source: Ipv6Addr,
    destination: Ipv6Addr,
    advert: &Outgoing<'_>,
    len: usize,
) -> Result<[u8; ipv6::LEN], WriteError> {
    let len =
        u16::try_from(len).map_err(|_too_long| WriteError::Addresses(advert.addresses.len()))?;
    let mut header = [0; ipv6::LEN];
    // The traffic class stands across two bytes.
    header[ipv6::VERSION..ipv6::VERSION + 2].copy_from_slice(&[0x60 | TOS >> 4, TOS << 4]);
    header[ipv6::PAYLOAD_LENGTH..ipv6::PAYLOAD_LENGTH + 2].copy_from_slice(&len.to_be_bytes());
    header[ipv6::NEXT_HEADER..ipv6::NEXT_HEADER + 2].copy_from_slice(&[ipv4::VRRP, TTL]);
    header[ipv6::SOURCE..ipv6::SOURCE + 16].copy_from_slice(&source.octets());
    header[ipv6::DESTINATION..ipv6::DESTINATION + 16].copy_from_slice(&destination.octets());
    Ok(header)
}

#[cfg(test)]
mod tests;
