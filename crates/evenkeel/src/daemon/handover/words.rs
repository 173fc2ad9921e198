//! What an order came to, in words.

use std::net::IpAddr;
use std::time::Duration;

use evenkeel_api::{ErrorAnswer, HandoverOrder, HandoverOutcome, HandoverRequest, RouterHandover};
use evenkeel_vrrp::HandoverEnd;

use super::refusal;
use crate::daemon::server::Answer;
use crate::daemon::vrrp::SeatView;

/// Refuses to hand over what somebody else has.
pub(super) fn not_active(seat: &SeatView) -> ErrorAnswer {
    let (name, role) = (&seat.config.name, seat.machine.role.name());
    let partner = seat.machine.partner.filter(|partner| partner.priority > 0);
    let hint = match partner {
        Some(partner) => format!(
            "{} was the last to advertise: run `evenkeel failover` there to have this director take over.",
            partner.address
        ),
        None => "See why: `evenkeel status`.".to_owned(),
    };
    let why = &seat.machine.reason;
    let error =
        format!("this director is not Active for virtual router `{name}`, but {role}: {why}");
    refusal(error, hint)
}

/// Refuses a partner that another director was named instead of. One that was never heard may be there all
/// the same: a Backup is silent.
pub(super) fn check_partner(seat: &SeatView, to: Option<IpAddr>) -> Answer<()> {
    let Some(to) = to else {
        return Ok(());
    };
    let heard = seat.machine.partner.map(|partner| partner.address);
    let known: Vec<IpAddr> = match seat.config.peers.as_slice() {
        [] => heard.into_iter().collect(),
        peers => peers.to_vec(),
    };
    if known.is_empty() || known.contains(&to) {
        return Ok(());
    }
    let known: Vec<String> = known.iter().map(ToString::to_string).collect();
    let name = &seat.config.name;
    let known = known.join(", ");
    Err(refusal(
        format!("{to} is no partner in virtual router `{name}`: that is {known}"),
        format!("Name one of {known}, or leave `--to` out."),
    ))
}

/// What became of a virtual router; `None`: there was nothing to wait for.
pub(super) fn outcome(
    request: &HandoverRequest,
    seat: &SeatView,
    end: Option<HandoverEnd>,
) -> RouterHandover {
    let answer = |outcome, message: String, hints: Vec<String>| RouterHandover {
        router: seat.config.name.clone(),
        outcome,
        message,
        successor: None,
        took_us: None,
        hints,
    };
    let Some(end) = end else {
        let message = "takes over again as its configuration says".to_owned();
        return answer(HandoverOutcome::Resumed, message, Vec::new());
    };
    let again = || vec!["See how things stand: `evenkeel status`.".to_owned()];
    match end {
        HandoverEnd::Successor { address, took, .. } => {
            let other = request.to.filter(|to| *to != address);
            let (outcome, message, hints) = match other {
                None => (HandoverOutcome::HandedOver, end.to_string(), Vec::new()),
                Some(to) => (
                    HandoverOutcome::OtherSuccessor,
                    format!("{end}, not {to}"),
                    vec![format!(
                        "The Backup of the highest priority takes over: give {to} a higher one, or stop {address}."
                    )],
                ),
            };
            RouterHandover {
                successor: Some(address),
                took_us: Some(micros(took)),
                ..answer(outcome, message, hints)
            }
        }
        HandoverEnd::NotActive => answer(
            HandoverOutcome::NotActive,
            format!("{}, nothing to hand over", seat.machine.role.name()),
            Vec::new(),
        ),
        HandoverEnd::Nobody { .. } => answer(
            HandoverOutcome::Nobody,
            end.to_string(),
            nobody(request.order, seat),
        ),
        HandoverEnd::GivenUp { .. } => {
            answer(HandoverOutcome::GivenUp, end.to_string(), Vec::new())
        }
        HandoverEnd::Unprepared { .. } => answer(
            HandoverOutcome::NotReady,
            end.to_string(),
            vec!["Give it longer: `--timeout 1m`.".to_owned()],
        ),
        HandoverEnd::Rival { .. }
        | HandoverEnd::LinkDown
        | HandoverEnd::Away { .. }
        | HandoverEnd::Stopping => answer(HandoverOutcome::Failed, end.to_string(), again()),
    }
}

/// The end of a handover was not heard of.
pub(super) fn unknown(seat: &SeatView) -> RouterHandover {
    RouterHandover {
        router: seat.config.name.clone(),
        outcome: HandoverOutcome::Failed,
        message: "the daemon has not heard how it ended".to_owned(),
        successor: None,
        took_us: None,
        hints: vec!["See how things stand: `evenkeel status`.".to_owned()],
    }
}

/// What to do where nobody has taken over.
fn nobody(order: HandoverOrder, seat: &SeatView) -> Vec<String> {
    let mut hints = vec![match seat.machine.partner {
        Some(partner) => format!(
            "Look at {}, which was heard last: `evenkeel status` there tells whether it runs, has completed \
             its first checks, and is not in maintenance.",
            partner.address
        ),
        None => "No partner was ever heard here: start the other director, with the same `id`, `version` and \
                 addresses, and each other's address in `peers` if there are any."
            .to_owned(),
    }];
    match order {
        HandoverOrder::Maintenance => hints.push(
            "`evenkeel maintenance on --force` gives the addresses up though nobody serves them then."
                .to_owned(),
        ),
        HandoverOrder::Standby => hints.push(
            "It stands by all the same, with priority 1: whoever comes and preempts takes over."
                .to_owned(),
        ),
        HandoverOrder::Failover
        | HandoverOrder::Resume
        | HandoverOrder::MaintenanceForced
        | HandoverOrder::EndMaintenance => {}
    }
    hints
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
