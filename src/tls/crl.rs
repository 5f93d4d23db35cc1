//! Certificate revocation lists, and which of several of one issuer counts: as in OpenSSL, the newest one that is valid
//! at the time, and the newest one at all if none is.

use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::CertificateRevocationListDer;
use webpki::{CertRevocationList, OwnedCertRevocationList};
use x509_parser::extensions::IssuingDistributionPoint;
use x509_parser::num_bigint::BigUint;
use x509_parser::prelude::{CertificateRevocationList, FromDer, ParsedExtension, X509Certificate};

use super::canonical::is_same;
use super::pem::Found;
use super::subject::rfc4514;
use crate::limits::CRL_KEYS_PER_NAME;

/// The lists of one configuration.
#[derive(Debug, Default)]
pub(super) struct Crls {
    groups: Vec<Group>,
    /// The group of each list, by its number.
    group_of: Vec<usize>,
    /// The largest number of keys that issue lists under one name.
    keys: usize,
}

/// Lists that replace each other: of one issuer, scope and signing key. The newest is first; never empty.
#[derive(Debug)]
struct Group {
    issuer: Vec<u8>,
    scope: Vec<u8>,
    key: Key,
    /// Its key's number among the keys of the same issuer name, of so many.
    number: usize,
    of: usize,
    lists: Vec<Crl>,
}

/// One list.
#[derive(Debug)]
pub(super) struct Crl {
    pub(super) list: CertRevocationList<'static>,
    /// Its issuer, as RFC 4514 writes it.
    pub(super) issuer: String,
    /// Begin of its validity, seconds since 1970.
    pub(super) this_update: i64,
    /// End of its validity.
    pub(super) next_update: i64,
    /// What tells two lists of the same time apart.
    number: Option<BigUint>,
    /// Whether it is about the certificates of some distribution points only.
    is_partial: bool,
    /// Whether it is about the certificates of CAs only, which are not asked about.
    is_of_cas: bool,
}

/// A key that signs lists.
#[derive(Debug, PartialEq, Eq)]
enum Key {
    /// It verifies the list: the key of a CA in one of the CA files.
    Known(Vec<u8>),
    /// Of a CA that is not there, by the list's authority key identifier, if it has one.
    Unknown(Option<Vec<u8>>),
}

