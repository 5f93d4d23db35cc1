//! The certificates and CRLs that TLS files hold, and when they are valid.

use std::path::{Path, PathBuf};

use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::revocation_list::CertificateRevocationList;

use crate::limits::{EXPIRY_WARNING_DAYS, SHOWN_CHARS};
use crate::tls::errors::file_error::FileRole;
use crate::tls::revocation::distribution_point::is_partial;
use crate::tls::x509::subject::rfc4514;

/// A certificate or CRL of a TLS file. Times are in seconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsItem {
    /// The option that names the file.
    pub role: FileRole,
    /// The file.
    pub path: PathBuf,
    /// Its kind.
    pub kind: TlsItemKind,
    /// Its subject in the form of RFC 4514; of a CRL, its issuer.
    pub subject: String,
    /// Its serial number, in hexadecimal as OpenSSL writes it; empty for a CRL.
    pub serial: String,
    /// `notBefore`, or `thisUpdate`.
    pub begins: i64,
    /// `notAfter`, or `nextUpdate`, which a CRL need not have.
    pub ends: Option<i64>,
    /// The group of a CRL: those of one issuer, scope and signing key, which replace each other.
    pub(crate) group: usize,
    /// The public key of a CA; for a CRL, that of the CA of the files that has signed it, or empty.
    pub(crate) key: Vec<u8>,
    /// Whether a CRL covers some distribution points only.
    pub(crate) is_partial: bool,
    /// When a CA verifies peers: its validity, limited by that of its issuer. `None` if it may issue nothing.
    pub(crate) verifies: Option<(i64, i64)>,
    /// Whether a CA by its basic constraints may issue nothing, by its key usage or another extension.
    pub(crate) is_useless: bool,
    /// Whether the files have a CRL of this CA; for a CRL, whether a CA of the files has signed it.
    pub(crate) has_crl: bool,
    /// Whether it is an intermediate CA whose root is not in the file.
    pub(crate) lacks_root: bool,
    /// Whether it is a CA that has issued another CA of the file, and perhaps nothing else.
    pub(crate) is_above: bool,
}

/// Why a set of TLS files is of no use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnusableReason {
    /// The kind, the file, and the CRL.
    pub part: (TlsItemKind, FileRole, CrlScope),
    /// A line for logs and replies.
    pub line: String,
    /// Whether peers are refused for certain. The CRL of a CA that is in no file may be needed or not.
    pub is_certain: bool,
}

/// The scope of a CRL: its issuer, the key of the issuer, and whether it is limited to some distribution points. Empty for
/// certificates.
pub type CrlScope = (String, Vec<u8>, bool);

/// The kind of a [`TlsItem`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsItemKind {
    /// A certificate of ours.
    Certificate,
    /// An intermediate certificate in the chain of ours.
    Chain,
    /// A certificate of a CA file.
    Authority,
    /// A CRL.
    RevocationList,
}

/// Validity at a time, if it is worth a warning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValidityState {
    /// Expired.
    Over,
    /// Not valid yet.
    NotYet,
    /// Expires within 30 days.
    Soon {
        /// Whole days until then.
        days: u64,
    },
}

