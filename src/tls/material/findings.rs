//! Certificates and CRLs that are expired, not yet valid or about to expire, as lines for logs and replies.

use std::fmt;

use super::item::{TlsItem, TlsItemKind, ValidityState, in_force};
use crate::limits::VALIDITIES_SHOWN;
use crate::text::{printable, rfc3339_secs};

/// A certificate or CRL that is expired, not yet valid or about to expire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValidityFinding<'a> {
    /// The certificate or CRL.
    pub item: &'a TlsItem,
    /// Its state of validity.
    pub state: ValidityState,
    /// Whether connections fail once the item has expired. This need not be so for a CA, which may be one of many in
    /// its file, or for a CRL, which may belong to no CA of the files.
    pub(super) refuses: bool,
}

/// The findings at `now`, in seconds since 1970, most urgent first.
pub fn findings<'a>(all: &'a [TlsItem], now: i64) -> Vec<ValidityFinding<'a>> {
    let has_ca = |list: &TlsItem| {
        let of_name = |one: &&TlsItem| one.kind == TlsItemKind::Authority && one.subject == list.subject;
        all.iter().filter(of_name).any(|one| !one.is_out_of_date(now))
    };
    let finding = |item: &'a TlsItem| {
        let refuses = match item.kind {
            TlsItemKind::Certificate | TlsItemKind::Chain => true,
            TlsItemKind::Authority => false,
            // Also true if all CAs of this name are out of date.
            TlsItemKind::RevocationList => item.is_needed(all, now) || !has_ca(item),
        };
        item.state(now).map(|state| ValidityFinding { item, state, refuses })
    };
    let mut findings: Vec<_> = in_force(all, now).filter_map(finding).collect();
    findings.sort_by_key(|finding| {
        let rank = match finding.state {
            ValidityState::Over => 0,
            ValidityState::NotYet => 1,
            ValidityState::Soon { .. } => 2,
        };
        (!finding.is_critical(), rank, finding.item.ends)
    });
    findings
}

/// The first few findings as lines, and the number of the others: a bundle of public CAs can have many.
pub fn finding_lines(findings: &[ValidityFinding<'_>]) -> Vec<String> {
    let more = findings.len().saturating_sub(VALIDITIES_SHOWN);
    let mut lines: Vec<_> = findings.iter().take(VALIDITIES_SHOWN).map(ToString::to_string).collect();
    lines
        .extend((more > 0).then(|| {
            format!("and {more} more certificates, CAs or revocation lists that expire soon or have expired")
        }));
    lines
}

impl ValidityFinding<'_> {
    /// The finding and its remedy.
    #[must_use]
    pub fn text_and_remedy(&self) -> (String, String) {
        let line = self.to_string();
        let (text, remedy) = line.split_once("; ").unwrap_or((&line, "rotate"));
        (text.to_owned(), remedy.to_owned())
    }

    /// Whether the item is valid now.
    #[must_use]
    pub fn is_valid_now(&self) -> bool {
        matches!(self.state, ValidityState::Soon { .. })
    }

    /// Whether connections fail now because this item has expired.
    pub fn is_critical(&self) -> bool {
        self.refuses && self.state == ValidityState::Over
    }
}

impl fmt::Display for ValidityFinding<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let TlsItem { role, kind, subject, begins, ends, .. } = self.item;
        let (subject, ends) = (printable(subject), rfc3339_secs(ends.unwrap_or_default()));
        let (what, remedy) = match kind {
            TlsItemKind::Certificate => ("the certificate", "renew it, and rotate (tlsramp ctl rotate)"),
            TlsItemKind::Chain => ("the intermediate certificate", "put the renewed chain into the file, and rotate"),
            TlsItemKind::Authority => ("the CA", "add the CA that will replace it to the file, and rotate"),
            TlsItemKind::RevocationList => ("the revocation list of", "put a newer one into the file, and rotate"),
        };
        write!(f, "{role}: {what} {subject} ")?;
        match (self.state, kind) {
            (ValidityState::Over, TlsItemKind::RevocationList) if !self.refuses => {
                write!(
                    f,
                    "has expired on {ends}; no CA in force needs it (another key signed it, or another list of that CA \
                     is used); remove it, or {remedy}"
                )
            }
            (ValidityState::Over, TlsItemKind::RevocationList) => {
                write!(f, "has expired on {ends}, so every certificate of that CA is refused; {remedy}")
            }
            (ValidityState::Over, _) => write!(f, "has expired on {ends}; {remedy}"),
            (ValidityState::NotYet, _) => {
                write!(f, "is not valid before {}; check this host's clock", rfc3339_secs(*begins))
            }
            (ValidityState::Soon { days: 1 }, _) => write!(f, "expires in 1 day, on {ends}; {remedy}"),
            (ValidityState::Soon { days }, _) => write!(f, "expires in {days} days, on {ends}; {remedy}"),
        }
    }
}