impl Crls {
    /// Sorts the lists by what they are about. `cas` are all CAs that may have signed one.
    ///
    /// # Errors
    /// A list that cannot be used, with its line and the remedy.
    pub(super) fn new(
        lists: &[Found<CertificateRevocationListDer<'static>>],
        cas: &[&[u8]],
        algorithms: &WebPkiSupportedAlgorithms,
    ) -> Result<Crls, (String, &'static str)> {
        let cas: Vec<_> = cas.iter().filter_map(|der| Some(X509Certificate::from_der(der).ok()?.1)).collect();
        let mut crls = Crls::default();
        for found in lists {
            let unusable =
                |problem: &str, remedy| (format!("line {}: the revocation list {problem}", found.line), remedy);
            let (_, parsed) = CertificateRevocationList::from_der(&found.der)
                .map_err(|_| unusable("cannot be parsed", CRL_REMEDY))?;
            if let Some((problem, remedy)) = unsupported(&parsed) {
                return Err(unusable(problem, remedy));
            }
            let list = OwnedCertRevocationList::from_der(&found.der).map_err(|error| {
                let (problem, remedy) = in_words(&error);
                unusable(problem, remedy)
            })?;
            if let Some(ca) = same_otherwise_written(&parsed, &cas) {
                let issuer = rfc4514(parsed.issuer());
                let written = "has it with other string types, case or spaces, and such names are not one here";
                let problem = format!("is of {issuer}, and the certificate of the CA {ca} in the CA file {written}");
                return Err(unusable(&problem, WRITTEN));
            }
            let list = CertRevocationList::from(list);
            let scope = list.issuing_distribution_point().map(<[u8]>::to_vec).unwrap_or_default();
            let crl = Crl {
                issuer: rfc4514(parsed.issuer()),
                this_update: parsed.last_update().timestamp(),
                next_update: parsed.next_update().map_or(i64::MAX, |time| time.timestamp()),
                number: parsed.crl_number().cloned(),
                is_partial: is_partial(&parsed),
                is_of_cas: point(&parsed).is_some_and(|point| point.only_contains_ca_certs),
                list,
            };
            crls.add(parsed.issuer().as_raw(), scope, key(&parsed, &cas, algorithms), crl);
        }
        crls.number_keys().map_err(|issuer| {
            let problem = format!("revocation lists of {issuer} by more than {CRL_KEYS_PER_NAME} keys");
            (problem, "take out those of CAs that are no longer used")
        })?;
        Ok(crls)
    }

    fn add(&mut self, issuer: &[u8], scope: Vec<u8>, key: Key, crl: Crl) {
        let same = |group: &Group| group.issuer == issuer && group.scope == scope && group.key == key;
        let found = self.groups.iter().position(same);
        self.group_of.push(found.unwrap_or(self.groups.len()));
        let Some(group) = found.and_then(|found| self.groups.get_mut(found)) else {
            let group = Group { issuer: issuer.to_vec(), scope, key, number: 0, of: 1, lists: vec![crl] };
            return self.groups.push(group);
        };
        // Of two of the same time the higher number counts, and of two of the same number the first, as in OpenSSL.
        let age = |crl: &Crl| (crl.this_update, crl.number.clone());
        let at = group.lists.iter().position(|other| age(other) < age(&crl));
        group.lists.insert(at.unwrap_or(group.lists.len()), crl);
    }

    fn number_keys(&mut self) -> Result<(), String> {
        for at in 0..self.groups.len() {
            let group = &self.groups[at];
            let mut keys: Vec<&Key> = Vec::new();
            for other in self.groups.iter().filter(|other| other.issuer == group.issuer) {
                if !keys.contains(&&other.key) {
                    keys.push(&other.key);
                }
            }
            if keys.len() > CRL_KEYS_PER_NAME {
                return Err(group.lists.first().map(|crl| crl.issuer.clone()).unwrap_or_default());
            }
            let number = keys.iter().position(|key| **key == group.key).unwrap_or_default();
            let of = keys.len();
            self.keys = self.keys.max(of);
            (self.groups[at].number, self.groups[at].of) = (number, of);
        }
        Ok(())
    }

    /// For each list that was given, in their order: the number of those that it replaces and is replaced by.
    pub(super) fn groups(&self) -> &[usize] {
        &self.group_of
    }

    /// The key of the CA of the files that has signed the lists of this number.
    pub(super) fn key_of(&self, group: usize) -> Option<&[u8]> {
        self.groups.get(group).and_then(|group| match &group.key {
            Key::Known(key) => Some(key.as_slice()),
            Key::Unknown(_) => None,
        })
    }

    /// Whether there is a list for certificates that this CA has issued.
    pub(super) fn has_list_of(&self, issuer: &[u8], key: &[u8]) -> bool {
        let of = |group: &&Group| group.issuer == issuer && matches!(&group.key, Key::Known(known) if known == key);
        self.groups.iter().filter(of).flat_map(|group| &group.lists).any(|crl| !crl.is_of_cas)
    }

    /// Whether there is no list at all.
    pub(super) fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// How many choices there are: one for each key that issues lists under the same name. A list is good for one key
    /// only, and the verifier looks at the first one of a name.
    pub(super) fn choices(&self) -> usize {
        self.keys.max(1)
    }

    /// The lists that count at this time, of one key for each issuer name. The newest is first. Lists whose time has
    /// not come are left out, and so are those of some distribution points for a certificate that names none.
    pub(super) fn choice(&self, choice: usize, now: i64, names_points: bool) -> Vec<&CertRevocationList<'static>> {
        let groups = self.groups.iter().filter(|group| group.number == choice % group.of);
        let chosen = groups.filter_map(|group| group.at(now)).filter(|crl| names_points || !crl.is_partial);
        let mut chosen: Vec<&Crl> = chosen.collect();
        chosen.sort_by_key(|crl| std::cmp::Reverse(crl.this_update));
        chosen.into_iter().map(|crl| &crl.list).collect()
    }

