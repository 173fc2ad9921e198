//! `evenkeel trace`.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use evenkeel_api::{
    ChosenBy, Client, GateStatus, Protocol, SCTP_INIT, TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN,
    TraceAnswer, TraceQuery, TraceVerdict, TracedEntry,
};

use crate::command_error::CommandError;
use crate::output::print;

/// Show where a packet would go now, and why; asking changes nothing.
///
/// The daemon runs the data plane's own decision on a view of its tables: a scheduler's next choice stays its
/// next choice, and no connection is made or refreshed. Without flags a TCP packet is a SYN, which begins a
/// connection; `--ack` is for one in the middle of a connection.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The client's address and port, who sends the packet.
    #[arg(value_name = "CLIENT:PORT", value_parser = address)]
    client: SocketAddr,

    /// The virtual address and port that it is sent to.
    #[arg(value_name = "VIP:PORT", value_parser = address)]
    virtual_address: SocketAddr,

    #[command(flatten)]
    protocol: ProtocolArgs,

    #[command(flatten)]
    flags: FlagArgs,

    /// Print it as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
#[group(multiple = false)]
struct ProtocolArgs {
    /// A TCP packet, which is the default.
    #[arg(long)]
    tcp: bool,

    /// A UDP packet.
    #[arg(long, conflicts_with_all = ["syn", "ack", "fin", "rst"])]
    udp: bool,

    /// An SCTP packet: an INIT.
    #[arg(long, conflicts_with_all = ["syn", "ack", "fin", "rst"])]
    sctp: bool,
}

#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "so are TCP's flags")]
struct FlagArgs {
    /// With TCP's flag SYN; flags may be combined.
    #[arg(long)]
    syn: bool,

    /// With ACK.
    #[arg(long)]
    ack: bool,

    /// With FIN.
    #[arg(long)]
    fin: bool,

    /// With RST.
    #[arg(long)]
    rst: bool,
}

impl FlagArgs {
    /// As in TCP's header; SYN if none was given.
    fn bits(&self) -> u8 {
        let given = [self.syn, self.ack, self.fin, self.rst];
        let of_given = FLAGS.iter().zip(given).filter(|(_, given)| *given);
        let bits = of_given.fold(0, |bits, ((bit, _), _)| bits | bit);
        if bits == 0 { TCP_SYN } else { bits }
    }
}

/// TCP's flags with their names.
const FLAGS: [(u8, &str); 4] = [
    (TCP_SYN, "SYN"),
    (TCP_ACK, "ACK"),
    (TCP_FIN, "FIN"),
    (TCP_RST, "RST"),
];

fn address(text: &str) -> Result<SocketAddr, &'static str> {
    text.parse().map_err(|_no_address| {
        "not an address and a port, such as `198.18.14.146:80` or `[2001:db8::146]:80`"
    })
}

