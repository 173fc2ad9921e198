//! `evenkeel generate`: man pages and shell completions, from the same types that parse the command line.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{CommandFactory as _, Subcommand, ValueEnum};
use clap_mangen::Man;

use crate::cli::Cli;
use crate::command_error::CommandError;
use crate::output::print;

/// Write man pages or shell completions; for packagers.
#[derive(Debug, clap::Args)]
#[command(arg_required_else_help = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Write a man page of each command into a directory.
    Man {
        /// The directory; it is made where it does not exist.
        #[arg(value_name = "DIR")]
        directory: PathBuf,
    },
    /// Print a shell's completions.
    Completions {
        /// The shell.
        #[arg(value_enum, value_name = "SHELL")]
        shell: Shell,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode, CommandError> {
    match &args.what {
        What::Man { directory } => man(directory)?,
        What::Completions { shell } => print(&completions(*shell))?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The command line without the commands that are not listed.
fn listed() -> clap::Command {
    let whole = Cli::command();
    let about = whole.get_about().cloned().unwrap_or_default();
    let arguments = whole.get_arguments().cloned();
    let commands = whole
        .get_subcommands()
        .filter(|command| !command.is_hide_set())
        .cloned();
    clap::Command::new("evenkeel")
        .version(env!("CARGO_PKG_VERSION"))
        .about(about)
        .args(arguments)
        .subcommands(commands)
}

fn man(directory: &Path) -> Result<(), CommandError> {
    let mut command = listed().disable_help_subcommand(true);
    // Names the pages of subcommands after all the words that lead there.
    command.build();
    std::fs::create_dir_all(directory)
        .and_then(|()| write_pages(&command, directory))
        .map_err(|error| {
            let place = directory.display();
            let what = format!("cannot write man pages into `{place}`");
            CommandError::new(anyhow::Error::new(error).context(what))
        })
}

fn write_pages(command: &clap::Command, directory: &Path) -> io::Result<()> {
    for subcommand in command.get_subcommands() {
        write_pages(subcommand, directory)?;
    }
    Man::new(command.clone())
        .source(concat!("evenkeel ", env!("CARGO_PKG_VERSION")))
        .manual("evenkeel")
        .generate_to(directory)
        .map(drop)
}

fn completions(shell: Shell) -> String {
    let mut command = listed();
    let mut script = Vec::new();
    let shell = match shell {
        Shell::Bash => clap_complete::Shell::Bash,
        Shell::Zsh => clap_complete::Shell::Zsh,
        Shell::Fish => clap_complete::Shell::Fish,
    };
    clap_complete::generate(shell, &mut command, "evenkeel", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}
