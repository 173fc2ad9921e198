//! What etherparse reads in a frame: whose packet it is, and of which flow.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::Ordering::SeqCst;

use etherparse::{LaxSlicedPacket, SlicedPacket, TcpSlice, TransportSlice, UdpHeaderSlice};
use evenkeel_abi::{
    FlowKey, GateState, PortStep, Server, ServiceFlags, ServiceKey, Word, high, low,
};

use super::legible::legible;
use super::net::{LaxNet, Net, is_beyond};
use crate::tables::NativeTables;

/// Length of an ICMP header.
const ICMP: usize = 8;

/// A packet of a service, as etherparse reads it.
#[derive(Clone, Copy)]
pub(super) struct Read {
    pub(super) service: u32,
    /// Client's address and virtual address.
    pub(super) ends: [IpAddr; 2],
    pub(super) flow: FlowKey,
    /// A fragment that is placed by addresses alone.
    pub(super) by_address: bool,
    /// An ICMP error about the flow, not a packet of it.
    pub(super) is_error: bool,
    /// A SYN or an INIT that asks for a connection.
    pub(super) asks: bool,
    /// The gate of its virtual address is not closed.
    pub(super) is_open: bool,
    /// It says that it has no bytes at all, as a UDP datagram or an IPv6 packet, which etherparse takes for one of any
    /// length.
    pub(super) has_no_length: bool,
    /// More headers than the data plane looks behind.
    pub(super) is_beyond: bool,
}

/// What a transport header says: ports, whether it asks for a connection, whether it has a length of 0.
type Transport = ([u16; 2], bool, bool);

impl NativeTables {
    /// What etherparse reads, if it is a service's and was sent to the director; the frame is [`legible`].
    pub(super) fn read(&self, frame: &[u8]) -> Option<Read> {
        let packet = SlicedPacket::from_ethernet(frame).ok()?;
        self.is_to_director(frame).then_some(())?;
        let net = Net::of(packet.net.as_ref()?)?;
        let mut read = if net.fragment.is_some() && !net.is_icmp() {
            self.read_fragment(&net)?
        } else {
            self.read_whole(&net, packet.transport)?
        };
        read.is_open = self.is_open_at(net.addresses[1]);
        read.is_beyond |= net.is_beyond;
        read.has_no_length |= net.has_no_length;
        Some(read)
    }

    fn read_whole(&self, net: &Net<'_>, transport: Option<TransportSlice<'_>>) -> Option<Read> {
        let of = |transport| self.read_flow(net.addresses, transport, net.protocol);
        if net.protocol == 132 {
            return of(sctp(net.payload)?);
        }
        match transport? {
            TransportSlice::Tcp(tcp) => of(segment(&tcp)),
            TransportSlice::Udp(udp) => {
                let ports = [udp.source_port(), udp.destination_port()];
                of((ports, false, udp.length() == 0))
            }
            TransportSlice::Icmpv4(icmp) if [3, 11, 12].contains(&icmp.type_u8()) => {
                self.read_error(net, icmp.payload())
            }
            TransportSlice::Icmpv6(icmp) if (1..=4).contains(&icmp.type_u8()) => {
                self.read_error(net, icmp.payload())
            }
            TransportSlice::Icmpv4(_) | TransportSlice::Icmpv6(_) | TransportSlice::Igmp(_) => None,
        }
    }

    /// What an ICMP error says that quotes this.
    fn read_error(&self, net: &Net<'_>, quoted: &[u8]) -> Option<Read> {
        let mut quoted = quoted.to_vec();
        legible(&mut quoted);
        say_any_length(&mut quoted);
        let lax = LaxSlicedPacket::from_ip(&quoted).ok()?;
        let quoted = LaxNet::of(lax.net.as_ref()?)?;
        let (ports, _) = quoted.payload.split_first_chunk::<4>()?;
        let [a, b, c, d] = *ports;
        let [source, client] = quoted.addresses;
        (!quoted.follows && source == net.addresses[1]).then_some(())?;
        let ports = [u16::from_be_bytes([c, d]), u16::from_be_bytes([a, b])];
        let read = self.read_flow([client, source], (ports, false, false), quoted.protocol)?;
        let (count, len) = quoted.extensions;
        Some(Read {
            is_error: true,
            is_beyond: source.is_ipv6() && is_beyond(count, net.header_len + ICMP + 40 + len),
            ..read
        })
    }

    /// Whether packets to an address are balanced.
    fn is_open_at(&self, address: IpAddr) -> bool {
        self.gate_number(address)
            .is_some_and(|gate| self.gates[gate as usize].state.load(SeqCst) != GateState::CLOSED)
    }

