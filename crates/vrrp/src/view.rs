//! The read-only state, for `status`.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use evenkeel_model::{Priority, Role};

use crate::{Notice, Reason, Stance, Trouble};

/// How a virtual router stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// What this director is to it.
    pub role: Role,
    /// This director's priority, as configured.
    pub priority: Priority,
    /// The priority that it advertises and that its timer goes by: in standby 1.
    pub priority_in_force: Priority,
    /// Why it does not take over as its configuration says.
    pub stance: Stance,
    /// Whether it does not preempt, for it lacks connections that the Active has.
    pub waits_for_sync: bool,
    /// Whether it is about to hand over.
    pub handing_over: bool,
    /// Why the role is what it is.
    pub reason: Reason,
    /// When the role became that.
    pub since: Instant,
    /// Whether it may take over: its first round of checks is complete.
    pub may_take_over: bool,
    /// Whether it was told to stop.
    pub stopping: bool,
    /// Who else was heard last; `None`: nobody yet.
    pub partner: Option<Partner>,
    /// What was counted since the machine was made.
    pub counters: Counters,
    /// Troubles of the last minute (of the last three master-down intervals, where that is longer).
    pub troubles: Vec<Notice>,
}

/// The sender of the last advertisement that was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partner {
    /// Its address.
    pub address: IpAddr,
    /// Its priority; 0: it stopped being Active.
    pub priority: u8,
    /// When it was heard.
    pub last_heard: Instant,
    /// The interval that it advertises.
    pub interval: Duration,
}

/// What happened since the machine was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Orders to send an advertisement, those of priority 0 included.
    pub sent: u64,
    /// Orders to send an advertisement of priority 0.
    pub resignations_sent: u64,
    /// Advertisements that were accepted, those of priority 0 included.
    pub received: u64,
    /// Advertisements of priority 0 that were accepted.
    pub resignations_received: u64,
    /// Times that this director became Active.
    pub became_active: u64,
    /// Advertisements of another virtual router, which the shell should have given to its own machine.
    pub other_router: u64,
    pub(crate) troubles: [u64; Trouble::ALL.len()],
}

impl Counters {
    /// How often a kind of trouble occurred.
    #[must_use]
    pub const fn of(&self, trouble: Trouble) -> u64 {
        self.troubles[trouble as usize]
    }
}