impl TlsItem {
    /// A certificate; `None` if it cannot be parsed.
    pub(crate) fn of_certificate(role: FileRole, path: &Path, kind: TlsItemKind, der: &[u8]) -> Option<TlsItem> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let validity = certificate.validity();
        Some(TlsItem {
            role,
            path: path.to_owned(),
            kind,
            subject: rfc4514(certificate.subject()),
            serial: certificate.raw_serial().iter().map(|byte| format!("{byte:02X}")).collect(),
            begins: validity.not_before.timestamp(),
            ends: Some(validity.not_after.timestamp()),
            group: 0,
            key: certificate.public_key().raw.to_vec(),
            is_partial: false,
            verifies: Some((validity.not_before.timestamp(), validity.not_after.timestamp())),
            is_useless: false,
            has_crl: false,
            lacks_root: false,
            is_above: false,
        })
    }

    /// A CRL, signed by `key` of a CA of the files; `None` if it cannot be parsed.
    pub(crate) fn of_list(
        role: FileRole,
        path: &Path,
        der: &[u8],
        group: usize,
        key: Option<&[u8]>,
    ) -> Option<TlsItem> {
        let (_, list) = CertificateRevocationList::from_der(der).ok()?;
        Some(TlsItem {
            role,
            path: path.to_owned(),
            kind: TlsItemKind::RevocationList,
            subject: rfc4514(list.issuer()),
            serial: String::new(),
            begins: list.last_update().timestamp(),
            ends: list.next_update().map(|at| at.timestamp()),
            group,
            key: key.unwrap_or_default().to_vec(),
            is_partial: is_partial(&list),
            verifies: None,
            is_useless: false,
            has_crl: key.is_some(),
            lacks_root: false,
            is_above: false,
        })
    }

    pub(crate) fn state(&self, now: i64) -> Option<ValidityState> {
        if now < self.begins {
            return Some(ValidityState::NotYet);
        }
        let left = self.ends?.saturating_sub(now);
        let days = u64::try_from(left).ok().map(|left| left / SECONDS_PER_DAY);
        match days {
            None => Some(ValidityState::Over),
            Some(days) => (days < EXPIRY_WARNING_DAYS).then_some(ValidityState::Soon { days }),
        }
    }

    /// Whether another CRL counts in place of this one: see [`CrlSet`](crate::tls::revocation::CrlSet), which chooses in the same way.
    pub(crate) fn is_superseded(&self, all: &[TlsItem], now: i64) -> bool {
        // The newest that is valid now, else the newest that was valid, else the newest.
        let rank = |one: &TlsItem| match one.state(now) {
            Some(ValidityState::NotYet) => (0, one.begins),
            Some(ValidityState::Over) => (1, one.begins),
            None | Some(ValidityState::Soon { .. }) => (2, one.begins),
        };
        let same = |other: &&TlsItem| other.kind == self.kind && other.group == self.group;
        self.kind == TlsItemKind::RevocationList && all.iter().filter(same).any(|other| rank(other) > rank(self))
    }

    /// Whether it is a CA that verifies peers at a time.
    pub(crate) fn verifies_at(&self, now: i64) -> bool {
        self.verifies.is_some_and(|(begin, end)| (begin..=end).contains(&now))
    }

    /// Whether certificates are refused if this CRL is out of date. It is not needed if its CA is out of date too, or if it is
    /// signed by another key than those of the CAs of its name. A complete CRL of the same key replaces one of some
    /// distribution points.
    pub(crate) fn is_needed(&self, all: &[TlsItem], now: i64) -> bool {
        let mut of_name =
            all.iter().filter(|one| one.kind == TlsItemKind::Authority && one.subject == self.subject).peekable();
        let is_asked = of_name.peek().is_none() || of_name.any(|one| one.key == self.key && !one.is_out_of_date(now));
        let replaces = |other: &&TlsItem| {
            let same =
                other.kind == TlsItemKind::RevocationList && other.subject == self.subject && other.key == self.key;
            same && !other.is_partial && !other.is_out_of_date(now)
        };
        is_asked && !(self.is_partial && all.iter().any(|other| replaces(&other)))
    }

    /// Whether it has expired or is not valid yet.
    pub(crate) fn is_out_of_date(&self, now: i64) -> bool {
        matches!(self.state(now), Some(ValidityState::Over | ValidityState::NotYet))
    }
}

/// The items in force at a time: of several CRLs that replace each other, one.
pub fn in_force(all: &[TlsItem], now: i64) -> impl Iterator<Item = &TlsItem> {
    all.iter().filter(move |one| !one.is_superseded(all, now))
}

impl TlsItemKind {
    /// Its name in replies.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            TlsItemKind::Certificate => "certificate",
            TlsItemKind::Chain => "chain",
            TlsItemKind::Authority => "ca",
            TlsItemKind::RevocationList => "crl",
        }
    }
}

/// A subject, escaped and cut for a line.
pub(crate) fn shown(subject: &str) -> String {
    subject.chars().take(SHOWN_CHARS).flat_map(char::escape_debug).collect()
}

/// A time in the form of RFC 3339.
pub(crate) fn date(seconds: i64) -> String {
    bson::DateTime::from_millis(seconds.saturating_mul(1000)).try_to_rfc3339_string().unwrap_or_default()
}

const SECONDS_PER_DAY: u64 = 86_400;
