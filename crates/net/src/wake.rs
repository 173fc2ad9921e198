//! Waiting without a runtime: for sockets, for a deadline, and for another thread.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::eventfd::{EfdFlags, EventFd};

/// File descriptors that [`wait_readable`] takes.
const FDS_MAX: usize = 4;

/// Longest single wait; whoever asks for more is woken once a day for nothing.
const WAIT_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Ends another thread's wait.
#[derive(Clone, Debug)]
pub struct Waker {
    event: Arc<EventFd>,
}

/// What the other thread waits on; readable from the first [`Waker::wake`] to the next
/// [`WakerReader::drain`].
#[derive(Debug)]
pub struct WakerReader {
    event: Arc<EventFd>,
}

impl Waker {
    /// Makes both ends.
    pub fn pair() -> io::Result<(Self, WakerReader)> {
        let flags = EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC;
        let event = Arc::new(EventFd::from_flags(flags)?);
        let reader = WakerReader {
            event: Arc::clone(&event),
        };
        Ok((Self { event }, reader))
    }

    /// Makes the reader readable; never waits.
    pub fn wake(&self) {
        // It fails only where the count is full: then the reader is readable already.
        let _ = self.event.write(1);
    }
}

impl WakerReader {
    /// Forgets all wakes so far. Call it before looking for what the waker announced.
    pub fn drain(&self) {
        // It fails only where nobody has woken us.
        let _ = self.event.read();
    }
}

impl AsFd for WakerReader {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}

/// Waits until one of at most four file descriptors is readable or has failed, or the time is over.
///
/// May return early for nothing (a signal). The kernel adds its timer slack: none to a real-time
/// thread, 50 µs to others. Allocates nothing.
pub fn wait_readable(fds: &[BorrowedFd<'_>], timeout: Option<Duration>) -> io::Result<()> {
    if fds.len() > FDS_MAX {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "too many file descriptors to wait for",
        ));
    }
    let timeout = timeout.map(|timeout| timeout.min(WAIT_MAX).into());
    let waited = if let Some(first) = fds.first() {
        // The places that are left over wait for the first one, too, and are not shown to the kernel.
        let mut polled: [PollFd<'_>; FDS_MAX] = std::array::from_fn(|place| {
            PollFd::new(*fds.get(place).unwrap_or(first), PollFlags::POLLIN)
        });
        let (asked, _left_over) = polled.split_at_mut(fds.len());
        ppoll(asked, timeout, None)
    } else {
        ppoll(&mut [], timeout, None)
    };
    match waited {
        Ok(_) | Err(Errno::EINTR) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}
