//! Reads PEM files as mongod does: chain and key in one file, in any order; the key may be encrypted.
//!
//! A block that cannot be read is an error that names its line. Only this file uses rustls-pemfile.

mod blocks;
mod encrypted_key;

use std::path::Path;

use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls_pemfile::Item;
use x509_parser::asn1_rs::{Any, Class, FromDer as _, Oid, Tag};
use x509_parser::prelude::{CertificateRevocationList, X509Certificate};

use crate::files;
use crate::limits::PEM_FILE_BYTES;
use crate::tls::errors::file_error::{FileError, FileRole};
use crate::tls::files::Secret;
use crate::tls::pem::blocks::{PemBlock, blocks};
use crate::tls::pem::encrypted_key::decrypt;

/// The contents of a PEM file.
#[derive(Debug, Default)]
pub(crate) struct PemFile {
    pub(crate) certificates: Vec<PemItem<CertificateDer<'static>>>,
    /// Private keys; empty unless the file's role requires a key.
    pub(crate) keys: Vec<PrivateKeyDer<'static>>,
    pub(crate) crls: Vec<PemItem<CertificateRevocationListDer<'static>>>,
}

/// The contents of a block, and the line number of its BEGIN line.
#[derive(Debug, Clone)]
pub(crate) struct PemItem<T> {
    pub(crate) line: usize,
    pub(crate) der: T,
}

/// A problem with a file or a block, and the remedy.
pub(crate) type Problem = (String, &'static str);

/// Reads a PEM file; `password` decrypts its key.
pub(crate) fn read(role: FileRole, path: &Path, password: Option<&Secret>) -> Result<PemFile, FileError> {
    let fault = |problem: String, remedy: &str| FileError::new(role, path, problem, remedy);
    let text = files::read(path, PEM_FILE_BYTES)
        .map_err(|problem| fault(problem, "name a PEM file that this user can read"))?;
    if text.iter().all(u8::is_ascii_whitespace) {
        return Err(fault("the file is empty".into(), "put PEM blocks (-----BEGIN ...-----) into it"));
    }
    let blocks = blocks(&text).map_err(|problem| fault(format!("cannot be parsed as PEM: {problem}"), ANEW))?;
    let mut pem = PemFile::default();
    for block in &blocks {
        pem.add(role, block, password).map_err(|error| match error {
            BlockError::NoPassword => {
                let fault = fault("the key is encrypted and no password is configured".into(), "set its password");
                FileError { needs_password: true, ..fault }
            }
            BlockError::Problem((problem, remedy)) => fault(format!("{block} {problem}"), remedy),
        })?;
    }
    Ok(pem)
}

enum BlockError {
    NoPassword,
    Problem(Problem),
}

impl From<Problem> for BlockError {
    fn from(problem: Problem) -> BlockError {
        BlockError::Problem(problem)
    }
}

impl PemFile {
    fn add(&mut self, role: FileRole, block: &PemBlock, password: Option<&Secret>) -> Result<(), BlockError> {
        let line = block.line;
        let label = block.label.as_str();
        let wants_key = matches!(role, FileRole::CertificateKey | FileRole::Cluster);
        match label {
            "CERTIFICATE" | "X509 CERTIFICATE" | "TRUSTED CERTIFICATE" => {
                let trusted = label == "TRUSTED CERTIFICATE";
                let der = certificate(decode(block, "CERTIFICATE")?, trusted)?;
                self.certificates.push(PemItem { line, der });
            }
            "X509 CRL" => self.crls.push(PemItem { line, der: crl(decode(block, label)?)? }),
            "PRIVATE KEY" | "RSA PRIVATE KEY" | "EC PRIVATE KEY" if block.encrypted => {
                if wants_key {
                    return Err(old_form().into());
                }
            }
            "PRIVATE KEY" | "RSA PRIVATE KEY" | "EC PRIVATE KEY" => {
                let key = key(decode(block, label)?)?;
                if wants_key {
                    self.keys.push(key);
                }
            }
            "ENCRYPTED PRIVATE KEY" => {
                let key = key(decode(block, "PRIVATE KEY")?)?;
                if wants_key {
                    let Some(password) = password else { return Err(BlockError::NoPassword) };
                    // Each decryption may take some seconds.
                    if !self.keys.is_empty() {
                        let problem = "is another private key, expected one".to_owned();
                        return Err((problem, "leave one private key in the file").into());
                    }
                    self.keys.push(decrypt(key.secret_der(), password)?);
                }
            }
            _ if IGNORED.contains(&label) => {}
            _ => {
                let problem = "has a type that is not supported".to_owned();
                return Err((problem, "remove it, or convert it to CERTIFICATE, X509 CRL or PRIVATE KEY").into());
            }
        }
        Ok(())
    }
}

/// Decodes a block.
fn decode(block: &PemBlock, label: &str) -> Result<Item, Problem> {
    let PemBlock { base64, .. } = block;
    if base64.is_empty() {
        return Err(("is empty".into(), ANEW));
    }
    let text = format!("-----BEGIN {label}-----\n{base64}\n-----END {label}-----\n");
    match rustls_pemfile::read_one_from_slice(text.as_bytes()) {
        Ok(Some((item, _))) => Ok(item),
        Ok(None) => Err(("cannot be read".into(), ANEW)),
        Err(_) => Err(("is incomplete: its base64 cannot be decoded".into(), ANEW)),
    }
}

/// Decodes a certificate. Trust settings that OpenSSL appends to a TRUSTED CERTIFICATE are an error if they restrict
/// its use: tlsramp does not apply them, and must not ignore them silently.
fn certificate(item: Item, trusted: bool) -> Result<CertificateDer<'static>, Problem> {
    let Item::X509Certificate(der) = item else { return Err(damaged()) };
    let (rest, _) = X509Certificate::from_der(&der).map_err(|_| damaged())?;
    if trusted && limits_use(rest).ok_or_else(damaged)? {
        let problem = "has trust settings that restrict its use, which tlsramp does not apply".to_owned();
        return Err((problem, "remove them with: openssl x509 -in OLD -out NEW"));
    }
    // OpenSSL also ignores data after the certificate.
    let length = der.len() - rest.len();
    Ok(if rest.is_empty() { der } else { CertificateDer::from(der[..length].to_vec()) })
}

