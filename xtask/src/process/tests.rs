use super::{AsRoot, describe};
use std::path::Path;

fn line(args: &[&str], is_root: bool, sudo: Option<&str>) -> String {
    let binary = Path::new("/home/me/evenkeel/target/release/evenkeel");
    let args = [&["lab", "paper"], args].concat();
    match AsRoot::plan(binary, &args, is_root, sudo.map(Path::new)) {
        AsRoot::Start(command) => describe(&command),
        AsRoot::Ask(line) => format!("asks: {line}"),
    }
}

#[test]
fn root_needs_no_sudo() {
    assert_eq!(
        line(&["--json", "out.json"], true, Some("/usr/bin/sudo")),
        "/home/me/evenkeel/target/release/evenkeel lab paper --json out.json"
    );
}

#[test]
fn a_user_runs_only_the_program_under_sudo() {
    assert_eq!(
        line(&[], false, Some("/usr/bin/sudo")),
        "/usr/bin/sudo /home/me/evenkeel/target/release/evenkeel lab paper"
    );
}

#[test]
fn without_sudo_the_line_for_su_is_shown() {
    assert_eq!(
        line(&["--json", "my file"], false, None),
        r"asks: su -c '/home/me/evenkeel/target/release/evenkeel lab paper --json '\''my file'\'''"
    );
}
