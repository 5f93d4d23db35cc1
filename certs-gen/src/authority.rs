//! A certificate authority whose key exists in memory only. It issues no other CAs: every chain has two certificates.

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, IsCa, KeyIdMethod, KeyPair,
    KeyUsagePurpose, RevocationReason, RevokedCertParams, SerialNumber,
};
use time::{Duration, OffsetDateTime};

use crate::{Error, Issued, Request, Validity, request::distinguished_name};

/// A self-signed CA. It is valid for ten years, starting a week ago, that is, before the expired certificates that it
/// signs.
#[derive(Debug)]
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    /// Creates a CA with a new key.
    ///
    /// # Errors
    ///
    /// [`Error::Sign`] if no key can be generated.
    pub fn new(common_name: &str) -> Result<Self, Error> {
        let (now, _) = Validity::Now.dates();
        Self::with_dates(common_name, now - Duration::WEEK, now + Duration::days(3650))
    }

    /// As [`Authority::new`], with the given validity.
    ///
    /// # Errors
    ///
    /// [`Error::Sign`] if no key can be generated.
    pub fn valid(common_name: &str, validity: Validity) -> Result<Self, Error> {
        let (from, to) = validity.dates();
        Self::with_dates(common_name, from, to)
    }

    fn with_dates(common_name: &str, from: OffsetDateTime, to: OffsetDateTime) -> Result<Self, Error> {
        let mut params = CertificateParams::default();
        params.distinguished_name = distinguished_name(common_name, None);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.not_before = from;
        params.not_after = to;
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        let pem = issuer.pem();
        Ok(Self { issuer, pem })
    }

    /// The CA's certificate as PEM.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// Issues a certificate with a new key.
    ///
    /// # Errors
    ///
    /// [`Error::Name`] if a name is not allowed in a certificate, [`Error::Sign`] if signing fails.
    pub fn issue(&self, request: &Request) -> Result<Issued, Error> {
        let key = KeyPair::generate()?;
        let mut params = request.params()?;
        // A hash of the new public key is unique without a counter. RFC 5280 requires a positive number, so a 1 is put
        // in front.
        let mut serial = params.key_identifier(&key);
        serial.insert(0, 1);
        serial.truncate(16);
        let serial = SerialNumber::from(serial);
        params.serial_number = Some(serial.clone());
        Ok(Issued {
            cert_pem: params.signed_by(&key, &self.issuer)?.pem(),
            key_pem: key.serialize_pem(),
            key_der: key.serialize_der(),
            serial,
        })
    }

    /// Returns a revocation list (CRL) as PEM that contains these certificates; without any, an empty list. `validity`
    /// is the validity of the list itself: with [`Validity::Expired`], its `nextUpdate` is in the past.
    ///
    /// # Errors
    ///
    /// [`Error::Sign`] if signing fails.
    pub fn revoke(&self, issued: &[&Issued], validity: Validity) -> Result<String, Error> {
        let (this_update, next_update) = validity.dates();
        let revoked = |one: &&Issued| RevokedCertParams {
            serial_number: one.serial.clone(),
            revocation_time: this_update,
            reason_code: Some(RevocationReason::KeyCompromise),
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update,
            next_update,
            // The number only has to increase from one list to the next.
            crl_number: SerialNumber::from(this_update.unix_timestamp().unsigned_abs()),
            issuing_distribution_point: None,
            revoked_certs: issued.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        Ok(list.signed_by(&self.issuer)?.pem()?)
    }
}
