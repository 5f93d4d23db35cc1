//! When that is valid which the TLS files hold: certificates of ours and their chains, CAs, revocation lists. What is over,
//! not valid yet, or about to end is a finding. Judging is pure: of these and a moment.

use std::fmt;
use std::path::{Path, PathBuf};

use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::revocation_list::CertificateRevocationList;

use super::crl::is_partial;
use super::fault::FileRole;
use super::gaps::unusable_by_gaps;
use super::subject::rfc4514;
use crate::limits::{EXPIRY_WARNING_DAYS, SHOWN_CHARS, VALIDITIES_SHOWN};

/// One thing of a TLS file, and when it is valid. Times are seconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Validity {
    /// The file's part.
    pub role: FileRole,
    /// The file.
    pub path: PathBuf,
    /// What it is.
    pub kind: Kind,
    /// Its subject, as RFC 4514 writes it; of a revocation list, its issuer.
    pub subject: String,
    /// Its serial number, in hexadecimal as OpenSSL writes it; empty for a revocation list.
    pub serial: String,
    /// `notBefore`, or `thisUpdate`.
    pub begins: i64,
    /// `notAfter`, or `nextUpdate`, which a revocation list need not have.
    pub ends: Option<i64>,
    /// Of a revocation list: the number of its issuer, scope and signing key. Lists of the same number replace each other.
    pub(super) group: usize,
    /// Of a CA: its public key. Of a revocation list: that of the CA of the files that has signed it; empty if none has.
    pub(super) key: Vec<u8>,
    /// Of a revocation list: whether it is about the certificates of some distribution points only.
    pub(super) is_partial: bool,
    /// Of a CA: when peers are verified by it, which its issuer's validity may shorten; none if it can issue nothing.
    pub(super) verifies: Option<(i64, i64)>,
    /// Of a CA: whether it is a CA by its basic constraints, and yet may issue nothing, by its key usage or another extension.
    pub(super) is_useless: bool,
    /// Of a CA: whether a revocation list of it is there. Of a revocation list: whether a CA of the files has signed it.
    pub(super) listed: bool,
    /// Of a CA: whether it is an intermediate, and its root is not in the file.
    pub(super) lacks_root: bool,
    /// Of a CA: whether it has issued another CA of the file, and perhaps nothing else.
    pub(super) is_above: bool,
}

/// Why a set of TLS files is of no use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unusable {
    /// What of the set it is: a kind, in a part of the files, and which revocation list.
    pub part: (Kind, FileRole, ListOf),
    /// It in words.
    pub line: String,
    /// Whether peers are refused by it for certain: a revocation list of a CA that is in no file may be asked for or not.
    pub is_certain: bool,
}

/// What a revocation list is about: its issuer, the key of that, and whether it is of some distribution points only. Empty for
/// all else.
pub type ListOf = (String, Vec<u8>, bool);

/// What a TLS file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A certificate of ours.
    Certificate,
    /// One that was issued for a CA between ours and the root.
    Chain,
    /// A root that verifies peers.
    Authority,
    /// A list of revoked certificates.
    RevocationList,
}

/// What there is to say of a validity at some moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding<'a> {
    /// Of what.
    pub validity: &'a Validity,
    /// What.
    pub state: State,
    /// Whether connections fail by it once it is over: a CA may be one of many in its file, and a revocation list one that
    /// nothing is asked of.
    refuses: bool,
}

/// How a validity and a moment lie, where that is worth a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It is over.
    Over,
    /// It has not begun.
    NotYet,
    /// It ends within 30 days: in so many.
    Soon {
        /// Whole days.
        days: u64,
    },
}

