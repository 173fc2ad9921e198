//! What other processes ask of a lab's keeper: one line of JSON each way over a unix socket.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;

use serde::{Deserialize, Serialize};

use crate::error::{LabError, with_causes};
use crate::state::{LabState, control_socket, folder_of};

/// Longest request, in bytes.
pub(crate) const REQUEST_MAX: usize = 4096;

/// A request to a keeper.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Request {
    /// Boot a node or kill it.
    Power { node: String, on: bool },
    /// Take a node's link up or down.
    Link { node: String, up: bool },
    /// End the lab; answered once it is gone.
    Down,
}

/// A keeper's answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Answer {
    /// It was done.
    Done,
    /// It was not, for this reason.
    Refused(String),
}

impl Answer {
    pub(crate) fn of(result: Result<(), LabError>) -> Self {
        match result {
            Ok(()) => Self::Done,
            Err(err) => Self::Refused(with_causes(&err)),
        }
    }
}

/// Asks a lab's keeper and waits for its answer.
pub(crate) fn ask(lab: &LabState, request: &Request) -> Result<(), LabError> {
    let answer = exchange(lab, request).map_err(|source| LabError::Keeper {
        lab: lab.name.clone(),
        source,
    })?;
    match answer {
        Answer::Done => Ok(()),
        Answer::Refused(reason) => Err(LabError::Refused(reason)),
    }
}

fn exchange(lab: &LabState, request: &Request) -> io::Result<Answer> {
    let mut stream = UnixStream::connect(control_socket(&folder_of(&lab.name)))?;
    let mut line = serde_json::to_string(request)?;
    line.push('\n');
    stream.write_all(line.as_bytes())?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer)?;
    Ok(serde_json::from_str(&answer)?)
}
