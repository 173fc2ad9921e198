//! `evenkeel failover`, `standby` and `maintenance`: orders to the VRRP thread, answered when they have ended. And what
//! a partner asks for.

mod standing;
mod words;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use evenkeel_api::{
    API_VERSION, ErrorAnswer, ErrorKind, HandoverAnswer, HandoverOrder, HandoverRequest,
    PATIENCE_MS_MAX, RouterHandover,
};
use evenkeel_control::Event;
use evenkeel_model::{Role, VirtualRouterId};
use evenkeel_vrrp::{HandoverEnd, Order, PREPARATION_MAX};
use tokio::sync::oneshot;

use self::standing::StandingFile;
pub(crate) use self::standing::{Standing, remove};
use crate::daemon::event_loop::Daemon;
use crate::daemon::server::{self, Answer};
use crate::daemon::vrrp::{Begun, ConfigureError, SeatView, ThreadView};

/// What an end may be late: the thread tells it at once, and the event loop may be busy.
const SLACK: Duration = Duration::from_secs(5);

/// Orders to hand over.
pub(crate) struct Handovers {
    /// Those that are not answered yet.
    waiting: Vec<Waiting>,
    /// The handovers that no operator ordered: a partner asked.
    asked: BTreeSet<(VirtualRouterId, u64)>,
    /// Those that outlive the daemon.
    file: StandingFile,
}

impl Handovers {
    /// Reads what an earlier daemon with this socket left in force.
    pub(crate) fn open(socket: &Path) -> (Self, Standing) {
        let (file, standing) = StandingFile::open(socket);
        let handovers = Self {
            waiting: Vec::new(),
            asked: BTreeSet::new(),
            file,
        };
        (handovers, standing)
    }
}

/// An answer that waits for handovers to end.
struct Waiting {
    request: HandoverRequest,
    routers: Vec<Router>,
    /// What was in force before.
    before: Standing,
    until: Instant,
    sender: oneshot::Sender<Answer<HandoverAnswer>>,
}

/// One virtual router of an order.
struct Router {
    seat: SeatView,
    progress: Progress,
}

enum Progress {
    /// It goes on; its end is news of this number.
    GoesOn(u64),
    Ended(Option<HandoverEnd>),
}

impl Waiting {
    fn is_over(&self) -> bool {
        let mut routers = self.routers.iter();
        routers.all(|router| matches!(router.progress, Progress::Ended(_)))
    }

    /// Takes the end of a handover in.
    fn end(&mut self, id: VirtualRouterId, number: u64, end: HandoverEnd) {
        for router in self.routers.iter_mut().filter(|r| r.seat.config.id == id) {
            if matches!(router.progress, Progress::GoesOn(waited) if waited == number) {
                router.progress = Progress::Ended(Some(end));
            }
        }
    }
}

impl Daemon {
    /// Hands over, stands by, goes into maintenance, or ends that.
    pub(crate) fn hand_over(
        &mut self,
        request: HandoverRequest,
        sender: oneshot::Sender<Answer<HandoverAnswer>>,
    ) {
        match self.begin_handover(&request) {
            Ok((routers, before, until)) => {
                self.handovers.waiting.push(Waiting {
                    request,
                    routers,
                    before,
                    until,
                    sender,
                });
                self.answer_handovers();
            }
            // Whoever asked may have gone meanwhile.
            Err(refusal) => drop(sender.send(Err(refusal))),
        }
    }

    /// A partner that would preempt asks for the role.
    pub(crate) fn hand_over_as_asked(
        &mut self,
        router: VirtualRouterId,
    ) -> Result<(), ConfigureError> {
        let begun = self.hands.vrrp.operate(vec![router], Order::Yield)?;
        for (router, begun) in begun {
            if let Begun::GoesOn(number) = begun {
                self.handovers.asked.insert((router, number));
            }
        }
        Ok(())
    }

