//! What the connections went through, in numbers, and whether that is what was expected. It knows no lab.

use std::time::{Duration, Instant};

use evenkeel_model::OnFailure;
use serde::Serialize;

use crate::paper::crowd::plan::name;
use crate::paper::figure::{Expectation, ms};
use crate::silence::longest_silence;

/// One connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Flow {
    /// Name of its real server; `None`: it was never established.
    pub(super) server: Option<String>,
    /// Where the consistent hash of all real servers places it.
    pub(super) placed: String,
    /// Where that of the real servers that are left places it.
    pub(super) replaced: String,
    /// What came of its request after the real server's failure; `None`: there was none.
    pub(super) after_server: Option<Answer>,
    /// What came of its request after the director's.
    pub(super) after_director: Option<Answer>,
}

/// What came of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It was answered.
    Came {
        /// When it was sent.
        sent: Instant,
        /// When the answer came.
        came: Instant,
    },
    /// The connection was reset or closed.
    Reset,
    /// Another server answered.
    OtherServer,
    /// Nothing came in time.
    Nothing,
}

/// The whole run.
#[derive(Clone, Debug)]
pub(super) struct Evidence {
    pub(super) flows: Vec<Flow>,
    pub(super) on_failure: OnFailure,
    /// Name of the real server that failed.
    pub(super) victim: String,
    /// Name of the director that failed.
    pub(super) director: String,
    pub(super) server_failed: Instant,
    pub(super) director_failed: Instant,
    /// Of each director: whether it took the real server out or quiesced it before the second fault.
    pub(super) noticed: Vec<(String, bool)>,
}

/// Broken connections, by what broke them and by whose they were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Broken {
    pub(super) all: u64,
    pub(super) reset: u64,
    pub(super) answered_by_another: u64,
    pub(super) unanswered: u64,
    /// Those of the real server that failed.
    pub(super) of_the_failed_server: u64,
    /// Those of the others.
    pub(super) of_survivors: u64,
    /// Of survivors' ones, those that the consistent hash does not move.
    pub(super) of_survivors_unmoved: u64,
}

/// What a fault came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Fault {
    /// Connections that were whole and sent a request.
    pub(super) asked: u64,
    pub(super) answered: u64,
    pub(super) broken: Broken,
    /// Longest time in which none was answered, from the fault to the last answer, in milliseconds.
    pub(super) gap_ms: u64,
    /// Longest time from a request to its answer, in milliseconds.
    pub(super) slowest_ms: u64,
}

/// The run in numbers.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Numbers {
    pub(super) connections: u64,
    pub(super) established: u64,
    /// Established ones of the real server that failed.
    pub(super) of_the_failed_server: u64,
    /// Established ones that are not where the consistent hash places them.
    pub(super) elsewhere: u64,
    pub(super) on_failure: &'static str,
    /// Survivors' connections that the consistent hash places elsewhere once the failed server is out.
    pub(super) moved: u64,
    /// Their share of the survivors' connections.
    pub(super) moved_share: f64,
    /// Survivors' connections that the director's failure may break.
    pub(super) allowed: u64,
    pub(super) server_failure: Fault,
    pub(super) director_failure: Fault,
}

impl Numbers {
    pub(super) fn of(evidence: &Evidence) -> Self {
        let Evidence {
            flows,
            victim,
            on_failure,
            ..
        } = evidence;
        let established = || flows.iter().filter(|flow| flow.server.is_some());
        let survivors = established().filter(|flow| !is_of(flow, victim));
        let moved = count(survivors.clone().filter(|flow| is_moved(flow)));
        Self {
            connections: count(flows.iter()),
            established: count(established()),
            of_the_failed_server: count(established().filter(|flow| is_of(flow, victim))),
            elsewhere: count(established().filter(|flow| !is_of(flow, &flow.placed))),
            on_failure: name(*on_failure),
            moved,
            moved_share: share(moved, count(survivors)),
            allowed: match on_failure {
                OnFailure::Remove => moved,
                OnFailure::Quiesce => 0,
            },
            server_failure: fault(evidence, evidence.server_failed, |flow| flow.after_server),
            director_failure: fault(evidence, evidence.director_failed, |flow| {
                flow.after_director
            }),
        }
    }
}

