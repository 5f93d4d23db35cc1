//! Certificate revocation lists. As in OpenSSL, the newest valid CRL of an issuer is used; if none is valid, the
//! newest.

pub(crate) mod distribution_point;
pub(crate) mod unsupported;

use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::CertificateRevocationListDer;
use webpki::{CertRevocationList, OwnedCertRevocationList};
use x509_parser::num_bigint::BigUint;
use x509_parser::prelude::{CertificateRevocationList, FromDer, X509Certificate};

use crate::limits::CRL_KEYS_PER_NAME;
use crate::tls::pem::PemItem;
use crate::tls::x509::canonical_name::is_same;
use crate::tls::x509::issuer::is_signed_by;
use crate::tls::x509::subject::rfc4514;
use distribution_point::{is_partial, issuing_point};
use unsupported::{CRL_REMEDY, in_words, unsupported};

/// The CRLs of one configuration.
#[derive(Debug, Default)]
pub(crate) struct CrlSet {
    groups: Vec<CrlGroup>,
    /// The index of the group of each CRL.
    group_of: Vec<usize>,
    /// The largest number of keys that sign CRLs under one issuer name.
    keys: usize,
}

/// CRLs that replace each other: same issuer, scope and signing key. Newest first; never empty.
#[derive(Debug)]
struct CrlGroup {
    issuer: Vec<u8>,
    scope: Vec<u8>,
    key: CrlSigner,
    /// Index of this group's key among the `of` keys that sign CRLs of the same issuer name.
    number: usize,
    of: usize,
    lists: Vec<ParsedCrl>,
}

/// A parsed CRL.
#[derive(Debug)]
pub(crate) struct ParsedCrl {
    pub(crate) list: CertRevocationList<'static>,
    /// Its issuer in the form of RFC 4514.
    pub(crate) issuer: String,
    /// `thisUpdate` in seconds since 1970.
    pub(crate) this_update: i64,
    /// `nextUpdate` in seconds since 1970.
    pub(crate) next_update: i64,
    /// The CRL number, which decides between CRLs with the same `thisUpdate`.
    number: Option<BigUint>,
    /// Whether it covers only some distribution points.
    is_partial: bool,
    /// Whether it covers only certificates of CAs, whose revocation is not checked.
    is_of_cas: bool,
}

/// A key that signs CRLs.
#[derive(Debug, PartialEq, Eq)]
enum CrlSigner {
    /// The key of a CA in one of the CA files.
    Known(Vec<u8>),
    /// The key of another CA, identified by the authority key identifier of the CRL, if it has one.
    Unknown(Option<Vec<u8>>),
}

