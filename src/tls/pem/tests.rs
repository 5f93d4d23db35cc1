//! Compares the PEM reader with OpenSSL on files found in practice. With the exceptions that the tables mark, a file
//! that OpenSSL reads is read here too, and a file that OpenSSL rejects, or of which it silently loses a part, is an
//! error that names the line.

use std::path::Path;
use std::process::Command;

use certs_gen::{Authority, Issued, Request, Validity};

use super::{FileRole, PemFile, Secret, read};

/// A CA file with two CAs, and variations of it.
struct PemFixture {
    folder: tempfile::TempDir,
    a: String,
    b: String,
    key: String,
    crl: String,
    leaves: [Issued; 2],
}

impl PemFixture {
    fn new() -> PemFixture {
        let [a, b] = ["A", "B"].map(|name| Authority::new(name).unwrap());
        let leaves = [&a, &b].map(|ca| ca.issue(&Request::client("leaf")).unwrap());
        PemFixture {
            folder: tempfile::tempdir().unwrap(),
            crl: a.revoke(&[], Validity::Now).unwrap(),
            a: a.pem().to_owned(),
            b: b.pem().to_owned(),
            key: leaves[0].key_pem().to_owned(),
            leaves,
        }
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) -> String {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// Runs `openssl ARGS` on `text`; returns its output.
    fn openssl(&self, text: &str, args: &[&str]) -> String {
        let file = self.write("openssl-in.pem", text);
        let output = Command::new("openssl").args(args).args(["-in", &file]).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Whether OpenSSL finds both CAs in this file.
    fn openssl_reads_both(&self, file: &str) -> bool {
        self.leaves.iter().all(|leaf| {
            let leaf = self.write("leaf.pem", leaf.cert_pem());
            let verify = ["verify", "-no-CApath", "-no-CAstore", "-purpose", "sslclient", "-CAfile", file, &leaf];
            Command::new("openssl").args(verify).output().unwrap().status.success()
        })
    }
}

/// The lines of a PEM block, with `change` applied to its body.
fn body(pem: &str, change: impl Fn(&str) -> String) -> String {
    let (begin, rest) = pem.split_once('\n').unwrap();
    let (body, end) = rest.split_once("-----END").unwrap();
    format!("{begin}\n{}-----END{end}", change(body))
}

fn folded(text: &str, columns: usize) -> String {
    let joined: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    joined.chunks(columns).map(|line| format!("{}\n", std::str::from_utf8(line).unwrap())).collect()
}

fn relabelled(pem: &str, label: &str) -> String {
    pem.replace("BEGIN CERTIFICATE", &format!("BEGIN {label}")).replace("END CERTIFICATE", &format!("END {label}"))
}

/// Expected result of reading a CA file with the CAs A and B.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Expected {
    /// Both are read, also by OpenSSL.
    Both,
    /// Both are read here, but not by OpenSSL.
    BothHereAlone,
    /// An error with this text; OpenSSL does not read both either.
    Error(&'static str),
    /// An error with this text, although OpenSSL reads both.
    ErrorHereAlone(&'static str),
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn ca_files_are_read_as_openssl_reads_them() {
    use Expected::{Both, BothHereAlone, Error, ErrorHereAlone};
    let parts = PemFixture::new();
    let PemFixture { a, b, key, crl, .. } = &parts;
    let both = format!("{a}{b}");
    let trusted = |settings: &[&str]| parts.openssl(b, &[&["x509", "-trustout"], settings].concat());
    let encrypted = parts.openssl(key, &["pkcs8", "-topk8", "-passout", "pass:x"]);
    let old_form = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00112233445566778899AABBCCDDEEFF\n\nAAAA\n-----END RSA PRIVATE KEY-----\n";
    let trailing = {
        use rustls::pki_types::{CertificateDer, pem::PemObject};
        let der = CertificateDer::from_pem_slice(b.as_bytes()).unwrap();
        let file = parts.write("trailing.der", [&der, b"trailing".as_slice()].concat());
        let output = Command::new("openssl").args(["base64", "-in", &file]).output().unwrap();
        format!("-----BEGIN CERTIFICATE-----\n{}-----END CERTIFICATE-----\n", String::from_utf8(output.stdout).unwrap())
    };
    let rows: Vec<(&str, Vec<u8>, Expected)> = [
        ("plain", both.clone(), Both),
        ("byte order mark", format!("\u{feff}{both}"), Both),
        ("byte order mark before text", format!("\u{feff}our CAs\n{both}"), Both),
        ("CRLF", both.replace('\n', "\r\n"), Both),
        ("CRLF and LF", format!("{}{b}", a.replace('\n', "\r\n")), Both),
        ("CR alone", both.replace('\n', "\r"), BothHereAlone),
        ("text around", format!("CA A\n=====\n{a}\nthe second:\n\n{b}\nend"), Both),
        ("text of openssl x509 -text", format!("{a}{}", parts.openssl(b, &["x509", "-text"])), Both),
        ("bag attributes", format!("Bag Attributes\n    localKeyID: 01 02\nsubject=CN = A\n{a}{b}"), Both),
        ("no line feed at the end", both.trim_end().to_owned(), Both),
        ("a NUL after the last block", format!("{both}\0"), Both),
        ("blank lines between", format!("\n\n{a}\n\n{b}\n\n"), Both),
        ("trailing blanks", both.replace('\n', "  \t\n"), Both),
        ("76 columns", format!("{a}{}", body(b, |text| folded(text, 76))), Both),
        ("30 columns", format!("{a}{}", body(b, |text| folded(text, 30))), Both),
        ("one line", format!("{a}{}", body(b, |text| folded(text, 100_000))), Both),
        ("an indented body", format!("{a}{}", body(b, |text| format!("  {text}"))), Both),
        ("a blank in the body", format!("{a}{}", body(b, |text| format!("{} {}", &text[..8], &text[8..]))), Both),
        ("X509 CERTIFICATE", format!("{a}{}", relabelled(b, "X509 CERTIFICATE")), Both),
        ("TRUSTED CERTIFICATE", format!("{a}{}", trusted(&[])), Both),
        ("TRUSTED CERTIFICATE with an alias", format!("{a}{}", trusted(&["-setalias", "our CA"])), Both),
        (
            "TRUSTED CERTIFICATE for both uses",
            format!("{a}{}", trusted(&["-addtrust", "clientAuth", "-addtrust", "serverAuth"])),
            Both,
        ),
        ("TRUSTED CERTIFICATE for any use", format!("{a}{}", trusted(&["-addtrust", "anyExtendedKeyUsage"])), Both),
        ("data after the certificate", format!("{a}{trailing}"), Both),
        ("with its key", format!("{a}{key}{b}"), Both),
        ("with an encrypted key", format!("{a}{encrypted}{b}"), Both),
        ("with a key in the old form", format!("{a}{old_form}{b}"), Both),
        ("with a CRL", format!("{a}{crl}{b}"), Both),
        (
            "parameters",
            format!("{a}-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n{b}"),
            Both,
        ),
        ("a comment with the old form's header", format!("Proc-Type: 4,ENCRYPTED\n{both}"), Both),
        ("a comment with a BEGIN", format!("{a}# -----BEGIN CERTIFICATE----- is how it begins\n{b}"), Both),
        ("half a BEGIN", format!("{a}-----BEGIN\n{b}"), Both),
        ("an END between", format!("{a}-----END CERTIFICATE-----\n{b}"), Both),
        ("the same twice", format!("{a}{b}{a}"), Both),
        ("hexadecimal fingerprint between", format!("{a}{}\n{b}", "3a".repeat(32)), Both),
        ("two on one line", format!("{}{b}", a.trim_end()), Error("END and BEGIN on the same line")),
        ("BEGIN twice", format!("{a}-----BEGIN CERTIFICATE-----\n{b}"), Error("no END line before the BEGIN")),
        ("no END before the next", format!("{}{b}", a.split("-----END").next().unwrap()), Error("line 1: the block")),
        ("no END", format!("{a}{}", b.split("-----END").next().unwrap()), Error("has no END line")),
        ("cut", format!("{a}{}", &b[..200]), Error("has no END line")),
        ("cut in its END", format!("{a}{}", &b[..b.len() - 4]), Error("ends with")),
        ("another END", format!("{a}{}", b.replace("END CERT", "END X509 CERT")), Error("ends with")),
        ("an indented END", format!("{a}{}", b.replace("-----END", "  -----END")), Error("is not base64")),
        ("empty block", format!("{a}{}{b}", body(b, |_| String::new())), Error("is empty")),
        ("a lost line", format!("{a}{}", body(b, |text| text[65..].to_owned())), Error("is damaged")),
        (
            "a lost character",
            format!("{a}{}", body(b, |text| text[1..].to_owned())),
            Error("line 13: the block CERTIFICATE"),
        ),
        ("no base64", format!("{a}{}", body(b, |text| format!("*{text}"))), Error("is not base64")),
        ("a comment in it", format!("{a}{}", body(b, |text| format!("# comment\n{text}"))), Error("is not base64")),
        (
            "padding in the middle",
            format!("{a}{}", body(b, |text| format!("{}={}", &text[..64], &text[64..]))),
            Error("base64"),
        ),
        (
            "an empty line in it",
            format!("{a}{}", body(b, |text| format!("{}\n\n{}", &text[..64], &text[65..]))),
            Error("an empty line"),
        ),
        ("an empty line after BEGIN", format!("{a}{}", body(b, |text| format!("\n{text}"))), Both),
        (
            "two empty lines after BEGIN",
            format!("{a}{}", body(b, |text| format!("\n\n{text}"))),
            Error("an empty line"),
        ),
        ("an empty line before END", format!("{a}{}", body(b, |text| format!("{text}\n"))), Error("an empty line")),
        ("a header", format!("{a}{}", body(b, |text| format!("X-Note: 1\n\n{text}"))), Error("is not base64")),
        ("an indented block", format!("{a}{}", format!("\n{b}").replace('\n', "\n  ")), Error("indented")),
        ("text before BEGIN", format!("{a}x{b}"), Error("without a BEGIN line")),
        ("text after BEGIN", format!("{a}{}", b.replacen('\n', " # B\n", 1)), Error("an incomplete BEGIN line")),
        ("four dashes", format!("{a}{}", b.replacen("-----", "----", 1)), Error("without a BEGIN line")),
        (
            "four dashes at the end of BEGIN",
            format!("{a}{}", b.replacen("-----\n", "----\n", 1)),
            Error("an incomplete BEGIN line"),
        ),
        (
            "small letters",
            format!("{a}{}", b.replace("BEGIN", "begin").replace("END", "end")),
            Error("without a BEGIN line"),
        ),
        (
            "two blanks in BEGIN",
            format!("{a}{}", relabelled(b, " CERTIFICATE")),
            Error("has a type that is not supported"),
        ),
        ("escaped line feeds", format!("{a}{}", b.replace('\n', "\\n")), Error("an incomplete BEGIN line")),
        ("PKCS7", format!("{a}{}", relabelled(b, "PKCS7")), Error("has a type that is not supported")),
        ("a misspelt label", format!("{a}{}", relabelled(b, "CERTIFCATE")), Error("line 13: the block CERTIFCATE")),
        ("an unknown block between", format!("{a}{}{b}", relabelled(b, "FOO")), ErrorHereAlone("the block FOO")),
        (
            "trusted for clients alone",
            format!("{a}{}", trusted(&["-addtrust", "emailProtection"])),
            Error("restrict its use"),
        ),
        (
            "rejected",
            format!("{a}{}", trusted(&["-addreject", "serverAuth", "-addreject", "clientAuth"])),
            Error("restrict its use"),
        ),
        ("a damaged key", format!("{a}{}{b}", body(key, |text| text[65..].to_owned())), Error("the block PRIVATE KEY")),
    ]
    .into_iter()
    .map(|(name, text, expected)| (name, text.into_bytes(), expected))
    .chain([
        ("UTF-16", both.encode_utf16().flat_map(u16::to_be_bytes).collect(), Error("none")),
        (
            "a NUL in the body",
            format!("{a}{}", body(b, |text| format!("\0{text}"))).into_bytes(),
            Error("is not base64"),
        ),
    ])
    .collect();
    assert!(rows.len() >= 60);
    let lines = a.lines().count() + 1;
    for (name, text, expected) in &rows {
        let file = parts.write("ca.pem", text);
        let found = read(FileRole::Ca, Path::new(&file), None);
        let openssl = parts.openssl_reads_both(&file);
        let both = |pem: &PemFile| pem.certificates.len() >= 2;
        match (expected, &found) {
            (Both, Ok(pem)) => assert!(openssl && both(pem), "{name}: {pem:?}"),
            (BothHereAlone, Ok(pem)) => assert!(!openssl && both(pem), "{name}: {pem:?}"),
            // The caller reports this case as "the file contains no certificate".
            (Error("none"), Ok(pem)) => assert!(!openssl && pem.certificates.is_empty(), "{name}: {pem:?}"),
            (Error(part) | ErrorHereAlone(part), Err(fault)) => {
                assert_eq!(openssl, matches!(expected, ErrorHereAlone(_)), "{name}");
                let part = part.replace("line 13", &format!("line {lines}"));
                assert!(fault.problem.contains(&part) && fault.problem.contains("line "), "{name}: {fault}");
            }
            _ => panic!("{name}: expected {expected:?}, OpenSSL reads both: {openssl}, here {found:?}"),
        }
    }
}

#[test]
fn encrypted_keys_are_read_as_openssl_writes_them() {
    let parts = PemFixture::new();
    let chain = parts.leaves[0].cert_pem().to_owned();
    let encrypt = |args: &[&str]| {
        let args = [&["pkcs8", "-topk8", "-passout", "pass:secret"], args].concat();
        parts.openssl(&parts.key, &args)
    };
    let aes = encrypt(&["-v2", "aes256"]);
    let password = Secret("secret".into());
    let read_key = |text: &str, password: &Secret| {
        let file = parts.write("key.pem", text);
        read(FileRole::CertificateKey, Path::new(&file), Some(password)).map(|pem| pem.keys.len())
    };
    let good = [
        ("as written", aes.clone()),
        ("76 columns", body(&aes, |text| folded(text, 76))),
        ("one line", body(&aes, |text| folded(text, 100_000))),
        ("trailing blanks", aes.replace('\n', "  \n")),
        ("CRLF", aes.replace('\n', "\r\n")),
        ("byte order mark", format!("\u{feff}{aes}")),
        ("hmacWithSHA1", encrypt(&["-v2", "aes128", "-v2prf", "hmacWithSHA1"])),
        ("hmacWithSHA512", encrypt(&["-v2", "aes256", "-v2prf", "hmacWithSHA512"])),
        ("triple DES", encrypt(&["-v2", "des3"])),
        ("triple DES, hmacWithSHA1", encrypt(&["-v2", "des3", "-v2prf", "hmacWithSHA1"])),
        ("scrypt", encrypt(&["-scrypt", "-scrypt_N", "1024"])),
        ("a comment with the old form's header", format!("Proc-Type: 4,ENCRYPTED\n{aes}")),
    ];
    for (name, text) in good {
        for text in [format!("{chain}{text}"), format!("{text}{chain}")] {
            if !text.starts_with('\u{feff}') && text.contains('\u{feff}') {
                continue;
            }
            assert_eq!(read_key(&text, &password).as_ref(), Ok(&1), "{name}");
        }
    }
    let wrong = read_key(&aes, &Secret("other".into())).unwrap_err();
    assert!(wrong.problem.contains("wrong password"), "{wrong}");
    for text in [encrypt(&["-v1", "PBE-SHA1-3DES"]), encrypt(&["-v2", "camellia128"])] {
        let fault = read_key(&text, &password).unwrap_err();
        assert!(fault.problem.contains("with an algorithm other than PBES2"), "{fault}");
    }
}
