//! The report of a run. The last report is reused for some seconds.

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

/// The last report, when it was made, and the generation of the snapshot then. The lock is held during a run, so that
/// only one run is in progress at a time.
pub(crate) type DoctorCache = Arc<Mutex<Option<(Instant, u64, Arc<DoctorReport>)>>>;
