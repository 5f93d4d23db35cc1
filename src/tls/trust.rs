//! The judgement of a peer's certificate by CAs and CRLs: chain, dates, usage and revocation, as mongod does by OpenSSL.
//!
//! Path building is webpki's. What it leaves out is here: roots have dates, usages and path lengths too, one of several CRLs
//! counts, and a self-signed certificate that is itself in the CA file is trusted as it stands.

use std::sync::{Arc, Mutex, PoisonError};

use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{
    AlgorithmIdentifier, CertificateDer, InvalidSignature, SignatureVerificationAlgorithm, TrustAnchor, UnixTime,
};
use rustls::{CertificateError, DistinguishedName, Error};
use webpki::{
    EndEntityCert, ExpirationPolicy, KeyUsage, RevocationCheckDepth, RevocationOptionsBuilder, UnknownStatusPolicy,
    VerifiedPath,
};
use x509_parser::oid_registry::OID_X509_EXT_CRL_DISTRIBUTION_POINTS;
use x509_parser::prelude::{FromDer, ParsedExtension, X509Certificate};
use x509_parser::x509::X509Name;

use super::ca::{Ca, is_ca, may_be_issued_by};
use super::canonical::{canonical, is_same};
use super::constraints::allow_common_names;
use super::crl::Crls;
use super::reason::{
    CA_ENDED, CA_NOT_BEGUN, CRITICAL, CRL_NOT_BEGUN, LONG_CHAIN, NO_CRL_SIGN, NO_ROOT, NOT_ISSUING, SELF_ISSUED,
    TOO_COSTLY, WRITTEN, diagnosis, refusal,
};
use crate::limits::{CHAIN_INTERMEDIATES, CHAIN_KEY_BYTES, CHAIN_SIGNATURES};

/// Judges the peers of one side.
#[derive(Debug)]
pub(super) struct Trust {
    cas: Vec<Ca>,
    crls: Arc<Crls>,
    algorithms: WebPkiSupportedAlgorithms,
}

/// What a peer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Peer {
    Client,
    Server,
}

impl Trust {
    pub(super) fn new(cas: Vec<Ca>, crls: Arc<Crls>, algorithms: WebPkiSupportedAlgorithms) -> Trust {
        Trust { cas, crls, algorithms }
    }

    /// The names of the CAs, as a server tells clients what certificates it takes.
    pub(super) fn subjects(&self) -> Vec<DistinguishedName> {
        self.cas.iter().map(|ca| DistinguishedName::in_sequence(&ca.anchor.subject)).collect()
    }