impl Validity {
    /// That of a certificate; `None` if it cannot be parsed.
    pub(super) fn of_certificate(role: FileRole, path: &Path, kind: Kind, der: &[u8]) -> Option<Validity> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let validity = certificate.validity();
        Some(Validity {
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
            listed: false,
            lacks_root: false,
            is_above: false,
        })
    }

    /// That of a revocation list; `None` if it cannot be parsed.
    /// `key` is the key of the CA of the files that has signed it.
    pub(super) fn of_list(
        role: FileRole,
        path: &Path,
        der: &[u8],
        group: usize,
        key: Option<&[u8]>,
    ) -> Option<Validity> {
        let (_, list) = CertificateRevocationList::from_der(der).ok()?;
        Some(Validity {
            role,
            path: path.to_owned(),
            kind: Kind::RevocationList,
            subject: rfc4514(list.issuer()),
            serial: String::new(),
            begins: list.last_update().timestamp(),
            ends: list.next_update().map(|at| at.timestamp()),
            group,
            key: key.unwrap_or_default().to_vec(),
            is_partial: is_partial(&list),
            verifies: None,
            is_useless: false,
            listed: key.is_some(),
            lacks_root: false,
            is_above: false,
        })
    }

    fn state(&self, now: i64) -> Option<State> {
        if now < self.begins {
            return Some(State::NotYet);
        }
        let left = self.ends?.saturating_sub(now);
        let days = u64::try_from(left).ok().map(|left| left / SECONDS_PER_DAY);
        match days {
            None => Some(State::Over),
            Some(days) => (days < EXPIRY_WARNING_DAYS).then_some(State::Soon { days }),
        }
    }

    /// Whether another list counts in place of this one: see [`Crls`](super::crl::Crls), which chooses in the same way.
    fn is_superseded(&self, all: &[Validity], now: i64) -> bool {
        // The newest that is valid now, or else the newest that has begun, or else the newest.
        let rank = |one: &Validity| match one.state(now) {
            Some(State::NotYet) => (0, one.begins),
            Some(State::Over) => (1, one.begins),
            None | Some(State::Soon { .. }) => (2, one.begins),
        };
        let same = |other: &&Validity| other.kind == self.kind && other.group == self.group;
        self.kind == Kind::RevocationList && all.iter().filter(same).any(|other| rank(other) > rank(self))
    }

    /// Whether peers are verified by it at a moment, where it is a CA.
    pub(super) fn verifies_at(&self, now: i64) -> bool {
        self.verifies.is_some_and(|(begin, end)| (begin..=end).contains(&now))
    }

    /// Whether certificates are refused if this revocation list is out of date. The list of a CA that is itself out of date is
    /// asked for nothing, nor is one of another key than those of the CAs of its name. In place of one of some distribution
    /// points, another list of the same key will do.
    fn is_needed(&self, all: &[Validity], now: i64) -> bool {
        let mut of_name =
            all.iter().filter(|one| one.kind == Kind::Authority && one.subject == self.subject).peekable();
        let is_asked = of_name.peek().is_none() || of_name.any(|one| one.key == self.key && !one.is_out_of_date(now));
        let replaces = |other: &&Validity| {
            let same = other.kind == Kind::RevocationList && other.subject == self.subject && other.key == self.key;
            same && !other.is_partial && !other.is_out_of_date(now)
        };
        is_asked && !(self.is_partial && all.iter().any(|other| replaces(&other)))
    }

    /// Whether peers are refused by it now.
    fn is_out_of_date(&self, now: i64) -> bool {
        matches!(self.state(now), Some(State::Over | State::NotYet))
    }
}

/// Those that count at a moment: of several revocation lists that replace each other, one.
pub fn counting(all: &[Validity], now: i64) -> impl Iterator<Item = &Validity> {
    all.iter().filter(move |one| !one.is_superseded(all, now))
}

/// Why a set of TLS files is of no use at a moment: a certificate of ours, all CAs of a file, or a revocation list that is
/// needed is over, has not begun, or is lacking. One line each; none if the set can be used.
#[must_use]
pub fn unusable(all: &[Validity], now: i64) -> Vec<Unusable> {
    let out_of_date = |one: &&Validity| one.is_out_of_date(now);
    let cas = |role| all.iter().filter(move |one| one.kind == Kind::Authority && one.role == role);
    let no_ca = |role| cas(role).next().is_some() && !cas(role).any(|one| one.verifies_at(now));
    let found = counting(all, now).filter(out_of_date).filter(|one| match one.kind {
        Kind::Certificate => true,
        Kind::Authority => no_ca(one.role),
        Kind::RevocationList => one.is_needed(all, now),
        // Peers may know another way to a root.
        Kind::Chain => false,
    });
    let line = |validity: &Validity| {
        let finding = Finding { validity, state: validity.state(now)?, refuses: true };
        let issuer = if validity.kind == Kind::RevocationList {
            (validity.subject.clone(), validity.key.clone(), validity.is_partial)
        } else {
            Default::default()
        };
        let line = format!("{finding} (file {})", validity.path.display());
        let has_ca = || all.iter().any(|one| one.kind == Kind::Authority && one.subject == validity.subject);
        let is_certain = validity.kind != Kind::RevocationList || has_ca();
        Some(Unusable { part: (validity.kind, validity.role, issuer), line, is_certain })
    };
    found.filter_map(line).chain(unusable_by_gaps(all, now)).take(VALIDITIES_SHOWN).collect()
}

