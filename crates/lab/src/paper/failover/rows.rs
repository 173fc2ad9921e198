//! What is measured: which fault of a director, with which directors.
//!
//! Pure values.

use serde::{Deserialize, Serialize};

/// What happens to a director.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// SIGKILL of its daemon.
    Kill,
    /// SIGKILL of its daemon, which is started again at once.
    KillRestart,
    /// Its cable is unplugged.
    LinkDown,
    /// Its host loses power.
    PowerOff,
    /// Its daemon is stopped by SIGSTOP, and goes on after 5 s.
    Pause,
    /// It is told to hand over.
    Handover,
    /// It comes back: its host had no power and boots.
    Return,
    /// Its host loses power within a second after a real server was added.
    AddedServer,
    /// Its host and a real server lose power at once.
    ServerAndDirector,
}

impl Fault {
    /// In the order in which they are played.
    pub const ALL: [Self; 9] = [
        Self::Kill,
        Self::KillRestart,
        Self::LinkDown,
        Self::PowerOff,
        Self::Pause,
        Self::Handover,
        Self::Return,
        Self::AddedServer,
        Self::ServerAndDirector,
    ];

    /// As commands and files spell it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::KillRestart => "kill-restart",
            Self::LinkDown => "link-down",
            Self::PowerOff => "power-off",
            Self::Pause => "pause",
            Self::Handover => "handover",
            Self::Return => "return",
            Self::AddedServer => "added-server",
            Self::ServerAndDirector => "server-and-director",
        }
    }

    /// What happens, in some words.
    #[must_use]
    pub const fn about(self) -> &'static str {
        match self {
            Self::Kill => "SIGKILL of the director's daemon",
            Self::KillRestart => "SIGKILL of its daemon, started again at once",
            Self::LinkDown => "its cable is unplugged",
            Self::PowerOff => "its host loses power",
            Self::Pause => "its daemon is stopped for 5 s (SIGSTOP)",
            Self::Handover => "it is told to hand over",
            Self::Return => "it comes back from a cold boot",
            Self::AddedServer => "power off within a second after a real server was added",
            Self::ServerAndDirector => "power off of a real server and of it at once",
        }
    }

    /// Whether it is about real servers, which directors without services have none of.
    pub(crate) const fn needs_servers(self) -> bool {
        matches!(self, Self::AddedServer | Self::ServerAndDirector)
    }

    /// Whether the director is gone before, and its partner Active.
    pub(crate) const fn begins_with_partner(self) -> bool {
        matches!(self, Self::Return)
    }

    /// Whether the director is Active in the end, and not its partner.
    pub(crate) const fn ends_with_director(self) -> bool {
        matches!(self, Self::KillRestart | Self::Pause | Self::Return)
    }

    /// Whether it is the director that takes over, and not its partner.
    pub(crate) const fn director_takes_over(self) -> bool {
        matches!(self, Self::KillRestart | Self::Return)
    }

    /// Whether a director's program starts, which loads the data plane.
    pub(crate) const fn starts_a_program(self) -> bool {
        self.director_takes_over()
    }
}

/// How the directors place connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scheduler {
    /// In turns.
    Rr,
    /// By the servers' loads.
    Wlc,
    /// By the consistent hash.
    Maglev,
    /// Not at all: each director answers the probe itself.
    None,
}

impl Scheduler {
    /// In the order in which they are played.
    pub const ALL: [Self; 4] = [Self::Rr, Self::Wlc, Self::Maglev, Self::None];

    /// As commands and files spell it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rr => "rr",
            Self::Wlc => "wlc",
            Self::Maglev => "maglev",
            Self::None => "none",
        }
    }
}

/// Whose directors they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    Evenkeel,
    Keepalived,
}

impl Kind {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Evenkeel => "evenkeel",
            Self::Keepalived => "keepalived",
        }
    }
}

/// One row of the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) fault: Fault,
    pub(crate) directors: Kind,
    pub(crate) scheduler: Scheduler,
}

impl Row {
    /// For people.
    pub(crate) fn name(self) -> String {
        let Self {
            fault,
            directors,
            scheduler,
        } = self;
        format!(
            "{}, {}",
            fault.name(),
            directors_in_words(directors, scheduler)
        )
    }
}

/// Who the directors are and what they do, for people.
pub(crate) fn directors_in_words(directors: Kind, scheduler: Scheduler) -> String {
    let what = match scheduler {
        Scheduler::None => "own echo",
        Scheduler::Rr | Scheduler::Wlc | Scheduler::Maglev => scheduler.name(),
    };
    format!("{} {what}", directors.name())
}

/// The rows of these faults and schedulers, in the order in which they are played; keepalived's only where
/// it is there.
pub(crate) fn rows(faults: &[Fault], schedulers: &[Scheduler], keepalived: bool) -> Vec<Row> {
    let wanted = Fault::ALL
        .into_iter()
        .filter(|fault| faults.contains(fault));
    wanted
        .flat_map(|fault| {
            let schedulers = Scheduler::ALL
                .into_iter()
                .filter(|scheduler| schedulers.contains(scheduler));
            schedulers.flat_map(move |scheduler| {
                let kinds: &[Kind] = match scheduler {
                    Scheduler::None if fault.needs_servers() => &[],
                    Scheduler::None if keepalived => &[Kind::Evenkeel, Kind::Keepalived],
                    Scheduler::None | Scheduler::Rr | Scheduler::Wlc | Scheduler::Maglev => {
                        &[Kind::Evenkeel]
                    }
                };
                kinds.iter().map(move |directors| Row {
                    fault,
                    directors: *directors,
                    scheduler,
                })
            })
        })
        .collect()
}

#[cfg(test)]
mod tests;
