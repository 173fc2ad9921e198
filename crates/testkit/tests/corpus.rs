//! Replays the corpora of the fuzz targets.

#![forbid(unsafe_code)]

use std::fs;
use std::panic::catch_unwind;
use std::path::Path;

use evenkeel_abi::{DropReason, Event};
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
        assert!(is_reached, "{event:?} is not reached");
    }
}

#[test]
fn vrrp_codec_holds_over_its_corpus() {
    replay("vrrp", &fuzz::vrrp::seeds(), fuzz::vrrp::run);
}
