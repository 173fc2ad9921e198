//! The program as a person meets it: what it prints, where, and how it exits.

mod check;
mod connections;
mod daemon;
mod drain;
mod events;
mod generate;
mod handover;
mod help;
mod ipvsadm;
mod no_daemon;
mod run;
mod trace;

use std::path::Path;
use std::process::{Command, Output, Stdio};

/// The built program, called by another name.
fn program(name: &str) -> Command {
    use std::os::unix::process::CommandExt as _;

    let mut command = Command::new(env!("CARGO_BIN_EXE_evenkeel"));
    command
        .arg0(name)
        .env_remove("EVENKEEL_SOCKET")
        .env_remove("EVENKEEL_LOG")
        .stdin(Stdio::null());
    command
}

/// Exit code, standard output and standard error.
#[derive(Debug)]
struct Told {
    code: Option<i32>,
    out: String,
    err: String,
}

fn told(mut command: Command) -> Told {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().expect("the program starts");
    Told {
        code: status.code(),
        out: String::from_utf8(stdout).expect("its output is text"),
        err: String::from_utf8(stderr).expect("its messages are text"),
    }
}

fn evenkeel(words: &[&str]) -> Told {
    let mut command = program("evenkeel");
    command.args(words);
    told(command)
}

fn path(path: &Path) -> &str {
    path.to_str().expect("the path is text")
}

/// A config that names an interface which no machine has.
const CONFIG: &str = r#"
[director]
name = "laicoz"
interface = "no-such-if0"

[[service]]
name = "web"
listen = "198.18.14.146:80"
protocol = "tcp"
scheduler = "rr"
forward = "direct"
servers = [ { address = "198.18.14.12" }, { address = "198.18.14.13" } ]
"#;