    /// What a fragment says: the first one of a packet its ports, another one where the table says that the
    /// first one went, or what its address's service is that places fragments by addresses.
    fn read_fragment(&self, net: &Net<'_>) -> Option<Read> {
        if net.follows() {
            let (service, ports) = self.fragment_of(net)?;
            let flow = self.flow_of(net.addresses, ports.unwrap_or(0), net.protocol);
            return Some(Read {
                by_address: ports.is_none(),
                ..Read::of(service, net.addresses, flow.key)
            });
        }
        let transport = match net.protocol {
            6 => segment(&TcpSlice::from_slice(net.payload).ok()?),
            17 => {
                let udp = UdpHeaderSlice::from_slice(net.payload).ok()?;
                let ports = [udp.source_port(), udp.destination_port()];
                (ports, false, udp.length() < 8)
            }
            132 => sctp(net.payload)?,
            _ => return None,
        };
        let read = self.read_flow(net.addresses, transport, net.protocol)?;
        let half = &self.services[read.service as usize].halves[0];
        let flags = half.flags.load(SeqCst);
        Some(Read {
            by_address: flags & ServiceFlags::FRAGMENTS_BY_ADDRESS != 0,
            ..read
        })
    }

    /// The service and ports of a packet of which a first fragment came; without ports: the service that
    /// places it by addresses.
    fn fragment_of(&self, net: &Net<'_>) -> Option<(u32, Option<u32>)> {
        let (identification, _) = net.fragment?;
        let key = self
            .flow_of(net.addresses, identification, net.protocol)
            .key;
        let ways = self.fragments.iter().flat_map(|bucket| &bucket.ways);
        let known = ways
            .filter(|way| {
                way.addresses.load(SeqCst) == key.addresses
                    && way.ports_protocol.load(SeqCst) == key.ports_protocol
            })
            .map(|way| (Word(way.word.load(SeqCst)), way.born.load(SeqCst)))
            .find(|(word, _)| word.is_live() && word.expiry().0 > self.now.load(SeqCst));
        if let Some((_, noted)) = known {
            return Some((low(noted), Some(high(noted))));
        }
        let gate = self.gate_number(net.addresses[1])?;
        let services = self.gates[gate as usize].fragments.load(SeqCst);
        let service = match net.protocol {
            6 => low(services),
            17 => high(services),
            _ => 0,
        };
        Some((service.checked_sub(1)?, None))
    }

    pub(super) fn is_to_director(&self, frame: &[u8]) -> bool {
        frame.starts_with(&Server::unpack_mac(self.link.mac.load(SeqCst)))
    }

    fn read_flow(
        &self,
        [client, address]: [IpAddr; 2],
        ([from, to], asks, has_no_length): Transport,
        protocol: u8,
    ) -> Option<Read> {
        let address = SocketAddr::new(address, to);
        let key = self.service_key(address, protocol);
        let service = match self.service_ids.get(&key) {
            Some(number) => *number,
            None => self.service_of_ports(address.ip(), key)?,
        };
        let flow = self.flow(SocketAddr::new(client, from), address, protocol);
        Some(Read {
            asks,
            has_no_length,
            ..Read::of(service, [client, address.ip()], flow.key)
        })
    }

    /// The service that has a port in a range, looked for step by step.
    fn service_of_ports(&self, address: IpAddr, key: ServiceKey) -> Option<u32> {
        let gate = self.gate_number(address)?;
        let (start, len) = self.gates[gate as usize].ports.load();
        let words = start..start + len / 2;
        let steps = words.map(|word| PortStep(self.arena[word as usize].load(SeqCst)));
        let below = steps.take_while(|step| step.from() <= PortStep::place_of(key));
        below.last()?.service()
    }
}

impl Read {
    /// A plain packet of a flow.
    const fn of(service: u32, ends: [IpAddr; 2], flow: FlowKey) -> Self {
        Self {
            service,
            ends,
            flow,
            by_address: false,
            is_error: false,
            asks: false,
            is_open: false,
            has_no_length: false,
            is_beyond: false,
        }
    }
}

fn segment(tcp: &TcpSlice<'_>) -> Transport {
    let asks = tcp.syn() && !tcp.ack() && !tcp.rst() && !tcp.fin();
    ([tcp.source_port(), tcp.destination_port()], asks, false)
}

/// An SCTP packet asks for a connection if its first chunk is an INIT.
fn sctp(payload: &[u8]) -> Option<Transport> {
    let (header, _) = payload.split_first_chunk::<16>()?;
    let [a, b, c, d, .., kind, _, _, _] = *header;
    let ports = [u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])];
    Some((ports, kind == 1, false))
}

/// Has a quoted packet say that it is as long as can be: whatever it says, it ends with the error.
fn say_any_length(quoted: &mut [u8]) {
    let place = match quoted.first().map(|version| version >> 4) {
        Some(4) => 2..4,
        _ => 4..6,
    };
    if let Some(length) = quoted.get_mut(place) {
        length.fill(0xff);
    }
}
