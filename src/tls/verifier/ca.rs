//! Certificates of a CA file, and the tests whether one may be the root of a chain, by OpenSSL's rules. webpki does not
//! check trust anchors, so a client whose self-signed certificate is in the CA file could otherwise issue certificates
//! for others.

use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, TrustAnchor};
use webpki::VerifiedPath;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::limits::CHAIN_INTERMEDIATES;
use crate::tls::errors::certificate::is_weakly_signed;
use crate::tls::pem::PemItem;
use crate::tls::x509::canonical_name::{CanonicalName, canonical, is_same};
use crate::tls::x509::issuer::{constraints, has_unknown_critical, is_ca, is_signed_by, key_usage, may_be_issued_by};
use crate::tls::x509::purpose::PeerRole;

/// A certificate of a CA file.
#[derive(Debug)]
pub(crate) struct CaCertificate {
    pub(crate) der: CertificateDer<'static>,
    /// `notBefore` in seconds since 1970, not earlier than that of its issuers in the file.
    pub(crate) not_before: i64,
    /// `notAfter` in seconds since 1970, not later than that of its issuers in the file.
    pub(crate) not_after: i64,
    pub(crate) anchor: TrustAnchor<'static>,
    pub(crate) raw_subject: Vec<u8>,
    /// The subject as OpenSSL compares it.
    pub(crate) subject: CanonicalName,
    pub(crate) self_signed: bool,
    /// Whether its subject equals its issuer.
    is_self_issued: bool,
    /// Whether it ends a chain by OpenSSL's rule: its subject equals its issuer, and its authority key identifier names
    /// no other key.
    is_root: bool,
    /// Whether it is a root, or has a path to a root through CAs of the file.
    has_root: bool,
    /// Whether it is an intermediate CA whose root is not in the file.
    pub(crate) lacks_root: bool,
    /// Whether it has issued another CA of the file.
    pub(crate) is_above: bool,
    /// Its SubjectPublicKeyInfo.
    pub(crate) raw_key: Vec<u8>,
    /// Whether it may issue certificates: for clients, for servers.
    issues: (bool, bool),
    /// Whether it has a critical extension that OpenSSL does not know.
    pub(crate) has_unknown: bool,
    /// The largest number of CAs allowed between it and a leaf.
    path_length: Option<u32>,
    /// Whether it may sign revocation lists.
    pub(crate) signs_crls: bool,
}

impl CaCertificate {
    /// # Errors
    /// The reason why the certificate cannot be used as a CA.
    pub(crate) fn new(
        item: PemItem<CertificateDer<'static>>,
        algorithms: &WebPkiSupportedAlgorithms,
    ) -> Result<CaCertificate, String> {
        let PemItem { line, der } = item;
        let of_no_use = |why: &str| format!("line {line}: the certificate cannot be used as a CA ({why})");
        let (_, parsed) = X509Certificate::from_der(&der).map_err(|_| of_no_use("damaged"))?;
        let anchor = webpki::anchor_from_trusted_cert(&der).map_err(|error| of_no_use(&format!("{error:?}")))?;
        let key = &parsed.public_key().subject_public_key.data;
        let is_self_issued = is_same(parsed.issuer(), parsed.subject());
        let is_root = is_self_issued && may_be_issued_by(&parsed, &parsed);
        let self_signed = is_self_issued
            && is_signed_by(key, parsed.tbs_certificate.as_ref(), &parsed.signature_value.data, algorithms);
        let extended = parsed.extended_key_usage().map_err(|_| of_no_use("damaged"))?.map(|usage| usage.value);
        // OpenSSL accepts a key usage instead of basic constraints in roots only.
        let has_unknown = has_unknown_critical(&parsed);
        let is_ca = is_ca(&parsed) && (is_root || constraints(&parsed).is_some()) && !has_unknown;
        Ok(CaCertificate {
            anchor: anchor.to_owned(),
            not_before: parsed.validity().not_before.timestamp(),
            not_after: parsed.validity().not_after.timestamp(),
            raw_subject: parsed.subject().as_raw().to_vec(),
            subject: canonical(parsed.subject()),
            self_signed,
            is_self_issued,
            is_root,
            // `apply_issuer_limits` corrects this.
            has_root: true,
            lacks_root: false,
            is_above: false,
            raw_key: parsed.public_key().raw.to_vec(),
            issues: (
                is_ca && extended.is_none_or(|usage| usage.client_auth),
                is_ca && extended.is_none_or(|usage| usage.server_auth),
            ),
            has_unknown,
            path_length: constraints(&parsed).and_then(|(_, path_length)| path_length),
            signs_crls: key_usage(&parsed).is_none_or(|usage| usage.crl_sign()),
            der: der.clone(),
        })
    }

    pub(crate) fn is_valid(&self, now: i64) -> bool {
        self.not_before <= now && now <= self.not_after
    }

    /// Whether it may issue certificates for clients or for servers.
    pub(crate) const fn issues_anything(&self) -> bool {
        self.issues.0 || self.issues.1
    }

    /// Whether it is a CA by its basic constraints but must not issue certificates.
    pub(crate) fn is_useless(&self) -> bool {
        let is_ca =
            |der: &[u8]| X509Certificate::from_der(der).is_ok_and(|(_, ca)| constraints(&ca).is_some_and(|(is, _)| is));
        !self.issues_anything() && !self.lacks_root && is_ca(&self.der)
    }

    /// Whether it may issue certificates for peers of this role.
    pub(crate) const fn may_issue(&self, peer: PeerRole) -> bool {
        match peer {
            PeerRole::Client => self.issues.0,
            PeerRole::Server => self.issues.1,
        }
    }

