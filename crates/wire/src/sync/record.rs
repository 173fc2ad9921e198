//! A connection, and how it is packed.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::time::Duration;

use super::{Input, Malformed, Output};
use crate::ipv4;

/// What lifetimes are rounded up to.
pub const LIFETIME_STEP: Duration = Duration::from_millis(100);
/// The longest lifetime, 19 days; longer ones are cut to it.
pub const LIFETIME_MAX: Duration = Duration::from_millis(LIFETIME_STEPS as u64 * 100);
/// Bytes of the longest record.
pub const RECORD_LEN_MAX: usize = 1 + 3 + 3 * 18;

const LIFETIME_STEPS: u32 = (1 << 24) - 1;
const STATE_BITS: u8 = 0x0f;
const PROTOCOL_SHIFT: u8 = 4;
const TEMPLATE: u8 = 0x40;
const ASSURED: u8 = 0x80;

/// A protocol whose connections are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    /// Of a group's template: all of its protocols.
    Any = 0,
    /// TCP.
    Tcp = 1,
    /// UDP.
    Udp = 2,
    /// SCTP.
    Sctp = 3,
}

impl Protocol {
    const ALL: [Self; 4] = [Self::Any, Self::Tcp, Self::Udp, Self::Sctp];

    /// IP's number of the protocol; 0 for any.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Any => 0,
            Self::Tcp => ipv4::TCP,
            Self::Udp => ipv4::UDP,
            Self::Sctp => ipv4::SCTP,
        }
    }

    /// The protocol with IP's number, if it is one of those here.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        let mut all = Self::ALL.into_iter();
        all.find(|protocol| protocol.number() == number)
    }
}

/// A connection's state: the number that the data plane gives it, 0 to 15.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct State(u8);

impl State {
    /// The number.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }
}

/// A state's number above 15.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooHigh(pub u8);

impl fmt::Display for TooHigh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is no state: there are 0 to 15", self.0)
    }
}

impl core::error::Error for TooHigh {}

impl TryFrom<u8> for State {
    type Error = TooHigh;

    fn try_from(number: u8) -> Result<Self, TooHigh> {
        match number <= STATE_BITS {
            true => Ok(Self(number)),
            false => Err(TooHigh(number)),
        }
    }
}

/// What tells a connection or template from others. Of IPv6 addresses neither scope nor flow label is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Flow {
    /// The client; of a template its address under the mask, and port 0.
    pub client: SocketAddr,
    /// The virtual address and port; of a group's template the group's number as an address.
    pub address: SocketAddr,
    /// The protocol.
    pub protocol: Protocol,
    /// Whether it is no connection, but a template: where new ones of the client go.
    pub template: bool,
}

/// A connection or template as its director has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// Which one.
    pub flow: Flow,
    /// Its real server.
    pub server: SocketAddr,
    /// Its state.
    pub state: State,
    /// Time until it expires: told in steps of [`LIFETIME_STEP`], rounded up, and at most [`LIFETIME_MAX`].
    pub remaining: Duration,
    /// Whether a client's packet confirmed it a second or more after its first.
    pub assured: bool,
}

/// The families of the addresses of a run, as bits of its tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Families(pub(super) u8);

impl Families {
    pub(super) const CLIENT: u8 = 1;
    pub(super) const ADDRESS: u8 = 2;
    pub(super) const SERVER: u8 = 4;

    pub(super) fn of_flow(flow: &Flow) -> Self {
        let client = u8::from(flow.client.is_ipv6()) * Self::CLIENT;
        let address = u8::from(flow.address.is_ipv6()) * Self::ADDRESS;
        Self(client | address)
    }

    pub(super) fn of(record: &Record) -> Self {
        let server = u8::from(record.server.is_ipv6()) * Self::SERVER;
        Self(Self::of_flow(&record.flow).0 | server)
    }

    const fn has(self, bit: u8) -> bool {
        self.0 & bit != 0
    }
}

fn put_address(output: &mut Output<'_>, address: SocketAddr) {
    match address.ip() {
        IpAddr::V4(ip) => output.put(&ip.octets()),
        IpAddr::V6(ip) => output.put(&ip.octets()),
    }
    output.put(&address.port().to_be_bytes());
}

fn address(input: &mut Input<'_>, is_v6: bool) -> Result<SocketAddr, Malformed> {
    let ip = match is_v6 {
        true => IpAddr::V6(Ipv6Addr::from_octets(input.array()?)),
        false => IpAddr::V4(Ipv4Addr::from_octets(input.array()?)),
    };
    Ok(SocketAddr::new(ip, input.u16()?))
}

const fn bits_of(flow: &Flow) -> u8 {
    let template = if flow.template { TEMPLATE } else { 0 };
    (flow.protocol as u8) << PROTOCOL_SHIFT | template
}

fn put_flow(output: &mut Output<'_>, flow: &Flow) {
    put_address(output, flow.client);
    put_address(output, flow.address);
}

fn flow(input: &mut Input<'_>, bits: u8, families: Families) -> Result<Flow, Malformed> {
    Ok(Flow {
        client: address(input, families.has(Families::CLIENT))?,
        address: address(input, families.has(Families::ADDRESS))?,
        protocol: Protocol::ALL[usize::from(bits >> PROTOCOL_SHIFT & 3)],
        template: bits & TEMPLATE != 0,
    })
}

pub(super) fn put_removal(output: &mut Output<'_>, flow: &Flow) {
    output.put(&[bits_of(flow)]);
    put_flow(output, flow);
}

pub(super) fn removal(input: &mut Input<'_>, families: Families) -> Result<Flow, Malformed> {
    let bits = input.u8()?;
    if bits & (STATE_BITS | ASSURED) != 0 {
        return Err(Malformed::Range);
    }
    flow(input, bits, families)
}

pub(super) fn put_record(output: &mut Output<'_>, record: &Record) {
    let assured = if record.assured { ASSURED } else { 0 };
    output.put(&[bits_of(&record.flow) | record.state.0 | assured]);
    let steps = record
        .remaining
        .as_nanos()
        .div_ceil(LIFETIME_STEP.as_nanos());
    let steps = u32::try_from(steps).unwrap_or(LIFETIME_STEPS);
    let [_, high, middle, low] = steps.min(LIFETIME_STEPS).to_be_bytes();
    output.put(&[high, middle, low]);
    put_flow(output, &record.flow);
    put_address(output, record.server);
}

pub(super) fn record(input: &mut Input<'_>, families: Families) -> Result<Record, Malformed> {
    let bits = input.u8()?;
    let [high, middle, low] = input.array()?;
    let steps = u32::from_be_bytes([0, high, middle, low]);
    Ok(Record {
        flow: flow(input, bits, families)?,
        server: address(input, families.has(Families::SERVER))?,
        state: State(bits & STATE_BITS),
        remaining: LIFETIME_STEP * steps,
        assured: bits & ASSURED != 0,
    })
}
