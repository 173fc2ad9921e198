use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use evenkeel_model::MacAddress;
use evenkeel_net::vrrp::{Family, Received, VrrpSocket, VrrpSocketError};
use evenkeel_net::{Announcer, Waker, wait_readable};

use crate::guard::{NetNs, PATIENCE, drop_capabilities, pair};

const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 18);
const DIRECTOR: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
const PAYLOAD: [u8; 12] = [0x31, 51, 100, 1, 0, 10, 0xab, 0xcd, 198, 18, 14, 146];

/// An advertisement's packet; length and checksum are the kernel's.
fn packet(source: Ipv4Addr, destination: Ipv4Addr, ttl: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x45, 0xc0, 0, 0, 0, 0, 0, 0, ttl, 112, 0, 0];
    packet.extend(source.octets());
    packet.extend(destination.octets());
    packet.extend(payload);
    packet
}

fn open(namespace: &NetNs, link: &str) -> VrrpSocket {
    namespace.enter(|| {
        let index = nix::net::if_::if_nametoindex(link).unwrap();
        VrrpSocket::open(Family::V4, index, link).unwrap()
    })
}

/// Waits for the next packet.
fn next<'b>(socket: &VrrpSocket, buffer: &'b mut [u8]) -> Received<'b> {
    wait_readable(&[socket.as_fd()], Some(PATIENCE)).unwrap();
    socket.receive(buffer).unwrap().expect("a packet")
}

/// Waits until the link carries packets: until then the kernel drops them without a word.
fn wait_for_carrier(namespace: &NetNs, link: &str) {
    let deadline = Instant::now() + PATIENCE;
    let up = "state UP";
    while !namespace.ip(&format!("link show dev {link}")).contains(up) {
        assert!(Instant::now() < deadline, "{link} does not come up");
    }
}

/// A pair of hosts whose link carries packets, and a VRRP socket of each.
fn sockets() -> (NetNs, NetNs, VrrpSocket, VrrpSocket) {
    let (director, server) = pair();
    wait_for_carrier(&director, "eth0");
    wait_for_carrier(&server, "eth0");
    let from = open(&director, "eth0");
    let to = open(&server, "eth0");
    (director, server, from, to)
}

#[test]
fn the_other_end_receives_what_was_sent_and_we_do_not() {
    let (_director, _server, from, to) = sockets();
    let mut buffer = [0; 2048];
    for (source, destination, ttl) in [
        (DIRECTOR, GROUP, 255),
        (DIRECTOR, SERVER, 255),
        (DIRECTOR, GROUP, 254),
        // Not an address of ours: the kernel does not put another in its place.
        (Ipv4Addr::new(10, 0, 0, 77), GROUP, 255),
        (Ipv4Addr::new(10, 0, 0, 77), SERVER, 255),
    ] {
        from.send(&packet(source, destination, ttl, &PAYLOAD))
            .unwrap();
        let expected = Received {
            source: source.into(),
            destination: destination.into(),
            ttl,
            payload: &PAYLOAD,
        };
        assert_eq!(next(&to, &mut buffer), expected);
        assert_eq!(to.receive(&mut buffer).unwrap(), None);
        // A copy would have been queued while we sent.
        assert_eq!(from.receive(&mut buffer).unwrap(), None);
    }
}

#[test]
fn a_packet_beyond_the_buffer_loses_its_end() {
    let (_director, _server, from, to) = sockets();
    from.send(&packet(DIRECTOR, GROUP, 255, &PAYLOAD)).unwrap();
    let mut buffer = [0; 28];
    assert_eq!(next(&to, &mut buffer).payload, &PAYLOAD[..8]);
    assert_eq!(to.receive(&mut buffer).unwrap(), None);
}

#[test]
fn a_packet_without_a_source_is_not_sent() {
    let (_director, _server, from, to) = sockets();
    let no_source = packet(Ipv4Addr::UNSPECIFIED, GROUP, 255, &PAYLOAD);
    let whole = packet(DIRECTOR, GROUP, 255, &PAYLOAD);
    for refused in [&no_source[..], &whole[..19], &[]] {
        let error = from.send(refused).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }
    from.send(&whole).unwrap();
    let mut buffer = [0; 2048];
    assert_eq!(next(&to, &mut buffer).source, DIRECTOR);
    assert_eq!(to.receive(&mut buffer).unwrap(), None);
}

#[test]
fn only_its_own_interface_is_heard() {
    let (director, server, _socket, to) = sockets();
    director.ip("link add x0 type veth peer name x1");
    director.ip(&format!("link set x1 netns {}", server.path()));
    for (namespace, link, host) in [(&director, "x0", 1), (&server, "x1", 2)] {
        namespace.ip(&format!("addr add 10.0.1.{host}/24 dev {link}"));
        namespace.ip(&format!("link set {link} up"));
    }
    wait_for_carrier(&director, "x0");
    wait_for_carrier(&server, "x1");
    let elsewhere = open(&director, "x0");
    let expected = open(&server, "x1");
    let source = Ipv4Addr::new(10, 0, 1, 1);
    let mut buffer = [0; 2048];
    for destination in [GROUP, Ipv4Addr::new(10, 0, 1, 2)] {
        elsewhere
            .send(&packet(source, destination, 255, &PAYLOAD))
            .unwrap();
        assert_eq!(next(&expected, &mut buffer).destination, destination);
        assert_eq!(to.receive(&mut buffer).unwrap(), None);
    }
}