    /// The lists that count at this time, are about all certificates, and were signed by this key of this issuer.
    pub(super) fn of_key(&self, issuer: &[u8], key: &[u8], now: i64) -> Vec<&Crl> {
        let of = |group: &&Group| group.issuer == issuer && matches!(&group.key, Key::Known(known) if known == key);
        self.groups.iter().filter(of).filter_map(|group| group.at(now)).filter(|crl| !crl.is_partial).collect()
    }

    /// When the lists of this issuer that count now, in this choice, no longer do; none if it has none.
    pub(super) fn end(&self, issuer: &[u8], choice: usize, now: i64) -> Option<i64> {
        let of = |group: &&Group| group.issuer == issuer && group.number == choice % group.of;
        self.groups.iter().filter(of).filter_map(|group| group.end(now)).min()
    }

    /// The same for the lists that were signed by this key.
    pub(super) fn end_of_key(&self, issuer: &[u8], key: &[u8], now: i64) -> Option<i64> {
        let of = |group: &&Group| group.issuer == issuer && matches!(&group.key, Key::Known(known) if known == key);
        self.groups.iter().filter(of).filter_map(|group| group.end(now)).min()
    }

    /// Whether all lists of this issuer are of the future.
    pub(super) fn is_not_yet_valid(&self, issuer: &[u8], now: i64) -> bool {
        let mut of_issuer = self.groups.iter().filter(|group| group.issuer == issuer).peekable();
        of_issuer.peek().is_some() && of_issuer.all(|group| group.at(now).is_none())
    }
}

impl Group {
    fn at(&self, now: i64) -> Option<&Crl> {
        let begun = |crl: &&Crl| crl.this_update <= now;
        let valid = self.lists.iter().filter(begun).find(|crl| now < crl.next_update);
        valid.or_else(|| self.lists.iter().find(begun))
    }

    /// The end of the list that counts now, or the beginning of one that is newer. A list that is over already was not
    /// what anything was verified by: such lists refuse.
    fn end(&self, now: i64) -> Option<i64> {
        let next = self.at(now).map(|crl| crl.next_update);
        let coming = self
            .lists
            .iter()
            .map(|crl| crl.this_update)
            .min_by_key(|begin| if *begin > now { *begin } else { i64::MAX });
        next.into_iter().chain(coming).filter(|end| *end > now).min()
    }
}

/// The key that signed a list.
fn key(
    crl: &CertificateRevocationList<'_>,
    cas: &[X509Certificate<'_>],
    algorithms: &WebPkiSupportedAlgorithms,
) -> Key {
    let of_name = cas.iter().filter(|ca| ca.subject().as_raw() == crl.issuer().as_raw());
    let signed = of_name.map(|ca| ca.public_key()).find(|key| {
        is_signed_by(&key.subject_public_key.data, crl.tbs_cert_list.as_ref(), &crl.signature_value.data, algorithms)
    });
    if let Some(key) = signed {
        return Key::Known(key.raw.to_vec());
    }
    let identifier = crl.extensions().iter().find(|extension| extension.oid.to_id_string() == KEY_IDENTIFIER);
    Key::Unknown(identifier.map(|extension| extension.value.to_vec()))
}

/// Whether a list names distribution points: it says nothing of a certificate that names none (RFC 5280, 6.3.3).
pub(super) fn is_partial(crl: &CertificateRevocationList<'_>) -> bool {
    point(crl).is_some_and(|point| point.distribution_point.is_some())
}

fn point<'a>(crl: &'a CertificateRevocationList<'_>) -> Option<&'a IssuingDistributionPoint<'a>> {
    crl.extensions().iter().find_map(|extension| {
        let ParsedExtension::IssuingDistributionPoint(point) = extension.parsed_extension() else { return None };
        Some(point)
    })
}

/// The CA of the issuer's name whose certificate writes that otherwise, if none writes it alike.
fn same_otherwise_written(crl: &CertificateRevocationList<'_>, cas: &[X509Certificate<'_>]) -> Option<String> {
    let same = |ca: &&X509Certificate<'_>| is_same(ca.subject(), crl.issuer());
    let mut found = cas.iter().filter(same).peekable();
    let first = found.peek().map(|ca| rfc4514(ca.subject()))?;
    found.all(|ca| ca.subject().as_raw() != crl.issuer().as_raw()).then_some(first)
}