impl CrlSet {
    /// Groups CRLs by issuer, scope and key. `cas` are all CAs that may have signed one of them.
    ///
    /// # Errors
    /// A CRL that cannot be used, with its line number, and the remedy.
    pub(crate) fn new(
        lists: &[PemItem<CertificateRevocationListDer<'static>>],
        cas: &[&[u8]],
        algorithms: &WebPkiSupportedAlgorithms,
    ) -> Result<CrlSet, (String, &'static str)> {
        let cas: Vec<_> = cas.iter().filter_map(|der| Some(X509Certificate::from_der(der).ok()?.1)).collect();
        let mut crls = CrlSet::default();
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
                let problem = format!(
                    "was issued by {issuer}, but the certificate of the CA {ca} in the CA file encodes that name with \
                     other string types, case or spaces; names are compared byte by byte"
                );
                return Err(unusable(&problem, WRITTEN));
            }
            let list = CertRevocationList::from(list);
            let scope = list.issuing_distribution_point().map(<[u8]>::to_vec).unwrap_or_default();
            let crl = ParsedCrl {
                issuer: rfc4514(parsed.issuer()),
                this_update: parsed.last_update().timestamp(),
                next_update: parsed.next_update().map_or(i64::MAX, |time| time.timestamp()),
                number: parsed.crl_number().cloned(),
                is_partial: is_partial(&parsed),
                is_of_cas: issuing_point(&parsed).is_some_and(|point| point.only_contains_ca_certs),
                list,
            };
            crls.add(parsed.issuer().as_raw(), scope, key(&parsed, &cas, algorithms), crl);
        }
        crls.number_keys().map_err(|issuer| {
            let problem =
                format!("the revocation lists of {issuer} are signed with more than {CRL_KEYS_PER_NAME} keys");
            (problem, "remove those of CAs that are no longer used")
        })?;
        Ok(crls)
    }

    fn add(&mut self, issuer: &[u8], scope: Vec<u8>, key: CrlSigner, crl: ParsedCrl) {
        let same = |group: &CrlGroup| group.issuer == issuer && group.scope == scope && group.key == key;
        let found = self.groups.iter().position(same);
        self.group_of.push(found.unwrap_or(self.groups.len()));
        let Some(group) = found.and_then(|found| self.groups.get_mut(found)) else {
            let group = CrlGroup { issuer: issuer.to_vec(), scope, key, number: 0, of: 1, lists: vec![crl] };
            return self.groups.push(group);
        };
        // At the same `thisUpdate`, the CRL with the higher number is used; at the same number, the first, as in
        // OpenSSL.
        let age = |crl: &ParsedCrl| (crl.this_update, crl.number.clone());
        let at = group.lists.iter().position(|other| age(other) < age(&crl));
        group.lists.insert(at.unwrap_or(group.lists.len()), crl);
    }

    fn number_keys(&mut self) -> Result<(), String> {
        for at in 0..self.groups.len() {
            let group = &self.groups[at];
            let mut keys: Vec<&CrlSigner> = Vec::new();
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

    /// The group index of each CRL, in the order in which the CRLs were given.
    pub(crate) fn groups(&self) -> &[usize] {
        &self.group_of
    }

    /// The key that signed the CRLs of a group; `None` if it belongs to no CA of the files.
    pub(crate) fn key_of(&self, group: usize) -> Option<&[u8]> {
        self.groups.get(group).and_then(|group| match &group.key {
            CrlSigner::Known(key) => Some(key.as_slice()),
            CrlSigner::Unknown(_) => None,
        })
    }

    /// Whether there is a CRL for certificates issued by this CA.
    pub(crate) fn has_list_of(&self, issuer: &[u8], key: &[u8]) -> bool {
        let of =
            |group: &&CrlGroup| group.issuer == issuer && matches!(&group.key, CrlSigner::Known(known) if known == key);
        self.groups.iter().filter(of).flat_map(|group| &group.lists).any(|crl| !crl.is_of_cas)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// The number of choices of CRLs to verify a path with: several keys may have signed CRLs under one issuer name,
    /// and webpki uses only the first CRL of a name.
    pub(crate) fn choices(&self) -> usize {
        self.keys.max(1)
    }

    /// The CRLs in force at `now`, newest first, of one signing key for each issuer name. CRLs of distribution points
    /// are left out if the certificate names no distribution point.
    pub(crate) fn choice(&self, choice: usize, now: i64, names_points: bool) -> Vec<&CertRevocationList<'static>> {
        let groups = self.groups.iter().filter(|group| group.number == choice % group.of);
        let chosen = groups.filter_map(|group| group.at(now)).filter(|crl| names_points || !crl.is_partial);
        let mut chosen: Vec<&ParsedCrl> = chosen.collect();
        chosen.sort_by_key(|crl| std::cmp::Reverse(crl.this_update));
        chosen.into_iter().map(|crl| &crl.list).collect()
    }

    /// The CRLs in force at `now` that name no distribution point and were signed by this key of this issuer.
    pub(crate) fn of_key(&self, issuer: &[u8], key: &[u8], now: i64) -> Vec<&ParsedCrl> {
        let of =
            |group: &&CrlGroup| group.issuer == issuer && matches!(&group.key, CrlSigner::Known(known) if known == key);
        self.groups.iter().filter(of).filter_map(|group| group.at(now)).filter(|crl| !crl.is_partial).collect()
    }

    /// The time at which the CRLs of this issuer in this choice are no longer in force; `None` if it has none.
    pub(crate) fn end(&self, issuer: &[u8], choice: usize, now: i64) -> Option<i64> {
        let of = |group: &&CrlGroup| group.issuer == issuer && group.number == choice % group.of;
        self.groups.iter().filter(of).filter_map(|group| group.end(now)).min()
    }

    /// As [`CrlSet::end`], for CRLs that this key signed.
    pub(crate) fn end_of_key(&self, issuer: &[u8], key: &[u8], now: i64) -> Option<i64> {
        let of =
            |group: &&CrlGroup| group.issuer == issuer && matches!(&group.key, CrlSigner::Known(known) if known == key);
        self.groups.iter().filter(of).filter_map(|group| group.end(now)).min()
    }

    /// Whether this issuer has CRLs, but none of them is valid yet.
    pub(crate) fn is_not_yet_valid(&self, issuer: &[u8], now: i64) -> bool {
        let mut of_issuer = self.groups.iter().filter(|group| group.issuer == issuer).peekable();
        of_issuer.peek().is_some() && of_issuer.all(|group| group.at(now).is_none())
    }
}

impl CrlGroup {
    fn at(&self, now: i64) -> Option<&ParsedCrl> {
        let begun = |crl: &&ParsedCrl| crl.this_update <= now;
        let valid = self.lists.iter().filter(begun).find(|crl| now < crl.next_update);
        valid.or_else(|| self.lists.iter().find(begun))
    }

    /// The first time after `now` at which the CRL in force expires or another CRL of the group starts to apply; `None`
    /// if there is no such time.
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

/// Returns the key that signed a CRL.
fn key(
    crl: &CertificateRevocationList<'_>,
    cas: &[X509Certificate<'_>],
    algorithms: &WebPkiSupportedAlgorithms,
) -> CrlSigner {
    let of_name = cas.iter().filter(|ca| ca.subject().as_raw() == crl.issuer().as_raw());
    let signed = of_name.map(|ca| ca.public_key()).find(|key| {
        is_signed_by(&key.subject_public_key.data, crl.tbs_cert_list.as_ref(), &crl.signature_value.data, algorithms)
    });
    if let Some(key) = signed {
        return CrlSigner::Known(key.raw.to_vec());
    }
    let identifier = crl.extensions().iter().find(|extension| extension.oid.to_id_string() == KEY_IDENTIFIER);
    CrlSigner::Unknown(identifier.map(|extension| extension.value.to_vec()))
}

/// Returns the name of the CA that OpenSSL regards as the issuer although its certificate encodes the name in other
/// bytes; `None` if there is no such CA, or if another one has exactly the issuer's name.
fn same_otherwise_written(crl: &CertificateRevocationList<'_>, cas: &[X509Certificate<'_>]) -> Option<String> {
    let same = |ca: &&X509Certificate<'_>| is_same(ca.subject(), crl.issuer());
    let mut found = cas.iter().filter(same).peekable();
    let first = found.peek().map(|ca| rfc4514(ca.subject()))?;
    found.all(|ca| ca.subject().as_raw() != crl.issuer().as_raw()).then_some(first)
}

const KEY_IDENTIFIER: &str = "2.5.29.35";
const WRITTEN: &str = "generate it again with the certificate in the CA file: openssl ca -gencrl -cert CA.pem";
