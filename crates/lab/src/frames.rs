//! A packet socket at a node's interface.

use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::time::{Duration, Instant};

use crate::stamped::instant_of;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    ControlMessageOwned, LinkAddr, MsgFlags, bind, recvmsg, send, setsockopt, sockopt,
};
use nix::sys::time::TimeSpec;
use socket2::{Domain, Protocol, SockFilter, Socket, Type};

/// Room for frames that are read late, in bytes: tens of thousands of them.
const BUFFER: usize = 64 << 20;

/// Takes the frames that the interface receives and sends and a filter lets through.
#[derive(Debug)]
pub struct Frames {
    socket: Socket,
    mac: [u8; 6],
}

impl Frames {
    /// A socket on the node of the calling thread.
    ///
    /// # Errors
    /// The calling thread is in no node.
    pub fn open(filter: &[SockFilter]) -> io::Result<Self> {
        let every = Protocol::from(i32::from(
            u16::try_from(libc::ETH_P_ALL).unwrap_or(0).to_be(),
        ));
        let socket = Socket::new(Domain::PACKET, Type::RAW, Some(every))?;
        socket.attach_filter(filter)?;
        setsockopt(&socket, sockopt::RcvBufForce, &BUFFER)?;
        setsockopt(&socket, sockopt::ReceiveTimestampns, &true)?;
        let link = interface()?;
        let mac = link.addr().ok_or(io::ErrorKind::NotFound)?;
        // The address names no protocol, so that of the socket stays.
        bind(socket.as_raw_fd(), &link)?;
        Ok(Self { socket, mac })
    }

    /// The interface's hardware address.
    #[must_use]
    pub const fn mac(&self) -> [u8; 6] {
        self.mac
    }

    /// Sends a frame.
    ///
    /// # Errors
    /// The link is down.
    pub fn send(&self, frame: &[u8]) -> io::Result<()> {
        send(self.socket.as_raw_fd(), frame, MsgFlags::empty())?;
        Ok(())
    }

    /// Waits for a frame, at most that long: its length, and when it passed by the kernel's stamp.
    ///
    /// # Errors
    /// The socket failed.
    pub fn receive(
        &self,
        frame: &mut [u8],
        wait: Duration,
    ) -> io::Result<Option<(usize, Instant)>> {
        let wait = PollTimeout::try_from(wait).unwrap_or(PollTimeout::ZERO);
        match poll(
            &mut [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)],
            wait,
        ) {
            Ok(0) | Err(Errno::EINTR) => return Ok(None),
            Ok(_) => {}
            Err(error) => return Err(error.into()),
        }
        let mut data = [IoSliceMut::new(frame)];
        let mut control = nix::cmsg_space!(TimeSpec);
        let fd = self.socket.as_raw_fd();
        match recvmsg::<()>(fd, &mut data, Some(&mut control), MsgFlags::MSG_DONTWAIT) {
            Ok(message) => {
                let stamp = message.cmsgs()?.find_map(|control| {
                    if let ControlMessageOwned::ScmTimestampns(stamp) = control {
                        Some(Duration::from(stamp))
                    } else {
                        None
                    }
                });
                Ok(Some((
                    message.bytes,
                    stamp.map_or_else(Instant::now, instant_of),
                )))
            }
            // The interface went down and the socket tells once.
            Err(Errno::EAGAIN | Errno::EINTR | Errno::ENETDOWN) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// The interface of the calling thread's node.
///
/// # Errors
/// The calling thread is in no node.
pub fn interface() -> io::Result<LinkAddr> {
    let mut addresses = nix::ifaddrs::getifaddrs()?.filter(|held| held.interface_name == "eth0");
    let link = addresses.find_map(|held| held.address?.as_link_addr().copied());
    link.ok_or_else(|| io::ErrorKind::NotFound.into())
}

/// Steps of classic BPF programs (linux/bpf_common.h).
pub mod filter {
    use socket2::SockFilter;

    const LOAD: u16 = 0x20;
    const LOAD_HALF: u16 = 0x28;
    const LOAD_BYTE: u16 = 0x30;
    /// From X on.
    const LOAD_BYTE_AFTER: u16 = 0x50;
    /// X becomes the length of the IP header that begins there.
    const LOAD_HEADER_LENGTH: u16 = 0xb1;
    const JUMP_EQUAL: u16 = 0x15;
    const JUMP_SET: u16 = 0x45;
    const RETURN: u16 = 0x06;

    const fn step(code: u16, k: u32) -> SockFilter {
        SockFilter::new(code, 0, 0, k)
    }

    /// Loads 4 bytes at that offset.
    #[must_use]
    pub const fn word(offset: u32) -> SockFilter {
        step(LOAD, offset)
    }

    /// Loads 2 bytes.
    #[must_use]
    pub const fn half(offset: u32) -> SockFilter {
        step(LOAD_HALF, offset)
    }

    /// Loads 1 byte.
    #[must_use]
    pub const fn byte(offset: u32) -> SockFilter {
        step(LOAD_BYTE, offset)
    }

    /// Loads 1 byte, so far behind the end of the IP header that [`header_length`] measured.
    #[must_use]
    pub const fn byte_after(offset: u32) -> SockFilter {
        step(LOAD_BYTE_AFTER, offset)
    }

    /// Measures the IP header that begins there.
    #[must_use]
    pub const fn header_length(offset: u32) -> SockFilter {
        step(LOAD_HEADER_LENGTH, offset)
    }

    /// Skips as many steps, by whether what was loaded is that.
    #[must_use]
    pub const fn equal(value: u32, yes: u8, no: u8) -> SockFilter {
        SockFilter::new(JUMP_EQUAL, yes, no, value)
    }

    /// Skips as many steps, by whether any of these bits is set.
    #[must_use]
    pub const fn any_of(bits: u32, yes: u8, no: u8) -> SockFilter {
        SockFilter::new(JUMP_SET, yes, no, bits)
    }

    /// Lets the frame through.
    #[must_use]
    pub const fn accept() -> SockFilter {
        step(RETURN, u32::MAX)
    }

    /// Does not.
    #[must_use]
    pub const fn reject() -> SockFilter {
        step(RETURN, 0)
    }
}
