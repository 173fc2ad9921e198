use super::*;

const MAC: MacAddress = MacAddress([2, 0, 0, 0, 0, 7]);
const ADDRESS: Ipv4Addr = Ipv4Addr::new(198, 18, 14, 146);

#[test]
fn a_probe_names_the_address_and_no_sender() {
    let expected = [
        0, 1, 8, 0, 6, 4, 0, 1, // Ethernet, IPv4, request
        2, 0, 0, 0, 0, 7, 0, 0, 0, 0, // sender
        0, 0, 0, 0, 0, 0, 198, 18, 14, 146, // target
    ];
    assert_eq!(probe(MAC, ADDRESS), expected);
}

#[test]
fn only_the_sender_of_an_arp_message_claims_its_address() {
    let announced = arp::gratuitous(arp::REQUEST, MAC.0, ADDRESS.octets());
    let frame = packet::arp_frame(MAC, announced);
    assert_eq!(claimant(&frame, ADDRESS), Some(MAC));
    assert_eq!(claimant(&frame, Ipv4Addr::new(198, 18, 14, 147)), None);
    let asked = packet::arp_frame(MAC, probe(MAC, ADDRESS));
    assert_eq!(claimant(&asked, ADDRESS), None);
}

#[test]
fn a_frame_that_is_cut_short_or_of_another_kind_claims_nothing() {
    let announced = arp::gratuitous(arp::REPLY, MAC.0, ADDRESS.octets());
    let mut frame = packet::arp_frame(MAC, announced);
    for length in 0..eth::LEN + SENDER_ADDRESS + 4 {
        assert_eq!(claimant(&frame[..length], ADDRESS), None, "{length}");
    }
    frame[eth::LEN + 1] = 6;
    assert_eq!(claimant(&frame, ADDRESS), None);
}
