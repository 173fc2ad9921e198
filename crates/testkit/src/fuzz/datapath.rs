//! The data plane: frames, time, gates and changes of servers in any order, with every frame judged and the
//! tables recounted after each step.
//!
//! The first bytes choose the sizes of the tables and the schedulers of four services, and of some more in a wide world;
//! then operations follow: a byte that says which, and what each takes. What takes part of a wide world alone does little
//! in another one.

mod frames;
mod packets;
mod seeds;
mod wide;
mod world;

pub use seeds::seeds;

use evenkeel_abi::DropReason;
use evenkeel_datapath::Verdict;

use super::input::Input;
use crate::NativeTables;
use world::World;

/// Kinds of operations, in the low half of an operation's byte.
mod kind {
    pub(super) const TCP: u8 = 0;
    pub(super) const UDP: u8 = 1;
    pub(super) const ERROR: u8 = 2;
    pub(super) const RAW: u8 = 3;
    pub(super) const ADVERT: u8 = 4;
    pub(super) const ARP: u8 = 5;
    pub(super) const TICKS: u8 = 6;
    pub(super) const SECONDS: u8 = 7;
    pub(super) const GATE: u8 = 8;
    pub(super) const ROUTER: u8 = 9;
    pub(super) const SERVER: u8 = 10;
    pub(super) const SWEEP: u8 = 11;
    pub(super) const HINT: u8 = 12;
    pub(super) const FRAGMENT: u8 = 13;
    /// A frame of [`super::frames`].
    pub(super) const FRAME: u8 = 14;
    /// A change of [`super::wide`].
    pub(super) const CHANGE: u8 = 15;
    pub(super) const MASK: u8 = 15;
}

/// Does what the input says until it ends; returns the tables as they are then, unless it has no beginning.
///
/// # Panics
///
/// If the data plane has a bug.
pub fn run(input: &[u8]) -> Option<NativeTables> {
    let mut input = Input::new(input);
    let mut world = World::begin(&mut input)?;
    while step(&mut world, &mut input).is_some() {
        world.tables.check();
    }
    Some(world.tables)
}

fn step(world: &mut World, input: &mut Input<'_>) -> Option<()> {
    let operation = input.byte()?;
    match operation & kind::MASK {
        kind::TICKS => world.tick(u64::from(input.word()?)),
        kind::SECONDS => world.tables.advance_secs(u32::from(input.word()?)),
        kind::GATE => world.set_gate(input.byte()?),
        kind::ROUTER => world.set_router(input.byte()?),
        kind::SERVER => world.set_server(input.byte()?, input.byte()?),
        kind::SWEEP => drop(world.tables.sweep()),
        kind::HINT => world.set_hint(input.byte()?),
        kind::CHANGE => world.change([input.byte()?, input.byte()?, input.byte()?]),
        kind => {
            let mut frame = match kind {
                kind::FRAME => world.arriving(frames::frame(input)?),
                kind => packets::frame(kind, input)?,
            };
            packets::damage(&mut frame, operation >> 4, input)?;
            let (verdict, _) = world.tables.judged(&frame);
            assert_ne!(verdict, Verdict::Drop(DropReason::Internal));
        }
    }
    Some(())
}
