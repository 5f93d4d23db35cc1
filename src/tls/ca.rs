//! A certificate of a CA file, and what it may be the root of: judged by OpenSSL's rules, for webpki takes every root as
//! given. Without them, a client whose self-signed certificate is in the CA file could issue others.

use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, TrustAnchor};
use webpki::VerifiedPath;
use x509_parser::extensions::{KeyUsage, ParsedExtension};
use x509_parser::prelude::{FromDer, X509Certificate, X509Extension, X509Version};

use super::canonical::{Canonical, canonical, is_same};
use super::crl::is_signed_by;
use super::pem::Found;
use super::reason::is_weakly_signed;
use super::trust::Peer;
use crate::limits::CHAIN_INTERMEDIATES;

/// A certificate of a CA file.
#[derive(Debug)]
pub(super) struct Ca {
    pub(super) der: CertificateDer<'static>,
    /// Begin of its validity, seconds since 1970.
    pub(super) not_before: i64,
    /// End of its validity.
    pub(super) not_after: i64,
    pub(super) anchor: TrustAnchor<'static>,
    pub(super) raw_subject: Vec<u8>,
    /// The same as OpenSSL compares it.
    pub(super) subject: Canonical,
    pub(super) self_signed: bool,
    /// Whether its subject is its issuer.
    is_self_issued: bool,
    /// Whether it ends a chain by OpenSSL's rule: it is its own issuer, and does not name another key as that issuer's.
    is_root: bool,
    /// Whether it is a root, or one of the file is above it by CAs of the file.
    has_root: bool,
    /// Whether it is a CA for which no root is in the file.
    pub(super) lacks_root: bool,
    /// Whether it has issued another CA of the file.
    pub(super) is_above: bool,
    /// Its public key, as the certificate has it.
    pub(super) raw_key: Vec<u8>,
    /// Whether it may issue certificates: for clients, for servers.
    issues: (bool, bool),
    /// Whether it has a critical extension that OpenSSL does not know.
    pub(super) has_unknown: bool,
    /// Most CAs between it and a leaf.
    path_length: Option<u32>,
    /// Whether it may sign revocation lists.
    pub(super) signs_crls: bool,
}

