//! Starts that fail before anything is touched; starts that succeed need root and are tested elsewhere.

use crate::{CONFIG, evenkeel, path};

#[test]
fn a_bad_config_ends_the_start_with_its_diagnostics() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("bad.toml");
    std::fs::write(&file, CONFIG.replace("\"rr\"", "\"rrr\"")).unwrap();
    let told = evenkeel(&["run", "--config", path(&file)]);
    assert_eq!(told.code, Some(78), "{told:?}");
    assert!(told.err.contains("^^^"), "{told:?}");
}

#[test]
fn a_missing_interface_is_named_with_those_that_exist() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("evenkeel.toml");
    let socket = directory.path().join("api.sock");
    std::fs::write(&file, CONFIG).unwrap();
    let told = evenkeel(&["run", "--config", path(&file), "--socket", path(&socket)]);
    assert_eq!(told.code, Some(1), "{told:?}");
    assert!(
        told.err.contains("interface `no-such-if0` does not exist"),
        "{told:?}"
    );
    assert!(told.err.contains("`lo`"), "{told:?}");
    assert!(told.err.contains("Hint: Set `interface`"), "{told:?}");
    assert!(!socket.exists());
}
