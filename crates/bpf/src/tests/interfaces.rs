//! The program on several interfaces.

use evenkeel_model::{MacAddress, Way};

use super::support::*;
use crate::{DataPlane, Interface, Mode, Options, purge};

fn add(name: &str, peer: &str) -> Interface {
    ip(&["link", "add", name, "type", "veth", "peer", "name", peer]);
    ip(&["link", "set", name, "up"]);
    ip(&["link", "set", peer, "up"]);
    Interface {
        name: name.to_owned(),
        index: index(name),
        mac: MacAddress([2, 0, 0, 0, 0, 7]),
        mode: Mode::Native,
    }
}

/// Options with this interface as the first, and these others.
fn with(options: &Options, first: &Interface, others: &[Interface]) -> Options {
    Options {
        interface: first.name.clone(),
        link_index: first.index,
        mac: first.mac,
        others: others.to_vec(),
        ..options.clone()
    }
}

#[test]
fn the_program_is_on_all_interfaces_and_purge_takes_it_off() {
    in_room(|room| {
        let mut options = room.options();
        options.others = vec![add("eth1", "peer1"), add("eth2", "peer2")];
        let (mut plane, _) = DataPlane::start(&options).unwrap();
        let id = plane.program_id().unwrap();
        for name in ["eth0", "eth1", "eth2"] {
            assert_eq!(room.attached_to(name), Some(id), "{name}");
        }
        drop(plane);
        purge(&options.pin_dir).unwrap();
        for name in ["eth0", "eth1", "eth2"] {
            wait_until("the program is off", || room.attached_to(name).is_none());
        }
    });
}

#[test]
fn a_successor_puts_its_program_on_its_interfaces_and_takes_others_off() {
    in_room(|room| {
        let options = room.options();
        let first = Interface {
            name: "eth0".to_owned(),
            index: options.link_index,
            mac: options.mac,
            mode: options.mode,
        };
        let (second, third) = (add("eth1", "peer1"), add("eth2", "peer2"));
        let both = with(&options, &first, std::slice::from_ref(&second));
        drop(DataPlane::start(&both).unwrap());
        // What was another interface is the first one now, which has to keep its link.
        let moved = with(&options, &second, std::slice::from_ref(&third));
        let (mut plane, _) = DataPlane::start(&moved).unwrap();
        let id = plane.program_id().unwrap();
        assert_eq!(room.attached_to("eth1"), Some(id));
        assert_eq!(room.attached_to("eth2"), Some(id));
        wait_until("the program is off", || room.attached_to("eth0").is_none());
    });
}

#[test]
fn an_interface_with_another_name_is_attached_anew() {
    in_room(|room| {
        let options = room.options();
        drop(DataPlane::start(&options).unwrap());
        ip(&["link", "set", "eth0", "down"]);
        ip(&["link", "set", "eth0", "name", "lan0"]);
        ip(&["link", "set", "lan0", "up"]);
        let options = Options {
            interface: "lan0".to_owned(),
            ..options
        };
        let (mut plane, _) = DataPlane::start(&options).unwrap();
        assert_eq!(room.attached_to("lan0"), Some(plane.program_id().unwrap()));
    });
}

#[test]
fn a_successor_keeps_the_ways_to_servers_by_interfaces_that_it_has() {
    in_room(|room| {
        let mut options = room.options();
        let (second, third) = (add("eth1", "peer1"), add("eth2", "peer2"));
        options.others = vec![second.clone(), third.clone()];
        let by = |interface: &Interface, vlan| {
            Some(Way {
                interface: interface.index,
                vlan,
            })
        };
        let mut servers = [server(12, 1), server(13, 1), server(14, 1)];
        servers[1].hop.way = by(&second, Some(7));
        servers[2].hop.way = by(&third, None);
        let (mut plane, _) = DataPlane::start(&options).unwrap();
        plane.put_service(&service(&servers)).unwrap();
        drop(plane);

        options.others.pop();
        let (plane, adopted) = DataPlane::start(&options).unwrap();
        servers[2].hop.way = None;
        assert_eq!(adopted, [service(&servers)]);
        drop(plane);
        let (_plane, adopted) = DataPlane::start(&options).unwrap();
        assert_eq!(adopted, [service(&servers)]);
    });
}
