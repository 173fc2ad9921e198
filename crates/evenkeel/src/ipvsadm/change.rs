//! Edits, put to the daemon, and refused in ipvsadm's words.

use std::io::BufRead as _;
use std::path::Path;

use evenkeel_api::{Client, EDITS_MAX, Edit, EditRefusal, EditRequest};

use crate::ipvsadm::grammar::{self, Request};
use crate::ipvsadm::{Failure, execute, print_failure, runtime, tell};

/// Exit code of what the kernel refuses.
const REFUSED: u8 = 255;

/// Has the daemon make an edit.
pub(super) fn edit(edit: Edit, socket: &Path) -> Result<String, Failure> {
    match put(vec![edit], socket)?.pop().flatten() {
        Some(failure) => Err(failure),
        None => Ok(String::new()),
    }
}

/// Has the daemon make edits; how each of them failed, where it did.
fn put(edits: Vec<Edit>, socket: &Path) -> Result<Vec<Option<Failure>>, Failure> {
    let client = Client::new(socket);
    let request = EditRequest { edits };
    let answer = runtime()?
        .block_on(client.edit(&request))
        .map_err(Failure::not_initialized)?;
    for warning in answer.warnings {
        tell(Some(format!("Warning: {warning}\n")));
    }
    let refused = answer.refused.into_iter().zip(&request.edits);
    let failures = refused.map(|(refusal, edit)| {
        refusal.map(|refusal| Failure {
            code: REFUSED,
            message: format!("{}\n", words(edit, refusal)),
        })
    });
    Ok(failures.collect())
}

/// The words of libipvs for the error that the kernel would give.
const fn words(edit: &Edit, refusal: EditRefusal) -> &'static str {
    match refusal {
        EditRefusal::ServiceExists => "Service already exists",
        EditRefusal::NoSuchGroup => {
            "Invalid operation.  evenkeel knows no packets of this mark: a `[[service]]` with this `number` says \
             what they are"
        }
        EditRefusal::Taken => {
            "Service already exists.  Its address and port are those of a `[[service]]` with a `number`"
        }
        EditRefusal::NoSuchService => match edit {
            Edit::AddServer { .. }
            | Edit::EditServer { .. }
            | Edit::DeleteServer { .. }
            | Edit::Drain { .. }
            | Edit::Ready { .. } => "Service not defined",
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
        EditRefusal::AddressInUse => {
            "Invalid operation.  An address can't be virtual and a host's own at once"
        }
        EditRefusal::AddressFamily | EditRefusal::Invalid => {
            "Invalid operation.  Possibly wrong module version, address not unicast, ..."
        }
    }
}

/// Runs each line of standard input as a command; gives the last one's exit code. A line that is no command
/// ends it, one that the daemon refuses does not.
pub(super) fn restore(program: &str, socket: &Path) -> u8 {
    let mut code = 0;
    // Edits in a row go to the daemon together.
    let mut edits = Vec::new();
    for line in std::io::stdin().lock().lines() {
        let request = match line {
            Ok(line) => read(&line, program),
            Err(error) => Err(unreadable(&error)),
        };
        let other = match request {
            Ok(None) => continue,
            Ok(Some(Request::Edit(edit))) => {
                edits.push(edit);
                if edits.len() < EDITS_MAX {
                    continue;
                }
                None
            }
            Ok(Some(request)) => Some(Ok(request)),
            Err(failure) => Some(Err(failure)),
        };
        code = match flush(&mut edits, code, socket) {
            Ok(code) => code,
            Err(failure) => return print_failure(failure),
        };
        match other {
            None => {}
            Some(Ok(request)) => {
                let ends = matches!(request, Request::Help | Request::Version);
                code = execute(request, program, socket);
                if ends {
                    return code;
                }
            }
            Some(Err(failure)) => return print_failure(failure),
        }
    }
    flush(&mut edits, code, socket).unwrap_or_else(print_failure)
}

/// Has the daemon make the edits, and says which are refused; the exit code of the last, or `code` where
/// there are none.
fn flush(edits: &mut Vec<Edit>, mut code: u8, socket: &Path) -> Result<u8, Failure> {
    if edits.is_empty() {
        return Ok(code);
    }
    for failure in put(std::mem::take(edits), socket)? {
        code = failure.map_or(0, print_failure);
    }
    Ok(code)
}

fn unreadable(error: &std::io::Error) -> Failure {
    Failure {
        code: REFUSED,
        message: format!("standard input can't be read: {error}\n"),
    }
}

/// A line's command; `None`: it has none.
fn read(line: &str, program: &str) -> Result<Option<Request>, Failure> {
    let words = words_of(line, program);
    if words.is_empty() {
        return Ok(None);
    }
    let request = grammar::parse(program, &words)?;
    if request == Request::Restore {
        // A table is not restored from within.
        return Err(grammar::try_help(program).into());
    }
    Ok(Some(request))
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
