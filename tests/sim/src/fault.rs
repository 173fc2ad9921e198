//! What goes wrong in a run, with the edits that a simulated cluster knows.

pub use evenkeel_chaos::fault::any_plan;
use evenkeel_chaos::fault::{self, Cluster};
use evenkeel_testkit::Dice;

use crate::settings::{Edit, Settings};

/// Something that goes wrong.
pub type Fault = fault::Fault<Edit>;

/// A fault, when it begins and how long it lasts.
pub type Planned = fault::Planned<Edit>;

impl Cluster for Settings {
    type Edit = Edit;

    fn directors(&self) -> usize {
        self.directors
    }

    fn servers(&self) -> usize {
        self.servers
    }

    fn has_sync(&self) -> bool {
        self.sync.is_some()
    }

    fn any_edit(&self, dice: &mut Dice) -> Edit {
        Self::any_edit(self, dice)
    }
}
