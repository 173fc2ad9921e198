use evenkeel_wire::sync::{Datagram, parse};

use super::*;

fn ends() -> [Link; 2] {
    let key = Key::from_secret(&[3; 32]).unwrap();
    let end = |name, byte| End {
        name,
        epoch: [byte; 16],
    };
    let (a, b) = (end("a", 1), end("b", 2));
    [Link::new(&key, a, b), Link::new(&key, b, a)]
}

fn open(link: &mut Link, datagram: &[u8]) -> Result<Vec<u8>, Closed> {
    let Ok(Datagram::Sealed {
        head,
        session,
        counter,
        body,
        tag,
    }) = parse(datagram)
    else {
        panic!("{datagram:02x?}");
    };
    assert!(link.takes(session));
    let mut body = body.to_vec();
    link.open(head, counter, &mut body, tag)?;
    Ok(body)
}

#[test]
fn each_opens_what_the_other_one_seals_once() {
    let [mut a, mut b] = ends();
    for (frame, counter) in [(&b"one"[..], 0), (b"two", 1), (b"", 2)] {
        assert_eq!(a.counter(), counter);
        let datagram = a.seal(frame);
        assert_eq!(open(&mut b, &datagram), Ok(frame.to_vec()));
        assert_eq!(open(&mut b, &datagram), Err(Closed::Replayed));
        assert_eq!(b.heard(), counter);
    }
    let answer = b.seal(b"three");
    assert_eq!(open(&mut a, &answer), Ok(b"three".to_vec()));
}

#[test]
fn a_changed_datagram_is_not_opened_and_the_genuine_one_is_after_it() {
    let [mut a, mut b] = ends();
    let datagram = a.seal(b"frame");
    // The counter and what follows; kind and session are looked at before.
    for at in 8..datagram.len() {
        let mut forged = datagram.clone();
        forged[at] ^= 0x10;
        assert_eq!(open(&mut b, &forged), Err(Closed::Forged), "{at}");
    }
    assert!(open(&mut b, &datagram).is_ok());
}

#[test]
fn equal_frames_are_encrypted_differently_in_each_datagram_direction_and_session() {
    let key = Key::from_secret(&[3; 32]).unwrap();
    let end = |name, byte| End {
        name,
        epoch: [byte; 16],
    };
    let sessions = [
        (end("a", 1), end("b", 2)),
        (end("b", 2), end("a", 1)),
        (end("a", 1), end("b", 3)),
        (end("a", 4), end("b", 2)),
        (end("a", 1), end("c", 2)),
        (end("ab", 1), end("", 2)),
        (end("a", 2), end("b", 1)),
    ];
    let mut seen = Vec::new();
    for (ours, theirs) in sessions {
        let mut link = Link::new(&key, ours, theirs);
        seen.extend([
            link.seal(b"frame")[16..].to_vec(),
            link.seal(b"frame")[16..].to_vec(),
        ]);
    }
    let other = Key::from_secret(&[4; 32]).unwrap();
    seen.push(Link::new(&other, sessions[0].0, sessions[0].1).seal(b"frame")[16..].to_vec());
    let count = seen.len();
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), count);
}