    /// Verifies all of a certificate but its names. Returns the first second at which this is over: the earliest end of
    /// the certificates and of the revocation list that it stands on, or the beginning of a list that will replace that.
    pub(super) fn verify(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        peer: Peer,
        time: UnixTime,
    ) -> Result<i64, Error> {
        let now = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
        let certificate = EndEntityCert::try_from(leaf).map_err(refusal)?;
        if self.cas.iter().any(|ca| ca.self_signed && ca.der == *leaf) {
            return self.verify_as_it_stands(leaf, peer, time);
        }
        if intermediates.len() > CHAIN_INTERMEDIATES {
            return Err(diagnosis(LONG_CHAIN));
        }
        let verified = Verified::default();
        let counted =
            |inner: &&'static dyn SignatureVerificationAlgorithm| Counted { inner: *inner, verified: &verified };
        let counted: Vec<_> = self.algorithms.all.iter().map(counted).collect();
        let counted: Vec<&dyn SignatureVerificationAlgorithm> = counted.iter().map(|one| one as _).collect();
        let Ok((_, parsed)) = X509Certificate::from_der(leaf) else { return Err(CertificateError::BadEncoding.into()) };
        let may_issue = |ca: &&Ca| ca.is_valid(now) && ca.may_issue(peer);
        let anchors: Vec<TrustAnchor<'_>> = self.cas.iter().filter(may_issue).map(|ca| ca.anchor.clone()).collect();
        let usage = || match peer {
            Peer::Client => KeyUsage::client_auth(),
            Peer::Server => KeyUsage::server_auth(),
        };
        if !is_meant_for(&parsed, peer) {
            return Err(CertificateError::InvalidPurpose.into());
        }
        let covers_all = covers_all_reasons(&parsed);
        let names_points =
            parsed.extensions().iter().any(|extension| extension.oid == OID_X509_EXT_CRL_DISTRIBUTION_POINTS);
        // webpki has no key usage for issuers, and no path length for roots.
        let verify_path = |path: &VerifiedPath<'_>| {
            let issues = |der: CertificateDer<'_>| X509Certificate::from_der(&der).is_ok_and(|(_, ca)| is_ca(&ca));
            if !path.intermediate_certificates().all(|intermediate| issues(intermediate.der())) {
                return Err(webpki::Error::EndEntityUsedAsCa);
            }
            let ders: Vec<_> = path.intermediate_certificates().map(|intermediate| intermediate.der()).collect();
            let above = ders.iter().filter_map(|der| Some(X509Certificate::from_der(der).ok()?.1));
            let chain: Vec<_> = [parsed.clone()].into_iter().chain(above).collect();
            let fits = |pair: &[X509Certificate<'_>]| may_be_issued_by(&pair[0], &pair[1]);
            let top = chain.last().map(std::slice::from_ref).unwrap_or_default();
            if !chain.windows(2).all(fits) {
                return Err(webpki::Error::UnknownIssuer);
            }
            let root = |ca: &&Ca| may_issue(ca) && ca.is_root_of(path) && ca.may_have_issued(top);
            let constrained =
                |ca: &Ca| X509Certificate::from_der(&ca.der).is_ok_and(|(_, ca)| !allow_common_names(&ca, &parsed));
            let is_outside = self.cas.iter().filter(root).any(constrained);
            if is_outside || !chain.iter().skip(1).all(|ca| allow_common_names(ca, &parsed)) {
                return Err(webpki::Error::NameConstraintViolation);
            }
            let mut roots = self.cas.iter().filter(root).peekable();
            if roots.peek().is_none() && self.cas.iter().any(|ca| ca.is_root_of(path)) {
                return Err(webpki::Error::UnknownIssuer);
            }
            if roots.peek().is_none() {
                return Err(webpki::Error::PathLenConstraintViolated);
            }
            let root_signs_list = !self.crls.is_empty() && path.intermediate_certificates().next().is_none();
            if root_signs_list && !roots.any(|ca| ca.signs_crls) {
                return Err(webpki::Error::IssuerNotCrlSigner);
            }
            Ok(())
        };
        let (mut worst, mut good) = (None, None::<i64>);
        // All of them: where one key's lists are taken for two keys', the newer one may be of another choice.
        for choice in 0..self.crls.choices() {
            let lists = self.crls.choice(choice, now, names_points);
            let revocation = RevocationOptionsBuilder::new(&lists).ok().map(|options| {
                options
                    .with_depth(RevocationCheckDepth::EndEntity)
                    .with_status_policy(UnknownStatusPolicy::Deny)
                    .with_expiration_policy(ExpirationPolicy::Enforce)
                    .build()
            });
            let unchecked = (revocation.is_none() || !covers_all) && !self.crls.is_empty();
            let verify_path = Some(&verify_path as &dyn Fn(&VerifiedPath<'_>) -> Result<(), webpki::Error>);
            match certificate.verify_for_usage(
                &counted,
                &anchors,
                intermediates,
                time,
                usage(),
                revocation,
                verify_path,
            ) {
                // No list that has begun is about it: nothing is known of anyone.
                Ok(_) if unchecked => worst = Some(webpki::Error::UnknownRevocationStatus),
                Ok(path) => {
                    let end = self.end(&parsed, &path, choice, now);
                    good = Some(good.map_or(end, |good| good.min(end)));
                }
                Err(webpki::Error::CertRevoked) => return Err(CertificateError::Revoked.into()),
                // It is the other key's list that says more.
                Err(error) if worst.is_none() || says_more(&error) => worst = Some(error),
                Err(_) => {}
            }
        }
        if verified.is_full() {
            return Err(diagnosis(TOO_COSTLY));
        }
        if good.is_some() && is_same(parsed.issuer(), parsed.subject()) && may_be_issued_by(&parsed, &parsed) {
            return Err(diagnosis(SELF_ISSUED));
        }
        if let Some(end) = good {
            return Ok(end);
        }
        Err(self.explain(worst.unwrap_or(webpki::Error::UnknownIssuer), leaf, intermediates, peer, now))
    }

    /// When what `path` stands on is over.
    fn end(&self, certificate: &X509Certificate<'_>, path: &VerifiedPath<'_>, choice: usize, now: i64) -> i64 {
        // What cannot be parsed, which webpki did parse, ends at once: no session is made of it.
        let intermediates = path.intermediate_certificates().map(|intermediate| {
            let der = intermediate.der();
            X509Certificate::from_der(&der).map_or(now, |(_, certificate)| after(&certificate))
        });
        // A CA that was renewed with its key may be there twice; either will do.
        let same = self.cas.iter().filter(|ca| ca.is_valid(now) && ca.issues_anything() && ca.anchor == *path.anchor());
        let root = same.map(|ca| ca.not_after.saturating_add(1)).max();
        let list = self.crls.end(certificate.issuer().as_raw(), choice, now);
        intermediates.chain([after(certificate)]).chain(root).chain(list).min().unwrap_or(now)
    }

    /// A self-signed certificate of the CA file has no chain; the rest is verified as for any other.
    fn verify_as_it_stands(&self, leaf: &CertificateDer<'_>, peer: Peer, time: UnixTime) -> Result<i64, Error> {
        let now = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
        let encoding = || Error::from(CertificateError::BadEncoding);
        let (_, certificate) = X509Certificate::from_der(leaf).map_err(|_| encoding())?;
        let validity = certificate.validity();
        if now < validity.not_before.timestamp() {
            return Err(CertificateError::NotValidYet.into());
        }
        if now > validity.not_after.timestamp() {
            return Err(CertificateError::Expired.into());
        }
        let extended = certificate.extended_key_usage().map_err(|_| encoding())?.map(|usage| usage.value);
        let fits = is_meant_for(&certificate, peer)
            && extended.is_none_or(|extended| match peer {
                Peer::Client => extended.client_auth,
                Peer::Server => extended.server_auth,
            });
        if !fits {
            return Err(CertificateError::InvalidPurpose.into());
        }
        if self.crls.is_empty() {
            return Ok(after(&certificate));
        }
        let (name, key) = (certificate.subject().as_raw(), certificate.public_key().raw);
        let lists = self.crls.of_key(name, key, now);
        if lists.is_empty() {
            let error = webpki::Error::UnknownRevocationStatus;
            return Err(self.explain(error, leaf, &[], peer, now));
        }
        let usage = certificate.key_usage().map_err(|_| encoding())?;
        if usage.is_some_and(|usage| !usage.value.crl_sign()) {
            return Err(diagnosis(NO_CRL_SIGN));
        }
        for crl in lists {
            if crl.next_update <= now {
                return Err(CertificateError::ExpiredRevocationList.into());
            }
            if crl.list.find_serial(certificate.raw_serial()).map_err(refusal)?.is_some() {
                return Err(CertificateError::Revoked.into());
            }
        }
        Ok(self.crls.end_of_key(name, key, now).into_iter().chain([after(&certificate)]).min().unwrap_or(now))
    }

    /// What is behind an error that webpki cannot see: a CA or a list is there, and it is not its time.
    fn explain(
        &self,
        error: webpki::Error,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        peer: Peer,
        now: i64,
    ) -> Error {
        let issuer = |der: &CertificateDer<'_>| {
            X509Certificate::from_der(der).ok().map(|(_, certificate)| certificate.issuer().as_raw().to_vec())
        };
        if matches!(error, webpki::Error::UnknownRevocationStatus)
            && issuer(leaf).is_some_and(|issuer| self.crls.is_not_yet_valid(&issuer, now))
        {
            return diagnosis(CRL_NOT_BEGUN);
        }
        if matches!(error, webpki::Error::UnknownIssuer) {
            let issuers: Vec<_> = std::iter::once(leaf).chain(intermediates).filter_map(issuer).collect();
            let over = |ca: &&Ca| !ca.is_valid(now) && issuers.contains(&ca.raw_subject);
            if let Some(ca) = self.cas.iter().find(over) {
                return diagnosis(if ca.not_after < now { CA_ENDED } else { CA_NOT_BEGUN });
            }
            if self.cas.iter().any(|ca| ca.lacks_root && issuers.contains(&ca.raw_subject)) {
                return diagnosis(NO_ROOT);
            }
            if self.cas.iter().any(|ca| ca.has_unknown && issuers.contains(&ca.raw_subject)) {
                return diagnosis(CRITICAL);
            }
            if self.cas.iter().any(|ca| !ca.may_issue(peer) && issuers.contains(&ca.raw_subject)) {
                return diagnosis(NOT_ISSUING);
            }
            let names = issuers.iter().filter_map(|raw| Some(canonical(&X509Name::from_der(raw).ok()?.1)));
            let names: Vec<_> = names.collect();
            if self.cas.iter().any(|ca| names.contains(&ca.subject) && !issuers.contains(&ca.raw_subject)) {
                return diagnosis(WRITTEN);
            }
        }
        refusal(error)
    }
}

/// The first second at which a certificate has expired: its last one counts as valid.
fn after(certificate: &X509Certificate<'_>) -> i64 {
    certificate.validity().not_after.timestamp().saturating_add(1)
}

/// Whether an error comes from the right list, so that those of other keys mean nothing.
fn says_more(error: &webpki::Error) -> bool {
    matches!(error, webpki::Error::CrlExpired { .. } | webpki::Error::IssuerNotCrlSigner)
}

/// Whether the key usage of a certificate is that of such a peer, by OpenSSL's rules for `sslclient` and `sslserver`.
fn is_meant_for(certificate: &X509Certificate<'_>, peer: Peer) -> bool {
    is_of_type(certificate, peer)
        && certificate.key_usage().is_ok_and(|usage| {
            usage.is_none_or(|usage| {
                let usage = usage.value;
                let signs = usage.digital_signature() || usage.key_agreement();
                signs || (peer == Peer::Server && usage.key_encipherment())
            })
        })
}

/// Whether its Netscape certificate type, if it has one, is that of such a peer.
fn is_of_type(certificate: &X509Certificate<'_>, peer: Peer) -> bool {
    certificate.extensions().iter().all(|extension| match (extension.parsed_extension(), peer) {
        (ParsedExtension::NSCertType(kind), Peer::Client) => kind.ssl_client(),
        (ParsedExtension::NSCertType(kind), Peer::Server) => kind.ssl_server(),
        _ => true,
    })
}

/// Whether a complete list is about all reasons of revocation, by the first distribution point that a certificate names: OpenSSL
/// looks no further.
fn covers_all_reasons(certificate: &X509Certificate<'_>) -> bool {
    certificate.extensions().iter().all(|extension| {
        let ParsedExtension::CRLDistributionPoints(points) = extension.parsed_extension() else { return true };
        points.iter().find(|point| point.crl_issuer.is_none()).is_none_or(|point| point.reasons.is_none())
    })
}

/// The signatures that were verified for one certificate: a limited number, each once.
#[derive(Debug, Default)]
struct Verified(Mutex<Ledger>);

#[derive(Debug, Default)]
struct Ledger {
    done: Vec<Signature>,
    /// What they have cost, in signatures of a usual key.
    spent: usize,
    /// Whether another would have been one too many.
    is_full: bool,
}

/// A signature, and whether it is right. Kept whole: a lookup by anything less could take a wrong one for a right one.
#[derive(Debug)]
struct Signature {
    algorithms: [AlgorithmIdentifier; 2],
    key: Vec<u8>,
    message: Vec<u8>,
    signature: Vec<u8>,
    is_right: bool,
}

impl Verified {
    fn is_full(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_full
    }
}

/// An algorithm that does nothing twice, and a limited number of verifications together with others. Path building asks
/// for the same signature again for each order of a stranger's certificates and each choice of revocation lists.
#[derive(Debug)]
struct Counted<'a> {
    inner: &'static dyn SignatureVerificationAlgorithm,
    verified: &'a Verified,
}

impl SignatureVerificationAlgorithm for Counted<'_> {
    fn verify_signature(&self, key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
        let algorithms = [self.inner.public_key_alg_id(), self.inner.signature_alg_id()];
        let mut ledger = self.verified.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_same = |one: &&Signature| {
            one.algorithms == algorithms && one.key == key && one.message == message && one.signature == signature
        };
        if let Some(one) = ledger.done.iter().find(is_same) {
            return if one.is_right { Ok(()) } else { Err(InvalidSignature) };
        }
        let spent = ledger.spent + 1 + key.len() / CHAIN_KEY_BYTES;
        if spent > CHAIN_SIGNATURES {
            ledger.is_full = true;
            return Err(InvalidSignature);
        }
        ledger.spent = spent;
        let verdict = self.inner.verify_signature(key, message, signature);
        let [key, message, signature] = [key, message, signature].map(<[u8]>::to_vec);
        ledger.done.push(Signature { algorithms, key, message, signature, is_right: verdict.is_ok() });
        verdict
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        self.inner.public_key_alg_id()
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        self.inner.signature_alg_id()
    }

    fn fips(&self) -> bool {
        self.inner.fips()
    }
}

#[cfg(test)]
mod tests;
