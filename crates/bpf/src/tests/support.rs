//! A network and mount namespace per test, and packets.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use evenkeel_model::{
    Forwarding, Listens, MacAddress, Protocol, Scheduler, ServerEntry, ServiceEntry, ServiceKey,
    ServiceOptions, Thresholds, Weight,
};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};

use crate::{DataPlane, Mode, Options, Sizes};

pub(super) const MAC: MacAddress = MacAddress([2, 0, 0, 0, 0, 1]);
pub(super) const PEER: &str = "peer0";
pub(super) const PORT: u16 = 80;
pub(super) const VIP: Ipv4Addr = Ipv4Addr::new(198, 18, 14, 146);

pub(super) const FIN: u8 = 0x01;
pub(super) const SYN: u8 = 0x02;
pub(super) const RST: u8 = 0x04;
pub(super) const ACK: u8 = 0x10;

/// Verdicts of include/uapi/linux/bpf.h.
pub(super) const DROP: u32 = 1;
pub(super) const PASS: u32 = 2;
pub(super) const TX: u32 = 3;

/// A namespace with a veth pair, `eth0` and [`PEER`], and a bpf file system.
pub(super) struct Room {
    _dir: tempfile::TempDir,
    pub(super) bpffs: PathBuf,
    pub(super) plain: PathBuf,
}

/// Runs a test in namespaces of its own, which vanish with its thread.
pub(super) fn in_room(test: impl FnOnce(&Room) + Send + 'static) {
    if !nix::unistd::geteuid().is_root() {
        println!("skipped: needs root");
        return;
    }
    let done = thread::spawn(move || test(&Room::new())).join();
    if let Err(panic) = done {
        std::panic::resume_unwind(panic);
    }
}

impl Room {
    fn new() -> Self {
        unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS).unwrap();
        let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        let none: Option<&Path> = None;
        mount(none, "/", none, private, none).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let (bpffs, plain) = (dir.path().join("bpf"), dir.path().join("plain"));
        std::fs::create_dir(&bpffs).unwrap();
        std::fs::create_dir(&plain).unwrap();
        mount(Some("bpf"), &bpffs, Some("bpf"), MsFlags::empty(), none).unwrap();
        let room = Self {
            _dir: dir,
            bpffs,
            plain,
        };
        room.add_interface();
        room
    }

    pub(super) fn add_interface(&self) {
        ip(&["link", "add", "eth0", "type", "veth", "peer", "name", PEER]);
        ip(&["link", "set", "eth0", "up", "address", &MAC.to_string()]);
        ip(&["link", "set", PEER, "up"]);
    }

    pub(super) fn options(&self) -> Options {
        Options {
            pin_dir: self.bpffs.join("evenkeel"),
            interface: "eth0".to_owned(),
            link_index: index("eth0"),
            others: Vec::new(),
            mac: MAC,
            address: None,
            address6: None,
            mode: Mode::Native,
            sizes: Sizes::small(),
        }
    }

    /// Number of the program on `eth0`, as `ip` tells.
    pub(super) fn attached(&self) -> Option<u32> {
        self.attached_to("eth0")
    }

    /// The same on any interface.
    pub(super) fn attached_to(&self, interface: &str) -> Option<u32> {
        let text = ip(&["-d", "link", "show", "dev", interface]);
        let text = text.split("prog/xdp id ").nth(1)?;
        text.split_whitespace().next()?.parse().ok()
    }

    /// What stands on the bpf file system, the kernel's own files aside.
    pub(super) fn pins(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(&self.bpffs).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path());
        paths.filter(|path| path.extension().is_none()).collect()
    }
}

impl Drop for Room {
    /// A mount point can't be removed with the directory.
    fn drop(&mut self) {
        umount2(&self.bpffs, MntFlags::MNT_DETACH).unwrap();
    }
}

/// The last byte of an address.
pub(super) fn last_byte(address: SocketAddr) -> u8 {
    match address.ip() {
        IpAddr::V4(address) => address.octets()[3],
        IpAddr::V6(address) => address.octets()[15],
    }
}

pub(super) fn index(name: &str) -> u32 {
    nix::net::if_::if_nametoindex(name).unwrap()
}

