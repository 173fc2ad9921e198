//! Packets: real ones of flows that come and go, mutated ones, truncated ones, with IP options, and others.

use std::net::{Ipv4Addr, SocketAddrV4};

use evenkeel_testkit::packet::flags::{ACK, FIN, RST, SYN};
use evenkeel_testkit::packet::{Segment, arp_request};

/// The services: three servers, one of them quiesced in the second; the third has none.
pub(crate) const SERVICES: [SocketAddrV4; 3] = [
    SocketAddrV4::new(Ipv4Addr::new(198, 18, 14, 146), 80),
    SocketAddrV4::new(Ipv4Addr::new(198, 18, 14, 147), 443),
    SocketAddrV4::new(Ipv4Addr::new(198, 18, 14, 148), 25),
];

/// Seeds of a run: `EVENKEEL_SEED` alone, else three fixed ones.
pub(crate) fn seeds() -> Vec<u64> {
    match std::env::var("EVENKEEL_SEED") {
        Ok(seed) => vec![seed.parse().expect("EVENKEEL_SEED is a number")],
        Err(_) => vec![1, 2, 3],
    }
}

/// A reproducible stream of packets.
pub(crate) struct Corpus(u64);

impl Corpus {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// splitmix64.
    fn random(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.random() % n as u64).expect("below a usize")
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    pub(crate) fn next_packet(&mut self) -> Vec<u8> {
        let mut packet = match self.below(40) {
            0 => arp_request(*self.pick(&SERVICES).ip()),
            1 => self.with_options(),
            _ => self.segment().frame(),
        };
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

    fn segment(&mut self) -> Segment {
        let client = SocketAddrV4::new(
            Ipv4Addr::new(203, 0, 113, self.pick(&[1, 2, 3])),
            40_000 + u16::try_from(self.below(60)).expect("small"),
        );
        let mut service = self.pick(&[
            SERVICES[0],
            SERVICES[0],
            SERVICES[0],
            SERVICES[1],
            SERVICES[1],
            SERVICES[2],
        ]);
        if self.below(30) == 0 {
            service.set_port(81);
        }
        let flags = self.pick(&[
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
        ]);
        let mut segment = Segment::new(client, service, flags);
        segment.payload = self.pick(&[0, 0, 1, 100, 1400]);
        if self.below(30) == 0 {
            segment.ttl = self.pick(&[0, 1, 2, 255]);
        }
        if self.below(50) == 0 {
            segment.destination = [2, 9, 9, 9, 9, 9];
        }
        segment
    }

    /// A segment whose IP header has options, 4 to 40 bytes of no-operation.
    fn with_options(&mut self) -> Vec<u8> {
        let mut packet = self.segment().frame();
        let words = 1 + self.below(10);
        packet.splice(34..34, vec![1; words * 4]);
        packet[14] += u8::try_from(words).expect("small");
        let total =
            u16::from_be_bytes([packet[16], packet[17]]) + u16::try_from(words * 4).expect("small");
        packet[16..18].copy_from_slice(&total.to_be_bytes());
        packet
    }
}
