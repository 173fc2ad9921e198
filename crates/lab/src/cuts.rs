//! Frames that are lost at the switch by rules: classic BPF at the bridge's ports, towards the node, which needs
//! neither netem nor nftables.
//!
//! The program of a filter is fixed in shape: it asks for the sender by its hardware address, for the kind of
//! frame, and for the kernel's random number.

use std::net::Ipv4Addr;
use std::process::{Command, Stdio};

use evenkeel_chaos::rule::{Action, Rule, Traffic};

use crate::error::LabError;
use crate::lab::Lab;

/// UDP port of connection sync, where the config names none.
const SYNC_PORT: u16 = 6694;

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

/// Has the ports of these nodes, which are on, lose what the cuts say and nothing else.
pub(crate) fn enforce(lab: &Lab, nodes: &[String], cuts: &[Cut]) -> Result<(), LabError> {
    let words = |text: String| text.split(' ').map(String::from).collect::<Vec<_>>();
    let mut commands = Vec::new();
    for node in nodes {
        // There is none before the first cut.
        commands.push((words(format!("qdisc del dev {node} clsact")), false));
        let of_port = cuts.iter().filter(|cut| cut.node == *node);
        let programs: Vec<String> = of_port.filter_map(program).collect();
        if programs.is_empty() {
            continue;
        }
        commands.push((words(format!("qdisc add dev {node} clsact")), true));
        commands.extend(programs.into_iter().map(|program| {
            let mut add = words(format!("filter add dev {node} egress bpf da bytecode"));
            add.push(program);
            (add, true)
        }));
    }
    let done = lab.in_switch(move || {
        for (words, must) in commands {
            let status = Command::new("tc")
                .args(&words)
                .stdin(Stdio::null())
                .stderr(Stdio::null())
                .status()?;
            if must && !status.success() {
                let message = format!("`tc {}`: {status}", words.join(" "));
                return Err(std::io::Error::other(message));
            }
        }
        Ok(())
    })?;
    let done = done.join().and_then(|done| done);
    done.map_err(|source| LabError::Start {
        what: "filters at the switch",
        source,
    })
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
        Traffic::Sync => looks.extend([ip, (LDB, 23, 17), (LDH, 36, SYNC_PORT.into())]),
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
