//! Reading PEM files, as mongod takes them: chain and key in one file, in any order, the key perhaps encrypted.
//!
//! The only file that knows rustls-pemfile.

use std::path::Path;

use pkcs8::EncryptedPrivateKeyInfoRef;
use pkcs8::der::SecretDocument;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls_pemfile::Item;

use super::fault::{Fault, FileRole};
use super::files::Secret;
use crate::files;
use crate::limits::PEM_FILE_BYTES;

/// What a PEM file holds.
#[derive(Debug, Default)]
pub(super) struct Pem {
    pub(super) certificates: Vec<CertificateDer<'static>>,
    pub(super) keys: Vec<PrivateKeyDer<'static>>,
    pub(super) crls: Vec<CertificateRevocationListDer<'static>>,
}

/// Reads a PEM file; `password` opens an encrypted key in it.
pub(super) fn read(role: FileRole, path: &Path, password: Option<&Secret>) -> Result<Pem, Fault> {
    let fault = |problem: String, remedy: &str| Fault::new(role, path, problem, remedy);
    let text = files::read(path, PEM_FILE_BYTES)
        .map_err(|problem| fault(problem, "name a PEM file that this user can read"))?;
    if text.iter().all(u8::is_ascii_whitespace) {
        return Err(fault("the file is empty".into(), "put PEM blocks (-----BEGIN ...-----) into it"));
    }
    let readable = String::from_utf8_lossy(&text);
    if readable.contains("Proc-Type: 4,ENCRYPTED") {
        return Err(fault(
            "the key is encrypted in the old OpenSSL form (Proc-Type: 4,ENCRYPTED), whose derivation is not safe"
                .into(),
            "convert it with: openssl pkcs8 -topk8 -v2 aes256 -in OLD -out NEW",
        ));
    }
    let mut pem = Pem::default();
    let mut rest = text.as_slice();
    loop {
        match rustls_pemfile::read_one_from_slice(rest) {
            Ok(None) => break,
            Ok(Some((item, tail))) => {
                rest = tail;
                pem.add(item);
            }
            Err(error) => return Err(fault(format!("not readable as PEM ({error:?})"), "make the file anew")),
        }
    }
    if let Some(block) = block(&readable, "ENCRYPTED PRIVATE KEY") {
        let Some(password) = password else {
            let fault = fault("the key is encrypted and no password is given".into(), "give its password");
            return Err(Fault { needs_password: true, ..fault });
        };
        pem.keys.push(decrypt(block, password).map_err(|(problem, remedy)| fault(problem.into(), remedy))?);
    }
    Ok(pem)
}

impl Pem {
    fn add(&mut self, item: Item) {
        #[expect(clippy::wildcard_enum_match_arm, reason = "a foreign list without an end")]
        match item {
            Item::X509Certificate(certificate) => self.certificates.push(certificate),
            Item::Pkcs1Key(key) => self.keys.push(key.into()),
            Item::Pkcs8Key(key) => self.keys.push(key.into()),
            Item::Sec1Key(key) => self.keys.push(key.into()),
            Item::Crl(crl) => self.crls.push(crl),
            // Public keys, signing requests: legal in a PEM file, of no use here.
            _ => {}
        }
    }
}

type KeyProblem = (&'static str, &'static str);

/// An encrypted PKCS#8 key, decrypted.
fn decrypt(block: &str, password: &Secret) -> Result<PrivateKeyDer<'static>, KeyProblem> {
    let unreadable = ("the encrypted key cannot be read", "make it anew with: openssl pkcs8 -topk8 -v2 aes256");
    let (_, document) = SecretDocument::from_pem(block).map_err(|_| unreadable)?;
    let encrypted = EncryptedPrivateKeyInfoRef::try_from(document.as_bytes()).map_err(|_| unreadable)?;
    let key = encrypted.decrypt(&password.0).map_err(|_| {
        (
            "the key cannot be decrypted: wrong password, or a cipher other than PBES2 with AES",
            "check the password; openssl pkcs8 -topk8 -v2 aes256 makes a key that can be read",
        )
    })?;
    Ok(PrivatePkcs8KeyDer::from(key.as_bytes().to_vec()).into())
}

/// One block, with its BEGIN and END lines.
fn block<'a>(text: &'a str, label: &str) -> Option<&'a str> {
    let start = text.find(&format!("-----BEGIN {label}-----"))?;
    let end_line = format!("-----END {label}-----");
    let end = start + text[start..].find(&end_line)? + end_line.len();
    Some(&text[start..end])
}
