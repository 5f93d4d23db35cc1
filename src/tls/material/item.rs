//! The certificates and CRLs that TLS files hold, and when they are valid.

use std::path::{Path, PathBuf};

use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::revocation_list::CertificateRevocationList;

use crate::limits::EXPIRY_WARNING_DAYS;
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
    /// Its subject in the form of RFC 4514; for a CRL, the subject of its issuer.
    pub subject: String,
    /// Its serial number, in hexadecimal as OpenSSL writes it; empty for a CRL.
    pub serial: String,
    /// `notBefore` of a certificate, `thisUpdate` of a CRL.
    pub begins: i64,
    /// `notAfter` of a certificate, or `nextUpdate` of a CRL, which is optional.
    pub ends: Option<i64>,
    /// Index of the group of a CRL. CRLs of a group have the same issuer, scope and signing key, and replace each
    /// other.
    pub(crate) group: usize,
    /// For a CA, its public key. For a CRL, the public key of the CA in the files that signed it; empty if there is
    /// none.
    pub(crate) key: Vec<u8>,
    /// Whether a CRL covers only some distribution points.
    pub(crate) is_partial: bool,
    /// The period in which a CA can verify peers: its validity, limited by that of its issuer. `None` if it must not
    /// issue certificates.
    pub(crate) verifies: Option<(i64, i64)>,
    /// Whether the basic constraints allow a CA to issue certificates, but its key usage or another extension forbids
    /// it.
    pub(crate) is_useless: bool,
    /// For a CA, whether the files contain a CRL of it. For a CRL, whether a CA of the files has signed it.
    pub(crate) has_crl: bool,
    /// Whether it is an intermediate CA whose root is not in the file.
    pub(crate) lacks_root: bool,
    /// Whether this CA has issued another CA of the file; it may have issued nothing else.
    pub(crate) is_above: bool,
}

/// The reason why a set of TLS files cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnusableReason {
    /// The kind of item, the file that contains it, and the scope if it is a CRL.
    pub part: (TlsItemKind, FileRole, CrlScope),
    /// A line for logs and replies.
    pub line: String,
    /// Whether peers are refused for certain. The CRL of a CA that is in none of the files may or may not be needed.
    pub is_certain: bool,
}

/// Scope of a CRL: issuer name, public key of the issuer, and whether it is limited to some distribution points. Empty
/// for certificates.
pub type CrlScope = (String, Vec<u8>, bool);

/// The kind of a [`TlsItem`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsItemKind {
    /// One of our certificates.
    Certificate,
    /// An intermediate certificate in the chain of one of ours.
    Chain,
    /// A certificate of a CA file.
    Authority,
    /// A CRL.
    RevocationList,
}

/// State of validity, for states that need a warning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValidityState {
    /// Expired.
    Over,
    /// Not valid yet.
    NotYet,
    /// Expires within 30 days.
    Soon {
        /// Number of whole days until it expires.
        days: u64,
    },
}

impl TlsItem {
    /// Creates the item of a certificate; `None` if it cannot be parsed.
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

    /// Creates the item of a CRL that was signed with `key` by a CA of the files; `None` if it cannot be parsed.
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

    /// Whether another CRL is used in place of this one. [`CrlSet`](crate::tls::revocation::CrlSet) chooses by the same
    /// rule.
    pub(crate) fn is_superseded(&self, all: &[TlsItem], now: i64) -> bool {
        // The newest CRL that is valid now; otherwise the newest that has been valid; otherwise the newest.
        let rank = |one: &TlsItem| match one.state(now) {
            Some(ValidityState::NotYet) => (0, one.begins),
            Some(ValidityState::Over) => (1, one.begins),
            None | Some(ValidityState::Soon { .. }) => (2, one.begins),
        };
        let same = |other: &&TlsItem| other.kind == self.kind && other.group == self.group;
        self.kind == TlsItemKind::RevocationList && all.iter().filter(same).any(|other| rank(other) > rank(self))
    }

    /// Whether this is a CA that can verify peers at `now`.
    pub(crate) fn verifies_at(&self, now: i64) -> bool {
        self.verifies.is_some_and(|(begin, end)| (begin..=end).contains(&now))
    }

    /// Whether certificates are refused if this CRL is out of date. A CRL is not needed if its CA is out of date too,
    /// or if none of the CAs of its name has the key that signed it. A complete CRL takes precedence over one that the
    /// same key signed for some distribution points.
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

    /// Whether the item has expired or is not valid yet.
    pub(crate) fn is_out_of_date(&self, now: i64) -> bool {
        matches!(self.state(now), Some(ValidityState::Over | ValidityState::NotYet))
    }
}

/// The items in force at `now`: only one of several CRLs that replace each other.
pub fn in_force(all: &[TlsItem], now: i64) -> impl Iterator<Item = &TlsItem> {
    all.iter().filter(move |one| !one.is_superseded(all, now))
}

impl TlsItemKind {
    /// The kind's name in replies.
    pub const fn name(self) -> &'static str {
        match self {
            TlsItemKind::Certificate => "certificate",
            TlsItemKind::Chain => "chain",
            TlsItemKind::Authority => "ca",
            TlsItemKind::RevocationList => "crl",
        }
    }
}

const SECONDS_PER_DAY: u64 = 86_400;
