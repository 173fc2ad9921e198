use super::*;

const SOURCE: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);

/// A packet with so many words of header, and a total length that may be a lie.
fn packet(words: u8, total: u16, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0; usize::from(words) * 4];
    packet[0] = 0x40 | words;
    packet[2..4].copy_from_slice(&total.to_be_bytes());
    packet[8..10].copy_from_slice(&[255, 112]);
    packet[12..16].copy_from_slice(&SOURCE.octets());
    packet[16..20].copy_from_slice(&GROUP.octets());
    packet.extend(payload);
    packet
}

fn received(payload: &[u8]) -> Received<'_> {
    Received {
        source: SOURCE.into(),
        destination: GROUP.into(),
        ttl: 255,
        payload,
    }
}

#[test]
fn the_payload_follows_the_options() {
    for words in [5, 6, 15] {
        let total = u16::from(words) * 4 + 3;
        let packet = packet(words, total, &[1, 2, 3]);
        assert_eq!(take_apart(&packet), received(&[1, 2, 3]), "{words}");
    }
}

#[test]
fn the_payload_ends_with_the_total_length_or_with_the_packet() {
    let payload = [1, 2, 3];
    for (total, expected) in [
        (22, &payload[..2]),
        (23, &payload),
        (24, &payload),
        (u16::MAX, &payload),
        (20, &[]),
        (0, &[]),
    ] {
        let packet = packet(5, total, &payload);
        assert_eq!(take_apart(&packet), received(expected), "{total}");
    }
}

#[test]
fn a_header_that_is_cut_short_gives_what_is_there() {
    let whole = packet(15, 63, &[1, 2, 3]);
    for length in 0..whole.len() {
        let received = take_apart(&whole[..length]);
        assert_eq!(received.ttl == 255, length > 8, "{length}");
        assert_eq!(received.source == SOURCE, length >= 16, "{length}");
        assert_eq!(received.destination == GROUP, length >= 20, "{length}");
        assert_eq!(received.payload.len(), length.saturating_sub(60));
    }
}

#[test]
fn a_header_of_less_than_five_words_counts_as_five() {
    let mut packet = packet(5, 23, &[1, 2, 3]);
    packet[0] = 0x41;
    assert_eq!(take_apart(&packet), received(&[1, 2, 3]));
}
