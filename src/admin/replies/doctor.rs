//! `GET /doctor`.

use serde::{Deserialize, Serialize};

use crate::control::{DoctorFinding, DoctorReport};
use crate::policy::Spelling;
use crate::text::rfc3339;

/// `GET /doctor`: the checks, most urgent first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct DoctorReply {
    /// The mode in force.
    pub mode: String,
    /// When the checks were made: RFC 3339. An answer is reused for ten seconds.
    pub checked: String,
    /// One entry for each check of each subject.
    pub checks: Vec<DoctorFinding>,
}

impl From<&DoctorReport> for DoctorReply {
    fn from(report: &DoctorReport) -> DoctorReply {
        DoctorReply {
            mode: report.mode.name(Spelling::Ssl).to_owned(),
            checked: rfc3339(report.checked),
            checks: report.findings.clone(),
        }
    }
}
