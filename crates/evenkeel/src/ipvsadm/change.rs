//! Edits, put to the daemon, and refused in ipvsadm's words.

use std::io::BufRead as _;
use std::path::Path;

use evenkeel_api::{Client, Edit, EditRefusal};

use crate::ipvsadm::grammar::{self, Request};
use crate::ipvsadm::{Failure, execute, print_failure, runtime, tell};

/// Exit code of what the kernel refuses.
const REFUSED: u8 = 255;

/// Has the daemon make an edit.
pub(super) fn edit(edit: &Edit, socket: &Path) -> Result<String, Failure> {
    let client = Client::new(socket);
    let answer = runtime()?
        .block_on(client.edit(edit))
        .map_err(Failure::not_initialized)?;
    for warning in answer.warnings {
        tell(Some(format!("Warning: {warning}\n")));
    }
    match answer.refused {
        None => Ok(String::new()),
        Some(refusal) => Err(Failure {
            code: REFUSED,
            message: format!("{}\n", words(edit, refusal)),
        }),
    }
}

/// The words of libipvs for the error that the kernel would give.
const fn words(edit: &Edit, refusal: EditRefusal) -> &'static str {
    match refusal {
        EditRefusal::ServiceExists => "Service already exists",
        EditRefusal::NoSuchService => match edit {
            Edit::AddServer { .. } | Edit::EditServer { .. } | Edit::DeleteServer { .. } => {
                "Service not defined"
            }
            Edit::AddService { .. }
            | Edit::EditService { .. }
            | Edit::DeleteService { .. }
            | Edit::Clear
            | Edit::SetTimeouts { .. }
            | Edit::Zero { .. } => "No such service",
        },
        EditRefusal::ServerExists => "Destination already exists",
        EditRefusal::NoSuchServer => "No such destination",
        EditRefusal::NoSuchScheduler => "Scheduler or persistence engine not found",
        EditRefusal::NoRoom => "Memory allocation problem",
        EditRefusal::AddressFamily => "Operation not supported with specified address family",
        EditRefusal::Invalid => {
            "Invalid operation.  Possibly wrong module version, address not unicast, ..."
        }
    }
}

/// Runs each line of standard input as a command; gives the last one's exit code. A line that is no command
/// ends it, one that the daemon refuses does not.
pub(super) fn restore(program: &str, socket: &Path) -> u8 {
    let mut code = 0;
    for line in std::io::stdin().lock().lines() {
        let Ok(line) = line else {
            tell(Some("standard input can't be read\n".to_owned()));
            return REFUSED;
        };
        let words = words_of(&line, program);
        if words.is_empty() {
            continue;
        }
        let request = match grammar::parse(program, &words) {
            // A table is not restored from within.
            Ok(Request::Restore) => Err(grammar::try_help(program)),
            parsed => parsed,
        };
        match request {
            Ok(request @ (Request::Help | Request::Version)) => {
                return execute(request, program, socket);
            }
            Ok(request) => code = execute(request, program, socket),
            Err(refused) => return print_failure(refused.into()),
        }
    }
    code
}

/// The words of a line, without the program's name and without quotes, as ipvsadm splits lines.
fn words_of(line: &str, program: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quoted = false;
    for letter in line.chars() {
        if letter == '"' {
            quoted = !quoted;
            word.get_or_insert_default();
        } else if letter.is_whitespace() && !quoted {
            words.extend(word.take());
        } else {
            word.get_or_insert_default().push(letter);
        }
    }
    words.extend(word);
    let is_name = |word: &String| word == "ipvsadm" || word == program;
    let names = words.iter().take_while(|word| is_name(word)).count();
    words.split_off(names)
}

#[cfg(test)]
mod tests;
