//! The report of a run, and the last one, which is given again for some seconds.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use tokio::sync::Mutex;

use super::finding::DoctorFinding;
use crate::policy::Mode;

/// All findings, the most urgent first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DoctorReport {
    /// The mode in force.
    pub mode: Mode,
    /// When the checks were made.
    pub checked: SystemTime,
    /// The findings.
    pub findings: Vec<DoctorFinding>,
}

/// The last report, when it was made, and the generation of the snapshot then. Its lock is held during a run, so that there is
/// one at a time.
pub(crate) type DoctorCache = Arc<Mutex<Option<(Instant, u64, Arc<DoctorReport>)>>>;
