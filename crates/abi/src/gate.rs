//! Gates of virtual addresses, and virtual routers, as the program sees them.

use crate::{Shared, Span};

/// Values of [`Gate::state`].
pub struct GateState;

impl GateState {
    /// Packets for the address's services pass to the stack.
    pub const CLOSED: u64 = 0;
    /// They are balanced.
    pub const OPEN: u64 = 1;
    /// They are balanced; ARP requests for the address are dropped.
    pub const DRAINING: u64 = 2;
}

/// The gate of a virtual address.
#[repr(C)]
#[derive(Default)]
pub struct Gate {
    /// One of [`GateState`].
    pub state: Shared,
    /// The virtual address; 1 while the entry belongs to one, 2 while to one of IPv6.
    pub address_used: Shared,
    /// The address belongs to this virtual router, an index into `ROUTERS`; 0: to none.
    pub virtual_router: Shared,
    /// The IPv6 address, as it lies in memory; `address_used` holds no address then.
    pub address6: [Shared; 2],
    /// For an address with port ranges: its [`PortStep`](crate::PortStep)s in rising order, the first of them at 0, each two entries.
    pub ports: Span,
    /// The address's services with [`ServiceFlags::FRAGMENTS_BY_ADDRESS`](crate::ServiceFlags): the number of TCP's plus one, that of
    /// UDP's plus one; 0: there is none.
    pub fragments: Shared,
    /// Keeps the size at 64.
    pub spare: Shared,
}

/// A virtual router that this director takes part in.
///
/// The role's thread writes all but `heard`, and renews the lease with every advertisement it sends. The
/// program writes `heard` for every good foreign advertisement, and sets `yielded` if the lease has run out.
#[repr(C)]
#[derive(Default)]
pub struct Router {
    /// 1 while this director takes part in it.
    pub used: Shared,
    /// Tick until which the lease of the role lasts; 0: there is none.
    pub lease: Shared,
    /// Tick at which a foreign advertisement was heard last; 0: never.
    pub heard: Shared,
    /// 1: its open gates are as draining, because the lease had run out when a foreign advertisement came.
    pub yielded: Shared,
    /// Tick at which the lease was renewed last; 0: never. For user space: was somebody heard since?
    pub renewed: Shared,
    /// Keeps the size at 64.
    pub spare: [Shared; 3],
}

const _: () = assert!(size_of::<Gate>() == 64);
const _: () = assert!(size_of::<Router>() == 64);
