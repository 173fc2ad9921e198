//! Receiving with the kernel's time of arrival, which does not depend on when the reader ran.

use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd as _};
use std::time::{Duration, Instant, SystemTime};

use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg, setsockopt, sockopt};
use nix::sys::time::TimeSpec;

/// Room for packets that their reader is late to read, in bytes: thousands of them.
const BUFFER: usize = 8 << 20;

/// Makes a socket note the time of arrival and keep what is read late. To be called before the first
/// packet can come.
pub(crate) fn prepare(socket: &impl AsFd) -> io::Result<()> {
    setsockopt(socket, sockopt::RcvBufForce, &BUFFER)?;
    Ok(setsockopt(socket, sockopt::ReceiveTimestampns, &true)?)
}

/// Receives a packet, waiting as the socket is set to: the bytes that fitted, and when they came.
pub(crate) fn receive(socket: &impl AsFd, buffer: &mut [u8]) -> io::Result<(usize, Instant)> {
    let mut data = [IoSliceMut::new(buffer)];
    let mut control = nix::cmsg_space!(TimeSpec);
    let message = recvmsg::<()>(
        socket.as_fd().as_raw_fd(),
        &mut data,
        Some(&mut control),
        MsgFlags::empty(),
    )?;
    let stamp = message.cmsgs()?.find_map(|control| {
        if let ControlMessageOwned::ScmTimestampns(stamp) = control {
            Some(Duration::from(stamp))
        } else {
            None
        }
    });
    let came = stamp.map_or_else(Instant::now, instant_of);
    Ok((message.bytes, came))
}

/// When that was, by another clock: of what the kernel stamped, its age is the same on both.
#[must_use]
pub fn instant_of(stamp: Duration) -> Instant {
    // Whoever is interrupted between the clocks gets the age wrong by as much: the closest reading counts.
    let readings = (0..3).map(|_| {
        let before = Instant::now();
        let wall = SystemTime::now();
        (before.elapsed(), before, wall)
    });
    let Some((_, now, wall)) = readings.min_by_key(|(apart, ..)| *apart) else {
        return Instant::now();
    };
    let age = wall.duration_since(SystemTime::UNIX_EPOCH);
    let age = age.map_or(Duration::ZERO, |since_1970| {
        since_1970.saturating_sub(stamp)
    });
    now.checked_sub(age).unwrap_or(now)
}
