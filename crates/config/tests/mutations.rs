//! Whatever is done to a config file, reading it gives a director or mistakes with places in it.

#![expect(clippy::unwrap_used, reason = "a helper that panics fails its test")]

use std::collections::BTreeSet;
use std::fs;
use std::net::IpAddr;
use std::path::Path;

use evenkeel_config::parse;
use evenkeel_model::{Director, Priority, Protocol, VrrpVersion};
use proptest::prelude::*;
use proptest::sample::Index;

#[derive(Clone, Debug)]
enum Mutation {
    DeleteLine(Index),
    RepeatLine(Index),
    SwapLines(Index, Index),
    Overwrite(Index, u8),
    Insert(Index, String),
    Truncate(Index),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let pieces = prop::sample::select(vec![
        "\"",
        "'",
        "[",
        "]",
        "[[",
        "{",
        "}",
        ",",
        "=",
        "\n",
        "\r\n",
        "\t",
        "#",
        "0",
        "-",
        ".",
        ":",
        "é",
        "\u{feff}",
        "\0",
        "\"\"\"",
        "99999999999999999999",
        "\\u0000",
        "🦀",
        "[service]",
        "[virtual-router]\n",
        "[[virtual-router]]\n",
        "\"192.0.2.1\"",
        "255",
        "version = 2\n",
        "preempt = false\n",
        "failback = \"manual\"\n",
        "10ms",
        "sorry-server = \"192.0.2.20\"\n",
        "sorry-server = \"192.0.2.11:80\"\n",
    ]);
    prop_oneof![
        any::<Index>().prop_map(Mutation::DeleteLine),
        any::<Index>().prop_map(Mutation::RepeatLine),
        any::<(Index, Index)>().prop_map(|(a, b)| Mutation::SwapLines(a, b)),
        any::<(Index, u8)>().prop_map(|(at, byte)| Mutation::Overwrite(at, byte)),
        (any::<Index>(), pieces).prop_map(|(at, piece)| Mutation::Insert(at, piece.to_owned())),
        any::<Index>().prop_map(Mutation::Truncate),
    ]
}

fn mutate(text: &str, mutation: &Mutation) -> String {
    let mut lines: Vec<&str> = text.split_inclusive('\n').collect();
    let mut bytes = text.as_bytes().to_vec();
    match mutation {
        _ if text.is_empty() => {}
        Mutation::DeleteLine(at) => {
            lines.remove(at.index(lines.len()));
            bytes = lines.concat().into_bytes();
        }
        Mutation::RepeatLine(at) => {
            let at = at.index(lines.len());
            lines.insert(at, lines[at]);
            bytes = lines.concat().into_bytes();
        }
        Mutation::SwapLines(a, b) => {
            let (a, b) = (a.index(lines.len()), b.index(lines.len()));
            lines.swap(a, b);
            bytes = lines.concat().into_bytes();
        }
        Mutation::Overwrite(at, byte) => {
            let at = at.index(bytes.len());
            bytes[at] = *byte;
        }
        Mutation::Insert(at, piece) => {
            let at = at.index(bytes.len());
            bytes.splice(at..at, piece.bytes());
        }
        Mutation::Truncate(at) => bytes.truncate(at.index(bytes.len())),
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn all_samples() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("samples");
    ["valid", "invalid"]
        .iter()
        .flat_map(|kind| fs::read_dir(folder.join(kind)).unwrap())
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "toml")
        })
        .map(|path| fs::read_to_string(path).unwrap())
        .collect()
}

fn check_places(text: &str) {
    let diagnostics = match parse("mutated.toml", text, "host") {
        Ok(director) => return check_director(&director),
        Err(diagnostics) => diagnostics,
    };
    let list = diagnostics.as_slice();
    assert!(!list.is_empty());
    assert!(list.is_sorted_by_key(|diagnostic| diagnostic.span.start));
    for diagnostic in list {
        let before = text.get(..diagnostic.span.start).unwrap();
        let at_fault = text.get(diagnostic.span.clone()).unwrap();
        assert!(!at_fault.contains('\n'));
        assert_eq!(at_fault.chars().count(), diagnostic.length);
        assert_eq!(before.matches('\n').count() + 1, diagnostic.line);
        let line = before.rsplit('\n').next().unwrap();
        assert_eq!(line.chars().count() + 1, diagnostic.column);
        assert!(!diagnostic.message.is_empty() && !diagnostic.hint.is_empty());
        assert!(!diagnostic.expected.is_empty());
    }
    assert!(!diagnostics.render(false).is_empty());
    assert!(!diagnostics.render(true).is_empty());
}

/// What the rest of the program relies on without looking again.
fn check_director(director: &Director) {
    let routers = &director.virtual_routers;
    let names: BTreeSet<&str> = routers.iter().map(|router| router.name.as_str()).collect();
    let ids: BTreeSet<u8> = routers.iter().map(|router| router.id.get()).collect();
    assert_eq!((names.len(), ids.len()), (routers.len(), routers.len()));
    let mut moving: BTreeSet<IpAddr> = BTreeSet::new();
    for router in routers {
        assert!((1..=255).contains(&router.addresses.len()));
        assert!(
            router
                .addresses
                .iter()
                .all(|address| moving.insert(*address))
        );
        let ms = router.advert_interval.as_millis();
        match router.version {
            VrrpVersion::V2 => assert!((1_000..=255_000).contains(&ms) && ms % 1_000 == 0),
            VrrpVersion::V3 => assert!((10..=40_950).contains(&ms) && ms % 10 == 0),
        }
        assert!(router.preempt || router.priority != Priority::OWNER);
        assert!(router.preempt_delay.is_zero() || router.preempt);
        assert!((1..=100).contains(&router.announcements));
    }
    let sources: BTreeSet<IpAddr> = routers.iter().filter_map(|router| router.source).collect();
    assert!(sources.is_disjoint(&moving));
    for router in routers {
        let peers: BTreeSet<IpAddr> = router.peers.iter().copied().collect();
        assert_eq!(peers.len(), router.peers.len());
        assert!(peers.is_disjoint(&moving) && peers.is_disjoint(&sources));
        assert!(!peers.iter().any(IpAddr::is_multicast));
    }
    for service in &director.services {
        let check = service.check.as_ref();
        let checked_port = check.is_none_or(|check| check.port.is_some());
        let listens = service.listens();
        let udp = listens
            .iter()
            .any(|listen| listen.protocol == Protocol::Udp);
        assert!(!udp || checked_port);
        let addresses = service.all_servers().map(|server| server.address.ip());
        let distinct: BTreeSet<IpAddr> = addresses.collect();
        let count = service.all_servers().count();
        assert_eq!(distinct.len(), count, "each host once");
        assert!(distinct.len() <= 1_024);
        assert!(distinct.is_disjoint(&moving));
        let is_ipv6 = |address: IpAddr| address.is_ipv6();
        let family = service.addresses().any(is_ipv6);
        assert!(distinct.iter().all(|address| address.is_ipv6() == family));
        for server in service.all_servers() {
            assert_eq!(server.address.port(), service.key.port());
            assert!(!server.drained);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1024) })]

    #[test]
    fn mutated_samples_never_panic_and_places_are_in_the_text(
        sample in prop::sample::select(all_samples()),
        mutations in prop::collection::vec(mutation(), 1..6),
    ) {
        let text = mutations.iter().fold(sample, |text, mutation| mutate(&text, mutation));
        check_places(&text);
    }

    #[test]
    fn arbitrary_text_never_panics(text in any::<String>()) {
        check_places(&text);
    }
}