/// Whether the auxiliary data (OpenSSL's `X509_CERT_AUX`) forbids use as a CA for TLS clients or servers.
fn limits_use(auxiliary: &[u8]) -> Option<bool> {
    if auxiliary.is_empty() {
        return Some(false);
    }
    let (_, sequence) = Any::from_der(auxiliary).ok()?;
    let mut rest = sequence.data;
    let mut limits = false;
    while !rest.is_empty() {
        let (after, field) = Any::from_der(rest).ok()?;
        rest = after;
        match (field.class(), field.tag().0) {
            // `trust SEQUENCE OF OBJECT IDENTIFIER`
            (Class::Universal, 16) => {
                let usages = oids(field.data)?;
                let both = [CLIENT_AUTH, SERVER_AUTH].iter().all(|usage| usages.iter().any(|oid| oid == usage));
                limits |= !both && !usages.iter().any(|oid| oid == ANY_USAGE);
            }
            // `reject [0] SEQUENCE OF OBJECT IDENTIFIER`
            (Class::ContextSpecific, 0) => limits |= !field.data.is_empty(),
            // Alias, key identifier or other data.
            _ => {}
        }
    }
    Some(limits)
}

fn oids(mut list: &[u8]) -> Option<Vec<String>> {
    let mut oids = Vec::new();
    while !list.is_empty() {
        let (rest, oid) = Oid::from_der(list).ok()?;
        oids.push(oid.to_id_string());
        list = rest;
    }
    Some(oids)
}

fn crl(item: Item) -> Result<CertificateRevocationListDer<'static>, Problem> {
    let Item::Crl(der) = item else { return Err(damaged()) };
    let (rest, _) = CertificateRevocationList::from_der(&der).map_err(|_| damaged())?;
    let length = der.len() - rest.len();
    Ok(if rest.is_empty() { der } else { der[..length].to_vec().into() })
}

fn key(item: Item) -> Result<PrivateKeyDer<'static>, Problem> {
    #[expect(clippy::wildcard_enum_match_arm, reason = "a foreign list without an end")]
    let key: PrivateKeyDer<'static> = match item {
        Item::Pkcs1Key(key) => key.into(),
        Item::Pkcs8Key(key) => key.into(),
        Item::Sec1Key(key) => key.into(),
        _ => return Err(damaged()),
    };
    // Every key format is a single DER sequence.
    match Any::from_der(key.secret_der()) {
        Ok(([], any)) if any.tag() == Tag::Sequence => Ok(key),
        Ok(_) | Err(_) => Err(damaged()),
    }
}

fn damaged() -> Problem {
    ("is damaged: its DER cannot be parsed".into(), ANEW)
}

fn old_form() -> Problem {
    let problem = "is encrypted in the traditional OpenSSL format (Proc-Type: 4,ENCRYPTED), whose key derivation is \
        not safe";
    (problem.into(), "convert it with: openssl pkcs8 -topk8 -v2 aes256 -in OLD -out NEW")
}

const ANEW: &str = "create the file again";
/// Kinds of blocks that are ignored.
const IGNORED: [&str; 8] = [
    "PUBLIC KEY",
    "RSA PUBLIC KEY",
    "CERTIFICATE REQUEST",
    "NEW CERTIFICATE REQUEST",
    "EC PARAMETERS",
    "DH PARAMETERS",
    "X9.42 DH PARAMETERS",
    "DSA PARAMETERS",
];
const CLIENT_AUTH: &str = "1.3.6.1.5.5.7.3.2";
const SERVER_AUTH: &str = "1.3.6.1.5.5.7.3.1";
const ANY_USAGE: &str = "2.5.29.37.0";

#[cfg(test)]
mod tests;
