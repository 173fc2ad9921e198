//! `evenkeel check`.

use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use evenkeel_config::{Diagnostic, LoadError};
use evenkeel_model::{CheckKind, Director, VirtualRouter, VirtualService};
use serde::Serialize;

use crate::command_error::CommandError;
use crate::output::print;

/// Check a config file and show all of its mistakes.
///
/// Exit code 78 where there are any.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The config file.
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Report<'a> {
    file: String,
    ok: bool,
    diagnostics: &'a [Diagnostic],
}

pub(crate) fn run(args: &Args) -> Result<ExitCode, CommandError> {
    let loaded = evenkeel_config::load(&args.file, &super::host_name());
    if args.json {
        let report = |ok, diagnostics| {
            let file = args.file.display().to_string();
            super::json(&Report {
                file,
                ok,
                diagnostics,
            })
        };
        return match loaded {
            Ok(_director) => {
                print(&report(true, &[])?)?;
                Ok(ExitCode::SUCCESS)
            }
            Err(LoadError::Invalid(diagnostics)) => {
                print(&report(false, diagnostics.as_slice())?)?;
                Ok(CommandError::config("").exit_code().into())
            }
            Err(error @ LoadError::Read { .. }) => Err(load_error(error, color())),
        };
    }
    let director = loaded.map_err(|error| load_error(error, color()))?;
    print(&summary(&args.file, &director))?;
    Ok(ExitCode::SUCCESS)
}

/// Whether diagnostics on standard error may be coloured.
pub(crate) fn color() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

/// A config file that could not be loaded, as commands fail on it.
pub(crate) fn load_error(error: LoadError, color: bool) -> CommandError {
    match error {
        LoadError::Invalid(diagnostics) => CommandError::config(diagnostics.render(color)),
        LoadError::Read { .. } => CommandError::bad_config(error)
            .hint("Start from a commented file: `evenkeel print-default-config > FILE`."),
    }
}

fn summary(file: &Path, director: &Director) -> String {
    let mut out = format!("{}: ok\n", file.display());
    let interfaces: Vec<&str> = director.interfaces().collect();
    let noun = if interfaces.len() == 1 {
        "interface"
    } else {
        "interfaces"
    };
    let written = writeln!(
        out,
        "director {} on {noun} {}",
        director.name,
        interfaces.join(", ")
    );
    debug_assert!(written.is_ok(), "a string takes all that is written to it");
    for router in &director.virtual_routers {
        out.push_str(&router_line(router));
    }
    for service in &director.services {
        out.push_str(&service_line(service));
    }
    out
}

fn router_line(router: &VirtualRouter) -> String {
    let addresses: Vec<String> = router.addresses.iter().map(ToString::to_string).collect();
    format!(
        "virtual router {}: id {}, VRRP {}, priority {}, every {} ms, {}\n",
        router.name,
        router.id,
        router.version.number(),
        router.priority,
        router.advert_interval.as_millis(),
        addresses.join(", "),
    )
}

fn service_line(service: &VirtualService) -> String {
    let servers = match service.servers.len() {
        1 => "1 server".to_owned(),
        count => format!("{count} servers"),
    };
    let checked = match service.check.as_ref().map(|check| &check.kind) {
        Some(CheckKind::Tcp) => "checked by tcp",
        Some(CheckKind::Http { .. }) => "checked by http",
        None => "not checked",
    };
    format!(
        "service {}: {} {}, {servers}, {checked}\n",
        service.name,
        service.key,
        service.scheduler.name(),
    )
}
