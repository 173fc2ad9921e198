//! What the director itself sends for a packet: errors and resets.

use std::net::Ipv4Addr;
use std::sync::atomic::Ordering::SeqCst;

use etherparse::icmpv4::{DestUnreachableHeader, TimeExceededCode};
use etherparse::{
    Icmpv4Type, Icmpv6Type, Ipv4HeaderSlice, Ipv6HeaderSlice, NetSlice, SlicedPacket, TcpHeader,
    TcpSlice, TransportSlice, icmpv6,
};
use evenkeel_abi::{DropReason, low};
use evenkeel_datapath::Verdict;

use super::net::Net;
use super::{ETHERNET, readable};
use crate::tables::{NativeTables, OWN6};

impl NativeTables {
    pub(super) fn judge_reset(&self, sent: &[u8], out: &[u8]) {
        assert_eq!(out[..6], sent[6..12], "it goes back to where it came from");
        self.judge_source(out, Verdict::Transmit);
        let readable = readable(sent);
        let (came, went) = (
            SlicedPacket::from_ethernet(&readable),
            SlicedPacket::from_ethernet(out),
        );
        let (came, went) = (came.expect("a good packet"), went.expect("a good reset"));
        let Some(TransportSlice::Tcp(reset)) = went.transport else {
            panic!("it is no segment");
        };
        let (came, went) = (came.net.expect("IP"), went.net.expect("IP"));
        let (from, to) = (Net::of(&came).expect("IP"), Net::of(&went).expect("IP"));
        assert_eq!(from.protocol, 6, "it answers TCP");
        // The segment may be in pieces, the first of which came.
        let caused = TcpSlice::from_slice(from.payload).expect("a good header");
        assert!(caused.ack() && !caused.rst(), "it calls for no reset");
        let [client, service] = from.addresses;
        assert_eq!(to.addresses, [service, client]);
        assert_eq!(to.total_len, (out.len() - ETHERNET) as u64);
        let header = reset.to_header();
        let mut expected = TcpHeader::new(
            caused.destination_port(),
            caused.source_port(),
            caused.acknowledgment_number(),
            0,
        );
        expected.rst = true;
        let sum = match went {
            NetSlice::Ipv4(net) => {
                let header = net.header().to_header();
                assert_eq!(header.header_checksum, header.calc_header_checksum());
                expected.calc_checksum_ipv4(&header, &[])
            }
            NetSlice::Ipv6(net) => expected.calc_checksum_ipv6(&net.header().to_header(), &[]),
            NetSlice::Arp(_) => panic!("it is IP"),
        };
        expected.checksum = sum.expect("it is short");
        assert_eq!(header, expected, "the reset");
        assert_eq!(reset.payload(), [0u8; 0]);
    }

    pub(super) fn judge_answer(&self, sent: &[u8], out: &[u8], reason: DropReason) {
        if sent[12..ETHERNET] == [0x86, 0xdd] {
            return self.judge_answer6(sent, out, reason);
        }
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

    fn judge_answer6(&self, sent: &[u8], out: &[u8], reason: DropReason) {
        let old = Ipv6HeaderSlice::from_slice(&sent[ETHERNET..]).expect("a good header came");
        let client = old.source_addr();
        let no_host = client.is_multicast() || client.is_unspecified() || client.is_loopback();
        assert!(!no_host, "no errors to {client}");
        assert_eq!(out[..6], sent[6..12], "it goes back to where it came from");
        self.judge_source(out, Verdict::Transmit);
        let packet = SlicedPacket::from_ethernet(out).expect("a good error");
        let (Some(NetSlice::Ipv6(net)), Some(TransportSlice::Icmpv6(icmp))) =
            (packet.net, packet.transport)
        else {
            panic!("it is no ICMPv6");
        };
        let (kind, source) = if reason == DropReason::TtlExceeded {
            assert!(old.hop_limit() <= 1, "its time was not over");
            let code = icmpv6::TimeExceededCode::HopLimitExceeded;
            (Icmpv6Type::TimeExceeded(code), OWN6)
        } else {
            assert_eq!(reason, DropReason::NoServer, "the reason has no error");
            let code = icmpv6::DestUnreachableCode::Port;
            (
                Icmpv6Type::DestinationUnreachable(code),
                old.destination_addr(),
            )
        };
        let header = net.header();
        let length = usize::from(header.payload_length());
        assert_eq!(length, out.len() - ETHERNET - 40, "length");
        assert_eq!(header.source_addr(), source, "source");
        assert_eq!(header.destination_addr(), client, "destination");
        assert!(header.hop_limit() > 32 && out.len() <= ETHERNET + 1280);
        assert_eq!(icmp.icmp_type(), kind, "kind of error");
        let (from, to) = (header.source(), header.destination());
        let sum = icmp
            .icmp_type()
            .calc_checksum(from, to, icmp.payload())
            .expect("it is short");
        assert_eq!(icmp.checksum(), sum, "checksum of the error");
        let quoted = icmp.payload();
        let came = 40 + usize::from(old.payload_length());
        assert!(quoted.len() > (came & !3).min(1232) - 4, "as much as fits");
        assert_eq!(
            quoted,
            &sent[ETHERNET..ETHERNET + quoted.len()],
            "it quotes the packet"
        );
    }
}