pub(crate) fn run(args: &Args, socket: PathBuf) -> Result<ExitCode, CommandError> {
    let (client, service) = (args.client, args.virtual_address);
    if client.is_ipv4() != service.is_ipv4() {
        let error = CommandError::usage(format!("no packet goes from `{client}` to `{service}`"));
        return Err(error.hint("Give two IPv4 addresses, or two IPv6 addresses."));
    }
    let packet = TraceQuery {
        protocol: match (args.protocol.udp, args.protocol.sctp) {
            (true, _) => Protocol::Udp,
            (false, true) => Protocol::Sctp,
            (false, false) => Protocol::Tcp,
        },
        client,
        virtual_address: service,
        flags: if args.protocol.sctp {
            SCTP_INIT
        } else {
            args.flags.bits()
        },
    };
    let answer = super::runtime()?.block_on(Client::new(socket).trace(&packet))?;
    let text = if args.json {
        super::json(&answer)?
    } else {
        render(&answer)
    };
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn render(answer: &TraceAnswer) -> String {
    let mut out = format!("{}\n", packet(&answer.packet));
    let mut row = |name: &str, text: &str| {
        let written = writeln!(out, "  {name:<7}  {text}");
        debug_assert!(written.is_ok(), "a string takes all that is written to it");
    };
    row("verdict", &verdict(answer));
    row("why", &answer.why);
    if let Some(service) = &answer.service {
        let name = service.name.as_deref().unwrap_or("(not in the config)");
        row(
            "service",
            &format!("{name}, scheduler {}", service.scheduler),
        );
    }
    if let Some(gate) = answer.gate {
        row("gate", &gate_text(gate, answer));
    }
    if let Some(chosen_by) = answer.chosen_by {
        row("chosen", chosen(chosen_by));
    }
    if answer.service.is_some() {
        row("entry", &entries(answer));
    }
    if !answer.events.is_empty() {
        row("counted", &answer.events.join(", "));
    }
    for hint in &answer.hints {
        row("hint", hint);
    }
    out
}

fn packet(packet: &TraceQuery) -> String {
    let flags = match packet.protocol {
        Protocol::Udp | Protocol::Sctp => String::new(),
        Protocol::Tcp => {
            let set = FLAGS.iter().filter(|(bit, _)| packet.flags & bit != 0);
            let names: Vec<&str> = set.map(|(_, name)| *name).collect();
            match names.as_slice() {
                [] => String::new(),
                names => format!(" {}", names.join("+")),
            }
        }
    };
    format!(
        "{}{flags} from {} to {}",
        packet.protocol.name(),
        packet.client,
        packet.virtual_address
    )
}

fn verdict(answer: &TraceAnswer) -> String {
    let verdict = answer.verdict.name();
    let reason = answer.drop_reason.as_deref().unwrap_or("unknown");
    match (answer.verdict, &answer.server) {
        (TraceVerdict::Forward, Some(server)) => {
            let mac = server.mac.as_deref().unwrap_or("?");
            let interface = server.interface.iter();
            let interface = interface.map(|name| format!(" by {name}"));
            let vlan = server.vlan.iter().map(|vlan| format!(", VLAN {vlan}"));
            let way: String = interface.chain(vlan).collect();
            format!("{verdict} to {} ({mac}{way})", server.address)
        }
        (TraceVerdict::Forward, None) => verdict.to_owned(),
        (TraceVerdict::Pass, Some(server)) => format!(
            "{verdict} to this director's own stack, as {}",
            server.address
        ),
        (TraceVerdict::Pass, None) => format!("{verdict} to this director's own stack, untouched"),
        (TraceVerdict::Answer, _) => format!("{verdict} with an ICMP error ({reason})"),
        (TraceVerdict::Drop, _) => format!("{verdict} ({reason})"),
    }
}

fn gate_text(gate: GateStatus, answer: &TraceAnswer) -> String {
    let state = match gate {
        GateStatus::Open => "open",
        GateStatus::Draining => "draining",
        GateStatus::Closed => "closed",
    };
    match &answer.virtual_router {
        Some(router) => format!(
            "{state}, {} in virtual router {}",
            router.role.name(),
            router.name
        ),
        None => state.to_owned(),
    }
}

const fn chosen(by: ChosenBy) -> &'static str {
    match by {
        ChosenBy::Entry => "by the flow's entry",
        ChosenBy::Template => "by persistence",
        ChosenBy::Scheduler => "by the scheduler",
        ChosenBy::ConsistentHash => "by the consistent hash, without an entry",
        ChosenBy::FreshHash => "by the consistent hash, less quiesced servers",
    }
}

/// The entry, and what the packet makes of it if that is more than a refresh.
fn entries(answer: &TraceAnswer) -> String {
    let essence = |entry: &TracedEntry| (entry.half_open, entry.state, entry.server);
    match (&answer.entry, &answer.entry_after) {
        (None, None) => "none".to_owned(),
        (None, Some(after)) => format!("none; it gets {}", entry(after)),
        (Some(before), None) => entry(before),
        (Some(before), Some(after)) if essence(before) == essence(after) => entry(before),
        (Some(before), Some(after)) => format!("{}; becomes {}", entry(before), entry(after)),
    }
}

fn entry(entry: &TracedEntry) -> String {
    let table = match (entry.half_open, entry.assured) {
        (true, _) => "half-open",
        (false, true) => "established",
        (false, false) => "established (unassured)",
    };
    let expires = match entry.expires_s {
        0 => "expired".to_owned(),
        seconds => format!("{seconds} s"),
    };
    let state = entry.state.name();
    format!("{table}, {state}, {}, {expires}", entry.server)
}

#[cfg(test)]
mod tests;
