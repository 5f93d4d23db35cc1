//! Finds the connections that the present snapshot would not make, because of the mode or of the client's certificate.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::limits::CERTIFICATES_RECHECK;
use crate::policy::{Acceptance, NonConforming, Opening, conforms};
use crate::state::Snapshot;
use crate::telemetry::{Observer, OpenConnection};
use crate::tls::Material;

/// The reason why the present snapshot would not make a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NonConformance {
    /// The mode does not allow the connection.
    Policy(NonConforming),
    /// The client's certificate, or its absence, would be refused.
    Certificate,
}

impl NonConformance {
    /// The name in replies.
    pub const fn name(self) -> &'static str {
        match self {
            NonConformance::Policy(reason) => reason.name(),
            NonConformance::Certificate => "certificate",
        }
    }
}

/// The check of established connections. Certificates are verified again at intervals and the results are kept, since
/// verifying a signature is slow.
#[derive(Debug, Default)]
pub(crate) struct Conformance(Mutex<CertificateResults>);

/// The established clients whose certificate, or its absence, would be refused.
#[derive(Debug, Default)]
struct CertificateResults {
    /// The material that they were verified with. Kept alive because `recheck` compares materials by address, and a
    /// freed address could be reused.
    material: Option<Arc<Material>>,
    at: Option<Instant>,
    refused: HashSet<u64>,
}

impl Conformance {
    /// The reason why the connection would not be made now; `None` if it conforms.
    pub(crate) fn check(&self, open: &OpenConnection, snapshot: &Snapshot) -> Option<NonConformance> {
        let judged = conforms(snapshot.mode, open.acceptance, open.rule, open.opening, open.link);
        let refused = || self.lock().refused.contains(&open.id).then_some(NonConformance::Certificate);
        judged.err().map(NonConformance::Policy).or_else(refused)
    }

    /// Verifies the certificates of established clients again if the material is new, or if the last results are old,
    /// since certificates expire. Later clients were verified by the same material in their handshake.
    pub(crate) async fn recheck(&self, snapshot: &Snapshot, observer: &Observer) {
        {
            let last = self.lock();
            let same = last.material.as_ref().is_some_and(|last| Arc::ptr_eq(last, &snapshot.tls));
            if same && last.at.is_some_and(|at| at.elapsed() < CERTIFICATES_RECHECK) {
                return;
            }
        }
        let at = Some(Instant::now());
        let (open, material) = (observer.open_connections.list(), Arc::clone(&snapshot.tls));
        let look = tokio::task::spawn_blocking(move || {
            let terminated =
                |open: &&Arc<OpenConnection>| open.acceptance == Acceptance::Terminate && open.opening == Opening::Tls;
            let refused =
                |open: &&Arc<OpenConnection>| material.admits(open.tls_version(), open.client_chain()).is_err();
            open.iter().filter(terminated).filter(refused).map(|open| open.id).collect()
        });
        let Ok(refused) = look.await else { return };
        *self.lock() = CertificateResults { material: Some(Arc::clone(&snapshot.tls)), at, refused };
    }

    fn lock(&self) -> MutexGuard<'_, CertificateResults> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