    /// Whether a certificate names this CA as its issuer; the key and the serial number in its authority key
    /// identifier, if any, must not differ from those of this CA.
    pub(crate) fn may_have_issued(&self, certificate: &X509Certificate<'_>) -> bool {
        certificate.issuer().as_raw() == self.raw_subject
            && X509Certificate::from_der(&self.der).is_ok_and(|(_, own)| may_be_issued_by(certificate, &own))
    }

    /// Whether it is the root of a path that is not longer than its path length allows. Self-issued CAs do not count.
    pub(crate) fn is_root_of(&self, path: &VerifiedPath<'_>) -> bool {
        let counts = |der: CertificateDer<'_>| {
            X509Certificate::from_der(&der).is_ok_and(|(_, ca)| ca.issuer().as_raw() != ca.subject().as_raw())
        };
        let length = || path.intermediate_certificates().filter(|one| counts(one.der())).count();
        self.has_root && self.anchor == *path.anchor() && self.path_length.is_none_or(|most| length() <= most as usize)
    }
}

/// Limits each CA that is not a root by the CAs of the same file that issued it. OpenSSL follows a chain up to its root
/// and refuses a chain that ends below one; webpki stops at the first certificate that is in the CA file.
pub(crate) fn apply_issuer_limits(cas: &mut [CaCertificate], algorithms: &WebPkiSupportedAlgorithms) {
    let issuers: Vec<Vec<usize>> = cas.iter().map(|ca| issuers(ca, cas, algorithms)).collect();
    find_roots(cas, &issuers);
    // Each round applies the limits of issuers that are one more level up. CA files have fewer levels than there are
    // rounds.
    for _ in 0..=CHAIN_INTERMEDIATES {
        for (at, issuers) in issuers.iter().enumerate().filter(|(_, issuers)| !issuers.is_empty()) {
            let of = || issuers.iter().filter_map(|issuer| cas.get(*issuer)).filter(|issuer| issuer.has_root);
            let begin = of().map(|issuer| issuer.not_before).min();
            let end = of().map(|issuer| issuer.not_after).max();
            let issues = (of().any(|issuer| issuer.issues.0), of().any(|issuer| issuer.issues.1));
            // Self-issued CAs do not count in the path length.
            let counts = u32::from(cas.get(at).is_some_and(|ca| !ca.is_self_issued));
            let limits = || of().map(|issuer| issuer.path_length.map(|length| length.saturating_sub(counts)));
            let path_length = if limits().any(|limit| limit.is_none()) { None } else { limits().flatten().max() };
            let too_long = counts > 0 && of().all(|issuer| issuer.path_length == Some(0));
            let Some(ca) = cas.get_mut(at) else { continue };
            ca.not_before = ca.not_before.max(begin.unwrap_or(i64::MIN));
            ca.not_after = ca.not_after.min(end.unwrap_or(i64::MAX));
            ca.issues = (ca.issues.0 && issues.0 && !too_long, ca.issues.1 && issues.1 && !too_long);
            ca.path_length = match (ca.path_length, path_length) {
                (Some(own), Some(other)) => Some(own.min(other)),
                (own, other) => own.or(other),
            };
        }
    }
}

/// Finds the CAs that have a path to a root of the file. The others must not issue certificates.
fn find_roots(cas: &mut [CaCertificate], issuers: &[Vec<usize>]) {
    for ca in cas.iter_mut() {
        ca.has_root = ca.is_root;
    }
    loop {
        let has_root = |of: &Vec<usize>| of.iter().any(|issuer| cas.get(*issuer).is_some_and(|ca| ca.has_root));
        let found = cas.iter().zip(issuers).position(|(ca, issuers)| !ca.has_root && has_root(issuers));
        let Some(ca) = found.and_then(|at| cas.get_mut(at)) else { break };
        ca.has_root = true;
    }
    for issuer in issuers.iter().flatten() {
        if let Some(ca) = cas.get_mut(*issuer) {
            ca.is_above = true;
        }
    }
    // A cross-signed CA is in the file twice. It is enough that one of its certificates has a path to a root.
    let rooted: Vec<_> =
        cas.iter().filter(|ca| ca.has_root).map(|ca| (ca.raw_subject.clone(), ca.raw_key.clone())).collect();
    for ca in cas.iter_mut().filter(|ca| !ca.has_root) {
        let has_twin = rooted.iter().any(|(subject, key)| *subject == ca.raw_subject && *key == ca.raw_key);
        ca.lacks_root = ca.issues_anything() && !has_twin;
        ca.issues = (false, false);
    }
}

/// The indices of the CAs of the file that issued `ca`; empty for a root.
fn issuers(ca: &CaCertificate, cas: &[CaCertificate], algorithms: &WebPkiSupportedAlgorithms) -> Vec<usize> {
    let Ok((_, parsed)) = X509Certificate::from_der(&ca.der) else { return Vec::new() };
    if ca.is_root {
        return Vec::new();
    }
    let has_signed = |(at, issuer): (usize, &CaCertificate)| {
        if issuer.raw_subject != parsed.issuer().as_raw() {
            return None;
        }
        let (_, by) = X509Certificate::from_der(&issuer.der).ok()?;
        let key = &by.public_key().subject_public_key.data;
        let signed = is_signed_by(key, parsed.tbs_certificate.as_ref(), &parsed.signature_value.data, algorithms)
            || (is_weakly_signed(&parsed, &by) && may_be_issued_by(&parsed, &by));
        signed.then_some(at)
    };
    cas.iter().enumerate().filter_map(has_signed).collect()
}
