//! The same addresses for one thread without a runtime: netlink that waits for its answers.

use std::io;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use netlink_packet_route::address::AddressMessage;
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use nix::net::if_::if_indextoname;
use rtnetlink::packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload,
};
use rtnetlink::sys::protocols::NETLINK_ROUTE;
use rtnetlink::sys::{Socket, SocketAddr};
use socket2::SockRef;

use crate::address::{AddressError, held, host_prefix, host_prefix_length, virtual_address};
use crate::datagram;
use crate::netlink::{OpenError, RequestError};

/// Longest wait for an answer, which the kernel has ready when the request returns.
const PATIENCE: Duration = Duration::from_secs(1);

/// Larger than any datagram that the kernel makes for this socket.
const DATAGRAM_MAX: usize = 32 * 1024;

/// Adds and removes virtual addresses on one interface each, from one thread.
///
/// It lives in the network namespace of the thread that opened it. Every call waits for the kernel:
/// for its answer at most a second, and before that as long as others hold its one lock for network
/// configuration (rtnl), which no time limit can cut short.
#[derive(Debug)]
pub struct AddressSocket {
    socket: Socket,
    sequence: u32,
    datagram: Vec<u8>,
}

/// How an address stands on an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Absent,
    Ours,
    Foreign,
}

impl AddressSocket {
    /// Opens a netlink socket in the calling thread's network namespace.
    pub fn open() -> Result<Self, OpenError> {
        let opened = || {
            let mut socket = Socket::new(NETLINK_ROUTE)?;
            socket.bind_auto()?;
            // To the kernel, which then refuses what other processes send us.
            socket.connect(&SocketAddr::new(0, 0))?;
            // Has a dump keep to the interface that it asks for.
            socket.set_netlink_get_strict_chk(true)?;
            SockRef::from(&socket).set_read_timeout(Some(PATIENCE))?;
            Ok(socket)
        };
        Ok(Self {
            socket: opened().map_err(OpenError::Socket)?,
            sequence: 0,
            datagram: Vec::with_capacity(DATAGRAM_MAX),
        })
    }

    /// Adds the address to the interface as a host prefix (/32, /128), marked as evenkeel's.
    ///
    /// Does nothing where evenkeel's mark is on it there already; fails with [`AddressError::Taken`]
    /// where somebody else added it. Other interfaces do not matter.
    pub fn add(&mut self, link: u32, address: IpAddr) -> Result<(), AddressError> {
        let failed = |source| AddressError::Add { address, source };
        let message = RouteNetlinkMessage::NewAddress(virtual_address(link, address));
        match self.request(message, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, |_| {}) {
            Ok(()) => Ok(()),
            Err(error) if error.is(libc::EEXIST) => match self.standing(link, address)? {
                Standing::Ours => Ok(()),
                Standing::Foreign => Err(AddressError::Taken {
                    address,
                    link: label(link),
                }),
                // Removed by somebody between the two.
                Standing::Absent => Err(failed(error)),
            },
            Err(error) => Err(failed(error)),
        }
    }

    /// Removes the address from the interface if evenkeel added it there.
    ///
    /// Does nothing where the interface does not have it or is gone; fails with
    /// [`AddressError::NotOurs`] where somebody else added it. Other addresses and interfaces are left
    /// alone.
    pub fn remove(&mut self, link: u32, address: IpAddr) -> Result<(), AddressError> {
        // The kernel can't be asked to remove only what carries a mark, so it is looked for first.
        match self.standing(link, address)? {
            Standing::Absent => return Ok(()),
            Standing::Ours => {}
            Standing::Foreign => {
                return Err(AddressError::NotOurs {
                    address,
                    link: label(link),
                });
            }
        }
        let message = RouteNetlinkMessage::DelAddress(host_prefix(link, address));
        match self.request(message, NLM_F_ACK, |_| {}) {
            // EADDRNOTAVAIL, ENODEV: somebody was faster.
            Err(error) if !error.is(libc::EADDRNOTAVAIL) && !error.is(libc::ENODEV) => {
                Err(AddressError::Remove {
                    address,
                    source: error,
                })
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn standing(&mut self, link: u32, address: IpAddr) -> Result<Standing, AddressError> {
        let mut ask = AddressMessage::default();
        ask.header.family = match address {
            IpAddr::V4(_) => AddressFamily::Inet,
            IpAddr::V6(_) => AddressFamily::Inet6,
        };
        ask.header.index = link;
        let mut standing = Standing::Absent;
        let asked = self.request(
            RouteNetlinkMessage::GetAddress(ask),
            NLM_F_DUMP,
            |message| {
                if let RouteNetlinkMessage::NewAddress(message) = message
                    && let Some(held) = held(message)
                    && held.link == link
                    && held.address == address
                    && held.prefix.length == host_prefix_length(address)
                {
                    standing = if held.ours {
                        Standing::Ours
                    } else {
                        Standing::Foreign
                    };
                }
            },
        );
        match asked {
            Ok(()) => Ok(standing),
            Err(error) if error.is(libc::ENODEV) => Ok(Standing::Absent),
            Err(error) => Err(AddressError::List(error)),
        }
    }

    /// Sends one request and reads its answers up to the last.
    fn request(
        &mut self,
        message: RouteNetlinkMessage,
        flags: u16,
        each: impl FnMut(&RouteNetlinkMessage),
    ) -> Result<(), RequestError> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut message = NetlinkMessage::from(message);
        message.header.flags = NLM_F_REQUEST | flags;
        message.header.sequence_number = self.sequence;
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        self.socket.send(&bytes, 0).map_err(RequestError::from_io)?;
        self.read_answers(each)
    }

    fn read_answers(
        &mut self,
        mut each: impl FnMut(&RouteNetlinkMessage),
    ) -> Result<(), RequestError> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            self.datagram.clear();
            match self.socket.recv(&mut self.datagram, 0) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(RequestError::from_io(error)),
            }
            for message in datagram::messages(&self.datagram) {
                // An answer to an earlier request came too late.
                if message.header.sequence_number != self.sequence {
                    continue;
                }
                if let NetlinkPayload::InnerMessage(message) = &message.payload {
                    each(message);
                } else if let NetlinkPayload::Error(answer) = &message.payload {
                    return outcome(answer.raw_code());
                } else if let NetlinkPayload::Done(answer) = &message.payload {
                    return outcome(answer.code);
                }
            }
        }
        Err(RequestError::Failed(io::Error::new(
            io::ErrorKind::TimedOut,
            "the kernel did not answer within a second",
        )))
    }
}

/// What the code at the end of an answer says: 0, or a negative `errno`.
fn outcome(code: i32) -> Result<(), RequestError> {
    if code == 0 {
        return Ok(());
    }
    let error = io::Error::from_raw_os_error(code.saturating_neg());
    Err(RequestError::from_io(error))
}

fn label(link: u32) -> String {
    if_indextoname(link).map_or_else(
        |_gone| format!("number {link}"),
        |name| name.to_string_lossy().into_owned(),
    )
}
