//! The UDP echo server of real servers: every datagram goes back to whoever sent it.

use std::convert::Infallible;
use std::ffi::OsString;
use std::io::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::process::ExitCode;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

use crate::{entry, realtime};

/// Longest datagram that is echoed whole, in bytes.
const DATAGRAM_MAX: usize = 2048;

/// The hidden subcommand: `ADDRESS PORT`.
pub(crate) fn run(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    entry::serve("echo server", arguments, |address, port| {
        let address = address.parse().map_err(io::Error::other)?;
        serve_for_ever(SocketAddrV4::new(address, port))
    })
}

fn serve_for_ever(address: SocketAddrV4) -> io::Result<Infallible> {
    // What is measured through it is the way to it, not its turn on a busy processor.
    if let Err(err) = realtime::enter() {
        let _unheard = writeln!(io::stderr(), "lab: echo server without priority: {err}");
    }
    let socket = bind(address)?;
    serve(&socket)
}

/// A socket of that address alone, so that answers carry it as their source. The address need not be
/// there yet.
fn bind(address: SocketAddrV4) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    if *address.ip() != Ipv4Addr::UNSPECIFIED {
        socket.set_freebind_v4(true)?;
    }
    socket.bind(&address.into())?;
    Ok(socket.into())
}

fn serve(socket: &UdpSocket) -> ! {
    let mut datagram = [0; DATAGRAM_MAX];
    loop {
        match socket.recv_from(&mut datagram) {
            Ok((length, client)) => {
                let echo = datagram.get(..length).unwrap_or_default();
                // An answer that can't leave is lost, as it would be on the way.
                drop(socket.send_to(echo, client));
            }
            Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
            // An ICMP error that an earlier answer met.
            Err(err) if err.kind() == io::ErrorKind::ConnectionRefused => {}
            Err(err) => {
                let _unheard = writeln!(io::stderr(), "lab: echo server: {err}");
                // Out of memory, most likely: some comes back.
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    }
}

#[cfg(test)]
mod tests;
