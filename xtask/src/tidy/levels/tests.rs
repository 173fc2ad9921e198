use super::super::File;
use super::{check, packages};
use serde_json::{Value, json};

fn findings(name: &str, dependencies: Value) -> Vec<String> {
    let metadata = json!({
        "workspace_root": "/p",
        "packages": [{
            "name": name,
            "manifest_path": "/p/crates/it/Cargo.toml",
            "dependencies": dependencies,
        }],
    });
    let manifest = File::new(
        "crates/it/Cargo.toml",
        "[package]\n\n[dependencies]\nevenkeel-health.workspace = true\ntokio = \"1\"\n",
    );
    check(&packages(&metadata), &[manifest])
        .iter()
        .map(ToString::to_string)
        .collect()
}

fn on(name: &str) -> Value {
    json!([{ "name": name, "kind": null, "optional": false }])
}

#[test]
fn an_import_goes_strictly_down() {
    assert!(findings("evenkeel-control", on("evenkeel-health")).is_empty());
    assert_eq!(
        findings("evenkeel-model", on("evenkeel-health")),
        [
            "crates/it/Cargo.toml:4: `evenkeel-model` (level 1) may not import `evenkeel-health` (level 2)"
        ]
    );
    assert_eq!(findings("evenkeel-control", on("evenkeel-config")).len(), 1);
}

#[test]
fn a_crate_without_a_level_is_found() {
    assert_eq!(
        findings("evenkeel-elsewhere", json!([])),
        ["crates/it/Cargo.toml:1: `evenkeel-elsewhere` has no level in xtask's table"]
    );
}

#[test]
fn development_dependencies_are_free() {
    let testkit = json!([{ "name": "evenkeel-testkit", "kind": "dev", "optional": false }]);
    assert!(findings("evenkeel-wire", testkit).is_empty());
    assert_eq!(findings("evenkeel-wire", on("evenkeel-testkit")).len(), 1);
}

#[test]
fn the_lower_levels_do_no_input_or_output() {
    assert_eq!(
        findings("evenkeel-health", on("tokio")),
        ["crates/it/Cargo.toml:5: level 2 does no input or output: no `tokio`"]
    );
    assert!(findings("evenkeel-net", on("tokio")).is_empty());
}

#[test]
fn serde_begins_at_level_3() {
    assert_eq!(findings("evenkeel-model", on("serde")).len(), 1);
    assert!(findings("evenkeel-config", on("serde")).is_empty());
}

#[test]
fn aya_netlink_and_clap_have_their_rooms() {
    assert_eq!(findings("evenkeel-lab", on("aya")).len(), 1);
    assert!(findings("evenkeel-bpf", on("aya")).is_empty());
    assert_eq!(findings("evenkeel-abi", on("aya")).len(), 1);
    let optional = json!([{ "name": "aya", "kind": null, "optional": true }]);
    assert!(findings("evenkeel-abi", optional).is_empty());
    assert_eq!(findings("evenkeel", on("netlink-packet-route")).len(), 1);
    assert_eq!(findings("evenkeel-lab", on("clap")).len(), 1);
}

#[test]
fn only_the_binary_and_the_lab_know_both_net_and_bpf() {
    let both =
        json!([{ "name": "evenkeel-net", "kind": null }, { "name": "evenkeel-bpf", "kind": null }]);
    assert!(findings("evenkeel-lab", both.clone()).is_empty());
    assert_eq!(findings("evenkeel-api", both).len(), 3);
}
