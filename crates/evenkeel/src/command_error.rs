//! How a command fails: what failed on what, why, what to type next, and the exit code.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::io;

use evenkeel_api::{ClientError, ErrorKind as ApiErrorKind};

/// What kind of failure; it decides the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It could not be done.
    Failure,
    /// The command line makes no sense.
    Usage,
    /// The config file is bad; the message is the rendered diagnostics.
    Diagnostics,
    /// The config file cannot be used at all.
    Config,
    /// The reader of our output went away, which is none of our concern.
    BrokenPipe,
}

/// A command's failure.
#[derive(Debug)]
pub(crate) struct CommandError {
    kind: Kind,
    error: anyhow::Error,
    hints: Vec<String>,
}

impl CommandError {
    /// What failed, on what.
    pub(crate) fn new(error: impl Into<anyhow::Error>) -> Self {
        Self {
            kind: Kind::Failure,
            error: error.into(),
            hints: Vec::new(),
        }
    }

    /// What failed, in words.
    pub(crate) fn message(message: impl Into<String>) -> Self {
        Self::new(anyhow::Error::msg(message.into()))
    }

    /// A command line that makes no sense, in words.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self {
            kind: Kind::Usage,
            ..Self::message(message)
        }
    }

    /// A bad config file, with its diagnostics as they shall be printed.
    pub(crate) fn config(rendered: impl Into<String>) -> Self {
        Self {
            kind: Kind::Diagnostics,
            ..Self::message(rendered)
        }
    }

    /// A config file that cannot be used, with the reason.
    pub(crate) fn bad_config(error: impl Into<anyhow::Error>) -> Self {
        Self {
            kind: Kind::Config,
            ..Self::new(error)
        }
    }

    /// Standard output failed.
    pub(crate) fn output(error: io::Error) -> Self {
        let kind = if error.kind() == io::ErrorKind::BrokenPipe {
            Kind::BrokenPipe
        } else {
            Kind::Failure
        };
        Self {
            kind,
            error: anyhow::Error::new(error).context("cannot write the output"),
            hints: Vec::new(),
        }
    }

    /// Adds what to type next.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// The program's exit code.
    pub(crate) const fn exit_code(&self) -> u8 {
        match self.kind {
            Kind::Failure => 1,
            Kind::Usage => 2,
            Kind::Diagnostics | Kind::Config => 78,
            Kind::BrokenPipe => 0,
        }
    }

    /// What is printed on standard error; empty for a broken pipe.
    pub(crate) fn render(&self) -> String {
        let mut out = String::new();
        match self.kind {
            Kind::BrokenPipe => return out,
            Kind::Diagnostics => append(
                &mut out,
                format_args!("{}\n", self.error.to_string().trim_end()),
            ),
            Kind::Failure | Kind::Usage | Kind::Config => {
                append(&mut out, format_args!("Error: {}\n", self.error));
                for (place, cause) in self.error.chain().skip(1).enumerate() {
                    append(&mut out, format_args!("  {}: {cause}\n", place + 1));
                }
            }
        }
        for hint in &self.hints {
            append(&mut out, format_args!("Hint: {hint}\n"));
        }
        out
    }
}

/// The hint to run the command that was typed with sudo before it.
pub(crate) fn as_root() -> String {
    let mut words: Vec<String> = std::env::args_os()
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    // sudo has a PATH of its own, which lacks the folders of a user's programs.
    if let (Some(program), Ok(path)) = (words.first_mut(), std::env::current_exe())
        && path.file_name() == Some(OsStr::new(program))
    {
        *program = path.to_string_lossy().into_owned();
    }
    format!("Run it as root: `sudo {}`.", shell_line(&words))
}

/// The words as a shell takes them.
fn shell_line(words: &[String]) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:,=+@%".contains(c);
    let quoted = words.iter().map(|word| {
        if !word.is_empty() && word.chars().all(plain) {
            word.clone()
        } else {
            format!("'{}'", word.replace('\'', "'\\''"))
        }
    });
    quoted.collect::<Vec<_>>().join(" ")
}

fn append(out: &mut String, arguments: std::fmt::Arguments<'_>) {
    let written = out.write_fmt(arguments);
    debug_assert!(written.is_ok(), "a string takes all that is written to it");
}

impl From<ClientError> for CommandError {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::NotRunning { .. } => Self::new(error)
                .hint("Start it: `systemctl start evenkeel`, or `sudo evenkeel run --config FILE`.")
                .hint("A daemon on another socket is reached with `--socket PATH` or EVENKEEL_SOCKET."),
            ClientError::PermissionDenied { .. } => Self::new(error)
                .hint(as_root()),
            ClientError::Version { .. } | ClientError::NotUnderstood { .. } => Self::new(error)
                .hint("Daemon and command are of different releases: restart the daemon, which stops no packet."),
            ClientError::Timeout { .. } => Self::new(error)
                .hint("See what the daemon does: `journalctl -u evenkeel`."),
            ClientError::Refused(answer) => {
                let failed = match answer.kind {
                    ApiErrorKind::Config => Self::config(answer.error),
                    ApiErrorKind::Failed | ApiErrorKind::NotFound => Self::message(answer.error),
                };
                answer.hints.into_iter().fold(failed, Self::hint)
            }
            ClientError::Connect { .. } | ClientError::Http { .. } | ClientError::Answer { .. } => {
                Self::new(error)
            }
        }
    }
}

#[cfg(test)]
mod tests;