/// What was expected of the run.
pub(super) fn judge(evidence: &Evidence, numbers: &Numbers) -> Vec<Expectation> {
    let Evidence {
        victim, director, ..
    } = evidence;
    let Numbers {
        connections,
        established,
        of_the_failed_server,
        elsewhere,
        on_failure,
        moved,
        allowed,
        server_failure: Fault { broken: first, .. },
        director_failure: Fault { broken: second, .. },
        ..
    } = numbers;
    let (done, bound) = match evidence.on_failure {
        OnFailure::Remove => (
            "takes it out",
            format!("at most the {moved} that the hash moves"),
        ),
        OnFailure::Quiesce => ("quiesces it", String::from("none")),
    };
    let late: Vec<&str> = evidence
        .noticed
        .iter()
        .filter(|(_director, noticed)| !noticed)
        .map(|(director, _noticed)| director.as_str())
        .collect();
    vec![
        Expectation {
            expected: format!("all {connections} connections are established"),
            measured: format!("{established}"),
            held: established == connections && *connections > 0,
        },
        Expectation {
            expected: String::from("each is where the consistent hash places it"),
            measured: format!("{elsewhere} are elsewhere"),
            held: *elsewhere == 0,
        },
        Expectation {
            expected: format!(
                "the failure of {victim} breaks its own {of_the_failed_server} connections and no other"
            ),
            measured: format!(
                "{} of its own and {} others",
                first.of_the_failed_server, first.of_survivors
            ),
            held: first.of_the_failed_server == *of_the_failed_server && first.of_survivors == 0,
        },
        Expectation {
            expected: format!("each director {done} (on-failure = \"{on_failure}\")"),
            measured: if late.is_empty() {
                String::from("both did")
            } else {
                format!("not {}", late.join(" and "))
            },
            held: late.is_empty(),
        },
        Expectation {
            expected: format!("the failure of {director} breaks {bound}"),
            measured: format!(
                "{}, of which {} are not among the moved",
                second.all, second.of_survivors_unmoved
            ),
            held: second.all <= *allowed && second.of_survivors_unmoved == 0,
        },
    ]
}

fn fault(evidence: &Evidence, when: Instant, after: impl Fn(&Flow) -> Option<Answer>) -> Fault {
    let mut broken = Broken::default();
    let mut came = Vec::new();
    let mut slowest = Duration::ZERO;
    let mut asked = 0;
    for flow in &evidence.flows {
        let Some(answer) = after(flow) else {
            continue;
        };
        asked += 1;
        let cause = match answer {
            Answer::Came { sent, came: at } => {
                slowest = slowest.max(at.saturating_duration_since(sent));
                came.push(at);
                continue;
            }
            Answer::Reset => &mut broken.reset,
            Answer::OtherServer => &mut broken.answered_by_another,
            Answer::Nothing => &mut broken.unanswered,
        };
        *cause += 1;
        broken.all += 1;
        if is_of(flow, &evidence.victim) {
            broken.of_the_failed_server += 1;
        } else {
            broken.of_survivors += 1;
            broken.of_survivors_unmoved += u64::from(!is_moved(flow));
        }
    }
    let last = came.iter().max().copied().unwrap_or(when);
    Fault {
        asked,
        answered: asked - broken.all,
        broken,
        slowest_ms: ms(slowest),
        gap_ms: ms(longest_silence(came, when, last).length),
    }
}

fn is_of(flow: &Flow, server: &str) -> bool {
    flow.server.as_deref() == Some(server)
}

/// Whether the consistent hash of the real servers that are left places it on another one than it is on.
fn is_moved(flow: &Flow) -> bool {
    !is_of(flow, &flow.replaced)
}

fn count<'a>(flows: impl Iterator<Item = &'a Flow>) -> u64 {
    u64::try_from(flows.count()).unwrap_or(u64::MAX)
}

fn share(part: u64, whole: u64) -> f64 {
    let [part, whole] = [part, whole].map(|number| u32::try_from(number).unwrap_or(u32::MAX));
    if whole == 0 {
        return 0.0;
    }
    f64::from(part) / f64::from(whole)
}

#[cfg(test)]
mod tests;
