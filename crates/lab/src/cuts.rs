//! Frames that are lost at the switch by rules: classic BPF at the bridge's ports, towards the node, which needs
//! neither netem nor nftables.
//!
//! The program of a filter is fixed in shape: it asks for the sender by its hardware address, for the kind of
//! frame, and for the kernel's random number.

use std::io::{self, Write as _};
use std::net::Ipv4Addr;
use std::process::{Command, Stdio};

use evenkeel_chaos::rule::{Action, Rule, Traffic};
use evenkeel_model::ConnectionSync;
use serde::Deserialize;

use crate::error::LabError;
use crate::lab::Lab;

/// `ld` of the kernel's random number: `SKF_AD_OFF + SKF_AD_RANDOM` (linux/filter.h).
const RANDOM: u32 = 0xffff_f000 + 56;

/// `TC_ACT_SHOT`: the frame is lost.
const SHOT: u32 = 2;

/// `TC_ACT_UNSPEC`: the next filter decides.
const NEXT: u32 = u32::MAX;

/// What a port loses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cut {
    /// The node behind the port.
    pub(crate) node: String,
    /// Whose frames; `None`: everybody's.
    pub(crate) from: Option<Ipv4Addr>,
    /// The rule that says so.
    pub(crate) rule: Rule,
}

/// Has the ports of these nodes, which are on, lose what the cuts say and nothing else; how many frames they lost
/// by the cuts before these. What a port lost goes with its node's power.
pub(crate) fn enforce(lab: &Lab, nodes: &[String], cuts: &[Cut]) -> Result<u64, LabError> {
    let mut batch = String::new();
    for node in nodes {
        let of_port = cuts.iter().filter(|cut| cut.node == *node);
        let programs: Vec<String> = of_port.filter_map(program).collect();
        if !programs.is_empty() {
            batch += &format!("qdisc add dev {node} clsact\n");
        }
        for program in programs {
            batch += &format!("filter add dev {node} egress bpf da bytecode \"{program}\"\n");
        }
    }
    let done = lab.in_switch(move || {
        let (ports, lost) = losers(&tc(&["-s", "-j", "qdisc", "show"], "")?)?;
        let ends = ports
            .iter()
            .map(|port| format!("qdisc del dev {port} clsact\n"));
        let batch = ends.collect::<String>() + &batch;
        if !batch.is_empty() {
            tc(&["-batch", "-"], &batch)?;
        }
        Ok(lost)
    })?;
    let done = done.join().and_then(|done| done);
    done.map_err(|source| LabError::Start {
        what: "filters at the switch",
        source,
    })
}

/// What `tc` prints, given these words and this input.
fn tc(words: &[&str], input: &str) -> io::Result<String> {
    let mut child = Command::new("tc")
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    if let Some(mut pipe) = child.stdin.take() {
        pipe.write_all(input.as_bytes())?;
    }
    let output = child.wait_with_output()?;
    if !output.status.success() {
        let reason = String::from_utf8_lossy(&output.stderr);
        let message = format!("`tc {}`: {}\n{input}", words.join(" "), reason.trim());
        return Err(io::Error::other(message));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The ports that have cuts, and how many frames they lost, from `tc`'s listing of disciplines.
fn losers(listing: &str) -> io::Result<(Vec<String>, u64)> {
    #[derive(Deserialize)]
    struct Discipline {
        kind: String,
        dev: String,
        #[serde(default)]
        drops: u64,
    }
    let all: Vec<Discipline> = serde_json::from_str(listing)?;
    let cutting = all
        .into_iter()
        .filter(|discipline| discipline.kind == "clsact");
    Ok(
        cutting.fold((Vec::new(), 0), |(mut ports, lost), discipline| {
            ports.push(discipline.dev);
            (ports, lost + discipline.drops)
        }),
    )
}

/// The filter in `tc`'s spelling, `None`: it loses nothing.
fn program(cut: &Cut) -> Option<String> {
    const LD: u32 = 0x20;
    const LDH: u32 = 0x28;
    const LDB: u32 = 0x30;
    const JEQ: u32 = 0x15;
    const JGE: u32 = 0x35;
    const RET: u32 = 0x06;

    let Action::Lose(percent) = cut.rule.action else {
        return None;
    };
    // Pairs of a look and what it has to find.
    let mut looks: Vec<(u32, u32, u32)> = Vec::new();
    if let Some(from) = cut.from {
        // The last four bytes of a node's hardware address are its address.
        looks.push((LD, 8, from.into()));
    }
    let ip = (LDH, 12, 0x0800);
    match cut.rule.traffic {
        Traffic::Any => {}
        Traffic::Arp => looks.push((LDH, 12, 0x0806)),
        Traffic::Adverts => looks.extend([ip, (LDB, 23, 112)]),
        Traffic::Tcp => looks.extend([ip, (LDB, 23, 6)]),
        Traffic::Sync => looks.extend([ip, (LDB, 23, 17), (LDH, 36, ConnectionSync::PORT.into())]),
    }
    let is_always = percent >= 100;
    let mut code: Vec<[u32; 4]> = Vec::new();
    let length = 2 * looks.len() + if is_always { 2 } else { 4 };
    for (load, offset, value) in looks {
        code.push([load, 0, 0, offset]);
        // To the last instruction.
        let here = code.len();
        let away = u32::try_from(length - 2 - here).ok()?;
        code.push([JEQ, 0, away, value]);
    }
    if !is_always {
        let threshold = u32::try_from(u64::from(u32::MAX) * percent / 100).ok()?;
        code.push([LD, 0, 0, RANDOM]);
        code.push([JGE, 1, 0, threshold]);
    }
    code.push([RET, 0, 0, SHOT]);
    code.push([RET, 0, 0, NEXT]);
    let words = code
        .iter()
        .map(|[op, yes, no, k]| format!("{op} {yes} {no} {k}"));
    // One word to tc: its separators within are commas and spaces.
    let text = words.collect::<Vec<_>>().join(",");
    Some(format!("{},{text}", code.len()))
}

#[cfg(test)]
mod tests;
