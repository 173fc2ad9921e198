//! Replays the corpora of the fuzz targets.

#![forbid(unsafe_code)]

use std::fs;
use std::panic::catch_unwind;
use std::path::Path;
use std::sync::atomic::Ordering::SeqCst;

use evenkeel_abi::{DropReason, Event, Locality, ROUTERS6, SchedulerId, Server, ServerFlags};
use evenkeel_testkit::{NativeTables, fuzz};

/// Name and content of each file of a target's corpus.
fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    let files = fs::read_dir(root.join(target)).expect("the corpus is in the repository");
    files
        .map(|file| {
            let file = file.expect("a file of the corpus");
            let name = file.file_name().to_string_lossy().into_owned();
            (name, fs::read(file.path()).expect("a file of the corpus"))
        })
        .collect()
}

fn replay<T>(target: &str, seeds: &[Vec<u8>], run: fn(&[u8]) -> T) -> Vec<T> {
    let corpus = corpus(target);
    for seed in seeds {
        let is_there = corpus.iter().any(|(_, input)| input == seed);
        assert!(
            is_there,
            "a seed is missing; run `cargo run -p evenkeel-testkit --example seeds`"
        );
    }
    assert!(corpus.len() > seeds.len(), "nothing but seeds is there");
    let size: usize = corpus.iter().map(|(_, input)| input.len()).sum();
    assert!(
        corpus.len() <= 200 && size <= 250_000,
        "the corpus is large"
    );
    let replayed = corpus.iter().map(|(name, input)| {
        catch_unwind(|| run(input)).unwrap_or_else(|_| panic!("{target}: {name} found a bug"))
    });
    replayed.collect()
}

#[test]
fn data_plane_holds_over_its_corpus() {
    let ends = replay("datapath", &fuzz::datapath::seeds(), fuzz::datapath::run);
    let ends: Vec<NativeTables> = ends.into_iter().flatten().collect();
    for reason in DropReason::ALL {
        let is_reached = ends.iter().any(|tables| tables.dropped(reason) > 0);
        let is_possible = reason != DropReason::Internal;
        assert_eq!(is_reached, is_possible, "{reason:?}");
    }
    for event in Event::ALL {
        let is_reached = ends.iter().any(|tables| tables.happened(event) > 0);
        // Nothing in the target's worlds asks for the hash.
        let is_possible = event != Event::AskedSyn;
        assert_eq!(is_reached, is_possible, "{event:?}");
    }
    for (what, is_reached) in REACHED {
        assert!(ends.iter().any(is_reached), "{what} is not reached");
    }
}

/// What some input of the corpus has to end with.
type Reached = (&'static str, fn(&NativeTables) -> bool);

const REACHED: [Reached; 6] = [
    ("a packet to each service of a wide world", |tables| {
        let stats = tables.service_stats.lock().expect("nobody holds it");
        (0..12).all(|service| stats.get(&service).is_some_and(|stats| stats.packets > 0))
    }),
    ("a template", |tables| {
        tables
            .loads
            .iter()
            .any(|load| load.persistent.load(SeqCst) > 0)
    }),
    ("an overloaded server", |tables| {
        tables
            .loads
            .iter()
            .any(|load| load.overloaded.load(SeqCst) > 0)
    }),
    ("a kept server with a connection", |tables| {
        tables
            .servers
            .iter()
            .zip(&tables.loads)
            .any(|(server, load)| {
                let flags = Server::unpack_flags(server.mac.load(SeqCst));
                flags & ServerFlags::KEPT != 0 && load.active.load(SeqCst) > 0
            })
    }),
    ("another director of a virtual router of IPv6", |tables| {
        let mut routers = tables.routers[ROUTERS6 as usize..].iter();
        routers.any(|router| router.heard.load(SeqCst) > 0)
    }),
    ("an address that lblcr remembers", |tables| {
        let mut halves = tables.services.iter().map(|slot| &slot.halves[0]);
        halves.any(|half| {
            let (row, _) = half.ring.load();
            half.scheduler.load(SeqCst) == SchedulerId::LBLCR
                && tables.arena[(row + Locality::GATE) as usize].load(SeqCst) > 0
        })
    }),
];

#[test]
fn sync_codec_holds_over_its_corpus() {
    replay("sync", &fuzz::sync::seeds(), fuzz::sync::run);
}

#[test]
fn vrrp_codec_holds_over_its_corpus() {
    replay("vrrp", &fuzz::vrrp::seeds(), fuzz::vrrp::run);
}
