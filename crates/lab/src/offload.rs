//! Switching off the offloads of a veth: it leaves checksums and segmentation to hardware that is not there.

use std::io;
use std::os::fd::AsRawFd as _;

use socket2::{Domain, Socket, Type};

// linux/ethtool.h
const ETHTOOL_STXCSUM: u32 = 0x17;
const ETHTOOL_STSO: u32 = 0x1f;
const ETHTOOL_SGSO: u32 = 0x24;
const ETHTOOL_SGRO: u32 = 0x2c;
const SIOCETHTOOL: libc::Ioctl = 0x8946;

/// `struct ethtool_value`.
#[repr(C)]
struct EthtoolValue {
    cmd: u32,
    data: u32,
}

/// Switches transmit checksums, segmentation and receive merging of a link off.
///
/// The link is looked up in the network namespace of the calling thread.
///
/// # Errors
/// There is no such link, or the kernel refuses.
pub fn switch_off(link: &str) -> io::Result<()> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
    for cmd in [ETHTOOL_STSO, ETHTOOL_SGSO, ETHTOOL_SGRO, ETHTOOL_STXCSUM] {
        let mut value = EthtoolValue { cmd, data: 0 };
        let mut request = libc::ifreq {
            ifr_name: interface_name(link)?,
            ifr_ifru: libc::__c_anonymous_ifr_ifru {
                ifru_data: (&raw mut value).cast(),
            },
        };
        // SAFETY: SIOCETHTOOL reads and writes one `ifreq` and, for these commands, the
        // `ethtool_value` it points to; both live until the call returns.
        let result = unsafe { libc::ioctl(socket.as_raw_fd(), SIOCETHTOOL, &raw mut request) };
        if result < 0 {
            let error = io::Error::last_os_error();
            // What can't be switched is off: an XDP program at one end of a veth takes segmentation
            // from the other (`veth_xdp_set` in drivers/net/veth.c).
            if error.raw_os_error() != Some(libc::EOPNOTSUPP) {
                return Err(error);
            }
        }
    }
    Ok(())
}

fn interface_name(link: &str) -> io::Result<[libc::c_char; libc::IFNAMSIZ]> {
    let mut name = [0; libc::IFNAMSIZ];
    if link.len() >= name.len() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    for (place, byte) in name.iter_mut().zip(link.bytes()) {
        *place = libc::c_char::from_ne_bytes([byte]);
    }
    Ok(name)
}
