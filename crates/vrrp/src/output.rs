//! What the machine orders and tells.

use evenkeel_model::{GateState, Role};

use crate::{HandoverEnd, Notice, Reason};

/// An order to the shell, or news.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send an advertisement to the group or to each peer (see [`Machine::write_advert`]); unless the
    /// priority is 0, it renews the lease in the gates.
    ///
    /// [`Machine::write_advert`]: crate::Machine::write_advert
    SendAdvert {
        /// This director's priority; 0: it stops being Active.
        priority: u8,
    },
    /// Set the gate of every address.
    SetGate(GateState),
    /// See that the interface has every address of the configuration, and none that a former one had.
    ClaimAddresses,
    /// See that the interface has no address of the virtual router.
    ReleaseAddresses,
    /// Announce every address by gratuitous ARP.
    Announce {
        /// Messages for each address.
        count: u8,
    },
    /// The role changed; follows the orders that make it so.
    StateChanged {
        /// The role before.
        from: Role,
        /// The role from now on.
        to: Role,
        /// Why.
        reason: Reason,
    },
    /// A handover begins: see that the partner has what it needs to take over, then call
    /// [`Machine::prepared`]. Who has nothing to wait for calls it at once.
    ///
    /// [`Machine::prepared`]: crate::Machine::prepared
    PrepareHandover,
    /// Only [`Machine::wait_for_sync`] keeps this director from preempting the Active, or no longer.
    ///
    /// [`Machine::wait_for_sync`]: crate::Machine::wait_for_sync
    Wants(bool),
    /// An ordered handover is over.
    HandoverEnded(HandoverEnd),
    /// A kind of trouble that was not there a minute ago.
    Noticed(Notice),
    /// [`Machine::shut_down`] is complete: nothing is held and the gates are closed.
    ///
    /// [`Machine::shut_down`]: crate::Machine::shut_down
    Stopped,
}
