//! Edits by hand, laid over the configuration.

use std::net::SocketAddr;
use std::time::Instant;

use evenkeel_model::{Director, Edit, EditRefused, Overlay, ServiceKey};

use super::Control;
use crate::command::Command;
use crate::report::Report;

impl Control {
    /// Takes an edit by hand. `listed` tells which services, and which real servers of them, people see in a
    /// listing: what exists and is not listed may be added, which changes it.
    ///
    /// # Errors
    /// As IPVS refuses it; nothing has changed then.
    pub fn edit(
        &mut self,
        edit: Edit,
        listed: impl Fn(ServiceKey, Option<SocketAddr>) -> bool,
        now: Instant,
    ) -> Result<(), EditRefused> {
        let mut overlay = self.overlay.clone();
        overlay.edit(edit, &self.configured.services, listed)?;
        self.lay(overlay, Report::Edited(edit), now);
        Ok(())
    }

    /// Forgets all edits by hand: what is configured is wanted again, and nothing else.
    pub fn forget_edits(&mut self, now: Instant) {
        self.lay(Overlay::default(), Report::EditsForgotten, now);
    }

    /// What would be wanted if this were the configuration.
    #[must_use]
    pub fn wanted(&self, configured: &Director) -> Director {
        wanted(configured, &self.overlay)
    }

    fn lay(&mut self, overlay: Overlay, report: Report, now: Instant) {
        if overlay != self.overlay {
            self.overlay = overlay;
            self.outputs
                .push_back(Command::KeepEdits(self.overlay.clone()));
            self.report(report);
            self.want(wanted(&self.configured, &self.overlay), now);
        }
        self.settle(now);
    }
}

/// A configuration with the edits laid over it.
pub(super) fn wanted(configured: &Director, overlay: &Overlay) -> Director {
    Director {
        services: overlay.apply(&configured.services),
        ..configured.clone()
    }
}
