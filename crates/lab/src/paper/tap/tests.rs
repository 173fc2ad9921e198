use super::*;

/// What the kernel's interpreter of classic BPF would answer, for the instructions used here.
fn takes(frame: &[u8]) -> bool {
    // The socket does the work: a filter can't be run without one.
    let (ours, theirs) = std::os::unix::net::UnixDatagram::pair().unwrap();
    let ours = Socket::from(ours);
    ours.attach_filter(&filter(MAC, DESTINATION)).unwrap();
    ours.set_nonblocking(true).unwrap();
    theirs.send(frame).ok();
    stamped::receive(&ours, &mut [0]).is_ok()
}

const MAC: MacAddress = MacAddress([0x02, 0x00, 198, 18, 14, 12]);
const DESTINATION: Ipv4Addr = Ipv4Addr::new(198, 18, 14, 146);

fn frame() -> Vec<u8> {
    let mut frame = vec![0; 54];
    frame[..6].copy_from_slice(&MAC.0);
    frame[6..12].copy_from_slice(&[0x02, 0, 198, 18, 14, 10]);
    frame[12..14].copy_from_slice(&[0x08, 0x00]);
    frame[14] = 0x45;
    frame[30..34].copy_from_slice(&DESTINATION.octets());
    frame
}

#[test]
fn a_packet_for_the_virtual_address_that_goes_to_the_server_is_taken() {
    assert!(takes(&frame()));
}

#[test]
fn other_frames_are_not() {
    for (byte, what) in [
        (0, "another hardware address, in its first half"),
        (5, "another hardware address, in its second half"),
        (12, "another protocol than IPv4"),
        (33, "the server's own address, as health checks have it"),
    ] {
        let mut other = frame();
        other[byte] ^= 1;
        assert!(!takes(&other), "{what}");
    }
    assert!(!takes(&frame()[..33]), "cut off");
    assert!(!takes(&[0; 1]));
}
