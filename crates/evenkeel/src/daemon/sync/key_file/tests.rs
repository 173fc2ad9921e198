use std::os::unix::fs::PermissionsExt as _;

use super::*;

fn file(text: &str, mode: u32) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sync.key");
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    (folder, path)
}

#[test]
fn a_key_is_sixty_four_digits_that_the_owner_alone_can_read() {
    let digits = "0123456789abcdefABCDEF0123456789".repeat(2);
    let (_folder, path) = file(&format!("{digits}\n"), 0o600);
    assert!(read(&path).is_ok());
    for (text, mode, error) in [
        (digits.as_str(), 0o640, "others than its owner"),
        (&digits[1..], 0o600, "does not hold 64"),
        (&digits.replace('0', "g"), 0o400, "does not hold 64"),
        ("", 0o600, "does not hold 64"),
    ] {
        let (_folder, path) = file(text, mode);
        let found = read(&path).unwrap_err();
        assert!(found.to_string().contains(error), "{found}");
        assert!(found.hint().contains("sync.key"));
    }
    let missing = read(Path::new("/nowhere/sync.key")).unwrap_err();
    assert!(missing.to_string().starts_with("cannot read"), "{missing}");
}