    /// Keeps and gives the order.
    fn begin_handover(
        &mut self,
        request: &HandoverRequest,
    ) -> Answer<(Vec<Router>, Standing, Instant)> {
        let view = self.hands.vrrp.view();
        let chosen = choose(request, view.as_ref())?;
        let patience = request.patience_ms.map(Duration::from_millis);
        let order = order(request.order, patience);
        let longest = chosen.iter().map(|seat| seat.master_down).max();
        let wait = patience.unwrap_or(PREPARATION_MAX) + longest.unwrap_or_default() + SLACK;
        let before = self.hands.vrrp.standing.clone();
        let names = chosen.iter().map(|seat| seat.config.name.clone());
        self.stand(after(&before, request.order, names.collect()))?;
        let ids = chosen.iter().map(|seat| seat.config.id).collect();
        let begun = self.hands.vrrp.operate(ids, order);
        let begun = begun.map_err(|error| server::failed(error.to_string()))?;
        let routers = chosen.into_iter().map(|seat| {
            let mut begun = begun.iter();
            let begun = begun.find(|(id, _)| *id == seat.config.id);
            let progress = match begun {
                Some((_, Begun::GoesOn(number))) => Progress::GoesOn(*number),
                Some((_, Begun::Ended(end))) => Progress::Ended(Some(*end)),
                Some((_, Begun::Obeyed)) | None => Progress::Ended(None),
            };
            Router { seat, progress }
        });
        let routers: Vec<Router> = routers.collect();
        self.tell_order(request.order, &routers);
        Ok((routers, before, Instant::now() + wait))
    }

    /// Makes these the orders that outlive the daemon.
    fn stand(&mut self, standing: Standing) -> Answer<()> {
        if standing != self.hands.vrrp.standing {
            self.handovers
                .file
                .keep(&standing)
                .map_err(server::failed)?;
            self.hands.vrrp.standing = standing;
        }
        Ok(())
    }

    /// Takes the news of an end in.
    pub(crate) fn handover_ended(&mut self, id: VirtualRouterId, number: u64, end: HandoverEnd) {
        let done = match end {
            // Whoever ordered it is told; nothing has happened.
            HandoverEnd::NotActive => None,
            HandoverEnd::Successor { .. } | HandoverEnd::GivenUp { .. } => Some(true),
            HandoverEnd::Nobody { .. }
            | HandoverEnd::Rival { .. }
            | HandoverEnd::Unprepared { .. }
            | HandoverEnd::LinkDown
            | HandoverEnd::Away { .. }
            | HandoverEnd::Stopping => Some(false),
        };
        if let Some(done) = done {
            let why = match self.handovers.asked.remove(&(id, number)) {
                true => "as a partner asked",
                false => "by command",
            };
            let what = format!("handover {why}: {end}");
            self.tell_ordered(id, what, done);
        }
        for waiting in &mut self.handovers.waiting {
            waiting.end(id, number, end);
        }
        self.answer_handovers();
    }

    /// When an order must be answered at the latest.
    pub(crate) fn handovers_due(&self) -> Option<Instant> {
        let waiting = self.handovers.waiting.iter();
        waiting.map(|waiting| waiting.until).min()
    }

    /// Answers orders that have ended, or have had their time: then the thread's news were lost.
    pub(crate) fn answer_handovers(&mut self) {
        let now = Instant::now();
        let over = |waiting: &mut Waiting| waiting.is_over() || waiting.until <= now;
        let over: Vec<Waiting> = self.handovers.waiting.extract_if(.., over).collect();
        for waiting in over {
            let answer = self.finish_handover(&waiting);
            drop(waiting.sender.send(answer));
        }
    }

    fn finish_handover(&mut self, waiting: &Waiting) -> Answer<HandoverAnswer> {
        let Waiting {
            request, before, ..
        } = waiting;
        let routers = waiting.routers.iter().map(|router| match router.progress {
            Progress::Ended(end) => words::outcome(request, &router.seat, end),
            Progress::GoesOn(_) => words::unknown(&router.seat),
        });
        let routers: Vec<RouterHandover> = routers.collect();
        let is_maintenance = matches!(
            request.order,
            HandoverOrder::Maintenance | HandoverOrder::MaintenanceForced
        );
        if is_maintenance && !routers.iter().all(|router| router.outcome.is_good()) {
            self.take_maintenance_back(&waiting.routers, before)?;
        }
        let maintenance = self.hands.vrrp.standing.maintenance;
        if maintenance != before.maintenance {
            let event = Event::Maintenance(maintenance);
            self.control.handle_event(event, Instant::now());
        }
        Ok(HandoverAnswer {
            api_version: API_VERSION,
            routers,
            maintenance,
        })
    }

    /// All virtual routers are in maintenance, or none.
    fn take_maintenance_back(&mut self, routers: &[Router], before: &Standing) -> Answer<()> {
        if before.maintenance {
            return Ok(());
        }
        let ids = routers.iter().map(|router| router.seat.config.id).collect();
        let begun = self.hands.vrrp.operate(ids, Order::EndMaintenance);
        begun.map_err(|error| server::failed(error.to_string()))?;
        self.stand(Standing {
            maintenance: false,
            ..self.hands.vrrp.standing.clone()
        })
    }

