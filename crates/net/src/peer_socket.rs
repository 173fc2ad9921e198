//! The socket of connection sync: UDP datagrams of other directors.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;

/// Room for datagrams that nobody has read yet, in bytes: a burst of a hundred thousand connections.
const BUFFER: usize = 4 << 20;

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
pub enum PeerSocketError {
    /// Another program has the port, or the host has no IP.
    #[error("cannot listen on UDP port {port}")]
    Listen {
        /// The port.
        port: u16,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
}

/// A UDP socket on a port of all addresses, of both families where the host has IPv6.
#[derive(Debug)]
pub struct PeerSocket {
    socket: UdpSocket,
    is_v6: bool,
}

impl PeerSocket {
    /// Opens it; to be called within a tokio runtime.
    ///
    /// # Errors
    /// [`PeerSocketError`].
    pub fn open(port: u16) -> Result<Self, PeerSocketError> {
        let failed = |source| PeerSocketError::Listen { port, source };
        match bound(SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port)) {
            Ok(socket) => Ok(Self {
                socket,
                is_v6: true,
            }),
            // IPv6 is not built in, or switched off.
            Err(error)
                if matches!(
                    error.raw_os_error(),
                    Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL)
                ) =>
            {
                let address = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port);
                let socket = bound(address).map_err(failed)?;
                Ok(Self {
                    socket,
                    is_v6: false,
                })
            }
            Err(error) => Err(failed(error)),
        }
    }

    /// Waits for a datagram; its length and whom it comes from. It may be called anew at any time: nothing is lost.
    ///
    /// # Errors
    /// The kernel's answer; that the port of a peer is closed is one.
    pub async fn receive(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.socket.recv_from(buffer).await.map(plain)
    }

    /// The next datagram that has come already.
    ///
    /// # Errors
    /// As [`receive`](Self::receive); `WouldBlock`: there is none.
    pub fn try_receive(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.socket.try_recv_from(buffer).map(plain)
    }

    /// Sends a datagram, if there is room for it in the socket's buffer.
    ///
    /// # Errors
    /// The kernel's answer; `WouldBlock`: there is no room.
    pub fn send(&self, datagram: &[u8], to: SocketAddr) -> io::Result<()> {
        let to = match to.ip() {
            IpAddr::V4(address) if self.is_v6 => {
                SocketAddr::new(address.to_ipv6_mapped().into(), to.port())
            }
            IpAddr::V4(_) | IpAddr::V6(_) => to,
        };
        self.socket.try_send_to(datagram, to).map(|_sent| ())
    }
}

/// The sender's address as it is, not as IPv6 shows one of IPv4.
fn plain((len, from): (usize, SocketAddr)) -> (usize, SocketAddr) {
    (len, SocketAddr::new(from.ip().to_canonical(), from.port()))
}

fn bound(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::DGRAM.nonblocking().cloexec(),
        Some(Protocol::UDP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    // The kernel gives as much as net.core.rmem_max and wmem_max allow.
    socket.set_recv_buffer_size(BUFFER)?;
    socket.set_send_buffer_size(BUFFER)?;
    socket.bind(&address.into())?;
    UdpSocket::from_std(socket.into())
}

#[cfg(test)]
mod tests;
