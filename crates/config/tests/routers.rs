//! Virtual routers are accepted exactly if they contradict neither themselves nor the rest of the file.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use evenkeel_config::parse;
use proptest::prelude::*;

/// A virtual router as it is written, its addresses by their last number.
#[derive(Clone, Debug)]
struct Written {
    name: &'static str,
    id: u8,
    addresses: Vec<u8>,
    owner: bool,
    version: u8,
    adverts_ms: u64,
    preempt: Option<bool>,
    failback: Option<bool>,
    delay_s: Option<u64>,
    peers: Option<Vec<u8>>,
    source: Option<u8>,
}

fn written() -> impl Strategy<Value = Written> {
    let speech = (
        2_u8..=3,
        prop::sample::select(vec![500, 1_000, 2_000, 1_005, 40_950, 41_000, 256_000]),
    );
    let preemption = (
        prop::bool::weighted(0.2),
        prop::option::of(any::<bool>()),
        prop::option::weighted(0.3, any::<bool>()),
        prop::option::weighted(0.3, prop::sample::select(vec![0, 5])),
    );
    (
        prop::sample::select(vec!["a", "b", "c", "d", "e", "f"]),
        1_u8..8,
        prop::collection::vec(1_u8..12, 1..3),
        speech,
        preemption,
        prop::option::weighted(0.3, prop::collection::vec(11_u8..16, 1..3)),
        prop::option::weighted(0.3, 11_u8..20),
    )
        .prop_map(
            |(name, id, addresses, speech, preemption, peers, source)| Written {
                name,
                id,
                addresses,
                owner: preemption.0,
                version: speech.0,
                adverts_ms: speech.1,
                preempt: preemption.1,
                failback: preemption.2,
                delay_s: preemption.3,
                peers,
                source,
            },
        )
}

fn list(numbers: &[u8]) -> String {
    let quoted: Vec<String> = numbers
        .iter()
        .map(|number| format!("\"192.0.2.{number}\""))
        .collect();
    quoted.join(", ")
}

fn text(routers: &[Written], server: u8) -> String {
    let mut text = "[director]\ninterface = \"eth0\"\n".to_owned();
    for router in routers {
        let mut line = |key: &str, value: Option<String>| {
            if let Some(value) = value {
                let _infallible = writeln!(text, "{key} = {value}");
            }
        };
        line(
            "[[virtual-router]]\nname",
            Some(format!("{:?}", router.name)),
        );
        line("id", Some(router.id.to_string()));
        line("addresses", Some(format!("[{}]", list(&router.addresses))));
        line("priority", router.owner.then(|| "255".to_owned()));
        line("version", Some(router.version.to_string()));
        line("adverts", Some(format!("\"{}ms\"", router.adverts_ms)));
        line("preempt", router.preempt.map(|preempt| preempt.to_string()));
        let failback = |auto| if auto { "\"auto\"" } else { "\"manual\"" };
        line(
            "failback",
            router.failback.map(|auto| failback(auto).to_owned()),
        );
        line("preempt-delay", router.delay_s.map(|s| format!("\"{s}s\"")));
        let peers = router.peers.as_deref().map(list);
        line("peers", peers.map(|peers| format!("[{peers}]")));
        line("source", router.source.map(|source| list(&[source])));
    }
    text + &format!(
        "[[service]]\nname = \"web\"\nlisten = \"192.0.2.1:80\"\n\
         servers = [ {{ address = \"192.0.2.{server}\" }} ]\n"
    )
}

/// Whether no item comes twice.
fn distinct<T: Ord>(items: impl Iterator<Item = T>) -> bool {
    let mut seen = BTreeSet::new();
    items.into_iter().all(|item| seen.insert(item))
}

fn is_sound(router: &Written) -> bool {
    let interval = match router.version {
        2 => {
            router.adverts_ms.is_multiple_of(1_000)
                && (1_000..=255_000).contains(&router.adverts_ms)
        }
        _ => router.adverts_ms.is_multiple_of(10) && (10..=40_950).contains(&router.adverts_ms),
    };
    let once = router.preempt.is_none() || router.failback.is_none();
    let preemption = match router.preempt.or(router.failback) {
        Some(false) => !router.owner && router.delay_s.is_none(),
        Some(true) | None => !router.owner || router.delay_s.is_none_or(|delay| delay == 0),
    };
    interval && once && preemption && distinct(router.peers.iter().flatten())
}

fn are_sound(routers: &[Written], server: u8) -> bool {
    let virtuals = || routers.iter().flat_map(|router| &router.addresses);
    let sources = || routers.iter().filter_map(|router| router.source);
    let peers = || {
        routers
            .iter()
            .flat_map(|router| router.peers.iter().flatten())
    };
    // 1 is the service's.
    let moves = |number: u8| number == 1 || virtuals().any(|address| *address == number);
    routers.iter().all(is_sound)
        && distinct(routers.iter().map(|router| router.name))
        && distinct(routers.iter().map(|router| router.id))
        && distinct(virtuals())
        && !moves(server)
        && !sources().any(moves)
        && !peers().any(|peer| moves(*peer) || sources().any(|source| source == *peer))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2048) })]

    #[test]
    fn virtual_routers_are_accepted_exactly_if_they_contradict_nothing(
        routers in prop::collection::vec(written(), 1..4),
        server in 10_u8..16,
    ) {
        let text = text(&routers, server);
        match parse("a.toml", &text, "host") {
            Ok(director) => {
                prop_assert!(are_sound(&routers, server), "accepted:\n{text}");
                prop_assert_eq!(director.virtual_routers.len(), routers.len());
            }
            Err(diagnostics) => prop_assert!(
                !are_sound(&routers, server),
                "{}",
                diagnostics.render(false)
            ),
        }
    }
}