/// What there is to say at a moment, in seconds since 1970; the most urgent first.
#[must_use]
pub fn findings<'a>(all: &'a [Validity], now: i64) -> Vec<Finding<'a>> {
    let has_ca = |list: &Validity| {
        let of_name = |one: &&Validity| one.kind == Kind::Authority && one.subject == list.subject;
        all.iter().filter(of_name).any(|one| !one.is_out_of_date(now))
    };
    let finding = |validity: &'a Validity| {
        let refuses = match validity.kind {
            Kind::Certificate | Kind::Chain => true,
            Kind::Authority => false,
            // If all CAs of its name are out of date, the list is said to be over all the same.
            Kind::RevocationList => validity.is_needed(all, now) || !has_ca(validity),
        };
        validity.state(now).map(|state| Finding { validity, state, refuses })
    };
    let mut findings: Vec<_> = counting(all, now).filter_map(finding).collect();
    findings.sort_by_key(|finding| {
        let rank = match finding.state {
            State::Over => 0,
            State::NotYet => 1,
            State::Soon { .. } => 2,
        };
        (!finding.is_critical(), rank, finding.validity.ends)
    });
    findings
}

/// Findings as lines: the first few, and how many more there are. A bundle of public CAs has many.
#[must_use]
pub fn lines(findings: &[Finding<'_>]) -> Vec<String> {
    let more = findings.len().saturating_sub(VALIDITIES_SHOWN);
    let mut lines: Vec<_> = findings.iter().take(VALIDITIES_SHOWN).map(ToString::to_string).collect();
    lines.extend(
        (more > 0).then(|| format!("and {more} more certificates, CAs or revocation lists that end or have ended")),
    );
    lines
}

impl Finding<'_> {
    /// Whether connections fail by it now.
    #[must_use]
    pub fn is_critical(&self) -> bool {
        self.refuses && self.state == State::Over
    }
}

impl fmt::Display for Finding<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Validity { role, kind, subject, begins, ends, .. } = self.validity;
        let (subject, ends) = (shown(subject), date(ends.unwrap_or_default()));
        let (what, remedy) = match kind {
            Kind::Certificate => ("the certificate", "renew it, and rotate"),
            Kind::Chain => ("the intermediate certificate", "put the renewed chain into the file, and rotate"),
            Kind::Authority => ("the CA", "put the CA that follows it beside it, and rotate"),
            Kind::RevocationList => ("the revocation list of", "put a newer one into the file, and rotate"),
        };
        write!(f, "{role}: {what} {subject} ")?;
        match (self.state, kind) {
            (State::Over, Kind::RevocationList) if !self.refuses => {
                write!(
                    f,
                    "has expired on {ends}; no CA in force needs it (it is of another key, or another list of that CA counts); \
                     take it out, or {remedy}"
                )
            }
            (State::Over, Kind::RevocationList) => {
                write!(f, "has expired on {ends}, so every certificate of that CA is refused; {remedy}")
            }
            (State::Over, _) => write!(f, "has expired on {ends}; {remedy}"),
            (State::NotYet, _) => write!(f, "is not valid before {}; check this host's clock", date(*begins)),
            (State::Soon { days: 1 }, _) => write!(f, "expires in 1 day, on {ends}; {remedy}"),
            (State::Soon { days }, _) => write!(f, "expires in {days} days, on {ends}; {remedy}"),
        }
    }
}

impl Kind {
    /// Its name for programs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Certificate => "certificate",
            Kind::Chain => "chain",
            Kind::Authority => "ca",
            Kind::RevocationList => "crl",
        }
    }
}

/// A subject fit for a line: a certificate may say anything.
pub(super) fn shown(subject: &str) -> String {
    subject.chars().take(SHOWN_CHARS).flat_map(char::escape_debug).collect()
}

/// RFC 3339.
fn date(seconds: i64) -> String {
    bson::DateTime::from_millis(seconds.saturating_mul(1000)).try_to_rfc3339_string().unwrap_or_default()
}

const SECONDS_PER_DAY: u64 = 86_400;

