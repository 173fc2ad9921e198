//! The encrypted part: what has been received, how late it is, and a part of the stream or the sender's status.

use core::time::Duration;

use super::{
    DATAGRAM_LEN_MAX, Input, Malformed, Output, Reader, Routers, SEALED_HEAD_LEN, SEGMENT_LEN_MAX,
    TAG_LEN,
};

/// Segments beyond the next one that a frame can acknowledge.
pub const BEYOND: u64 = 64;
/// Bytes of the longest frame.
pub const FRAME_LEN_MAX: usize = DATAGRAM_LEN_MAX - SEALED_HEAD_LEN - TAG_LEN;
/// Bytes of the longest status.
pub const STATUS_LEN_MAX: usize = 4 + 4 + 8 + 8 + 1 + 1 + 255;
/// Bytes before status and segment.
pub(super) const HEAD_LEN: usize = 1 + 8 + 8 + 4 + 4 + 4;
/// Bytes of a segment's number.
pub(super) const NUMBER_LEN: usize = 8;

const ECHO: u8 = 1;
const STATUS: u8 = 2;
const SEGMENT: u8 = 4;

/// What the sender says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// Every change that was there this long ago, the receiver has acknowledged. Told in microseconds, rounded up; more
    /// than 71 minutes are told as that.
    pub behind: Duration,
    /// Records that it has not acknowledged.
    pub outstanding: u32,
    /// Segments that have been sent at least once.
    pub sent: u64,
    /// Digest of that part of the configuration that both directors must have alike.
    pub digest: u64,
    /// The virtual routers that the sender is Active for.
    pub active: Routers,
    /// Those that it asks their Active to hand over to it; none that it is Active for is written.
    pub wanted: Routers,
}

/// A part of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentRef<'a> {
    /// Its number; the first is 0.
    pub number: u64,
    /// Its items, as a [`Writer`](super::Writer) packs them; at most [`SEGMENT_LEN_MAX`] bytes.
    pub items: &'a [u8],
}

/// The encrypted part of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// All segments before this one have been received.
    pub next: u64,
    /// Bit `i`: segment `next + 1 + i` has been received too.
    pub beyond: u64,
    /// The sender's clock in microseconds, modulo 2^32.
    pub stamp: u32,
    /// The receiver's clock, as the sender reckons it from the last stamp that it heard and the time since then;
    /// `None`: it has heard none.
    pub echo: Option<u32>,
    /// The highest counter of the receiver's datagrams that the sender has opened, modulo 2^32; of no meaning without
    /// an echo.
    pub heard: u32,
    /// The sender's status.
    pub status: Option<Status>,
    /// A segment.
    pub segment: Option<SegmentRef<'a>>,
}

/// Writes a frame; returns its length, `None` if the buffer is too short.
#[must_use]
pub fn write_frame(frame: &Frame<'_>, buffer: &mut [u8]) -> Option<usize> {
    let mut output = Output::new(buffer);
    let flag = |is_there: bool, flag: u8| if is_there { flag } else { 0 };
    let flags = flag(frame.echo.is_some(), ECHO)
        | flag(frame.status.is_some(), STATUS)
        | flag(frame.segment.is_some(), SEGMENT);
    output.put(&[flags]);
    output.put(&frame.next.to_be_bytes());
    output.put(&frame.beyond.to_be_bytes());
    output.put(&frame.stamp.to_be_bytes());
    output.put(&frame.echo.unwrap_or_default().to_be_bytes());
    output.put(&frame.heard.to_be_bytes());
    if let Some(status) = &frame.status {
        let behind = status.behind.as_nanos().div_ceil(1_000);
        let behind = u32::try_from(behind).unwrap_or(u32::MAX);
        output.put(&behind.to_be_bytes());
        output.put(&status.outstanding.to_be_bytes());
        output.put(&status.sent.to_be_bytes());
        output.put(&status.digest.to_be_bytes());
        for routers in [status.active, status.wanted.without(status.active)] {
            output.put(&[routers.len()]);
            routers.iter().for_each(|id| output.put(&[id]));
        }
    }
    if let Some(segment) = &frame.segment {
        output.put(&segment.number.to_be_bytes());
        output.put(segment.items);
    }
    output.written()
}

/// Reads a frame, every item of its segment included.
///
/// # Errors
/// A [`Malformed`].
pub fn parse_frame(bytes: &[u8]) -> Result<Frame<'_>, Malformed> {
    let mut input = Input(bytes);
    let flags = input.u8()?;
    if flags & !(ECHO | STATUS | SEGMENT) != 0 {
        return Err(Malformed::Unknown(flags));
    }
    let next = input.u64()?;
    let beyond = input.u64()?;
    let stamp = input.u32()?;
    let echo = input.u32()?;
    let heard = input.u32()?;
    let status = match flags & STATUS {
        0 => None,
        _ => Some(status(&mut input)?),
    };
    let segment = match flags & SEGMENT {
        0 => None,
        _ => Some(segment(&mut input)?),
    };
    input.end()?;
    if flags & ECHO == 0 && echo != 0 {
        return Err(Malformed::Range);
    }
    Ok(Frame {
        next,
        beyond,
        stamp,
        echo: (flags & ECHO != 0).then_some(echo),
        heard,
        status,
        segment,
    })
}

fn status(input: &mut Input<'_>) -> Result<Status, Malformed> {
    let behind = Duration::from_micros(input.u32()?.into());
    let outstanding = input.u32()?;
    let sent = input.u64()?;
    let digest = input.u64()?;
    let active = routers(input)?;
    let wanted = routers(input)?;
    if wanted.without(active) != wanted {
        return Err(Malformed::Range);
    }
    Ok(Status {
        behind,
        outstanding,
        sent,
        digest,
        active,
        wanted,
    })
}

fn routers(input: &mut Input<'_>) -> Result<Routers, Malformed> {
    let count = input.u8()?;
    let ids = input.take(count.into())?;
    let rises = ids.windows(2).all(|pair| pair[0] < pair[1]);
    if !rises || ids.first() == Some(&0) {
        return Err(Malformed::Range);
    }
    Ok(ids.iter().copied().collect())
}

fn segment<'a>(input: &mut Input<'a>) -> Result<SegmentRef<'a>, Malformed> {
    let number = input.u64()?;
    let items = input.take(input.0.len())?;
    if items.is_empty() || items.len() > SEGMENT_LEN_MAX {
        return Err(Malformed::Length);
    }
    Reader::check(items)?;
    Ok(SegmentRef { number, items })
}
