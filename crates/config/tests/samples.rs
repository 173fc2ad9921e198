//! Every file under `samples/` is read: what is valid parses, what is invalid renders as recorded.

#![expect(clippy::unwrap_used, reason = "a helper that panics fails its test")]

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use evenkeel_config::parse;
use evenkeel_model::Priority;

fn samples(kind: &str) -> Vec<(String, PathBuf, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("samples")
        .join(kind);
    let mut samples: Vec<(String, PathBuf, String)> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "toml")
        })
        .map(|path| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            let text = fs::read_to_string(&path).unwrap();
            (name, path, text)
        })
        .collect();
    samples.sort();
    assert!(!samples.is_empty());
    samples
}

#[test]
fn valid_samples_parse() {
    for (name, _, text) in samples("valid") {
        if let Err(diagnostics) = parse(&name, &text, "host") {
            panic!("{}", diagnostics.render(false));
        }
    }
}

#[test]
fn invalid_samples_render_as_recorded() {
    let update = env::var_os("UPDATE_EXPECT").is_some();
    let mut differing = Vec::new();
    for (name, path, text) in samples("invalid") {
        let Err(diagnostics) = parse(&name, &text, "host") else {
            panic!("`{name}` is valid");
        };
        let rendered = diagnostics.render(false);
        for diagnostic in diagnostics.as_slice() {
            let place = format!("{name}:{}:{}\n", diagnostic.line, diagnostic.column);
            assert!(rendered.contains(&place), "no `{place}` in {rendered}");
        }
        let expected = path.with_extension("stderr");
        if update {
            fs::write(&expected, &rendered).unwrap();
        } else if fs::read_to_string(&expected).ok().as_deref() != Some(rendered.as_str()) {
            differing.push(rendered);
        }
    }
    assert!(
        differing.is_empty(),
        "not as recorded (UPDATE_EXPECT=1 records anew):\n{}",
        differing.join("\n")
    );
}

#[test]
fn every_recorded_rendering_has_its_sample() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("samples/invalid");
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        assert!(path.with_extension("toml").exists(), "{}", path.display());
    }
}

#[test]
fn the_readme_shows_a_valid_config() {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md");
    let readme = fs::read_to_string(readme).unwrap();
    let mut blocks = readme.split("```toml\n").skip(1);
    let mut next = || Some(blocks.next()?.split("```").next().unwrap());
    let config = next().unwrap();
    let director = parse("README.md", config, "host").unwrap();
    assert_eq!(director.services[0].servers.len(), 3);
    let with_router = format!("{config}\n{}", next().unwrap());
    let director = parse("README.md", &with_router, "host").unwrap();
    assert_eq!(director.virtual_routers.len(), 1);
    let with_sync = format!("{with_router}\n{}", next().unwrap());
    let director = parse("README.md", &with_sync, "laicoz").unwrap();
    assert_eq!(director.sync.unwrap().peers.len(), 1, "and not itself");
    assert!(next().is_none(), "one config and two additions");
}

#[test]
fn the_papers_sample_is_what_the_lab_gives_its_first_director() {
    let topology = Path::new(env!("CARGO_MANIFEST_DIR")).join("../lab/topologies/paper.toml");
    let topology = fs::read_to_string(topology).unwrap();
    let mut configs = topology
        .split("config = '''\n")
        .skip(1)
        .map(|rest| parse("lab", rest.split("'''").next().unwrap(), "host").unwrap());
    let sample = include_str!("../samples/valid/paper.toml");
    let sample = parse("paper.toml", sample, "host").unwrap();
    assert_eq!(configs.next(), Some(sample.clone()));
    let mut second = configs.next().unwrap();
    assert_eq!(second.virtual_routers[0].priority, Priority::DEFAULT);
    second.name.clone_from(&sample.name);
    second.virtual_routers[0].priority = sample.virtual_routers[0].priority;
    assert_eq!(second, sample, "else the directors are alike");
    assert!(configs.next().is_none(), "two directors");
}
