//! Starting other programs, and finding them.

use anyhow::{Context as _, bail};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus};

const NO_C_COMPILER: &str = "\
no C compiler (`cc`), which Rust needs to link: `apt-get install build-essential`
(as root), then run this command again";

/// Runs the command with the terminal of this process; an error unless it exits with 0.
pub(crate) fn must_succeed(command: &mut Command) -> anyhow::Result<()> {
    let status = status(command)?;
    if !status.success() {
        bail!("`{}`: {status}", describe(command));
    }
    Ok(())
}

/// Runs the command with the terminal of this process.
pub(crate) fn status(command: &mut Command) -> anyhow::Result<ExitStatus> {
    command
        .status()
        .with_context(|| format!("cannot start `{}`", describe(command)))
}

/// What the command prints on its standard output; an error unless it exits with 0.
pub(crate) fn output_of(command: &mut Command) -> anyhow::Result<String> {
    let output = command
        .output()
        .with_context(|| format!("cannot start `{}`", describe(command)))?;
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr);
        bail!(
            "`{}`: {}\n{}",
            describe(command),
            output.status,
            complaint.trim_end()
        );
    }
    let text = String::from_utf8(output.stdout)
        .with_context(|| format!("`{}` printed no text", describe(command)))?;
    Ok(text)
}

/// The exit code to end with after a child ended with `status`; 1 for a child killed by a signal.
pub(crate) fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    ExitCode::from(code.unwrap_or(1))
}

/// The command line as one would type it, without the environment.
pub(crate) fn describe(command: &Command) -> String {
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| quoted(&word.to_string_lossy()))
        .collect::<Vec<_>>()
        .join(" ")
}

/// The word as a shell wants it.
pub(crate) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// Where the program is on the PATH.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|candidate| is_executable(candidate))
}

/// An error that names the package where Rust could not link.
pub(crate) fn require_c_compiler() -> anyhow::Result<()> {
    if find("cc").is_none() {
        bail!(NO_C_COMPILER);
    }
    Ok(())
}

fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    path.metadata()
        .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// Whether this process is root.
pub(crate) fn is_root() -> anyhow::Result<bool> {
    let id = output_of(Command::new("id").arg("-u"))?;
    Ok(id.trim() == "0")
}

/// How a program that needs root is started.
pub(crate) enum AsRoot {
    /// So.
    Start(Command),
    /// Not from here: there is no sudo. What to type instead.
    Ask(String),
}

impl AsRoot {
    /// Plans the start of `program`, directly or through `sudo`.
    pub(crate) fn plan(program: &Path, args: &[&str], is_root: bool, sudo: Option<&Path>) -> Self {
        let mut direct = Command::new(program);
        direct.args(args);
        match sudo {
            _ if is_root => Self::Start(direct),
            Some(sudo) => {
                let mut command = Command::new(sudo);
                command.arg(program).args(args);
                Self::Start(command)
            }
            None => Self::Ask(format!("su -c {}", quoted(&describe(&direct)))),
        }
    }
}

/// Runs a program that is built and needs root; ends with its status. `what` it is goes into the complaint.
pub(crate) fn run_as_root(what: &str, program: &Path, args: &[&str]) -> anyhow::Result<ExitCode> {
    match AsRoot::plan(program, args, is_root()?, find("sudo").as_deref()) {
        AsRoot::Start(mut command) => Ok(exit_code(status(&mut command)?)),
        AsRoot::Ask(line) => {
            bail!("{what} needs root, and `sudo` is not installed; it is built, now run\n  {line}")
        }
    }
}

/// The cargo that started this program.
pub(crate) fn cargo() -> Command {
    let program = std::env::var_os("CARGO");
    let mut command = Command::new(program.as_deref().unwrap_or_else(|| OsStr::new("cargo")));
    command.current_dir(crate::tree::root());
    command
}

#[cfg(test)]
mod tests;
