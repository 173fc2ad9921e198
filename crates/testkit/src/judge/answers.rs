//! What the director itself sends for a packet: errors and resets.

use std::net::Ipv4Addr;
use std::sync::atomic::Ordering::SeqCst;

use etherparse::icmpv4::{DestUnreachableHeader, TimeExceededCode};
use etherparse::{Icmpv4Type, Ipv4HeaderSlice, NetSlice, SlicedPacket, TcpHeader, TransportSlice};
use evenkeel_abi::{DropReason, low};
use evenkeel_datapath::Verdict;

use super::ETHERNET;
use crate::tables::NativeTables;

impl NativeTables {
    pub(super) fn judge_reset(&self, sent: &[u8], out: &[u8]) {
        assert_eq!(out[..6], sent[6..12], "it goes back to where it came from");
        self.judge_source(out, Verdict::Transmit);
        let (came, went) = (
            SlicedPacket::from_ethernet(sent),
            SlicedPacket::from_ethernet(out),
        );
        let (came, went) = (came.expect("a good packet"), went.expect("a good reset"));
        let (Some(NetSlice::Ipv4(from)), Some(NetSlice::Ipv4(to))) = (came.net, went.net) else {
            panic!("both are IPv4");
        };
        let (Some(TransportSlice::Tcp(caused)), Some(TransportSlice::Tcp(reset))) =
            (came.transport, went.transport)
        else {
            panic!("both are TCP");
        };
        assert!(caused.ack() && !caused.rst(), "it calls for no reset");
        let (from, to) = (from.header(), to.header().to_header());
        assert_eq!(
            (to.source, to.destination),
            (from.destination(), from.source())
        );
        assert_eq!(to.header_checksum, to.calc_header_checksum());
        assert_eq!(usize::from(to.total_len), out.len() - ETHERNET);
        let header = reset.to_header();
        let mut expected = TcpHeader::new(
            caused.destination_port(),
            caused.source_port(),
            caused.acknowledgment_number(),
            0,
        );
        expected.rst = true;
        expected.checksum = expected.calc_checksum_ipv4(&to, &[]).expect("it is short");
        assert_eq!(header, expected, "the reset");
        assert_eq!(reset.payload(), [0u8; 0]);
    }

    pub(super) fn judge_answer(&self, sent: &[u8], out: &[u8], reason: DropReason) {
        let old = Ipv4HeaderSlice::from_slice(&sent[ETHERNET..]).expect("a good header came");
        let client = old.source_addr();
        let is_host = client.octets()[0] != 0 && client.octets()[0] < 224 && !client.is_loopback();
        assert!(is_host, "no errors to {client}");
        assert_eq!(out[..6], sent[6..12], "it goes back to where it came from");
        self.judge_source(out, Verdict::Transmit);
        let packet = SlicedPacket::from_ethernet(out).expect("a good error");
        let (Some(NetSlice::Ipv4(net)), Some(TransportSlice::Icmpv4(icmp))) =
            (packet.net, packet.transport)
        else {
            panic!("it is no ICMP");
        };
        let own = low(self.globals.address.load(SeqCst)).to_ne_bytes();
        let (kind, source) = if reason == DropReason::TtlExceeded {
            assert!(old.ttl() <= 1, "its time was not over");
            let kind = Icmpv4Type::TimeExceeded(TimeExceededCode::TtlExceededInTransit);
            (kind, Ipv4Addr::from(own))
        } else {
            assert_eq!(reason, DropReason::NoServer, "the reason has no error");
            let kind = Icmpv4Type::DestinationUnreachable(DestUnreachableHeader::Port);
            (kind, old.destination_addr())
        };
        let header = net.header().to_header();
        assert_eq!(header.header_checksum, header.calc_header_checksum());
        assert_eq!(usize::from(header.total_len), out.len() - ETHERNET);
        assert_eq!(Ipv4Addr::from(header.source), source, "source");
        assert_eq!(Ipv4Addr::from(header.destination), client, "destination");
        assert!(header.time_to_live > 32 && header.options.is_empty());
        assert_eq!(icmp.icmp_type(), kind, "kind of error");
        let sum = icmp.icmp_type().calc_checksum(icmp.payload());
        assert_eq!(icmp.checksum(), sum, "checksum of the error");
        let quoted = &sent[ETHERNET..ETHERNET + old.slice().len() + 8];
        assert_eq!(icmp.payload(), quoted, "it quotes the packet");
    }
}