#[test]
fn the_membership_survives_that_the_interface_goes_down_and_up() {
    let (director, server, from, to) = sockets();
    server.ip("link set eth0 down");
    server.ip("link set eth0 name renamed");
    server.ip("link set renamed up");
    wait_for_carrier(&director, "eth0");
    wait_for_carrier(&server, "renamed");
    from.send(&packet(DIRECTOR, GROUP, 255, &PAYLOAD)).unwrap();
    assert_eq!(next(&to, &mut [0; 2048]).payload, PAYLOAD);
}

#[test]
fn a_membership_that_the_kernel_forgot_comes_back_by_rejoining() {
    let (director, server, from, to) = sockets();
    let elsewhere = NetNs::new();
    server.ip(&format!("link set eth0 netns {}", elsewhere.path()));
    elsewhere.ip(&format!("link set eth0 netns {}", server.path()));
    server.ip("addr add 10.0.0.2/24 dev eth0");
    server.ip("link set eth0 up");
    wait_for_carrier(&director, "eth0");
    wait_for_carrier(&server, "eth0");
    let mut buffer = [0; 2048];
    from.send(&packet(DIRECTOR, GROUP, 255, &PAYLOAD)).unwrap();
    from.send(&packet(DIRECTOR, SERVER, 255, &PAYLOAD)).unwrap();
    assert_eq!(next(&to, &mut buffer).destination, SERVER);
    for _ in 0..2 {
        to.rejoin().unwrap();
        from.send(&packet(DIRECTOR, GROUP, 255, &PAYLOAD)).unwrap();
        assert_eq!(next(&to, &mut buffer).destination, GROUP);
    }
}

#[test]
fn an_interface_that_is_down_takes_a_socket_and_no_packet() {
    let (director, server) = pair();
    director.ip("link set eth0 down");
    let from = open(&director, "eth0");
    let to = open(&server, "eth0");
    let advertisement = packet(DIRECTOR, GROUP, 255, &PAYLOAD);
    let error = from.send(&advertisement).unwrap_err();
    assert!(
        matches!(
            error.raw_os_error(),
            Some(libc::ENETUNREACH | libc::ENETDOWN)
        ),
        "{error:?}"
    );
    assert_eq!(from.receive(&mut [0; 64]).unwrap(), None);
    director.ip("link set eth0 up");
    wait_for_carrier(&director, "eth0");
    wait_for_carrier(&server, "eth0");
    from.send(&advertisement).unwrap();
    assert_eq!(next(&to, &mut [0; 2048]).payload, PAYLOAD);
}

#[test]
fn a_thousand_advertisements_wait_for_us() {
    const BURST: u16 = 1000;
    let (_director, _server, from, to) = sockets();
    for number in 0..BURST {
        let payload = number.to_be_bytes();
        from.send(&packet(DIRECTOR, GROUP, 255, &payload)).unwrap();
    }
    let mut buffer = [0; 2048];
    for number in 0..BURST {
        assert_eq!(next(&to, &mut buffer).payload, number.to_be_bytes());
    }
}

#[test]
fn what_can_not_be_opened_is_an_error() {
    let (director, _server) = pair();
    director.enter(|| {
        let eth0 = nix::net::if_::if_nametoindex("eth0").unwrap();
        let error = VrrpSocket::open(Family::V4, eth0, "eth7").unwrap_err();
        assert!(matches!(error, VrrpSocketError::Bind { .. }), "{error:?}");
        let error = VrrpSocket::open(Family::V4, eth0 + 1, "eth0").unwrap_err();
        assert!(
            matches!(error, VrrpSocketError::OtherLink { found, .. } if found == eth0),
            "{error:?}"
        );
        drop_capabilities();
        let error = VrrpSocket::open(Family::V4, eth0, "eth0").unwrap_err();
        assert!(matches!(error, VrrpSocketError::Open(_)), "{error:?}");
    });
}

/// Counts what each thread allocates.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: `System` does all the work; counting touches no memory of the allocator's.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller keeps `alloc`'s contract, which is handed on as it is.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the block came from `alloc` above, which is `System`'s.
        unsafe { System.dealloc(block, layout) }
    }
}

#[test]
fn sending_receiving_waiting_and_announcing_allocate_nothing() {
    let (director, _server, from, to) = sockets();
    let link = director.enter(|| nix::net::if_::if_nametoindex("eth0").unwrap());
    let announcer = director.enter(|| Announcer::open().unwrap());
    let (waker, reader) = Waker::pair().unwrap();
    let advertisement = packet(DIRECTOR, GROUP, 255, &PAYLOAD);
    let mac = MacAddress([2, 0, 0, 0, 0, 1]);
    let announced6 = "2001:db8::146".parse().unwrap();
    let mut buffer = [0; 2048];
    let before = ALLOCATIONS.get();
    for _ in 0..3 {
        from.send(&advertisement).unwrap();
        let fds = [to.as_fd(), reader.as_fd()];
        wait_readable(&fds, Some(Duration::from_secs(30))).unwrap();
        assert_eq!(to.receive(&mut buffer).unwrap().unwrap().payload, PAYLOAD);
        assert_eq!(to.receive(&mut buffer).unwrap(), None);
        announcer.announce(link, mac, SERVER.into()).unwrap();
        announcer.announce(link, mac, announced6).unwrap();
        waker.wake();
        reader.drain();
    }
    assert_eq!(ALLOCATIONS.get(), before);
    // The count itself works.
    drop(std::hint::black_box(vec![0_u8; 100]));
    assert_eq!(ALLOCATIONS.get(), before + 1);
}
