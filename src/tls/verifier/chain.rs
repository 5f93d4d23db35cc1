//! Verifies a peer's certificate against CAs and CRLs: chain, validity, usage and revocation, as mongod does with
//! OpenSSL.
//!
//! webpki builds the path. This file checks what webpki does not: validity, usage and path length of roots, which of
//! several CRLs applies, and self-signed certificates that are in the CA file themselves and are therefore trusted
//! directly.

use std::sync::Arc;

use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, SignatureVerificationAlgorithm, TrustAnchor, UnixTime};
use rustls::{CertificateError, DistinguishedName, Error};
use webpki::{
    EndEntityCert, ExpirationPolicy, KeyUsage, RevocationCheckDepth, RevocationOptionsBuilder, UnknownStatusPolicy,
    VerifiedPath,
};
use x509_parser::oid_registry::OID_X509_EXT_CRL_DISTRIBUTION_POINTS;
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::x509::X509Name;

use super::ca::CaCertificate;
use super::signature_cache::{CachingAlgorithm, SignatureCache};
use crate::limits::CHAIN_INTERMEDIATES;
use crate::tls::errors::diagnosis::{
    CA_ENDED, CA_NOT_BEGUN, CRITICAL, CRL_NOT_BEGUN, LONG_CHAIN, NO_CRL_SIGN, NO_ROOT, NOT_ISSUING, SELF_ISSUED,
    TOO_COSTLY, WRITTEN, diagnosis, refusal,
};
use crate::tls::revocation::CrlSet;
use crate::tls::x509::canonical_name::{canonical, is_same};
use crate::tls::x509::issuer::{is_ca, may_be_issued_by};
use crate::tls::x509::name_constraints::allow_common_names;
use crate::tls::x509::purpose::{PeerRole, covers_all_reasons, is_meant_for};

/// Verifies certificate chains of peers.
#[derive(Debug)]
pub(crate) struct ChainVerifier {
    pub(super) cas: Vec<CaCertificate>,
    crls: Arc<CrlSet>,
    algorithms: WebPkiSupportedAlgorithms,
}

/// The certificate to verify.
struct Candidate<'a> {
    der: &'a CertificateDer<'a>,
    parsed: X509Certificate<'a>,
    intermediates: &'a [CertificateDer<'a>],
    role: PeerRole,
    /// Seconds since 1970.
    now: i64,
}

impl ChainVerifier {
    pub(crate) fn new(
        cas: Vec<CaCertificate>,
        crls: Arc<CrlSet>,
        algorithms: WebPkiSupportedAlgorithms,
    ) -> ChainVerifier {
        ChainVerifier { cas, crls, algorithms }
    }

    /// The names of the CAs, which a server sends in its CertificateRequest.
    pub(crate) fn subjects(&self) -> Vec<DistinguishedName> {
        self.cas.iter().map(|ca| DistinguishedName::in_sequence(&ca.anchor.subject)).collect()
    }

    /// Verifies a certificate except for its names. Returns the first second at which the result is no longer valid:
    /// the earliest expiry time of the certificates and the CRL that were used, or the time at which a newer CRL comes
    /// into force.
    pub(crate) fn verify(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        role: PeerRole,
        time: UnixTime,
    ) -> Result<i64, Error> {
        let now = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
        let certificate = EndEntityCert::try_from(leaf).map_err(refusal)?;
        let Ok((_, parsed)) = X509Certificate::from_der(leaf) else { return Err(CertificateError::BadEncoding.into()) };
        let candidate = Candidate { der: leaf, parsed, intermediates, role, now };
        if self.cas.iter().any(|ca| ca.self_signed && ca.der == *leaf) {
            return self.verify_trusted_directly(&candidate);
        }
        if intermediates.len() > CHAIN_INTERMEDIATES {
            return Err(diagnosis(LONG_CHAIN));
        }
        if !is_meant_for(&candidate.parsed, role) {
            return Err(CertificateError::InvalidPurpose.into());
        }
        let cache = SignatureCache::default();
        let verified = self.verify_path(&certificate, &candidate, time, &cache);
        if let Err(webpki::Error::CertRevoked) = verified {
            return Err(CertificateError::Revoked.into());
        }
        if cache.is_full() {
            return Err(diagnosis(TOO_COSTLY));
        }
        let parsed = &candidate.parsed;
        if verified.is_ok() && is_same(parsed.issuer(), parsed.subject()) && may_be_issued_by(parsed, parsed) {
            return Err(diagnosis(SELF_ISSUED));
        }
        verified.map_err(|error| self.explain(error, &candidate))
    }