impl Ca {
    /// # Errors
    /// Why the certificate cannot be a CA here.
    pub(super) fn new(
        found: Found<CertificateDer<'static>>,
        algorithms: &WebPkiSupportedAlgorithms,
    ) -> Result<Ca, String> {
        let Found { line, der } = found;
        let of_no_use = |why: &str| format!("line {line}: the certificate is of no use as a CA here ({why})");
        let (_, parsed) = X509Certificate::from_der(&der).map_err(|_| of_no_use("damaged"))?;
        let anchor = webpki::anchor_from_trusted_cert(&der).map_err(|error| of_no_use(&format!("{error:?}")))?;
        let key = &parsed.public_key().subject_public_key.data;
        let is_self_issued = is_same(parsed.issuer(), parsed.subject());
        let is_root = is_self_issued && may_be_issued_by(&parsed, &parsed);
        let self_signed = is_self_issued
            && is_signed_by(key, parsed.tbs_certificate.as_ref(), &parsed.signature_value.data, algorithms);
        let extended = parsed.extended_key_usage().map_err(|_| of_no_use("damaged"))?.map(|usage| usage.value);
        // OpenSSL takes a key usage for basic constraints in a root alone.
        let has_unknown = has_unknown_critical(&parsed);
        let is_ca = is_ca(&parsed) && (is_root || constraints(&parsed).is_some()) && !has_unknown;
        Ok(Ca {
            anchor: anchor.to_owned(),
            not_before: parsed.validity().not_before.timestamp(),
            not_after: parsed.validity().not_after.timestamp(),
            raw_subject: parsed.subject().as_raw().to_vec(),
            subject: canonical(parsed.subject()),
            self_signed,
            is_self_issued,
            is_root,
            // Unless another turns out to have issued it.
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

    pub(super) fn is_valid(&self, now: i64) -> bool {
        self.not_before <= now && now <= self.not_after
    }

    /// Whether certificates of any peer may come from it.
    pub(super) const fn issues_anything(&self) -> bool {
        self.issues.0 || self.issues.1
    }

    /// Whether it is a CA by its basic constraints, and yet may issue nothing.
    pub(super) fn is_useless(&self) -> bool {
        let is_ca =
            |der: &[u8]| X509Certificate::from_der(der).is_ok_and(|(_, ca)| constraints(&ca).is_some_and(|(is, _)| is));
        !self.issues_anything() && !self.lacks_root && is_ca(&self.der)
    }

    /// Whether certificates of such a peer may come from it.
    pub(super) const fn may_issue(&self, peer: Peer) -> bool {
        match peer {
            Peer::Client => self.issues.0,
            Peer::Server => self.issues.1,
        }
    }

    /// Whether one of these names it as its issuer, and no other key or serial number as that issuer's.
    pub(super) fn may_have_issued(&self, certificates: &[X509Certificate<'_>]) -> bool {
        let mut named = certificates.iter().filter(|one| one.issuer().as_raw() == self.raw_subject).peekable();
        let own = || Some(X509Certificate::from_der(&self.der).ok()?.1);
        named.peek().is_some() && own().is_some_and(|own| named.any(|one| may_be_issued_by(one, &own)))
    }

    /// Whether a path leads to it and is no longer than it allows. A CA that has issued itself does not count.
    pub(super) fn is_root_of(&self, path: &VerifiedPath<'_>) -> bool {
        let counts = |der: CertificateDer<'_>| {
            X509Certificate::from_der(&der).is_ok_and(|(_, ca)| ca.issuer().as_raw() != ca.subject().as_raw())
        };
        let length = || path.intermediate_certificates().filter(|one| counts(one.der())).count();
        self.has_root && self.anchor == *path.anchor() && self.path_length.is_none_or(|most| length() <= most as usize)
    }
}

/// Judges CAs that are no roots by the CAs of the same file that have issued them: OpenSSL goes on to the root, and does not
/// take a chain that ends below one. webpki takes the first certificate of the file that it meets for the root.
pub(super) fn judge_by_issuers(cas: &mut [Ca], algorithms: &WebPkiSupportedAlgorithms) {
    let issuers: Vec<Vec<usize>> = cas.iter().map(|ca| issuers(ca, cas, algorithms)).collect();
    find_roots(cas, &issuers);
    // Each round leads one CA further; longer chains are refused anyway.
    for _ in 0..=CHAIN_INTERMEDIATES {
        for (at, issuers) in issuers.iter().enumerate().filter(|(_, issuers)| !issuers.is_empty()) {
            let of = || issuers.iter().filter_map(|issuer| cas.get(*issuer)).filter(|issuer| issuer.has_root);
            let begin = of().map(|issuer| issuer.not_before).min();
            let end = of().map(|issuer| issuer.not_after).max();
            let issues = (of().any(|issuer| issuer.issues.0), of().any(|issuer| issuer.issues.1));
            // One that has issued itself does not count in a path's length.
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

/// Finds the CAs that a root of the file is above. The others issue nothing.
fn find_roots(cas: &mut [Ca], issuers: &[Vec<usize>]) {
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
    // One that was signed by two others is there twice; either will do.
    let rooted: Vec<_> =
        cas.iter().filter(|ca| ca.has_root).map(|ca| (ca.raw_subject.clone(), ca.raw_key.clone())).collect();
    for ca in cas.iter_mut().filter(|ca| !ca.has_root) {
        let has_twin = rooted.iter().any(|(subject, key)| *subject == ca.raw_subject && *key == ca.raw_key);
        ca.lacks_root = ca.issues_anything() && !has_twin;
        ca.issues = (false, false);
    }
}

/// The CAs of the file that have issued this one, which is no root.
fn issuers(ca: &Ca, cas: &[Ca], algorithms: &WebPkiSupportedAlgorithms) -> Vec<usize> {
    let Ok((_, parsed)) = X509Certificate::from_der(&ca.der) else { return Vec::new() };
    if ca.is_root {
        return Vec::new();
    }
    let has_signed = |(at, issuer): (usize, &Ca)| {
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

/// Whether the key and the serial number that a certificate names as its issuer's, if any, are that one's: OpenSSL's
/// `X509_check_akid`.
pub(super) fn may_be_issued_by(certificate: &X509Certificate<'_>, issuer: &X509Certificate<'_>) -> bool {
    let mut extensions = certificate.extensions().iter().map(X509Extension::parsed_extension);
    let named = extensions.find_map(|extension| {
        let ParsedExtension::AuthorityKeyIdentifier(named) = extension else { return None };
        Some(named)
    });
    let own = issuer.extensions().iter().find_map(|extension| {
        let ParsedExtension::SubjectKeyIdentifier(key) = extension.parsed_extension() else { return None };
        Some(key)
    });
    let Some(named) = named else { return true };
    let is_key = named.key_identifier.as_ref().is_none_or(|key| own.is_none_or(|own| own == key));
    is_key && named.authority_cert_serial.is_none_or(|serial| serial == issuer.raw_serial())
}

fn key_usage<'a>(certificate: &'a X509Certificate<'_>) -> Option<&'a KeyUsage> {
    certificate.key_usage().ok().flatten().map(|usage| usage.value)
}

/// OpenSSL's `X509_check_ca`, its Netscape types left out.
pub(super) fn is_ca(certificate: &X509Certificate<'_>) -> bool {
    let usage = key_usage(certificate);
    if usage.is_some_and(|usage| !usage.key_cert_sign()) {
        return false;
    }
    match constraints(certificate) {
        Some((is_ca, _)) => is_ca,
        None => {
            usage.is_some()
                || (certificate.version() == X509Version::V1 && certificate.issuer() == certificate.subject())
        }
    }
}

/// Whether it has a critical extension that is none of those of OpenSSL's `X509_supported_extension`.
fn has_unknown_critical(certificate: &X509Certificate<'_>) -> bool {
    let mut critical = certificate.extensions().iter().filter(|extension| extension.critical);
    critical.any(|extension| !KNOWN_CRITICAL.contains(&extension.oid.to_id_string().as_str()))
}

/// In this order: the key identifiers, key usage, subject alternative name, basic constraints, name constraints, CRL distribution
/// points, policies, their mappings and constraints, extended key usage, inhibitAnyPolicy; nsCertType; addresses and numbers of
/// RFC 3779, OCSP's noCheck, proxyCertInfo.
const KNOWN_CRITICAL: [&str; 17] = [
    "2.5.29.14",
    "2.5.29.35",
    "2.5.29.15",
    "2.5.29.17",
    "2.5.29.19",
    "2.5.29.30",
    "2.5.29.31",
    "2.5.29.32",
    "2.5.29.33",
    "2.5.29.36",
    "2.5.29.37",
    "2.5.29.54",
    "2.16.840.1.113730.1.1",
    "1.3.6.1.5.5.7.1.7",
    "1.3.6.1.5.5.7.1.8",
    "1.3.6.1.5.5.7.48.1.5",
    "1.3.6.1.5.5.7.1.14",
];

/// Its basic constraints: whether it is a CA, and the path length.
fn constraints(certificate: &X509Certificate<'_>) -> Option<(bool, Option<u32>)> {
    let constraints = certificate.basic_constraints().ok().flatten()?.value;
    Some((constraints.ca, constraints.path_len_constraint))
}