/// What webpki does not take and would only call malformed, and the remedy.
fn unsupported(crl: &CertificateRevocationList<'_>) -> Option<(&'static str, &'static str)> {
    let attributes = point(crl).is_some_and(|point| point.only_contains_attribute_certs);
    let mut entries = crl.iter_revoked_certificates().flat_map(|entry| entry.extensions());
    if entries.any(|extension| extension.critical && extension.oid.to_id_string() != CERTIFICATE_ISSUER) {
        return Some((
            "has an entry with a critical extension, such as a reason (CRLReason), which mongod refuses all certificates for",
            "make it anew with that extension not critical",
        ));
    }
    if crl.version().is_none() {
        Some(("has version 1: it was made without a crlnumber", NUMBER))
    } else if crl.extensions().is_empty() {
        Some(("has no extensions, not even a crlnumber", NUMBER))
    } else if crl.next_update().is_none() {
        Some((
            "has no end (nextUpdate)",
            "set default_crl_days in openssl.cnf, and make it anew with: openssl ca -gencrl",
        ))
    } else if attributes {
        Some(("is about attribute certificates only (onlyContainsAttributeCerts)", WITHOUT_POINT))
    } else {
        None
    }
}

/// Why webpki does not take a list, and the remedy.
fn in_words(error: &webpki::Error) -> (&'static str, &'static str) {
    use webpki::Error as Crl;
    #[expect(clippy::wildcard_enum_match_arm, reason = "a foreign list without an end")]
    match error {
        Crl::UnsupportedDeltaCrl => (
            "is a delta CRL: it has only what has changed since another list, and the whole list is expected",
            "put the complete CRL of that CA into the file in its place",
        ),
        Crl::UnsupportedIndirectCrl => (
            "is an indirect CRL, of certificates that other CAs have issued (indirectCRL); a list of the CA's own is expected",
            "put a CRL that each CA has made of its own certificates into the file",
        ),
        Crl::UnsupportedRevocationReasonsPartitioning => {
            ("is about some reasons of revocation only (onlySomeReasons); a list of all is expected", WITHOUT_POINT)
        }
        Crl::UnsupportedCrlIssuingDistributionPoint => (
            "has an issuingDistributionPoint without a fullname (such as onlyContainsUserCerts alone), which is not supported here",
            WITHOUT_POINT,
        ),
        Crl::UnsupportedCriticalExtension => {
            ("has a critical extension that is not supported here", "make it anew without that extension")
        }
        Crl::InvalidCrlNumber => (
            "has a crlnumber of more than 20 bytes, or a negative one",
            "write a shorter one into the file that crlnumber in openssl.cnf names, and make it anew with: openssl ca -gencrl",
        ),
        Crl::UnsupportedCrlVersion => ("has another version than 2", NUMBER),
        _ => ("is damaged, or not as RFC 5280 has it", CRL_REMEDY),
    }
}

/// Whether this key has signed the message by any algorithm that is supported.
pub(super) fn is_signed_by(
    key: &[u8],
    message: &[u8],
    signature: &[u8],
    algorithms: &WebPkiSupportedAlgorithms,
) -> bool {
    algorithms.all.iter().any(|algorithm| algorithm.verify_signature(key, message, signature).is_ok())
}

const CERTIFICATE_ISSUER: &str = "2.5.29.29";
const KEY_IDENTIFIER: &str = "2.5.29.35";
const NUMBER: &str =
    "set crlnumber in the CA's section of openssl.cnf (crlnumber = FILE), and make it anew with: openssl ca -gencrl";
const WITHOUT_POINT: &str = "take issuingDistributionPoint out of the CRL's extensions in openssl.cnf, and make it anew with: openssl ca -gencrl";
const WRITTEN: &str = "make it anew with the certificate that is in the CA file: openssl ca -gencrl -cert CA.pem";
pub(super) const CRL_REMEDY: &str = "make one with: openssl ca -gencrl -out crl.pem";
