use crate::{CONFIG, evenkeel, path};

#[test]
fn the_default_config_is_good() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("evenkeel.toml");
    let printed = evenkeel(&["print-default-config"]);
    assert_eq!(printed.code, Some(0));
    std::fs::write(&file, &printed.out).unwrap();
    let told = evenkeel(&["check", path(&file)]);
    assert_eq!(told.code, Some(0), "{told:?}");
    assert!(
        told.out.starts_with(&format!("{}: ok\n", file.display())),
        "{told:?}"
    );
}

#[test]
fn a_good_file_is_summed_up() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("evenkeel.toml");
    std::fs::write(&file, CONFIG).unwrap();
    let told = evenkeel(&["check", path(&file)]);
    let expected = format!(
        "{}: ok\n\
         director laicoz on interface no-such-if0\n\
         service web: TCP 198.18.14.146:80 rr, 2 servers, checked by tcp\n",
        file.display()
    );
    assert_eq!((told.code, told.out), (Some(0), expected));
}

#[test]
fn virtual_routers_are_summed_up_before_services() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("evenkeel.toml");
    let router = r#"
[[virtual-router]]
name = "paper"
id = 51
addresses = ["198.18.14.146", "198.18.14.147"]
priority = 150
adverts = "100ms"
"#;
    std::fs::write(&file, CONFIG.to_owned() + router).unwrap();
    let told = evenkeel(&["check", path(&file)]);
    let expected = format!(
        "{}: ok\n\
         director laicoz on interface no-such-if0\n\
         virtual router paper: id 51, VRRP 3, priority 150, every 100 ms, 198.18.14.146, 198.18.14.147\n\
         service web: TCP 198.18.14.146:80 rr, 2 servers, checked by tcp\n",
        file.display()
    );
    assert_eq!((told.code, told.out), (Some(0), expected));
}

#[test]
fn all_mistakes_of_a_bad_file_are_shown_with_carets() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("bad.toml");
    let bad = CONFIG
        .replace("\"rr\"", "\"rrr\"")
        .replace("\"tcp\"", "\"tpc\"");
    std::fs::write(&file, bad).unwrap();
    let told = evenkeel(&["check", path(&file)]);
    assert_eq!(told.code, Some(78), "{told:?}");
    assert!(told.out.is_empty(), "{told:?}");
    assert_eq!(told.err.matches("^^^").count(), 2, "{told:?}");
    for place in [":9:12", ":10:13"] {
        assert!(
            told.err.contains(&format!("bad.toml{place}")),
            "{place}: {told:?}"
        );
    }
}

#[test]
fn mistakes_come_as_json_too() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("bad.toml");
    std::fs::write(&file, CONFIG.replace("\"rr\"", "\"rrr\"")).unwrap();
    let told = evenkeel(&["check", "--json", path(&file)]);
    assert_eq!(told.code, Some(78), "{told:?}");
    let report: serde_json::Value = serde_json::from_str(&told.out).unwrap();
    assert_eq!(report["ok"], false);
    assert_eq!(report["diagnostics"][0]["line"], 10);
    assert_eq!(report["diagnostics"][0]["column"], 13);
}

#[test]
fn a_missing_file_is_named() {
    let told = evenkeel(&["check", "/no/such/file.toml"]);
    assert_eq!(told.code, Some(78), "{told:?}");
    assert!(told.err.contains("`/no/such/file.toml`"), "{told:?}");
    assert!(told.err.contains("Hint: "), "{told:?}");
}