    /// Tells of orders that change what this director does later; ends of handovers tell of themselves.
    fn tell_order(&mut self, order: HandoverOrder, routers: &[Router]) {
        let what = match order {
            HandoverOrder::Standby => "stands by, until `evenkeel standby --off`",
            HandoverOrder::Resume => "takes over again as its configuration says",
            HandoverOrder::Failover
            | HandoverOrder::Maintenance
            | HandoverOrder::MaintenanceForced
            | HandoverOrder::EndMaintenance => return,
        };
        for router in routers {
            self.tell_ordered(router.seat.config.id, what.to_owned(), true);
        }
    }

    fn tell_ordered(&mut self, router: VirtualRouterId, what: String, done: bool) {
        let event = Event::RouterOrdered { router, what, done };
        self.control.handle_event(event, Instant::now());
    }
}

fn order(order: HandoverOrder, patience: Option<Duration>) -> Order {
    match order {
        HandoverOrder::Failover => Order::HandOver { patience },
        HandoverOrder::Standby => Order::StandBy { patience },
        HandoverOrder::Resume => Order::Resume,
        HandoverOrder::Maintenance => Order::Maintain {
            patience,
            force: false,
        },
        HandoverOrder::MaintenanceForced => Order::Maintain {
            patience,
            force: true,
        },
        HandoverOrder::EndMaintenance => Order::EndMaintenance,
    }
}

/// What stands after an order to the virtual routers of these names.
fn after(before: &Standing, order: HandoverOrder, names: BTreeSet<String>) -> Standing {
    let mut standing = before.clone();
    match order {
        HandoverOrder::Failover => {}
        HandoverOrder::Standby => standing.standby.extend(names),
        HandoverOrder::Resume => standing.standby.retain(|name| !names.contains(name)),
        HandoverOrder::Maintenance | HandoverOrder::MaintenanceForced => {
            standing.maintenance = true;
        }
        HandoverOrder::EndMaintenance => standing.maintenance = false,
    }
    standing
}

/// The virtual routers that an order is for, or why it can't be obeyed.
fn choose(request: &HandoverRequest, view: Option<&ThreadView>) -> Answer<Vec<SeatView>> {
    let seats = view.map_or(&[][..], |view| &view.seats);
    if seats.is_empty() {
        return Err(refusal(
            "this director has no virtual router: there is nothing to hand over",
            "Addresses that two directors share stand in a `[[virtual-router]]` of the config file.",
        ));
    }
    if request.patience_ms.is_some_and(|ms| ms > PATIENCE_MS_MAX) {
        return Err(refusal(
            "the partner may have ten minutes to get ready at most",
            "Give a shorter `--timeout`.",
        ));
    }
    for name in &request.routers {
        if !seats.iter().any(|seat| seat.config.name == *name) {
            let names: Vec<&str> = seats.iter().map(|s| s.config.name.as_str()).collect();
            return Err(refusal(
                format!("there is no virtual router `{name}`"),
                format!("There are: {}.", names.join(", ")),
            ));
        }
    }
    let is_named = |seat: &&SeatView| {
        request.routers.is_empty() || request.routers.contains(&seat.config.name)
    };
    let named: Vec<&SeatView> = seats.iter().filter(is_named).collect();
    if let Some(seat) = named.iter().find(|seat| seat.machine.stopping) {
        let name = &seat.config.name;
        return Err(refusal(
            format!("virtual router `{name}` is being handed over already: the daemon stops"),
            "Look again in a moment: `evenkeel status`.",
        ));
    }
    if request.order != HandoverOrder::Failover {
        return Ok(named.into_iter().cloned().collect());
    }
    let is_active = |seat: &&&SeatView| seat.machine.role == Role::Active;
    let chosen: Vec<SeatView> = named
        .iter()
        .filter(is_active)
        .map(|s| (**s).clone())
        .collect();
    let wanted = if request.routers.is_empty() {
        1
    } else {
        named.len()
    };
    if chosen.len() < wanted
        && let Some(seat) = named.iter().find(|seat| !is_active(seat))
    {
        return Err(words::not_active(seat));
    }
    for seat in &chosen {
        words::check_partner(seat, request.to)?;
    }
    Ok(chosen)
}

/// What can't be done, and what to do instead.
fn refusal(error: impl Into<String>, hint: impl Into<String>) -> ErrorAnswer {
    ErrorAnswer {
        api_version: API_VERSION,
        kind: ErrorKind::Failed,
        error: error.into(),
        hints: vec![hint.into()],
    }
}

#[cfg(test)]
mod tests;
