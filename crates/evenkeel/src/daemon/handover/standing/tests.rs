use super::*;

fn both() -> Standing {
    Standing {
        maintenance: true,
        standby: ["a", "b"].map(str::to_owned).into(),
    }
}

#[test]
fn the_next_daemon_finds_what_was_kept_last() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("evenkeel.sock");
    let (file, nothing) = StandingFile::open(&socket);
    assert_eq!(nothing, Standing::default());
    file.keep(&both()).unwrap();
    assert_eq!(StandingFile::open(&socket).1, both());
    file.keep(&Standing::default()).unwrap();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    file.keep(&Standing::default()).unwrap();
    file.keep(&both()).unwrap();
    assert!(remove(&socket).unwrap().is_some());
    assert_eq!(remove(&socket).unwrap(), None);
}

#[test]
fn a_file_that_is_of_no_use_orders_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("evenkeel.sock");
    for text in [
        "",
        "{",
        "[]",
        "{\"version\":2,\"maintenance\":true,\"standby\":[]}",
        "{\"version\":1}",
    ] {
        fs::write(folder.path().join("evenkeel.orders.json"), text).unwrap();
        let (file, standing) = StandingFile::open(&socket);
        assert_eq!(standing, Standing::default(), "{text}");
        assert!(file.read().is_err(), "{text}");
    }
}

#[test]
fn a_folder_that_is_gone_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("evenkeel.sock");
    let (file, _) = StandingFile::open(&socket);
    drop(folder);
    let error = file.keep(&both()).unwrap_err();
    assert!(error.contains("evenkeel.orders.json"), "{error}");
}
