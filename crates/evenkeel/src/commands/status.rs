//! `evenkeel status`.

mod edits;
mod sync;
mod virtual_routers;

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use evenkeel_api::{Client, Forwarding, GateStatus, OnFailure, ServiceStatus, Status, XdpMode};

use crate::command_error::CommandError;
use crate::output::print;

/// Show the director's state.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Print it as JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args, socket: PathBuf) -> Result<ExitCode, CommandError> {
    let status = super::runtime()?.block_on(Client::new(socket).status())?;
    let text = if args.json {
        super::json(&status)?
    } else {
        render(&status)
    };
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn render(status: &Status) -> String {
    let mut out = String::new();
    let ready = if status.ready {
        "ready"
    } else {
        "waiting for the first round of checks"
    };
    let adopted = if status.adopted {
        ", took over pinned state"
    } else {
        ""
    };
    add(
        &mut out,
        format_args!(
            "director {}: {ready}{adopted} (evenkeel {}, pid {})\n",
            status.director, status.version, status.pid
        ),
    );
    if status.maintenance {
        out.push_str(
            "MAINTENANCE: takes no virtual router over, even if nobody serves, until `evenkeel maintenance off`\n",
        );
    }
    for interface in std::iter::once(&status.interface).chain(&status.more_interfaces) {
        let mode = match interface.mode {
            XdpMode::Native => "native",
            XdpMode::Generic => "generic",
        };
        let (name, mac) = (&interface.name, &interface.mac);
        add(
            &mut out,
            format_args!("interface {name}, {mac}, {mode} XDP\n"),
        );
    }
    let tables = &status.tables;
    let flood = if tables.flood_mode {
        ", flood mode"
    } else {
        ""
    };
    add(
        &mut out,
        format_args!(
            "connections {} of {} ({} unassured), half-open {} of {}{flood}\n",
            tables.connections,
            tables.connections_max,
            tables.unassured,
            tables.half_open,
            tables.half_open_max
        ),
    );
    virtual_routers::render(&mut out, status);
    sync::render(&mut out, status);
    for service in &status.services {
        render_service(&mut out, service);
    }
    virtual_routers::render_takeovers(&mut out, status);
    edits::render(&mut out, &status.edits);
    render_troubles(&mut out, status);
    out
}

fn render_troubles(out: &mut String, status: &Status) {
    if !status.drops.is_empty() {
        out.push_str("\ndropped packets\n");
        for drop in &status.drops {
            add(
                out,
                format_args!("  {:>9}  {}\n", drop.packets, drop.reason),
            );
        }
    }
    if !status.events.is_empty() {
        out.push_str("\nevents\n");
        for event in &status.events {
            add(out, format_args!("  {:>9}  {}\n", event.count, event.event));
        }
    }
    if !status.problems.is_empty() {
        out.push_str("\nproblems\n");
        for problem in &status.problems {
            add(
                out,
                format_args!(
                    "  {}: {} (tried {} times)\n",
                    problem.what, problem.reason, problem.attempts
                ),
            );
        }
    }
}

fn render_service(out: &mut String, service: &ServiceStatus) {
    let gate = match service.gate {
        GateStatus::Open => "open",
        GateStatus::Draining => "draining",
        GateStatus::Closed => "closed",
    };
    let router = match &service.virtual_router {
        Some(router) => format!(" by virtual router {router}"),
        None => String::new(),
    };
    let on_failure = match service.on_failure {
        OnFailure::Remove => "removes",
        OnFailure::Quiesce => "quiesces",
    };
    add(
        out,
        format_args!(
            "\nservice {}: {} {}, gate {gate}{router}, a failed check {on_failure} the server\n",
            service.name, service.service, service.scheduler,
        ),
    );
    let listens: Vec<String> = service.listens.iter().map(ToString::to_string).collect();
    if !listens.is_empty() {
        add(out, format_args!("  listens on {}\n", listens.join(", ")));
    }
    let header = [
        "server", "forward", "state", "weight", "active", "inactive", "conns", "since", "reason",
    ];
    let mut rows = vec![header.map(ToOwned::to_owned)];
    let sorry = service.sorry_server.iter();
    rows.extend(service.servers.iter().chain(sorry).map(|server| {
        let weight = if server.weight == server.weight_configured {
            server.weight.to_string()
        } else {
            format!("{} of {}", server.weight, server.weight_configured)
        };
        [
            server.address.to_string(),
            match server.forwarding {
                Forwarding::Direct => "direct",
                Forwarding::Local => "local",
            }
            .to_owned(),
            server.state.name().to_owned(),
            weight,
            server.active.to_string(),
            server.inactive.to_string(),
            server.conns.to_string(),
            span(server.since_s),
            server.reason.clone(),
        ]
    }));
    render_table(out, &rows);
}

/// Columns as wide as their widest cell, two blanks between, none at the end of a line.
pub(super) fn render_table<const N: usize>(out: &mut String, rows: &[[String; N]]) {
    let widths: [usize; N] = std::array::from_fn(|column| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    });
    for row in rows {
        let mut text = String::new();
        for (cell, width) in row.iter().zip(widths) {
            add(&mut text, format_args!("  {cell:<width$}"));
        }
        add(out, format_args!("{}\n", text.trim_end()));
    }
}

/// A time as people say it, in its two largest units.
fn span(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    if days > 0 {
        format!("{days}d{}h", hours % 24)
    } else if hours > 0 {
        format!("{hours}h{}m", minutes % 60)
    } else if minutes > 0 {
        format!("{minutes}m{}s", seconds % 60)
    } else {
        format!("{seconds}s")
    }
}

fn add(out: &mut String, arguments: std::fmt::Arguments<'_>) {
    let written = out.write_fmt(arguments);
    debug_assert!(written.is_ok(), "a string takes all that is written to it");
}

#[cfg(test)]
mod tests;
