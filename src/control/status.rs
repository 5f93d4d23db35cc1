//! What is shown: status, clients, connections, metrics.

use super::caller::Caller;
use super::change::Recycle;
use super::desk::{Desk, lease_status};
use super::views::{AcceptReply, ClientRow, ConnectionRow, RecycleReply, Status, UpstreamStatus};
use crate::policy::Spelling;

impl Desk {
    /// Everything at a glance.
    pub async fn status(&self) -> Status {
        let snapshot = self.snapshot();
        let current = self.current();
        Status {
            version: env!("CARGO_PKG_VERSION").into(),
            pid: std::process::id(),
            uptime_secs: self.started.elapsed().as_secs(),
            ssl_mode: snapshot.mode.name(Spelling::Ssl).into(),
            tls_mode: snapshot.mode.name(Spelling::Tls).into(),
            generation: snapshot.generation,
            lease: lease_status(&current.lease),
            ..Status::default()
        }
    }

    /// The inventory's rows.
    #[must_use]
    pub fn clients(&self) -> Vec<ClientRow> {
        Vec::new()
    }

    /// The open connections, oldest first.
    #[must_use]
    pub fn connections(&self) -> Vec<ConnectionRow> {
        Vec::new()
    }

    /// The servers behind, as last probed.
    #[must_use]
    pub fn upstreams(&self) -> Vec<UpstreamStatus> {
        Vec::new()
    }

    /// The metrics, as OpenMetrics.
    #[must_use]
    pub fn metrics(&self) -> String {
        "# EOF\n".into()
    }

    /// Takes a client off the blockers, by name ("I know, refuse it"), or, with `accepted` false, puts it back.
    ///
    /// # Errors
    /// What is wrong with the key, in words.
    pub fn accept(&self, key: &str, accepted: bool, caller: &Caller) -> Result<AcceptReply, String> {
        let _ = caller;
        Ok(AcceptReply { key: key.into(), accepted, known: false })
    }

    /// Moves connections that today's policy would not make, each at a message boundary.
    pub async fn recycle(&self, recycle: Recycle, caller: &Caller) -> RecycleReply {
        let _ = (recycle, caller);
        RecycleReply::default()
    }
}
