//! The object, the abi and the specs agree.

use std::path::Path;

use aya::EbpfLoader;
use aya::maps::MapInfo;
use evenkeel_abi::map;

use super::support::in_room;
use crate::maps::specs;
use crate::{OBJECT, Sizes};

#[path = "../../../../xtask/src/source_hash.rs"]
mod source_hash;

#[test]
fn the_object_is_made_from_these_sources() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let root = root.canonicalize().unwrap();
    let recorded = include_str!("../evenkeel.bpf.sources");
    let hash = source_hash::of_sources(&root).unwrap();
    assert_eq!(hash, recorded.trim(), "stale object: run `cargo xtask bpf`");
}

#[test]
fn specs_stand_in_the_order_of_the_names() {
    let names = specs(&Sizes::default()).map(|spec| spec.name);
    assert_eq!(names, map::ALL);
}

#[test]
fn the_objects_maps_are_what_the_specs_say() {
    in_room(|room| {
        let sizes = Sizes::small();
        let mut loader = EbpfLoader::new();
        loader.btf(None);
        for spec in specs(&sizes) {
            loader.map_max_entries(spec.name, spec.max_entries);
        }
        let mut ebpf = loader.load(OBJECT).unwrap();
        for spec in specs(&sizes) {
            let path = room.bpffs.join(spec.name);
            ebpf.take_map(spec.name).unwrap().pin(&path).unwrap();
            let info = MapInfo::from_pin(&path).unwrap();
            assert_eq!(spec.check(&info), Ok(()), "{spec:?}");
        }
    });
}
