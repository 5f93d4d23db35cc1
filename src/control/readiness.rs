//! What a change of mode would hurt.

use super::desk::Desk;
use super::views::{Blocker, Ready};
use crate::policy::{Mode, Spelling};

impl Desk {
    /// What stands in the way of a mode, whether or not the ladder leads there now.
    pub async fn ready(&self, to: Mode, spelling: Spelling) -> Ready {
        let (mode, _) = self.mode();
        let blockers = self.blockers(to).await;
        Ready { mode: mode.name(spelling).into(), to: to.name(spelling).into(), ready: blockers.is_empty(), blockers }
    }

    pub(super) async fn blockers(&self, to: Mode) -> Vec<Blocker> {
        let _ = to;
        Vec::new()
    }
}