    /// Builds the path to a root once for each choice of CRLs: several keys may have signed CRLs under one issuer name,
    /// and webpki uses only the first CRL of a name.
    fn verify_path(
        &self,
        certificate: &EndEntityCert<'_>,
        candidate: &Candidate<'_>,
        time: UnixTime,
        cache: &SignatureCache,
    ) -> Result<i64, webpki::Error> {
        let Candidate { parsed, intermediates, role, now, .. } = candidate;
        let cached = |inner: &&'static dyn SignatureVerificationAlgorithm| CachingAlgorithm { inner: *inner, cache };
        let algorithms: Vec<_> = self.algorithms.all.iter().map(cached).collect();
        let algorithms: Vec<&dyn SignatureVerificationAlgorithm> = algorithms.iter().map(|one| one as _).collect();
        let may_issue = |ca: &&CaCertificate| ca.is_valid(*now) && ca.may_issue(*role);
        let anchors: Vec<TrustAnchor<'_>> = self.cas.iter().filter(may_issue).map(|ca| ca.anchor.clone()).collect();
        let usage = || match role {
            PeerRole::Client => KeyUsage::client_auth(),
            PeerRole::Server => KeyUsage::server_auth(),
        };
        let covers_all = covers_all_reasons(parsed);
        let names_points =
            parsed.extensions().iter().any(|extension| extension.oid == OID_X509_EXT_CRL_DISTRIBUTION_POINTS);
        let check_path = |path: &VerifiedPath<'_>| self.check_path(path, candidate);
        let (mut worst, mut good) = (None, None::<i64>);
        for choice in 0..self.crls.choices() {
            let lists = self.crls.choice(choice, *now, names_points);
            let revocation = RevocationOptionsBuilder::new(&lists).ok().map(|options| {
                options
                    .with_depth(RevocationCheckDepth::EndEntity)
                    .with_status_policy(UnknownStatusPolicy::Deny)
                    .with_expiration_policy(ExpirationPolicy::Enforce)
                    .build()
            });
            // There are CRLs, but none is in force, or none covers all revocation reasons.
            let is_unchecked = (revocation.is_none() || !covers_all) && !self.crls.is_empty();
            match certificate.verify_for_usage(
                &algorithms,
                &anchors,
                intermediates,
                time,
                usage(),
                revocation,
                Some(&check_path as &dyn Fn(&VerifiedPath<'_>) -> Result<(), webpki::Error>),
            ) {
                Ok(_) if is_unchecked => worst = Some(webpki::Error::UnknownRevocationStatus),
                Ok(path) => {
                    let end = self.end(parsed, &path, choice, *now);
                    good = Some(good.map_or(end, |good| good.min(end)));
                }
                Err(webpki::Error::CertRevoked) => return Err(webpki::Error::CertRevoked),
                Err(error) if worst.is_none() || is_of_right_crl(&error) => worst = Some(error),
                Err(_) => {}
            }
        }
        good.ok_or_else(|| worst.unwrap_or(webpki::Error::UnknownIssuer))
    }

    /// Checks properties of a path that webpki does not check, such as the key usage of issuers and the path length of
    /// roots.
    fn check_path(&self, path: &VerifiedPath<'_>, candidate: &Candidate<'_>) -> Result<(), webpki::Error> {
        let Candidate { parsed, role, now, .. } = candidate;
        let ders: Vec<_> = path.intermediate_certificates().map(|intermediate| intermediate.der()).collect();
        let above: Vec<_> = ders.iter().filter_map(|der| Some(X509Certificate::from_der(der).ok()?.1)).collect();
        if above.len() < ders.len() || !above.iter().all(is_ca) {
            return Err(webpki::Error::EndEntityUsedAsCa);
        }
        let chain: Vec<_> = [parsed].into_iter().chain(&above).collect();
        if !chain.windows(2).all(|pair| may_be_issued_by(pair[0], pair[1])) {
            return Err(webpki::Error::UnknownIssuer);
        }
        let top = chain.last().copied();
        let is_root = |ca: &&CaCertificate| {
            ca.is_valid(*now)
                && ca.may_issue(*role)
                && ca.is_root_of(path)
                && top.is_some_and(|top| ca.may_have_issued(top))
        };
        let roots: Vec<_> = self.cas.iter().filter(is_root).collect();
        let forbids = |ca: &&CaCertificate| {
            X509Certificate::from_der(&ca.der).is_ok_and(|(_, ca)| !allow_common_names(&ca, parsed))
        };
        if roots.iter().any(forbids) || !above.iter().all(|ca| allow_common_names(ca, parsed)) {
            return Err(webpki::Error::NameConstraintViolation);
        }
        if roots.is_empty() && self.cas.iter().any(|ca| ca.is_root_of(path)) {
            return Err(webpki::Error::UnknownIssuer);
        }
        if roots.is_empty() {
            return Err(webpki::Error::PathLenConstraintViolated);
        }
        let root_signs_crl = !self.crls.is_empty() && above.is_empty();
        if root_signs_crl && !roots.iter().any(|ca| ca.signs_crls) {
            return Err(webpki::Error::IssuerNotCrlSigner);
        }
        Ok(())
    }

    /// The time at which a verified path is no longer valid.
    fn end(&self, certificate: &X509Certificate<'_>, path: &VerifiedPath<'_>, choice: usize, now: i64) -> i64 {
        // If webpki can parse an intermediate and x509-parser cannot, it counts as expiring now, so that no session is
        // resumed with it.
        let intermediates = path.intermediate_certificates().map(|intermediate| {
            let der = intermediate.der();
            X509Certificate::from_der(&der).map_or(now, |(_, certificate)| first_second_after(&certificate))
        });
        // A CA that was renewed with the same key may be in the file twice; either certificate is enough.
        let same = self.cas.iter().filter(|ca| ca.is_valid(now) && ca.issues_anything() && ca.anchor == *path.anchor());
        let root = same.map(|ca| ca.not_after.saturating_add(1)).max();
        let crl = self.crls.end(certificate.issuer().as_raw(), choice, now);
        intermediates.chain([first_second_after(certificate)]).chain(root).chain(crl).min().unwrap_or(now)
    }

    /// Verifies a self-signed certificate that is in the CA file itself and so needs no chain.
    fn verify_trusted_directly(&self, candidate: &Candidate<'_>) -> Result<i64, Error> {
        let Candidate { parsed: certificate, role, now, .. } = candidate;
        let encoding = || Error::from(CertificateError::BadEncoding);
        let validity = certificate.validity();
        if *now < validity.not_before.timestamp() {
            return Err(CertificateError::NotValidYet.into());
        }
        if *now > validity.not_after.timestamp() {
            return Err(CertificateError::Expired.into());
        }
        let extended = certificate.extended_key_usage().map_err(|_| encoding())?.map(|usage| usage.value);
        let fits = is_meant_for(certificate, *role)
            && extended.is_none_or(|extended| match role {
                PeerRole::Client => extended.client_auth,
                PeerRole::Server => extended.server_auth,
            });
        if !fits {
            return Err(CertificateError::InvalidPurpose.into());
        }
        let end = first_second_after(certificate);
        if self.crls.is_empty() {
            return Ok(end);
        }
        let (name, key) = (certificate.subject().as_raw(), certificate.public_key().raw);
        let crls = self.crls.of_key(name, key, *now);
        if crls.is_empty() {
            return Err(self.explain(webpki::Error::UnknownRevocationStatus, candidate));
        }
        let usage = certificate.key_usage().map_err(|_| encoding())?;
        if usage.is_some_and(|usage| !usage.value.crl_sign()) {
            return Err(diagnosis(NO_CRL_SIGN));
        }
        for crl in crls {
            if crl.next_update <= *now {
                return Err(CertificateError::ExpiredRevocationList.into());
            }
            if crl.list.find_serial(certificate.raw_serial()).map_err(refusal)?.is_some() {
                return Err(CertificateError::Revoked.into());
            }
        }
        Ok(self.crls.end_of_key(name, key, *now).map_or(end, |crl| crl.min(end)))
    }

    /// Explains errors whose cause webpki does not know: the certificate's issuer has a CA certificate or a CRL in the
    /// files, but it cannot be used.
    fn explain(&self, error: webpki::Error, candidate: &Candidate<'_>) -> Error {
        let now = candidate.now;
        let leaf_issuer = candidate.parsed.issuer().as_raw();
        if matches!(error, webpki::Error::UnknownRevocationStatus) && self.crls.is_not_yet_valid(leaf_issuer, now) {
            return diagnosis(CRL_NOT_BEGUN);
        }
        if !matches!(error, webpki::Error::UnknownIssuer) {
            return refusal(error);
        }
        let issuer = |der| Some(X509Certificate::from_der(der).ok()?.1.issuer().as_raw().to_vec());
        let ders = std::iter::once(candidate.der).chain(candidate.intermediates);
        let issuers: Vec<Vec<u8>> = ders.filter_map(|der| issuer(der)).collect();
        let named = || self.cas.iter().filter(|ca| issuers.contains(&ca.raw_subject));
        if let Some(ca) = named().find(|ca| !ca.is_valid(now)) {
            return diagnosis(if ca.not_after < now { CA_ENDED } else { CA_NOT_BEGUN });
        }
        if named().any(|ca| ca.lacks_root) {
            return diagnosis(NO_ROOT);
        }
        if named().any(|ca| ca.has_unknown) {
            return diagnosis(CRITICAL);
        }
        if named().any(|ca| !ca.may_issue(candidate.role)) {
            return diagnosis(NOT_ISSUING);
        }
        let names: Vec<_> =
            issuers.iter().filter_map(|raw| Some(canonical(&X509Name::from_der(raw).ok()?.1))).collect();
        if self.cas.iter().any(|ca| names.contains(&ca.subject) && !issuers.contains(&ca.raw_subject)) {
            return diagnosis(WRITTEN);
        }
        refusal(error)
    }
}

/// The first second after `notAfter`, which is itself still valid.
fn first_second_after(certificate: &X509Certificate<'_>) -> i64 {
    certificate.validity().not_after.timestamp().saturating_add(1)
}

/// Whether the error was found with a CRL of the right key. If so, errors found with CRLs of other keys are irrelevant.
fn is_of_right_crl(error: &webpki::Error) -> bool {
    matches!(error, webpki::Error::CrlExpired { .. } | webpki::Error::IssuerNotCrlSigner)
}
