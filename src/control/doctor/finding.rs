//! The findings of the checks: what was checked, the verdict, and the remedy.

use serde::{Deserialize, Serialize};

/// The result of one check of one subject.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DoctorFinding {
    /// The check.
    pub id: DoctorCheck,
    /// The server, file, name or setting that was checked.
    pub subject: String,
    /// The verdict.
    pub verdict: CheckVerdict,
    /// What was found.
    pub text: String,
    /// The command or setting that corrects the problem, or that makes a skipped check possible.
    pub remedy: Option<String>,
}

/// The checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum DoctorCheck {
    /// The certificates and CRLs in force: validity, names, extended key usage.
    Certificates,
    /// The descriptor limit, against the connections that are to be accepted.
    Descriptors,
    /// The interception rules of `tlsramp netfilter`.
    Interception,
    /// The names of servers and members.
    Names,
    /// The links of routes to their servers.
    Upstream,
    /// The certificates that servers and members present.
    PeerCertificate,
    /// Clocks of servers and members.
    Clock,
    /// The localhost exception of the fronted server.
    LocalhostException,
    /// Versions and states of the members.
    Members,
    /// The kinds of connection that other nodes accept, compared with the mode of this node.
    Modes,
    /// Ports and connections that bypass this proxy.
    Bypass,
    /// A check that this version does not know.
    #[serde(other)]
    Other,
}

/// The verdict of a check, most urgent first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum CheckVerdict {
    /// Something is wrong now. For example, connections fail, or the mode in force is not enforced.
    Failed,
    /// Nothing fails now, but the finding needs attention.
    Warning,
    /// It could not be checked.
    NotChecked,
    /// Nothing is wrong.
    Ok,
}

impl DoctorCheck {
    /// The subject of the check, for people.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            DoctorCheck::Certificates => "own certificates",
            DoctorCheck::Descriptors => "descriptors",
            DoctorCheck::Interception => "interception rules",
            DoctorCheck::Names => "name resolution",
            DoctorCheck::Upstream => "servers",
            DoctorCheck::PeerCertificate => "certificates of servers",
            DoctorCheck::Clock => "clocks",
            DoctorCheck::LocalhostException => "localhost exception",
            DoctorCheck::Members => "versions and states",
            DoctorCheck::Modes => "modes of other nodes",
            DoctorCheck::Bypass => "bypass of the proxy",
            DoctorCheck::Other => "a check unknown to this version",
        }
    }
}

impl DoctorFinding {
    pub(super) fn ok(id: DoctorCheck, subject: impl Into<String>, text: impl Into<String>) -> DoctorFinding {
        DoctorFinding { id, subject: subject.into(), verdict: CheckVerdict::Ok, text: text.into(), remedy: None }
    }

    /// A finding that needs a remedy.
    pub(super) fn bad(
        id: DoctorCheck,
        subject: impl Into<String>,
        verdict: CheckVerdict,
        text: impl Into<String>,
        remedy: impl Into<String>,
    ) -> DoctorFinding {
        DoctorFinding { verdict, remedy: Some(remedy.into()), ..DoctorFinding::ok(id, subject, text) }
    }
}

/// Sorts the findings: the most urgent first, then by check and subject.
pub(super) fn sorted(mut findings: Vec<DoctorFinding>) -> Vec<DoctorFinding> {
    findings.sort_by(|one, other| (one.verdict, one.id, &one.subject).cmp(&(other.verdict, other.id, &other.subject)));
    findings
}
