//! Packets: real ones of flows that come and go, mutated ones, truncated ones, with IP options, and others.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};

use evenkeel_model::{Fragments, Protocol, Scheduler};
use evenkeel_testkit::Dice;
use evenkeel_testkit::packet::flags::{ACK, FIN, RST, SYN};
use evenkeel_testkit::packet::{
    self as packet, Advert, Covers, DIRECTOR, Datagram, IcmpError, Segment, advert6, arp_request,
    arp_request_to, as_v6, fragments, fragments6, icmp6_error, icmp6_quoting, solicitation,
    with_headers,
};
use evenkeel_wire::ipv4;

/// A service of the twins.
#[derive(Clone, Copy)]
pub(crate) struct Spec {
    pub(crate) address: SocketAddr,
    pub(crate) protocol: Protocol,
    pub(crate) scheduler: Scheduler,
    /// Weights of its servers in even and in odd rounds; the director itself has [`LOCAL`]'s place.
    pub(crate) weights: [&'static [i64]; 2],
    pub(crate) local: bool,
    pub(crate) fragments: Fragments,
}

/// The place of the director among the servers of services that it serves itself.
pub(crate) const LOCAL: usize = 1;

const fn spec(last: u8, port: u16, protocol: Protocol, scheduler: Scheduler) -> Spec {
    Spec {
        address: SocketAddr::new(IpAddr::V4(Ipv4Addr::new(198, 18, 14, last)), port),
        protocol,
        scheduler,
        weights: [&[1, 1, 1], &[1, 1]],
        local: false,
        fragments: Fragments::Follow,
    }
}

const fn weighing(spec: Spec, even: &'static [i64], odd: &'static [i64]) -> Spec {
    Spec {
        weights: [even, odd],
        ..spec
    }
}

const fn local(spec: Spec) -> Spec {
    Spec {
        local: true,
        ..spec
    }
}

/// The same with the address of IPv6 that stands for its own.
const fn v6(spec: Spec) -> Spec {
    Spec {
        address: match spec.address {
            SocketAddr::V4(address) => as_v6(address),
            SocketAddr::V6(_) => spec.address,
        },
        ..spec
    }
}

const fn by_address(spec: Spec) -> Spec {
    Spec {
        fragments: Fragments::ByAddress,
        ..spec
    }
}

use Protocol::{Sctp, Tcp, Udp};
use Scheduler::{
    DestinationHash as Dh, Failover as Fo, LeastConnection as Lc, Locality as Lblc, Maglev,
    MaglevHash as Mh, NeverQueue as Nq, Overflow as Ovf, ReplicatedLocality as Lblcr,
    RoundRobin as Rr, ShortestExpectedDelay as Sed, SourceHash as Sh, TwoChoices as Twos,
    WeightedLeastConnection as Wlc, WeightedRoundRobin as Wrr,
};

/// The services; the second has a quiesced server at times, the third none at all.
pub(crate) const SERVICES: [Spec; 34] = [
    spec(146, 80, Tcp, Rr),
    weighing(spec(147, 443, Tcp, Rr), &[1, 0, 1], &[1, 3, 1]),
    weighing(spec(148, 25, Tcp, Rr), &[], &[]),
    spec(146, 53, Udp, Rr),
    weighing(spec(149, 80, Tcp, Wrr), &[6, 2, 4], &[1, 5, 5, 3]),
    weighing(spec(149, 53, Udp, Wlc), &[1, 2, 3], &[3, 0, 1]),
    weighing(spec(150, 80, Tcp, Wlc), &[2, 1, 1], &[2, 1]),
    weighing(spec(150, 443, Tcp, Maglev), &[1, 2, 1], &[1, 0, 1]),
    weighing(spec(150, 443, Udp, Maglev), &[1, 1], &[0, 0]),
    weighing(spec(152, 80, Tcp, Lc), &[2, 1, 1], &[2, 1]),
    weighing(spec(152, 81, Tcp, Sed), &[2, 1, 1], &[2, 0, 1]),
    weighing(spec(152, 82, Tcp, Nq), &[2, 1, 1], &[2, 1]),
    weighing(spec(152, 83, Tcp, Fo), &[2, 3, 3], &[2, 1]),
    weighing(spec(152, 84, Tcp, Ovf), &[2, 3, 3], &[9, 1]),
    weighing(spec(152, 85, Tcp, Dh), &[2, 3, 3], &[0, 1, 1]),
    by_address(weighing(spec(152, 86, Udp, Sh), &[2, 3, 3], &[0, 1, 1])),
    weighing(spec(152, 87, Tcp, Mh), &[2, 3, 3], &[0, 1, 1]),
    weighing(spec(152, 88, Tcp, Twos), &[2, 3, 3], &[0, 1, 1]),
    spec(153, 2905, Sctp, Rr),
    weighing(spec(153, 2906, Sctp, Wlc), &[1, 2, 3], &[3, 0, 1]),
    weighing(spec(152, 89, Tcp, Lblc), &[2, 3, 9], &[0, 1, 1]),
    weighing(spec(152, 90, Udp, Lblcr), &[2, 3, 9], &[0, 1, 1]),
    local(spec(151, 80, Tcp, Rr)),
    local(weighing(spec(151, 53, Udp, Wrr), &[1, 2], &[2, 1])),
    v6(spec(146, 80, Tcp, Rr)),
    v6(weighing(spec(146, 53, Udp, Wlc), &[1, 2, 3], &[3, 0, 1])),
    v6(weighing(spec(148, 25, Tcp, Rr), &[], &[])),
    v6(weighing(
        spec(150, 443, Tcp, Maglev),
        &[1, 2, 1],
        &[1, 0, 1],
    )),
    v6(weighing(spec(152, 85, Tcp, Dh), &[2, 3, 3], &[0, 1, 1])),
    v6(by_address(weighing(
        spec(152, 86, Udp, Sh),
        &[2, 3, 3],
        &[0, 1, 1],
    ))),
    v6(weighing(spec(152, 87, Tcp, Mh), &[2, 3, 3], &[0, 1, 1])),
    v6(weighing(spec(152, 90, Tcp, Lblcr), &[2, 3, 9], &[0, 1, 1])),
    v6(local(spec(151, 80, Tcp, Rr))),
    v6(spec(153, 2905, Sctp, Rr)),
];

/// The place of the first service of IPv6.
pub(crate) const FIRST_V6: usize = 24;

/// Virtual routers that the director takes part in, by their places in the map; the first three have addresses, and the
/// third is of IPv6.
pub(crate) const ROUTERS: [u16; 4] = [51, 52, 256 + 51, 255];

/// Seeds of a run: `EVENKEEL_SEED` alone, else three fixed ones.
pub(crate) fn seeds() -> Vec<u64> {
    match std::env::var("EVENKEEL_SEED") {
        Ok(seed) => vec![seed.parse().expect("EVENKEEL_SEED is a number")],
        Err(_) => vec![1, 2, 3],
    }
}

/// A reproducible stream of packets.
pub(crate) struct Corpus(Dice);

impl Corpus {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Dice::new(seed))
    }

    fn below(&mut self, n: usize) -> usize {
        self.0.index(n)
    }

    pub(crate) fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        self.0.pick(of)
    }

    /// A packet to a service, an ARP request for its address or an advertisement, perhaps mutilated.
    pub(crate) fn next_packet(&mut self) -> Vec<u8> {
        let packet = match self.below(40) {
            0 => self.arp(),
            1 => self.advert(),
            2 => {
                let packet = self.service_packet();
                self.with_options(packet)
            }
            3 | 4 => self.icmp(),
            5..=8 => {
                let packet = self.service_packet();
                let (identification, max) = (self.pick(&[1, 2, 3]), self.pick(&[8, 24, 600]));
                let pieces = match is_v6(&packet) {
                    true => fragments6(&packet, u32::from(identification) << 20, max),
                    false => fragments(&packet, identification, max),
                };
                let piece = self.below(pieces.len().min(3));
                pieces.into_iter().nth(piece).expect("there are as many")
            }
            _ => self.service_packet(),
        };
        self.mutilated(packet)
    }

    /// A packet that concerns gates and virtual routers alone.
    pub(crate) fn next_of_gates(&mut self) -> Vec<u8> {
        let packet = match self.below(3) {
            0 => self.arp(),
            _ => self.advert(),
        };
        self.mutilated(packet)
    }

    /// Flips bits or cuts the end off, or does neither.
    fn mutilated(&mut self, mut packet: Vec<u8>) -> Vec<u8> {
        match self.below(10) {
            0 => {
                for _ in 0..=self.below(4) {
                    let at = self.below(packet.len());
                    packet[at] ^= 1 << self.below(8);
                }
            }
            1 => {
                // The kernel takes no packet below an Ethernet header.
                let len = 14 + self.below(packet.len() - 13);
                packet.truncate(len);
            }
            _ => {}
        }
        packet
    }

    /// A message that quotes what a service sent to one of the clients.
    fn icmp(&mut self) -> Vec<u8> {
        let service = self.pick(&SERVICES);
        let client = self.client();
        let protocol = match service.protocol {
            Tcp => ipv4::TCP,
            Udp => ipv4::UDP,
            Sctp => ipv4::SCTP,
        };
        let SocketAddr::V4(address) = service.address else {
            return self.icmp6(client, service.address, protocol);
        };
        let mut message = IcmpError::fragmentation_needed(client, address, protocol);
        match self.below(12) {
            0 => message.kind = self.pick(&[0, 5, 8, 8, 8, 11, 12]),
            1 => message.ttl = 1,
            2 => message.quoted[6] = 0x20,
            3 => message.quoted[7] = 3,
            4 => message.quoted[0] = self.pick(&[0x44, 0x46, 0x4f, 0x65]),
            _ => {}
        }
        message.frame()
    }

    /// The same of ICMPv6, and messages of other kinds.
    fn icmp6(&mut self, client: SocketAddrV4, service: SocketAddr, protocol: u8) -> Vec<u8> {
        let kind = self.pick(&[1, 2, 2, 2, 3, 4, 0, 5, 127, 128, 128, 129]);
        let bytes = self.pick(&[0, 3, 4, 8, 8, 60]);
        let message = icmp6_error(kind, as_v6(client), service, protocol, bytes);
        match self.below(6) {
            0 => {
                let sent = Segment::new(service, as_v6(client), ACK).frame();
                let headers = self.headers();
                let quoted = with_headers(&sent, &headers);
                icmp6_quoting(kind, service.ip(), &quoted[14..])
            }
            1 => {
                let headers = self.headers();
                with_headers(&message, &headers)
            }
            _ => message,
        }
    }

    /// Extension headers with their lengths.
    fn headers(&mut self) -> Vec<(u8, u8)> {
        let count = self.pick(&[1, 1, 2, 3, 7, 8, 9]);
        let header = |corpus: &mut Self| {
            let kind = corpus.pick(&[0, 43, 60, 60, 51, 59]);
            (kind, corpus.pick(&[0, 0, 1, 4, 20]))
        };
        (0..count).map(|_| header(self)).collect()
    }

    fn arp(&mut self) -> Vec<u8> {
        let target = match self.pick(&SERVICES).address.ip() {
            IpAddr::V4(target) => target,
            IpAddr::V6(target) => {
                let to = [None, None, Some(DIRECTOR), Some([2, 9, 9, 9, 9, 9])];
                return solicitation(target, self.pick(&to));
            }
        };
        match self.below(4) {
            0 => arp_request_to(DIRECTOR, target),
            1 => arp_request_to([2, 9, 9, 9, 9, 9], target),
            _ => arp_request(target),
        }
    }

    fn advert(&mut self) -> Vec<u8> {
        let version = self.pick(&[2, 2, 2, 3, 3, 3, 3, 3, 4]);
        let id = self.pick(&[51, 51, 51, 52, 52, 255, 0, 53]);
        let count = self.pick(&[0, 1, 1, 1, 2, 3, 255]);
        if self.below(3) == 0 {
            let hop_limit = self.pick(&[255, 255, 255, 254]);
            // As many as an Ethernet frame holds: a program sees no more than a page of it.
            return advert6(id, count.min(90), (version, hop_limit));
        }
        let addresses = vec![Ipv4Addr::new(198, 18, 14, 146); count];
        let mut advert = Advert::new(version, id, &addresses);
        advert.covers = self.pick(&[Covers::Message, Covers::PseudoHeader]);
        advert.priority = self.pick(&[0, 100, 255]);
        advert.options = self.pick(&[0, 0, 0, 4, 40]);
        if self.below(3) == 0 {
            advert.to = Ipv4Addr::new(192, 0, 2, 2);
        }
        match self.below(20) {
            0 => advert.ttl = 254,
            1 => advert.source_mac = DIRECTOR,
            2 => advert.interval = 0,
            _ => {}
        }
        advert.frame()
    }

    fn client(&mut self) -> SocketAddrV4 {
        SocketAddrV4::new(
            Ipv4Addr::new(203, 0, 113, self.pick(&[1, 2, 3])),
            40_000 + u16::try_from(self.below(60)).expect("small"),
        )
    }

    fn service_packet(&mut self) -> Vec<u8> {
        let client = self.client();
        // Half of the packets go to one service, so that its flows see many.
        let first = self.below(2) == 0;
        let spec = if first {
            SERVICES[self.pick(&[0, FIRST_V6])]
        } else {
            self.pick(&SERVICES)
        };
        let mut service = spec.address;
        if self.below(30) == 0 {
            service.set_port(81);
        }
        let ttl = if self.below(30) == 0 {
            self.pick(&[0, 1, 2, 255])
        } else {
            64
        };
        let destination = if self.below(50) == 0 {
            self.pick(&[[2, 9, 9, 9, 9, 9], [0x01, 0x00, 0x5e, 0x00, 0x00, 0x12]])
        } else {
            DIRECTOR
        };
        let payload = self.pick(&[0, 0, 1, 100, 1400]);
        let client = match service {
            SocketAddr::V4(_) => SocketAddr::V4(client),
            SocketAddr::V6(_) => as_v6(client),
        };
        match spec.protocol {
            Tcp => {
                let segment = Segment {
                    ttl,
                    destination,
                    payload,
                    ..Segment::new(client, service, self.flags())
                };
                segment.frame()
            }
            Udp => {
                let datagram = Datagram {
                    client,
                    service,
                    ttl,
                    destination,
                    payload,
                };
                let frame = datagram.frame();
                self.with_udp_length(frame)
            }
            Sctp => {
                let packet = packet::Sctp {
                    ttl,
                    destination,
                    chunks: self.chunks(),
                    ..packet::Sctp::new(client, service, 0)
                };
                packet.frame()
            }
        }
    }

    fn flags(&mut self) -> u8 {
        self.pick(&[
            SYN,
            SYN,
            ACK,
            ACK,
            ACK,
            ACK,
            FIN | ACK,
            RST,
            SYN | ACK,
            0,
            FIN | SYN | RST | ACK,
        ])
    }

    /// Chunks as clients send them, and others.
    fn chunks(&mut self) -> Vec<(u8, u16)> {
        let kind = self.pick(&[
            1, 1, 1, 10, 10, 0, 0, 3, 4, 7, 8, 14, 6, 9, 2, 11, 13, 15, 64, 255,
        ]);
        let first = (kind, self.pick(&[0, 4, 5, 16, 700]));
        match self.below(3) {
            0 => vec![first, (self.pick(&[6, 6, 0, 10]), 0)],
            _ => vec![first],
        }
    }

    /// A datagram that says another length now and then, or has no checksum.
    fn with_udp_length(&mut self, mut packet: Vec<u8>) -> Vec<u8> {
        let udp = if is_v6(&packet) { 54 } else { 34 };
        match self.below(20) {
            0 => {
                let len: u16 = self.pick(&[0, 1, 7, 8, 9, 28, 107, 109, 1408, 1409, u16::MAX]);
                packet[udp + 4..udp + 6].copy_from_slice(&len.to_be_bytes());
            }
            1 => packet[udp + 6..udp + 8].fill(0),
            2 => packet.extend([0; 18]),
            _ => {}
        }
        packet
    }

    /// A packet whose IP header has options, 4 to 40 bytes of no-operation, or extension headers.
    fn with_options(&mut self, mut packet: Vec<u8>) -> Vec<u8> {
        if is_v6(&packet) {
            let headers = self.headers();
            return with_headers(&packet, &headers);
        }
        let words = 1 + self.below(10);
        packet.splice(34..34, vec![1; words * 4]);
        packet[14] += u8::try_from(words).expect("small");
        let total =
            u16::from_be_bytes([packet[16], packet[17]]) + u16::try_from(words * 4).expect("small");
        packet[16..18].copy_from_slice(&total.to_be_bytes());
        packet
    }
}

fn is_v6(packet: &[u8]) -> bool {
    packet.get(12..14) == Some(&[0x86, 0xdd])
}
