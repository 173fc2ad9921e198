//! `evenkeel connections`.

use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::builder::PossibleValuesParser;
use clap::builder::TypedValueParser as _;
use evenkeel_api::{
    CONNECTIONS_MAX, Client, Connection, ConnectionState, Connections, ConnectionsQuery, Protocol,
    ServiceStatus,
};
use serde::Serialize;

use crate::command_error::CommandError;
use crate::commands::server_name::{self, Host};
use crate::output::{print, print_error};

/// List the connections that this director remembers, and the templates of persistence.
///
/// All conditions must hold. They are looked at in the daemon, so that few connections of many are found quickly.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only those of this service, by its name, or its address and port.
    #[arg(long, value_name = "SERVICE")]
    service: Option<String>,

    /// Only those on the server of this address.
    #[arg(long, value_name = "ADDRESS", value_parser = host)]
    server: Option<Host>,

    /// Only those of this client, or of clients that are alike in that many leading bits.
    #[arg(long, value_name = "ADDRESS[/PREFIX]", value_parser = network)]
    client: Option<Network>,

    /// Only those in this state, as `ipvsadm -Lc` names it.
    #[arg(long, value_name = "STATE", ignore_case = true, value_parser = states())]
    state: Option<ConnectionState>,

    /// Print their number alone.
    #[arg(long, conflicts_with = "limit")]
    count: bool,

    /// List so many at most, up to 100000.
    #[arg(long, value_name = "N", default_value_t = 1_000,
          value_parser = clap::value_parser!(u64).range(1..=CONNECTIONS_MAX))]
    limit: u64,

    /// Print it as JSON.
    #[arg(long)]
    json: bool,
}

/// An address and how many of its bits count; `None`: all.
#[derive(Clone, Copy, Debug)]
struct Network {
    address: IpAddr,
    prefix: Option<u8>,
}

fn host(text: &str) -> Result<Host, &'static str> {
    server_name::host(text)
}

fn network(text: &str) -> Result<Network, String> {
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().map_err(
        |_no_address| "not an address, such as `198.18.14.1`, `198.18.0.0/16` or `2001:db8::/32`",
    )?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let prefix = prefix.map(|prefix| {
        let bits = prefix.parse::<u8>().ok().filter(|bits| *bits <= most);
        bits.ok_or_else(|| format!("`{prefix}` is not a number of bits from 0 to {most}"))
    });
    Ok(Network {
        address,
        prefix: prefix.transpose()?,
    })
}

fn states() -> impl clap::builder::TypedValueParser<Value = ConnectionState> {
    let names = ConnectionState::ALL.map(ConnectionState::name);
    PossibleValuesParser::new(names).try_map(|name| {
        let named = |state: &ConnectionState| state.name().eq_ignore_ascii_case(&name);
        let mut states = ConnectionState::ALL.into_iter();
        states.find(named).ok_or("not a state")
    })
}

pub(crate) fn run(args: &Args, socket: PathBuf) -> Result<ExitCode, CommandError> {
    super::runtime()?.block_on(list(args, &Client::new(socket)))
}

async fn list(args: &Args, client: &Client) -> Result<ExitCode, CommandError> {
    // The names of services are the config's, and so are their servers.
    let services = client.status().await?.services;
    let query = query(args, &services)?;
    let answer = client.connections_of(&query).await?;
    let Some(matched) = answer.matched else {
        let message = "the daemon is of an older release, and knows no conditions on connections";
        return Err(CommandError::message(message)
            .hint("Restart the daemon, which stops no packet; `ipvsadm -Lc` lists them all."));
    };
    let text = match (args.count, args.json) {
        (true, true) => super::json(&Count { matched })?,
        (true, false) => format!("{matched}\n"),
        (false, true) => super::json(&answer)?,
        (false, false) => render(&answer.connections, &services),
    };
    print(&text)?;
    if let Some(note) = cut(&answer, args, matched) {
        print_error(&note);
    }
    Ok(ExitCode::SUCCESS)
}

/// A number, as `--json` has it.
#[derive(Debug, Serialize)]
struct Count {
    matched: u64,
}

/// What is said where there are more than are listed.
fn cut(answer: &Connections, args: &Args, matched: u64) -> Option<String> {
    let listed = u64::try_from(answer.connections.len()).unwrap_or(u64::MAX);
    if args.count || matched <= listed {
        return None;
    }
    let more = if args.limit < CONNECTIONS_MAX {
        "`--limit` lists more, "
    } else {
        ""
    };
    Some(format!(
        "listed {listed} of {matched}: {more}`--service`, `--server`, `--client` and `--state` list fewer\n"
    ))
}

fn query(args: &Args, services: &[ServiceStatus]) -> Result<ConnectionsQuery, CommandError> {
    let mut query = ConnectionsQuery {
        server: args.server.map(|server| server.address),
        client: args.client.map(|client| client.address),
        prefix: args.client.and_then(|client| client.prefix),
        state: args.state,
        limit: Some(if args.count { 0 } else { args.limit }),
        ..ConnectionsQuery::default()
    };
    if let Some(name) = &args.service {
        query = query.of_service(server_name::service(services, name)?.service);
    }
    Ok(query)
}

fn render(connections: &[Connection], services: &[ServiceStatus]) -> String {
    let header = [
        "proto", "expires", "state", "client", "virtual", "server", "service",
    ];
    let mut rows = vec![header.map(ToOwned::to_owned)];
    rows.extend(connections.iter().map(|connection| {
        let (minutes, seconds) = (connection.expires_s / 60, connection.expires_s % 60);
        let service = connection.service.map_or_else(String::new, |of| {
            let mut named = services.iter();
            let named = named.find(|service| service.service == of);
            named.map_or_else(|| of.to_string(), |service| service.name.clone())
        });
        [
            connection.protocol.map_or("IP", Protocol::name).to_owned(),
            format!("{minutes:02}:{seconds:02}"),
            connection.state.name().to_owned(),
            connection.client.to_string(),
            connection.virtual_address.to_string(),
            connection.destination.to_string(),
            service,
        ]
    }));
    let mut out = String::new();
    super::status::render_table(&mut out, &rows);
    out
}
