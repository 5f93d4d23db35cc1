//! The contents of a certificate to issue. Invalid contents (no names, wrong dates) can be requested too. Only a name
//! that is not allowed in a certificate is an error, which is reported when the certificate is issued.

use std::net::IpAddr;

use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyUsagePurpose, SanType};
use time::{Duration, OffsetDateTime};

use crate::Error;

/// When a certificate or a CRL is valid, relative to its creation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Validity {
    /// For a year, starting an hour ago, since clocks differ.
    #[default]
    Now,
    /// From two days ago until yesterday.
    Expired,
    /// For a day, starting tomorrow.
    NotYet,
    /// From an hour ago until this number of seconds from now.
    Seconds(u32),
}

/// A certificate to be issued by [`Authority::issue`](crate::Authority::issue).
#[derive(Debug, Clone)]
pub struct Request {
    common_name: String,
    organization: Option<String>,
    names: Vec<String>,
    usages: Vec<ExtendedKeyUsagePurpose>,
    validity: Validity,
}

impl Request {
    /// A server's certificate: `serverAuth`, valid for the host name `common_name`.
    pub fn server(common_name: &str) -> Self {
        Self::new(common_name, &[ExtendedKeyUsagePurpose::ServerAuth]).names([common_name])
    }

    /// A cluster member's certificate: both `serverAuth` and `clientAuth`, because a member connects to other members
    /// and to itself.
    pub fn member(common_name: &str) -> Self {
        let both = [ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        Self::new(common_name, &both).names([common_name])
    }

    /// A client's certificate: `clientAuth`, without subject alternative names.
    pub fn client(common_name: &str) -> Self {
        Self::new(common_name, &[ExtendedKeyUsagePurpose::ClientAuth])
    }

    /// Replaces the subject alternative names. A name that parses as an IP address becomes an IP name, any other a DNS
    /// name.
    #[must_use]
    pub fn names<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.names = names.into_iter().map(Into::into).collect();
        self
    }

    /// Removes the subject alternative names. The name is then only in the CN, which OpenSSL formerly accepted and
    /// rustls refuses.
    #[must_use]
    pub fn without_names(mut self) -> Self {
        self.names.clear();
        self
    }

    /// Sets the validity.
    #[must_use]
    pub fn valid(mut self, validity: Validity) -> Self {
        self.validity = validity;
        self
    }

    /// Sets the subject's organization (O). mongod considers a client to be a member of the cluster if its O, OU and DC
    /// equal those of mongod's own certificate, so members share an organization, and clients need another one.
    #[must_use]
    pub fn organization(mut self, organization: &str) -> Self {
        self.organization = Some(organization.to_owned());
        self
    }

    fn new(common_name: &str, usages: &[ExtendedKeyUsagePurpose]) -> Self {
        Self {
            common_name: common_name.to_owned(),
            organization: None,
            names: Vec::new(),
            usages: usages.to_vec(),
            validity: Validity::Now,
        }
    }

    /// rcgen's parameters, without the serial number.
    pub(crate) fn params(&self) -> Result<CertificateParams, Error> {
        let mut params = CertificateParams::default();
        params.distinguished_name = distinguished_name(&self.common_name, self.organization.as_deref());
        params.subject_alt_names = self.names.iter().map(|name| san(name)).collect::<Result<_, _>>()?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages.clone_from(&self.usages);
        params.use_authority_key_identifier_extension = true;
        (params.not_before, params.not_after) = self.validity.dates();
        Ok(params)
    }
}

impl Validity {
    /// The first and the last valid time, in UTC.
    pub(crate) fn dates(self) -> (OffsetDateTime, OffsetDateTime) {
        let now = OffsetDateTime::now_utc();
        match self {
            Self::Now => (now - Duration::HOUR, now + Duration::days(365)),
            Self::Expired => (now - Duration::days(2), now - Duration::DAY),
            Self::NotYet => (now + Duration::DAY, now + Duration::days(2)),
            Self::Seconds(seconds) => (now - Duration::HOUR, now + Duration::seconds(seconds.into())),
        }
    }
}

/// A subject with a common name and an optional organization.
pub(crate) fn distinguished_name(common_name: &str, organization: Option<&str>) -> rcgen::DistinguishedName {
    let mut subject = rcgen::DistinguishedName::new();
    if let Some(organization) = organization {
        subject.push(DnType::OrganizationName, organization);
    }
    subject.push(DnType::CommonName, common_name);
    subject
}

/// A subject alternative name: an IP address if `name` parses as one, otherwise a host name.
///
/// # Errors
///
/// [`Error::Name`] if the name is neither.
fn san(name: &str) -> Result<SanType, Error> {
    if let Ok(ip) = name.parse::<IpAddr>() {
        return Ok(SanType::IpAddress(ip));
    }
    // The characters of a host name, `_` for service names and `*` for wildcards. DNS limits names to 253 bytes.
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | '*');
    if name.is_empty() || name.len() > 253 || !name.chars().all(plain) {
        return Err(Error::Name(name.to_owned()));
    }
    Ok(SanType::DnsName(name.try_into()?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn names_are_told_apart_by_parsing() {
        for (name, is_ip) in [
            ("localhost", false),
            ("*.example.com", false),
            ("a_b.example", false),
            ("127.0.0.1", true),
            ("::1", true),
            ("1.2.3.4.5", false),
        ] {
            assert_eq!(matches!(san(name).unwrap(), SanType::IpAddress(_)), is_ip, "{name}");
        }
        for name in ["", "two words", "höst", "host:27017", &"a".repeat(254)] {
            assert!(matches!(san(name), Err(Error::Name(_))), "{name}");
        }
    }

    #[test]
    fn dates_are_on_the_right_side_of_now() {
        let now = OffsetDateTime::now_utc();
        for (validity, started, over) in
            [(Validity::Now, true, false), (Validity::Expired, true, true), (Validity::NotYet, false, false)]
        {
            let (from, to) = validity.dates();
            assert_eq!((from <= now, to <= now), (started, over), "{validity:?}");
            assert!(from < to, "{validity:?}");
        }
    }
}
