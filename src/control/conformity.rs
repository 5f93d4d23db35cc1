//! Which connections today's snapshot would not make: established ones, and those that an earlier snapshot let in and that
//! are still under way.

use std::collections::HashSet;
use std::sync::{Arc, PoisonError};

use super::controller::Controller;
use crate::limits::CERTIFICATES_RECHECK;
use crate::policy::{Acceptance, Opening, conforms};
use crate::state::Snapshot;
use crate::telemetry::OpenConnection;

/// The established clients whose certificate, or the want of one, would be refused, as last looked at.
#[derive(Debug, Default)]
pub(crate) struct Refuted {
    /// The material they were looked at by; by its address, which cannot be another's while it is held.
    material: Option<Arc<crate::tls::Material>>,
    at: Option<std::time::Instant>,
    ids: HashSet<u64>,
}

impl Controller {
    /// Why a connection would not be made today, in a word.
    pub(crate) fn misfit(&self, open: &OpenConnection, snapshot: &Snapshot) -> Option<&'static str> {
        let judged = conforms(snapshot.mode, open.acceptance, open.rule, open.opening, open.link);
        judged.err().map(|reason| reason.name()).or_else(|| {
            let refuted = self.refuted.lock().unwrap_or_else(PoisonError::into_inner);
            refuted.ids.contains(&open.id).then_some("certificate")
        })
    }

    /// Looks again whether the certificates of established clients verify: after they were rotated, and from time to
    /// time, since they expire. Clients that are established later were judged by the same material. A signature takes its
    /// time, so this is done beside the control plane's thread.
    pub(crate) async fn recheck_certificates(&self) {
        let snapshot = self.snapshot();
        {
            let refuted = self.refuted.lock().unwrap_or_else(PoisonError::into_inner);
            let same = refuted.material.as_ref().is_some_and(|last| Arc::ptr_eq(last, &snapshot.tls));
            if same && refuted.at.is_some_and(|at| at.elapsed() < CERTIFICATES_RECHECK) {
                return;
            }
        }
        let at = Some(std::time::Instant::now());
        let open = self.observer.open_connections.list();
        let material = Arc::clone(&snapshot.tls);
        let look = tokio::task::spawn_blocking(move || {
            let terminated =
                |open: &&Arc<OpenConnection>| open.acceptance == Acceptance::Terminate && open.opening == Opening::Tls;
            let refused =
                |open: &&Arc<OpenConnection>| material.admits(open.tls_version(), open.client_chain()).is_err();
            open.iter().filter(terminated).filter(refused).map(|open| open.id).collect()
        });
        let Ok(ids) = look.await else { return };
        let mut refuted = self.refuted.lock().unwrap_or_else(PoisonError::into_inner);
        *refuted = Refuted { material: Some(Arc::clone(&snapshot.tls)), at, ids };
    }
}
