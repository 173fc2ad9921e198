//! Ways in and out: 802.1Q tags, and servers behind other interfaces.

use std::net::SocketAddrV4;
use std::sync::atomic::Ordering::SeqCst;

use evenkeel_abi::{DropReason, Egress, Link, Server};
use evenkeel_datapath::Verdict;
use evenkeel_testkit::packet::flags::{ACK, SYN};
use evenkeel_testkit::packet::{IcmpError, Segment, tagged};

use crate::common::*;

const OTHER: u32 = 7;
const OTHER_MAC: [u8; 6] = [2, 0, 0, 0, 7, 7];

fn world() -> World {
    let mut world = World::with_weights(&[1, 1]);
    let other = Link::default();
    other.index.store(u64::from(OTHER), SeqCst);
    other.mac.store(Server::pack_mac(OTHER_MAC, 0), SeqCst);
    world.tables.other_links.push(other);
    world
}

fn reach(world: &World, egress: Egress) {
    for server in &world.tables.servers {
        server.egress.store(egress.0, SeqCst);
    }
}

fn segment(client: SocketAddrV4, flags: u8) -> Vec<u8> {
    Segment::new(client, SERVICE, flags).frame()
}

#[test]
fn a_tagged_flow_is_balanced_and_keeps_its_tag() {
    let world = world();
    for flags in [SYN, ACK, ACK] {
        let sent = tagged(&segment(client(1), flags), 0x6064);
        let (verdict, out) = world.send_frame(&sent);
        assert_eq!(verdict, Verdict::Transmit);
        assert_eq!(out[12..16], [0x81, 0x00, 0x60, 0x64]);
        assert_eq!(out[16..], {
            let (_, plain) = world.send_frame(&segment(client(1), flags));
            plain[12..].to_vec()
        });
    }
    assert_eq!(world.established(), 1, "the tag is no part of the flow");
    world.check();
}

#[test]
fn two_tags_are_the_stacks() {
    let world = world();
    let sent = tagged(&tagged(&segment(client(1), SYN), 1), 2);
    assert_eq!(world.send_frame(&sent), (Verdict::Pass, sent));
}

#[test]
fn the_error_for_a_tagged_packet_has_its_tag() {
    let world = World::with_weights(&[]);
    let sent = tagged(&segment(client(1), SYN), 100);
    let (verdict, out) = world.send_frame(&sent);
    assert_eq!(verdict, Verdict::Transmit);
    assert_eq!(world.tables.dropped(DropReason::NoServer), 1);
    assert_eq!(out[12..18], [0x81, 0x00, 0, 100, 0x08, 0x00]);
}

#[test]
fn a_tagged_icmp_error_follows_its_flow() {
    let world = world();
    let server = world.open(client(1));
    let error = IcmpError::fragmentation_needed(client(1), SERVICE, 6).frame();
    let (verdict, out) = world.send_frame(&tagged(&error, 5));
    assert_eq!(verdict, Verdict::Transmit);
    assert_eq!(u32::from_be_bytes([0, 0, out[4], out[5]]), server);
}

#[test]
fn a_server_behind_another_interface_is_reached_by_it() {
    let world = world();
    reach(&world, Egress::by(OTHER, 0));
    let (verdict, out) = world.send_frame(&segment(client(1), SYN));
    assert_eq!(verdict, Verdict::Redirect(OTHER));
    assert_eq!(out[6..12], OTHER_MAC);
    let own = u32::try_from(world.tables.link.index.load(SeqCst)).unwrap();
    reach(&world, Egress::by(own, 0));
    let (verdict, _) = world.send_frame(&segment(client(1), ACK));
    assert_eq!(verdict, Verdict::Transmit);
    world.check();
}

#[test]
fn a_server_behind_an_interface_without_the_program_is_not_reached() {
    let world = world();
    reach(&world, Egress::by(OTHER + 1, 0));
    let (verdict, _) = world.send_frame(&segment(client(1), SYN));
    assert_eq!(verdict, Verdict::Drop(DropReason::NoWayOut));
}

#[test]
fn a_servers_tag_replaces_the_packets() {
    let world = world();
    let own = u32::try_from(world.tables.link.index.load(SeqCst)).unwrap();
    for (interface, vlan) in [(own, 0), (own, 30), (OTHER, 0), (OTHER, 4094)] {
        reach(&world, Egress::by(interface, vlan));
        let plain = segment(client(vlan), SYN);
        for sent in [plain.clone(), tagged(&plain, 0xa00c)] {
            let had_tag = sent.len() > plain.len();
            let (_, out) = world.send_frame(&sent);
            let priority = if had_tag { 0xa000 } else { 0 };
            let expected = [vec![0x81, 0x00], u16::to_be_bytes(priority | vlan).to_vec()].concat();
            let kind = match vlan {
                0 => vec![0x08, 0x00, 0x45, 0x00],
                _ => expected,
            };
            assert_eq!(out[12..16], kind);
            assert_eq!(out.len(), plain.len() + if vlan == 0 { 0 } else { 4 });
        }
    }
}
