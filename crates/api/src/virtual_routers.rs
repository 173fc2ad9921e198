//! Virtual routers and the thread that runs them, as `evenkeel status` shows them.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// What a director is to a virtual router (RFC 9568 §6.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Not taking part: its link is down, or it is stopping.
    Initialize,
    /// It watches the Active.
    Backup,
    /// It holds the addresses.
    Active,
}

impl Role {
    /// The word that `status` prints.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Initialize => "initialize",
            Self::Backup => "backup",
            Self::Active => "active",
        }
    }
}

/// Why a director does not take over as its configuration says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stance {
    /// It does.
    #[default]
    Ordinary,
    /// It has handed over by command, and does not preempt until it was Active again.
    HandedOver,
    /// It takes over only where nobody else is there.
    Standby,
    /// It takes nothing over.
    Maintenance,
}

impl Stance {
    /// Whether nobody ordered anything.
    #[must_use]
    pub fn is_ordinary(&self) -> bool {
        *self == Self::Ordinary
    }
}

/// State of one virtual router on this director.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VirtualRouterStatus {
    /// The operator's name for it.
    pub name: String,
    /// Its number on the link, 1 to 255.
    pub id: u8,
    /// Version of VRRP, 2 or 3.
    pub version: u8,
    /// This director's role.
    pub role: Role,
    /// Why the role last changed.
    pub reason: String,
    /// Seconds since the role last changed.
    pub since_s: u64,
    /// This director's priority, 1 to 255.
    pub priority: u8,
    /// Whether it takes over from an Active of lower priority.
    pub preempt: bool,
    /// False while it waits for the first round of checks, before which it takes nothing over.
    pub may_take_over: bool,
    /// True while it hands over because the daemon was told to end.
    pub stopping: bool,
    /// What a command has left.
    #[serde(default, skip_serializing_if = "Stance::is_ordinary")]
    pub stance: Stance,
    /// The priority that counts, where that is not the configured one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority_in_force: Option<u8>,
    /// True while it is Active and about to hand over.
    #[serde(default)]
    pub handing_over: bool,
    /// The virtual addresses, in the order of the config file.
    pub addresses: Vec<IpAddr>,
    /// Time from one advertisement of this director to the next.
    pub advert_interval_ms: u64,
    /// Silence after which the Active counts as gone, skew included.
    pub master_down_us: u64,
    /// The director that was heard last.
    pub partner: Option<PartnerStatus>,
    /// Advertisements sent, received, and bad by kind, changes of role, and how often a host outside was seen
    /// to hold an address (`address-held`); since the daemon started.
    pub counters: Vec<RouterCount>,
    /// What is wrong at present, one sentence each.
    pub troubles: Vec<String>,
    /// Hosts outside the virtual router that answer for its addresses.
    pub address_held_by: Vec<AddressHolder>,
}

/// Another director of a virtual router, by its last good advertisement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartnerStatus {
    /// Its own address.
    pub address: IpAddr,
    /// The priority it advertised; 0: it stopped.
    pub priority: u8,
    /// Time since that advertisement.
    pub last_heard_ms: u64,
    /// The interval it advertised.
    pub interval_ms: u64,
}

/// How often one thing happened to a virtual router.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouterCount {
    /// What, in kebab-case.
    pub kind: String,
    /// How often.
    pub count: u64,
}

/// A host that answers for a virtual address and has no part in its virtual router.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressHolder {
    /// The virtual address.
    pub address: IpAddr,
    /// The host's hardware address.
    pub mac: String,
}

/// How well the thread that runs the virtual routers keeps time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VrrpThreadStatus {
    /// True where it runs before all ordinary threads of the machine.
    pub real_time: bool,
    /// Why it does not.
    pub real_time_reason: Option<String>,
    /// True where none of its memory can be paged out.
    pub memory_locked: bool,
    /// Why not.
    pub memory_locked_reason: Option<String>,
    /// How late it woke for its timers: the buckets' bounds are powers of two, the smallest first.
    pub lateness: Vec<LatenessBucket>,
    /// The latest that it ever woke.
    pub max_us: u64,
}

impl VrrpThreadStatus {
    /// The smallest bound that at least `percent` of all wake-ups kept; `None` where there was no
    /// wake-up yet, or where only the open bucket reaches so many.
    #[must_use]
    pub fn within_us(&self, percent: u8) -> Option<u64> {
        let all: u128 = self.lateness.iter().map(|b| u128::from(b.count)).sum();
        if all == 0 {
            return None;
        }
        let mut kept: u128 = 0;
        let bucket = self.lateness.iter().find(|bucket| {
            kept += u128::from(bucket.count);
            kept * 100 >= all * u128::from(percent)
        });
        bucket.and_then(|bucket| bucket.up_to_us)
    }
}

/// Wake-ups that were late by more than the bucket before says, and at most by this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LatenessBucket {
    /// Upper bound, included; the first is 16. `None`: no bound.
    pub up_to_us: Option<u64>,
    /// Wake-ups.
    pub count: u64,
}

#[cfg(test)]
mod tests;
