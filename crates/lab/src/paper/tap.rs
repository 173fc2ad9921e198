//! A packet socket at the director's port of the switch: notes when the director sent a packet for the
//! virtual address to one real server.
//!
//! Health checks go to the server's own address and are not seen here.

use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use evenkeel_model::MacAddress;
use socket2::{Domain, Protocol, SockAddr, SockAddrStorage, SockFilter, Socket, Type};

use crate::error::LabError;
use crate::lab::Lab;
use crate::namespace::NetnsThread;
use crate::paper::PaperError;
use crate::stamped;

/// How often the socket's thread looks whether it shall stop.
const STOP_POLL: Duration = Duration::from_millis(20);

/// A running watch over one port.
#[derive(Debug)]
pub(crate) struct Tap {
    thread: NetnsThread<io::Result<Vec<Instant>>>,
    stop: Arc<AtomicBool>,
    port: String,
}

impl Tap {
    /// Begins to note frames that come from the node at `port`, go to `mac` and carry IPv4 packets for
    /// `destination`; it sees what is sent after this returned.
    pub(crate) fn start(
        lab: &Lab,
        port: &str,
        mac: MacAddress,
        destination: Ipv4Addr,
    ) -> Result<Self, PaperError> {
        let failed = |source| PaperError::Tap {
            director: port.to_owned(),
            source,
        };
        let stop = Arc::new(AtomicBool::new(false));
        let (ready, opened) = mpsc::sync_channel(1);
        let stopped = Arc::clone(&stop);
        let name = port.to_owned();
        let thread = lab.in_switch(move || {
            let socket = match open(&name, mac, destination) {
                Ok(socket) => socket,
                Err(error) => {
                    // Whoever started this waits for it.
                    let _told = ready.send(Err(error));
                    return Ok(Vec::new());
                }
            };
            let _told = ready.send(Ok(()));
            note(&socket, &stopped)
        })?;
        opened
            .recv()
            .map_err(|closed| failed(io::Error::other(closed)))?
            .map_err(failed)?;
        Ok(Self {
            thread,
            stop,
            port: port.to_owned(),
        })
    }

    /// Ends the watch; when each frame came, in order.
    pub(crate) fn stop(self) -> Result<Vec<Instant>, PaperError> {
        self.stop.store(true, Ordering::Relaxed);
        let frames = self.thread.join().map_err(|source| LabError::Start {
            what: "the watch at the switch",
            source,
        })?;
        frames.map_err(|source| PaperError::Tap {
            director: self.port,
            source,
        })
    }
}

fn open(port: &str, mac: MacAddress, destination: Ipv4Addr) -> io::Result<Socket> {
    // Protocol 0 receives nothing, so that the filter is there before the first frame.
    let socket = Socket::new(Domain::PACKET, Type::RAW, Some(Protocol::from(0)))?;
    socket.attach_filter(&filter(mac, destination))?;
    stamped::prepare(&socket)?;
    socket.set_read_timeout(Some(STOP_POLL))?;
    socket.bind(&address_of(port)?)?;
    Ok(socket)
}

/// A classic BPF program that takes frames to `mac` with IPv4 packets to `destination`.
fn filter(mac: MacAddress, destination: Ipv4Addr) -> [SockFilter; 10] {
    // linux/bpf_common.h: BPF_LD|BPF_ABS with BPF_W or BPF_H, BPF_JMP|BPF_JEQ|BPF_K, BPF_RET|BPF_K.
    const LOAD_WORD: u16 = 0x20;
    const LOAD_HALF: u16 = 0x28;
    const JUMP_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    const IPV4: u32 = 0x0800;
    // From the start of the frame.
    const ETHERTYPE: u32 = 12;
    const IPV4_DESTINATION: u32 = 14 + 16;

    let [a, b, c, d, e, f] = mac.0;
    let load = |code, offset| SockFilter::new(code, 0, 0, offset);
    // The last instruction takes nothing.
    let equal = |here: u8, value| SockFilter::new(JUMP_EQUAL, 0, 9 - here - 1, value);
    [
        load(LOAD_HALF, ETHERTYPE),
        equal(1, IPV4),
        load(LOAD_WORD, 0),
        equal(3, u32::from_be_bytes([a, b, c, d])),
        load(LOAD_HALF, 4),
        equal(5, u32::from(u16::from_be_bytes([e, f]))),
        load(LOAD_WORD, IPV4_DESTINATION),
        equal(7, destination.to_bits()),
        SockFilter::new(RETURN, 0, 0, u32::MAX),
        SockFilter::new(RETURN, 0, 0, 0),
    ]
}

/// All protocols of the link named `port`.
fn address_of(port: &str) -> io::Result<SockAddr> {
    let index = nix::net::if_::if_nametoindex(port)?;
    let mut storage = SockAddrStorage::zeroed();
    // SAFETY: `sockaddr_ll` is one of the `sockaddr_*` types of this platform, as `view_as` asks.
    let to = unsafe { storage.view_as::<libc::sockaddr_ll>() };
    to.sll_family = u16::try_from(libc::AF_PACKET).map_err(io::Error::other)?;
    to.sll_protocol = u16::try_from(libc::ETH_P_ALL)
        .map_err(io::Error::other)?
        .to_be();
    to.sll_ifindex = i32::try_from(index).map_err(io::Error::other)?;
    let length = u32::try_from(size_of::<libc::sockaddr_ll>()).map_err(io::Error::other)?;
    // SAFETY: the family is AF_PACKET, and the first `length` bytes are the `sockaddr_ll` made above.
    Ok(unsafe { SockAddr::new(storage, length) })
}

fn note(socket: &Socket, stop: &AtomicBool) -> io::Result<Vec<Instant>> {
    let mut frames = Vec::new();
    loop {
        let last_look = stop.load(Ordering::Relaxed);
        match stamped::receive(socket, &mut [0]) {
            Ok((_length, when)) => frames.push(when),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                ) =>
            {
                if last_look {
                    return Ok(frames);
                }
            }
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests;