#[cfg(test)]
pub(super) mod tests {
    use certs_gen::{Authority, Request, Validity as Dates};
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};

    use super::{Kind, State, Validity, counting, findings, lines, unusable};
    use crate::limits::VALIDITIES_SHOWN;
    use crate::tls::FileRole;

    const DAY: i64 = 86_400;
    const NOW: i64 = 1_700_000_000;

    pub(in crate::tls) fn validity(kind: Kind, subject: &str, begins: i64, ends: Option<i64>) -> Validity {
        let role = match kind {
            Kind::Certificate | Kind::Chain => FileRole::CertificateKey,
            Kind::Authority => FileRole::Ca,
            Kind::RevocationList => FileRole::Crl,
        };
        Validity {
            role,
            path: "/f.pem".into(),
            kind,
            subject: subject.into(),
            serial: String::new(),
            begins,
            ends,
            group: 0,
            key: Vec::new(),
            is_partial: false,
            verifies: Some((begins, ends.unwrap_or(i64::MAX))),
            is_useless: false,
            listed: true,
            lacks_root: false,
            is_above: false,
        }
    }

    #[test]
    fn what_is_said_at_a_moment() {
        let from = |ends| validity(Kind::Certificate, "CN=a", NOW - DAY, ends);
        for (one, state) in [
            (from(Some(NOW + 31 * DAY)), None),
            (from(Some(NOW + 30 * DAY)), None),
            (from(Some(NOW + 30 * DAY - 1)), Some(State::Soon { days: 29 })),
            (from(Some(NOW)), Some(State::Soon { days: 0 })),
            (from(Some(NOW - 1)), Some(State::Over)),
            (from(Some(i64::MIN)), Some(State::Over)),
            (from(Some(i64::MAX)), None),
            (from(None), None),
            (validity(Kind::Authority, "CN=a", NOW + 1, Some(NOW + 2)), Some(State::NotYet)),
            (validity(Kind::Authority, "CN=a", NOW, Some(NOW + 90 * DAY)), None),
        ] {
            let all = [one];
            assert_eq!(findings(&all, NOW).first().map(|finding| finding.state), state, "{all:?}");
        }
    }

    #[test]
    fn lines_name_what_ends_and_what_to_do() {
        let rows = [
            (
                Kind::Authority,
                "CN=root",
                NOW - DAY,
                "tlsCAFile: the CA CN=root has expired on 2023-11-13T22:13:20Z; put the CA",
            ),
            (
                Kind::Certificate,
                "CN=db1",
                NOW + DAY,
                "tlsCertificateKeyFile: the certificate CN=db1 expires in 1 day, on 2023-",
            ),
            (Kind::Chain, "CN=mid\n", NOW + 2 * DAY, "the intermediate certificate CN=mid\\n expires in 2 days, on"),
            (Kind::RevocationList, "CN=root", NOW - 1, "tlsCRLFile: the revocation list of CN=root has expired on"),
        ];
        let all = rows.map(|(kind, subject, ends, _)| validity(kind, subject, 0, Some(ends)));
        let found = findings(&all, NOW);
        // The list first: everyone is refused by it.
        let order: Vec<_> = found.iter().map(|finding| (finding.validity.kind, finding.is_critical())).collect();
        assert_eq!(
            order,
            [(Kind::RevocationList, true), (Kind::Authority, false), (Kind::Certificate, false), (Kind::Chain, false)]
        );
        let text = lines(&found).join("\n");
        for (.., expected) in rows {
            assert!(text.contains(expected), "{expected}: {text}");
        }
        let many = vec![validity(Kind::Authority, &"x".repeat(5000), 0, Some(1)); VALIDITIES_SHOWN + 140];
        let lines = lines(&findings(&many, NOW));
        assert_eq!((lines.len(), lines.iter().map(String::len).max() < Some(500)), (VALIDITIES_SHOWN + 1, true));
        assert!(lines.last().unwrap().starts_with("and 140 more"), "{lines:?}");
    }

    #[test]
    fn of_several_lists_of_an_issuer_the_newest_counts() {
        let old = validity(Kind::RevocationList, "CN=a", 0, Some(NOW - DAY));
        let new = validity(Kind::RevocationList, "CN=a", NOW - DAY, Some(NOW + 300 * DAY));
        let other = Validity { group: 1, ..validity(Kind::RevocationList, "CN=b", 5, Some(NOW - DAY)) };
        // The same name, and another key.
        let other_key = Validity { group: 2, ..validity(Kind::RevocationList, "CN=a", 6, Some(NOW - DAY)) };
        // It comes into force when its time has come.
        let future = Validity { ends: Some(NOW + 400 * DAY), begins: NOW + DAY, ..new.clone() };
        let all = [old, new, other, other_key, future];
        let found: Vec<_> = findings(&all, NOW).iter().map(|finding| finding.validity.group).collect();
        assert_eq!(found, [1, 2]);
        assert_eq!(counting(&all, NOW).count(), 3);
    }

    #[test]
    fn a_set_is_of_no_use_if_ours_or_all_cas_or_a_list_is_out_of_date() {
        let over = Some(NOW - 1);
        let good = Some(NOW + 90 * DAY);
        let certificate = |begins, ends| validity(Kind::Certificate, "CN=db1", begins, ends);
        let ca = |subject, ends| validity(Kind::Authority, subject, 0, ends);
        let other_file = |one| Validity { role: FileRole::ClusterCa, ..one };
        let list = |begins, ends| validity(Kind::RevocationList, "CN=root", begins, ends);
        let of_key = |one| Validity { key: vec![1], group: 1, ..one };
        let partial = |one| Validity { is_partial: true, group: 2, ..one };
        let rows = [
            (vec![], ""),
            (vec![certificate(0, good), ca("CN=root", good), list(0, good)], ""),
            (vec![certificate(0, over), ca("CN=root", good)], "CN=db1 has expired"),
            (vec![certificate(NOW + 1, good)], "CN=db1 is not valid before"),
            (vec![validity(Kind::Chain, "CN=mid", 0, over), certificate(0, good)], ""),
            (vec![ca("CN=root", over), ca("CN=next", good)], ""),
            (vec![ca("CN=root", over), ca("CN=next", over)], "the CA CN=root has expired"),
            // One that can issue nothing, and one whose issuer is the one that is over.
            (
                vec![ca("CN=root", over), Validity { verifies: None, ..ca("CN=leaf", good) }],
                "the CA CN=root has expired",
            ),
            (vec![ca("CN=root", over), Validity { verifies: Some((0, NOW - 1)), ..ca("CN=sub", good) }], "CN=root has"),
            (vec![ca("CN=root", good), other_file(ca("CN=next", over))], "the CA CN=next has expired"),
            (vec![ca("CN=root", good), list(0, over)], "revocation list of CN=root has expired"),
            (vec![ca("CN=root", good), list(NOW + 1, good)], "revocation list of CN=root is not valid before"),
            (vec![ca("CN=root", good), list(0, over), list(1, good)], ""),
            (vec![ca("CN=root", good), list(NOW + 1, good), list(0, good)], ""),
            (vec![ca("CN=root", over), ca("CN=next", good), list(0, over)], ""),
            // Of a former key of the CA, which is in the file no longer, or has ended; and of some distribution points.
            (vec![ca("CN=root", good), list(0, good), of_key(list(0, over))], ""),
            (vec![ca("CN=root", good), of_key(ca("CN=root", over)), list(0, good), of_key(list(0, over))], ""),
            (vec![ca("CN=root", good), list(0, good), partial(list(0, over))], ""),
            (vec![of_key(ca("CN=root", good)), of_key(list(0, over))], "revocation list of CN=root has expired"),
            (vec![ca("CN=root", good), partial(list(0, over))], "revocation list of CN=root has expired"),
            (
                vec![ca("CN=root", good), list(0, over), partial(list(0, good))],
                "revocation list of CN=root has expired",
            ),
            // Of an intermediate CA, which is in no file.
            (vec![ca("CN=next", good), list(0, over)], "revocation list of CN=root has expired"),
        ];
        for (all, expected) in rows {
            let said = unusable(&all, NOW).into_iter().map(|one| one.line).collect::<Vec<_>>().join("\n");
            assert!(said.is_empty() == expected.is_empty() && said.contains(expected), "{expected}: {said}: {all:?}");
            let is_list = |one: &&Validity| one.kind == Kind::RevocationList;
            let critical = findings(&all, NOW).iter().any(|one| is_list(&one.validity) && one.is_critical());
            // The list of an expired CA is said to be over too.
            let is_over = all.contains(&ca("CN=root", over));
            assert!(critical == said.contains("list of CN=root has expired") || is_over, "{all:?}");
        }
    }

    #[test]
    fn what_files_hold_is_read() {
        let ca = Authority::new("root").unwrap();
        let issued = ca.issue(&Request::client("late").valid(Dates::Expired)).unwrap();
        let der = CertificateDer::from_pem_slice(issued.cert_pem().as_bytes()).unwrap();
        let path = "/a.pem".as_ref();
        let one = Validity::of_certificate(FileRole::Cluster, path, Kind::Certificate, &der).unwrap();
        assert_eq!((&*one.subject, one.ends.unwrap() - one.begins, one.serial.is_empty()), ("CN=late", DAY, false));
        let crl = ca.revoke(&[], Dates::Expired).unwrap();
        let der = CertificateRevocationListDer::from_pem_slice(crl.as_bytes()).unwrap();
        let list = Validity::of_list(FileRole::Crl, path, &der, 0, None).unwrap();
        assert_eq!((&*list.subject, list.ends.unwrap() - list.begins), ("CN=root", DAY));
        assert_eq!(Validity::of_list(FileRole::Crl, path, b"no list", 0, None), None);
        assert_eq!(Validity::of_certificate(FileRole::Ca, path, Kind::Authority, b""), None);
    }
}
