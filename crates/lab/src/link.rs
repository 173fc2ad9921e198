//! Links and addresses by netlink, in the network namespace of the thread that opened it.

use std::io;
use std::net::{IpAddr, Ipv4Addr};

use evenkeel_model::MacAddress;
use netlink_packet_route::link::{BridgePortState, InfoData, InfoVeth};
use rtnetlink::{Handle, LinkBridge, LinkBridgePort, LinkMessageBuilder, LinkUnspec, LinkVeth};
use tokio::runtime::{Builder, Runtime};

/// A node's only interface besides lo.
pub(crate) const NODE_LINK: &str = "eth0";

/// The switch's bridge.
pub(crate) const BRIDGE: &str = "br0";

/// The hardware address of the node with that address: the same after every boot.
pub(crate) fn node_mac(address: Ipv4Addr) -> MacAddress {
    let [a, b, c, d] = address.octets();
    MacAddress([0x02, 0x00, a, b, c, d])
}

fn port_mac(address: Ipv4Addr) -> MacAddress {
    let [a, b, c, d] = address.octets();
    MacAddress([0x02, 0x01, a, b, c, d])
}

/// A netlink socket and the runtime that drives it.
pub(crate) struct Netlink {
    runtime: Runtime,
    handle: Handle,
}

impl Netlink {
    pub(crate) fn open() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let guard = runtime.enter();
        let (connection, handle, _messages) = rtnetlink::new_connection()?;
        drop(guard);
        runtime.spawn(connection);
        Ok(Self { runtime, handle })
    }

    /// Makes the bridge, up; its index.
    pub(crate) fn add_bridge(&self) -> io::Result<u32> {
        let bridge = LinkBridge::new(BRIDGE).build();
        self.run(self.handle.link().add(bridge).execute())?;
        index(BRIDGE)
    }

    /// Makes a veth pair: the port named `port` at the bridge, still down, and the [`NODE_LINK`] of
    /// the process `pid`; the port's index.
    pub(crate) fn add_port(
        &self,
        port: &str,
        bridge: u32,
        address: Ipv4Addr,
        pid: u32,
    ) -> io::Result<u32> {
        let node_end = LinkMessageBuilder::<LinkUnspec>::new()
            .name(NODE_LINK)
            .address(node_mac(address).0.to_vec())
            .setns_by_pid(pid)
            .build();
        let pair = LinkMessageBuilder::<LinkVeth>::new(port, NODE_LINK)
            .set_info_data(InfoData::Veth(InfoVeth::Peer(node_end)))
            .address(port_mac(address).0.to_vec())
            .controller(bridge)
            .build();
        self.run(self.handle.link().add(pair).execute())?;
        index(port)
    }

    /// Has the bridge pass nothing to or from its port any more, both ways at one moment: taking a link
    /// down alone, the kernel stops one of them milliseconds before the other.
    pub(crate) fn cut(&self, port: &str) -> io::Result<()> {
        let cut = LinkBridgePort::new(index(port)?)
            .state(BridgePortState::Disabled)
            .build();
        let done = self.run(self.handle.link().set_port(cut).execute());
        match done {
            // It is down already.
            Err(err) if err.kind() == io::ErrorKind::NetworkDown => Ok(()),
            Ok(()) | Err(_) => done,
        }
    }

    pub(crate) fn set_up(&self, link: &str, up: bool) -> io::Result<()> {
        let change = LinkUnspec::new_with_index(index(link)?);
        let change = if up { change.up() } else { change.down() };
        self.run(self.handle.link().set(change.build()).execute())
    }

    pub(crate) fn delete(&self, link: &str) -> io::Result<()> {
        self.run(self.handle.link().del(index(link)?).execute())
    }

    pub(crate) fn add_address(&self, link: &str, address: Ipv4Addr, prefix: u8) -> io::Result<()> {
        let request = self
            .handle
            .address()
            .add(index(link)?, IpAddr::V4(address), prefix);
        self.run(request.execute())
    }

    fn run(&self, request: impl Future<Output = Result<(), rtnetlink::Error>>) -> io::Result<()> {
        self.runtime.block_on(request).map_err(|err| {
            if let rtnetlink::Error::NetlinkError(message) = &err {
                message.to_io()
            } else {
                io::Error::other(err)
            }
        })
    }
}

fn index(link: &str) -> io::Result<u32> {
    Ok(nix::net::if_::if_nametoindex(link)?)
}
