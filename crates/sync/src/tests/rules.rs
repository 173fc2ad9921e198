//! Rules of a session, one by one.

use super::*;

#[test]
fn a_configuration_that_cannot_work_is_refused_with_what_to_do() {
    let good = config("a", "b");
    let cases = [
        (
            SyncConfig {
                name: String::new(),
                ..good.clone()
            },
            "`` is no name",
        ),
        (
            SyncConfig {
                peer: "x".repeat(65),
                ..good.clone()
            },
            "is no name",
        ),
        (config("a", "a"), "give each a name of its own"),
        (
            SyncConfig {
                keys: Vec::new(),
                ..good.clone()
            },
            "give both directors the same one",
        ),
        (
            SyncConfig {
                lag_bound: ms(9),
                ..good.clone()
            },
            "10 ms to 10 s",
        ),
        (
            SyncConfig {
                lag_bound: ms(10_001),
                ..good
            },
            "10 ms to 10 s",
        ),
    ];
    for (config, expected) in cases {
        let error = Session::new(config, [0; 32], Instant::now()).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
    assert_eq!(Key::from_secret(&[0; 15]), Err(KeyError(15)));
    assert!(Key::from_secret(&[0; 16]).is_ok());
    let shown = format!("{:?}", key(SECRET));
    assert!(shown.len() < 30 && shown.starts_with("Key("), "{shown}");
}

#[test]
fn two_that_start_together_have_one_session_and_each_wants_a_snapshot() {
    let mut pair = Pair::new();
    pair.pass(ms(5));
    for end in 0..2 {
        assert!(pair.took(end, &Output::WantSnapshot));
        assert_eq!(pair.ends[end].view(pair.now).counters.sessions, 1);
        let state = pair.ends[end].state(Direction::Incoming, pair.now);
        assert_eq!(state, State::Snapshot);
    }
}

#[test]
fn what_is_handed_in_comes_out_in_order() {
    let mut pair = Pair::in_sync();
    let now = pair.now;
    pair.ends[0].send(&record(1, 1), now).unwrap();
    pair.ends[0].send(&record(5, 2), now).unwrap();
    pair.ends[0].remove(&flow(1), now).unwrap();
    pair.ends[0].send(&record(1, 3), now).unwrap();
    assert_eq!(pair.ends[0].view(now).outgoing.outstanding, 4);
    pair.pass(ms(1));
    let expected = [
        Output::Install(record(1, 1)),
        Output::Install(record(5, 2)),
        Output::Remove(flow(1)),
        Output::Install(record(1, 3)),
    ];
    assert_eq!(pair.told[1], expected);
    pair.pass(ms(5));
    let view = pair.ends[0].view(pair.now);
    assert_eq!(view.outgoing.outstanding, 0);
    assert_eq!(
        (view.counters.records_sent, view.counters.removals_sent),
        (3, 1)
    );
    let counters = pair.ends[1].view(pair.now).counters;
    assert_eq!(
        (counters.records_received, counters.removals_received),
        (3, 1)
    );
}

#[test]
fn a_flush_sends_at_once() {
    let mut pair = Pair::in_sync();
    let now = pair.now;
    pair.ends[0].send(&record(1, 1), now).unwrap();
    pair.exchange();
    assert_eq!(pair.told[1], []);
    pair.ends[0].flush(now);
    pair.exchange();
    assert_eq!(pair.told[1], [Output::Install(record(1, 1))]);
}

#[test]
fn without_a_session_nothing_is_taken() {
    let mut pair = Pair::new();
    let now = pair.now;
    let session = &mut pair.ends[0];
    assert_eq!(session.room(), 0);
    assert_eq!(session.send(&record(1, 1), now), Err(Refused::Down));
    assert_eq!(session.remove(&flow(1), now), Err(Refused::Down));
    session.snapshot_done(now);
    session.backlog(None, now);
    session.flush(now);
    assert_eq!(session.state(Direction::Outgoing, now), State::Down);
}

#[test]
fn a_million_records_go_through_a_window_of_bounded_size() {
    let mut pair = Pair::in_sync();
    let (mut handed, mut most) = (0_u32, 0);
    // Fewer than a million, for the sake of time; the window is used up hundreds of times.
    while handed < 50_000 {
        let now = pair.now;
        while pair.ends[0].room() > 0 {
            handed += 1;
            pair.ends[0].send(&record(handed, 1), now).unwrap();
        }
        most = most.max(pair.ends[0].view(now).outgoing.outstanding);
        pair.pass(us(100));
    }
    pair.pass(ms(5));
    assert!((1_000..=3_840).contains(&most), "{most}");
    let counters = pair.ends[1].view(pair.now).counters;
    assert_eq!(counters.records_received, handed.into());
    let sent = pair.ends[0].view(pair.now).counters;
    assert_eq!((sent.resent, counters.duplicates), (0, 0));
}

#[test]
fn a_full_window_refuses_and_takes_again_when_it_is_acknowledged() {
    let mut pair = Pair::in_sync();
    let now = pair.now;
    let refused = (0..).find_map(|number| pair.ends[0].send(&record(number, 1), now).err());
    assert_eq!(refused, Some(Refused::Full));
    assert_eq!(pair.ends[0].room(), 0);
    pair.pass(ms(5));
    assert!(pair.ends[0].room() > 1_000);
}

#[test]
fn the_peer_is_told_at_once_what_this_director_is_active_for_and_what_it_wants() {
    let mut pair = Pair::in_sync();
    let now = pair.now;
    let active = Routers::from_iter([1, 51]);
    pair.ends[0].set_active(active, now);
    pair.exchange();
    let wanted = Routers::NONE;
    let changed = |wanted, digest| Output::PeerChanged {
        active,
        wanted,
        digest,
    };
    assert_eq!(pair.told[1], [changed(wanted, 0)]);
    pair.ends[0].set_digest(7, now);
    pair.exchange();
    assert_eq!(pair.told[1][1..], [changed(wanted, 7)]);
    // What it is Active for itself it can't want.
    let wanted = Routers::from_iter([2]);
    pair.ends[0].set_wanted(Routers::from_iter([2, 51]), now);
    pair.exchange();
    assert_eq!(pair.told[1][2..], [changed(wanted, 7)]);
    let session = pair.ends[1].view(now).session.unwrap();
    assert_eq!(
        (
            session.peer_active,
            session.peer_wanted,
            session.peer_digest
        ),
        (Some(active), Some(wanted), Some(7))
    );
}

#[test]
fn a_shell_that_does_not_look_for_changes_is_in_sync_no_longer() {
    let mut pair = Pair::in_sync();
    // `pass` would look.
    let end = pair.now + ms(200);
    while let Some(due) = pair.ends.iter().filter_map(Session::poll_timeout).min()
        && due <= end
    {
        pair.now = due;
        pair.ends
            .iter_mut()
            .for_each(|session| session.handle_timeout(due));
        pair.ends[1].backlog(None, due);
        pair.exchange();
    }
    let lags = |direction| Output::StateChanged {
        direction,
        from: State::InSync,
        to: State::Lagging,
    };
    assert!(pair.took(0, &lags(Direction::Outgoing)), "{:?}", pair.told);
    assert!(pair.took(1, &lags(Direction::Incoming)), "{:?}", pair.told);
    assert!(!pair.took(1, &lags(Direction::Outgoing)), "{:?}", pair.told);
    // What it still holds back is old, too.
    let since = pair.now - ms(150);
    pair.ends[0].backlog(Some(since), pair.now);
    pair.exchange();
    let lag = pair.ends[0].view(pair.now).outgoing.lag;
    assert_eq!(lag, Some(ms(150)));
    pair.told[1].clear();
    pair.pass(ms(60));
    let back = Output::StateChanged {
        direction: Direction::Incoming,
        from: State::Lagging,
        to: State::InSync,
    };
    assert!(pair.took(1, &back), "{:?}", pair.told);
}

#[test]
fn a_snapshot_is_complete_when_the_last_of_it_has_come() {
    let mut pair = Pair::new();
    pair.pass(ms(5));
    let now = pair.now;
    for number in 0..3 {
        pair.ends[0].send(&record(number, 1), now).unwrap();
    }
    pair.pass(ms(50));
    assert_eq!(
        pair.ends[1].state(Direction::Incoming, pair.now),
        State::Snapshot
    );
    assert_eq!(
        pair.ends[0].state(Direction::Outgoing, pair.now),
        State::Snapshot
    );
    pair.ends[0].snapshot_done(pair.now);
    // Once is enough.
    pair.ends[0].snapshot_done(pair.now);
    pair.told[1].clear();
    pair.pass(ms(50));
    let in_sync = Output::StateChanged {
        direction: Direction::Incoming,
        from: State::Snapshot,
        to: State::InSync,
    };
    assert_eq!(pair.told[1], [Output::SnapshotComplete, in_sync]);
    let view = pair.ends[1].view(pair.now);
    assert_eq!(view.incoming.snapshot_records, 3);
    assert_eq!(pair.ends[0].view(pair.now).outgoing.snapshot_records, 3);
}

#[test]
fn silence_of_three_seconds_ends_a_session_and_its_return_begins_another() {
    let mut pair = Pair::in_sync();
    let start = pair.now;
    while pair.now < start + ms(5_000) {
        pair.now += ms(1);
        pair.ends[0].handle_timeout(pair.now);
        pair.drain(0);
        if pair.took(0, &Output::Lost(Loss::Silence)) {
            break;
        }
    }
    let silent = pair.now - start;
    assert!((ms(2_970)..=ms(3_000)).contains(&silent), "{silent:?}");
    assert_eq!(
        pair.ends[0].view(pair.now).lost,
        Some((Loss::Silence, pair.now))
    );
    pair.told = [Vec::new(), Vec::new()];
    pair.pass(ms(400));
    assert!(pair.took(0, &Output::WantSnapshot) && pair.took(1, &Output::WantSnapshot));
    assert_eq!(pair.ends[0].view(pair.now).counters.sessions, 2);
}

#[test]
fn a_restarted_peer_has_a_new_session_at_once() {
    for end in 0..2 {
        let mut pair = Pair::in_sync();
        pair.restart(end);
        pair.pass(ms(10));
        assert!(
            pair.took(1 - end, &Output::Lost(Loss::Replaced)),
            "{:?}",
            pair.told
        );
        assert!(pair.took(0, &Output::WantSnapshot) && pair.took(1, &Output::WantSnapshot));
        let view = pair.ends[1 - end].view(pair.now);
        assert_eq!(
            (view.counters.sessions, view.outgoing.state),
            (2, State::Snapshot)
        );
    }
}

#[test]
fn an_idle_session_costs_heartbeats_and_little_else() {
    let mut pair = Pair::in_sync();
    let before = pair.ends[0].view(pair.now).counters;
    pair.pass(ms(10_000));
    let after = pair.ends[0].view(pair.now).counters;
    let datagrams = after.datagrams_sent - before.datagrams_sent;
    let bytes = after.bytes_sent - before.bytes_sent;
    // Forty a second.
    assert!((395..=405).contains(&datagrams), "{datagrams}");
    assert!(bytes / datagrams < 100, "{bytes}");
    assert_eq!(after.resent, 0);
}

#[test]
fn another_key_is_told_with_what_to_do_and_once() {
    let other = SyncConfig {
        keys: vec![key(b"another secret of theirs")],
        ..config("b", "a")
    };
    let mut pair = Pair::of(config("a", "b"), other);
    pair.pass(ms(3_000));
    let notices = pair.notices(0);
    assert_eq!(notices.len(), 1, "{notices:?}");
    assert!(notices[0].starts_with("keys differ: `b`"), "{notices:?}");
    let view = pair.ends[0].view(pair.now);
    assert!(view.counters.rejected(Rejection::Key) > 10);
    assert_eq!(view.outgoing.state, State::Down);
    assert_eq!(view.troubles.len(), 1);
}

#[test]
fn a_key_is_changed_without_a_break() {
    let (old, new) = (key(SECRET), key(b"the secret of next year"));
    let sets = [
        vec![old.clone()],
        vec![old.clone(), new.clone()],
        vec![new.clone(), old],
        vec![new],
    ];
    for (a, b) in [
        (0, 1),
        (1, 0),
        (1, 1),
        (1, 2),
        (2, 1),
        (2, 2),
        (2, 3),
        (3, 2),
    ] {
        let with = |keys: &Vec<Key>, config| SyncConfig {
            keys: keys.clone(),
            ..config
        };
        let mut pair = Pair::of(
            with(&sets[a], config("a", "b")),
            with(&sets[b], config("b", "a")),
        );
        pair.pass(ms(500));
        assert!(pair.took(0, &Output::WantSnapshot), "{a} with {b}");
        assert_eq!(
            pair.notices(0).len() + pair.notices(1).len(),
            0,
            "{a} with {b}"
        );
    }
}

#[test]
fn other_names_are_told_with_what_to_do() {
    let mut pair = Pair::of(config("a", "b"), config("b", "x"));
    pair.pass(ms(500));
    let notices = pair.notices(0);
    assert_eq!(notices.len(), 1, "{notices:?}");
    assert!(
        notices[0].contains("calls itself `b` and this director `x`"),
        "{notices:?}"
    );
    assert_eq!(pair.ends[0].view(pair.now).outgoing.state, State::Down);
}

#[test]
fn another_version_is_told_with_what_to_do() {
    let mut pair = Pair::in_sync();
    let now = pair.now;
    for kind in 1..4 {
        pair.ends[0].handle_datagram(&[b'e', b'k', 2, kind, 9, 9], now);
    }
    pair.exchange();
    let notices = pair.notices(0);
    assert_eq!(notices.len(), 1, "{notices:?}");
    assert!(notices[0].contains("speaks version 2"), "{notices:?}");
    assert!(
        notices[0].contains("install releases on both"),
        "{notices:?}"
    );
    let counters = pair.ends[0].view(now).counters;
    assert_eq!(counters.rejected(Rejection::Version), 3);
}

#[test]
fn a_trouble_is_told_again_after_a_minute_without_it() {
    let mut pair = Pair::in_sync();
    for (wait, told) in [(0, 1), (59_000, 1), (61_000, 2)] {
        pair.pass(ms(wait));
        pair.ends[0].handle_datagram(b"hello?", pair.now);
        pair.exchange();
        assert_eq!(pair.notices(0).len(), told, "after {wait} ms");
    }
    pair.pass(ms(61_000));
    assert_eq!(pair.ends[0].view(pair.now).troubles, []);
}