pub(super) fn ip(arguments: &[&str]) -> String {
    let output = Command::new("ip").args(arguments).output().unwrap();
    assert!(output.status.success(), "ip {arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// A loaded program that is attached to nothing.
pub(super) fn detached(sizes: Sizes) -> DataPlane {
    let options = Options {
        pin_dir: PathBuf::new(),
        interface: String::new(),
        link_index: 1,
        others: Vec::new(),
        mac: MAC,
        address: None,
        address6: None,
        mode: Mode::Native,
        sizes,
    };
    DataPlane::load_detached(&options).unwrap()
}

pub(super) fn key(address: Ipv4Addr, port: u16) -> ServiceKey {
    ServiceKey::Single {
        protocol: Protocol::Tcp,
        address: SocketAddr::V4(SocketAddrV4::new(address, port)),
    }
}

/// A server by the last byte of its addresses.
pub(super) fn server(host: u8, weight: i64) -> ServerEntry {
    ServerEntry {
        address: SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::new(198, 18, 14, host), PORT)),
        weight: Weight::try_from(weight).unwrap(),
        hash_weight: Weight::ONE,
        forwarding: Forwarding::DirectRouting,
        hop: MacAddress([2, 0, 0, 0, 1, host]).into(),
        thresholds: Thresholds::default(),
    }
}

pub(super) fn service(servers: &[ServerEntry]) -> ServiceEntry {
    ServiceEntry {
        key: key(VIP, PORT),
        group: Listens::default(),
        scheduler: Scheduler::RoundRobin,
        options: ServiceOptions::default(),
        servers: servers.to_vec(),
        held: Vec::new(),
    }
}

/// A client's TCP packet to the service.
pub(super) fn packet(client_port: u16, flags: u8) -> Vec<u8> {
    let mut frame = headers(6, 40);
    frame.extend(client_port.to_be_bytes());
    frame.extend(PORT.to_be_bytes());
    frame.extend([0, 0, 0, 1, 0, 0, 0, 0, 0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    frame
}

/// A client's UDP packet, without data and checksum, to the service's address and port.
pub(super) fn datagram(client_port: u16) -> Vec<u8> {
    let mut frame = headers(17, 28);
    frame.extend(client_port.to_be_bytes());
    frame.extend(PORT.to_be_bytes());
    frame.extend([0, 8, 0, 0]);
    frame
}

/// Ethernet and IP headers of a client's packet of this protocol and total length.
fn headers(protocol: u8, len: u8) -> Vec<u8> {
    let mut frame = Vec::new();
    frame.extend(MAC.0);
    frame.extend([2, 0, 0, 0, 9, 9, 8, 0]);
    frame.extend([
        0x45, 0, 0, len, 0, 1, 0, 0, 64, protocol, 0, 0, 198, 18, 14, 99,
    ]);
    frame.extend(VIP.octets());
    frame
}

/// A neighbour's broadcast request for an address.
pub(super) fn arp_request(target: Ipv4Addr) -> Vec<u8> {
    let sender = [2, 0, 0, 0, 9, 9];
    let mut frame = vec![0xff; 6];
    frame.extend(sender);
    frame.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
    frame.extend(sender);
    frame.extend([198, 18, 14, 99, 0, 0, 0, 0, 0, 0]);
    frame.extend(target.octets());
    frame
}

/// An advertisement of version 2, multicast by another director.
pub(super) fn advert(id: u8, source: Ipv4Addr, address: Ipv4Addr) -> Vec<u8> {
    let mut message = vec![0x21, id, 90, 1, 0, 1, 0, 0];
    message.extend(address.octets());
    message.extend([0; 8]);
    let sum = checksum(&message);
    message[6..8].copy_from_slice(&sum);
    let mut header = vec![0x45, 0xc0, 0, 40, 0, 1, 0, 0, 255, 112, 0, 0];
    header.extend(source.octets());
    header.extend([224, 0, 0, 18]);
    let sum = checksum(&header);
    header[10..12].copy_from_slice(&sum);
    let mut frame = vec![0x01, 0, 0x5e, 0, 0, 0x12, 2, 0, 0, 0, 8, 8, 8, 0];
    frame.extend(header);
    frame.extend(message);
    frame
}

/// The Internet checksum (RFC 1071) of bytes whose own field is 0.
fn checksum(bytes: &[u8]) -> [u8; 2] {
    let words = bytes
        .chunks(2)
        .map(|two| u32::from(two[0]) << 8 | u32::from(two[1]));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (!u16::try_from(sum).unwrap()).to_be_bytes()
}

/// Runs a client's packet: the verdict, and the last byte of the MAC address that it was sent to.
pub(super) fn send(plane: &DataPlane, client_port: u16, flags: u8) -> (u32, u8) {
    let (verdict, frame) = plane.run(&packet(client_port, flags)).unwrap();
    (verdict, frame[5])
}

/// Opens connections and returns the servers that they were sent to.
pub(super) fn open(plane: &DataPlane, ports: std::ops::Range<u16>) -> Vec<u8> {
    let opened = ports.map(|port| {
        let (verdict, host) = send(plane, port, SYN);
        assert_eq!(verdict, TX);
        host
    });
    opened.collect()
}

/// Waits for a condition, 10 s at most.
pub(super) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(10);
    while !holds() {
        assert!(Instant::now() < end, "{what}: not within 10 s");
        thread::sleep(Duration::from_millis(10));
    }
}
