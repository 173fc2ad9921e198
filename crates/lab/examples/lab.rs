//! The least program that can run labs: `lab FILE` keeps one in the foreground, `lab --detach FILE`
//! leaves one, `lab exec NODE COMMAND...`, `lab power NODE on|off`, `lab link NODE up|down`, `lab down`
//! and `lab list` work on the one that runs.

use std::error::Error;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, ExitCode};

use evenkeel_lab::{Options, command, entry};

fn main() -> ExitCode {
    if let Some(code) = entry::run(std::env::args_os().skip(1)) {
        return code;
    }
    match run() {
        Ok(code) => code,
        Err(err) => {
            let mut cause = Some(&*err as &dyn Error);
            while let Some(err) = cause {
                let _unheard = writeln!(std::io::stderr(), "{err}");
                cause = err.source();
            }
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<ExitCode, Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let mut out = std::io::stdout();
    match words.as_slice() {
        ["exec", node, program, arguments @ ..] => {
            let mut wanted = Command::new(program);
            wanted.args(arguments);
            let status = command::exec(None, node, wanted)?;
            let code = status.code().and_then(|code| u8::try_from(code).ok());
            return Ok(code.map_or(ExitCode::FAILURE, ExitCode::from));
        }
        ["power", node, state] => command::power(None, node, *state == "on")?,
        ["link", node, state] => command::link(None, node, *state == "up")?,
        ["down"] => command::down(None)?,
        ["list"] => writeln!(out, "{:#?}", command::list()?)?,
        ["--detach", file] => {
            let topology = command::read_topology(Path::new(file))?;
            let lab = command::up_detached(topology, Options::default())?;
            writeln!(out, "{}", lab.name)?;
        }
        [file] => {
            let topology = command::read_topology(Path::new(file))?;
            command::up(topology, Options::default(), |lab| {
                let _unheard = writeln!(out, "{}", lab.name);
            })?;
        }
        _ => return Err("see the source for what can be asked".into()),
    }
    Ok(ExitCode::SUCCESS)
}
