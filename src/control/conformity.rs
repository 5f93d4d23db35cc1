//! Which established connections today's snapshot would not make.

use std::collections::HashSet;
use std::sync::{Arc, PoisonError};

use super::desk::Desk;
use crate::observe::Open;
use crate::policy::conforms;
use crate::snapshot::Snapshot;

/// The certificates of established clients that do not verify any more, as last looked at.
#[derive(Debug, Default)]
pub(super) struct Refuted {
    /// The material they were looked at by; by its address, which cannot be another's while it is held.
    material: Option<Arc<crate::tls::Material>>,
    /// When that came into force, as far as was noticed.
    since: Option<std::time::Instant>,
    at: Option<std::time::Instant>,
    ids: HashSet<u64>,
}

impl Desk {
    /// Why a connection would not be made today, in a word.
    pub(super) fn misfit(&self, open: &Open, snapshot: &Snapshot) -> Option<&'static str> {
        let judged = conforms(snapshot.mode, open.acceptance, open.rule, open.opening, open.link);
        judged.err().map(|reason| reason.name()).or_else(|| {
            let refuted = self.refuted.lock().unwrap_or_else(PoisonError::into_inner);
            refuted.ids.contains(&open.id).then_some("certificate")
        })
    }

    /// Looks again whether the certificates of established clients verify: after they were rotated, and from time to
    /// time, since they expire. A signature takes its time, so this is done beside the control plane's thread.
    pub(super) async fn recheck_certificates(&self) {
        let snapshot = self.snapshot();
        {
            let refuted = self.refuted.lock().unwrap_or_else(PoisonError::into_inner);
            let same = refuted.material.as_ref().is_some_and(|last| Arc::ptr_eq(last, &snapshot.tls));
            // Who was in the middle of a handshake at the time of the change is established some time after it.
            let settled =
                refuted.since.zip(refuted.at).is_some_and(|(since, at)| at - since > self.longest_handshake());
            if same && settled && refuted.at.is_some_and(|at| at.elapsed() < crate::limits::CERTIFICATES_RECHECK) {
                return;
            }
        }
        let open = self.observer.live.list();
        let material = Arc::clone(&snapshot.tls);
        let look = tokio::task::spawn_blocking(move || {
            let chains = open.iter().filter_map(|open| Some((open.id, open.client_chain()?)));
            chains.filter(|(_, chain)| material.verify_client(chain).is_err()).map(|(id, _)| id).collect()
        });
        let Ok(ids) = look.await else { return };
        let at = Some(std::time::Instant::now());
        let mut refuted = self.refuted.lock().unwrap_or_else(PoisonError::into_inner);
        let same = refuted.material.as_ref().is_some_and(|last| Arc::ptr_eq(last, &snapshot.tls));
        let since = if same { refuted.since } else { at };
        *refuted = Refuted { material: Some(Arc::clone(&snapshot.tls)), since, at, ids };
    }

    /// From a snapshot's reading to a connection's place among the open ones.
    fn longest_handshake(&self) -> std::time::Duration {
        let timeouts = self.loaded().settings.timeouts;
        timeouts.handshake * 2 + timeouts.connect
    }
}
