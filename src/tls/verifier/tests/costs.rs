//! Bounds the number of signature verifications for a certificate chain, whatever it contains.
//!
//! Every verification that is really performed is counted, by wrapped signature algorithms.

use std::cell::Cell;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, OnceLock};

use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{
    AlgorithmIdentifier, CertificateDer, CertificateRevocationListDer, InvalidSignature, PrivateKeyDer,
    SignatureVerificationAlgorithm, UnixTime,
};

use super::{CaCertificate, ChainVerifier, CrlSet, PeerRole, PemItem};
use crate::limits::{CHAIN_INTERMEDIATES, CHAIN_SIGNATURES, CRL_KEYS_PER_NAME};
use crate::tls::errors::diagnosis::TOO_COSTLY;
use crate::tls::errors::explain::explain;
use crate::tls::provider::provider;
use crate::tls::verifier::signature_cache::{CachingAlgorithm, SignatureCache};

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

/// Returns the number of signatures that `action` verifies, and its result.
pub(super) fn count<T>(action: impl FnOnce() -> T) -> (usize, T) {
    COUNT.set(0);
    let outcome = action();
    (COUNT.get(), outcome)
}

#[derive(Debug)]
struct Counting(&'static dyn SignatureVerificationAlgorithm);

impl SignatureVerificationAlgorithm for Counting {
    fn verify_signature(&self, key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
        COUNT.set(COUNT.get() + 1);
        self.0.verify_signature(key, message, signature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        self.0.public_key_alg_id()
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        self.0.signature_alg_id()
    }
}

/// The algorithms of our provider, wrapped to count verifications.
pub(super) fn algorithms() -> WebPkiSupportedAlgorithms {
    static ALGORITHMS: OnceLock<WebPkiSupportedAlgorithms> = OnceLock::new();
    *ALGORITHMS.get_or_init(|| {
        type Algorithms = &'static [&'static dyn SignatureVerificationAlgorithm];
        let counting = |all: Algorithms| -> Algorithms {
            let all = all.iter().map(|one| &*Box::leak(Box::new(Counting(*one))) as _);
            Box::leak(all.collect())
        };
        let WebPkiSupportedAlgorithms { all, mapping } = provider().signature_verification_algorithms;
        let mapping = mapping.iter().map(|(scheme, all)| (*scheme, counting(all)));
        WebPkiSupportedAlgorithms { all: counting(all), mapping: Box::leak(mapping.collect()) }
    })
}

/// Makes certificates with `openssl` in a temporary folder, with P-256 keys unless told otherwise.
pub(super) struct Maker(tempfile::TempDir);

impl Maker {
    pub(super) fn new() -> Maker {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        file("as-ca", "basicConstraints=critical,CA:TRUE");
        file(
            "as-leaf",
            "basicConstraints=CA:FALSE\nextendedKeyUsage=clientAuth,serverAuth\nsubjectAltName=DNS:localhost",
        );
        file(
            "cnf",
            "[ca]\ndefault_ca=a\n[a]\ndatabase=index\ncrlnumber=number\ndefault_md=sha256\ndefault_crl_days=9\n",
        );
        file("index", "");
        file("number", "01");
        Maker(folder)
    }

    pub(super) fn path(&self, file: &str) -> std::path::PathBuf {
        self.0.path().join(file)
    }

    pub(super) fn openssl(&self, command: &str) {
        let output = Command::new("openssl").current_dir(&self.0).args(command.split(' ')).output().unwrap();
        assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Makes a self-signed CA in the file of this name, with its key beside it.
    pub(super) fn root(&self, file: &str, subject: &str) -> CertificateDer<'static> {
        self.key(file);
        self.openssl(&format!("req -x509 -new -key {file}.key -days 9 -subj /CN={subject} -out {file}"));
        read(&self.path(file))
    }

    /// Makes a certificate of this kind, signed by `issuer`. Its key is created unless it exists.
    pub(super) fn issue(&self, file: &str, subject: &str, kind: &str, issuer: &str) -> CertificateDer<'static> {
        self.key(file);
        self.openssl(&format!("req -new -key {file}.key -subj /CN={subject} -out {file}.csr"));
        let sign =
            format!("x509 -req -in {file}.csr -CA {issuer} -CAkey {issuer}.key -days 9 -extfile as-{kind} -out {file}");
        self.openssl(&sign);
        read(&self.path(file))
    }

    pub(super) fn key(&self, file: &str) {
        if !self.path(&format!("{file}.key")).exists() {
            self.openssl(&format!("ecparam -genkey -name prime256v1 -noout -out {file}.key"));
        }
    }

    pub(super) fn private_key(&self, file: &str) -> PrivateKeyDer<'static> {
        PrivateKeyDer::from_pem_file(self.path(&format!("{file}.key"))).unwrap()
    }

    pub(super) fn crl(&self, issuer: &str) -> CertificateRevocationListDer<'static> {
        self.openssl(&format!("ca -gencrl -config cnf -cert {issuer} -keyfile {issuer}.key -out {issuer}.crl"));
        CertificateRevocationListDer::from_pem_file(self.path(&format!("{issuer}.crl"))).unwrap()
    }
}

fn read(file: &Path) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(file).unwrap()
}

pub(super) fn trust(
    cas: &[CertificateDer<'static>],
    crls: Vec<CertificateRevocationListDer<'static>>,
) -> Arc<ChainVerifier> {
    let algorithms = algorithms();
    let known: Vec<&[u8]> = cas.iter().map(AsRef::as_ref).collect();
    let lists: Vec<_> = crls.into_iter().map(|der| PemItem { line: 1, der }).collect();
    let crls = CrlSet::new(&lists, &known, &algorithms).unwrap();
    let cas =
        cas.iter().map(|der| CaCertificate::new(PemItem { line: 1, der: der.clone() }, &algorithms).unwrap()).collect();
    Arc::new(ChainVerifier::new(cas, Arc::new(crls), algorithms))
}

/// Verifies a chain as a client's and as a server's. Returns the number of signatures, and the reason if it is refused.
fn verify(trust: &ChainVerifier, chain: &[CertificateDer<'static>]) -> (usize, Result<(), String>) {
    let by = |peer| {
        let verified = || trust.verify(&chain[0], &chain[1..], peer, UnixTime::now());
        let (signatures, verdict) = count(verified);
        (signatures, verdict.map(drop).map_err(|error| explain(&error)))
    };
    let (client, server) = (by(PeerRole::Client), by(PeerRole::Server));
    assert_eq!(client, server, "one rule for both directions");
    client
}

#[test]
fn no_chain_of_a_stranger_costs_more_than_a_bound() {
    let maker = Maker::new();
    // CAs that were renewed with the same name. An attacker learns the name from our CertificateRequest.
    let roots: Vec<_> = (0..8).map(|number| maker.root(&format!("root{number}"), "CA")).collect();
    let crls = || (0..CRL_KEYS_PER_NAME).map(|number| maker.crl(&format!("root{number}"))).collect::<Vec<_>>();
    let trusts = [
        ("one CA", 1, trust(&roots[..1], Vec::new())),
        ("four CAs of one name", 4, trust(&roots[..4], Vec::new())),
        ("eight CAs of one name", 8, trust(&roots, Vec::new())),
        ("four CAs and their CRLs", 4, trust(&roots[..4], crls())),
    ];

    maker.root("stranger", "CA");
    let leaf = maker.issue("leaf", "leaf", "leaf", "stranger");
    let own: Vec<_> = (0..9).map(|number| maker.root(&format!("own{number}"), "CA")).collect();
    let crossed: Vec<_> = (0..4)
        .map(|number| maker.issue(&format!("own{number}"), "CA", "ca", &format!("own{}", (number + 1) % 4)))
        .collect();
    let same_key: Vec<_> = (0..4).map(|_| maker.issue("own5", "CA", "ca", "stranger")).collect();
    let shared_name: Vec<_> =
        (0..4).map(|number| maker.issue(&format!("mid{number}"), "mid", "ca", "stranger")).collect();
    let of_mid = maker.issue("of-mid", "leaf", "leaf", "mid0");
    let chain =
        |leaf: &CertificateDer<'static>, more: &[CertificateDer<'static>]| [std::slice::from_ref(leaf), more].concat();
    let leaves = vec![leaf.clone(); 4];
    let rows = [
        ("no intermediate", chain(&leaf, &[])),
        ("one self-signed", chain(&leaf, &own[..1])),
        ("four self-signed", chain(&leaf, &own[..4])),
        ("four that signed each other", chain(&leaf, &crossed)),
        ("one name and one key", chain(&leaf, &same_key)),
        ("copies of the leaf", chain(&leaf, &leaves)),
        ("copies of one", chain(&leaf, &vec![own[0].clone(); 4])),
        ("another name, shared", chain(&of_mid, &shared_name)),
        ("our own CAs", chain(&leaf, &roots[..4])),
    ];
    let mut most = 0;
    for (cas, number, trust) in &trusts {
        for (name, chain) in &rows {
            let (signatures, verdict) = verify(trust, chain);
            let reason = verdict.expect_err(name);
            assert!(signatures <= CHAIN_SIGNATURES, "{name}, {cas}: {signatures}");
            // Each certificate is verified at most once with each CA that has its issuer's name.
            assert!(signatures <= chain.len() * number, "{name}, {cas}: {signatures}");
            assert!(!reason.is_empty(), "{name}, {cas}");
            most = most.max(signatures);
        }
        // A chain that is too long is refused before anything is verified.
        for count in 5..own.len() {
            let (signatures, verdict) = verify(trust, &chain(&leaf, &own[..count]));
            assert_eq!(signatures, 0);
            assert!(verdict.unwrap_err().contains("more than 4 intermediate"));
        }
    }
    assert_eq!(most, CHAIN_SIGNATURES, "the bound is reached, so these rows look for what costs most");
    let (_, verdict) = verify(&trusts[2].2, &chain(&leaf, &own[..4]));
    assert!(verdict.unwrap_err().contains(TOO_COSTLY));
}

#[test]
fn the_longest_chains_that_are_taken_are_within_the_bound() {
    let maker = Maker::new();
    let names: Vec<_> = (0..3).map(|number| format!("root{number}")).collect();
    let mut roots: Vec<_> = names.iter().map(|name| maker.root(name, "root")).collect();
    let mut issuer = "root2".to_owned();
    let mut chain = Vec::new();
    for number in 0..CHAIN_INTERMEDIATES {
        let file = format!("mid{number}");
        chain.insert(0, maker.issue(&file, &file, "ca", &issuer));
        issuer = file;
    }
    chain.insert(0, maker.issue("leaf", "leaf", "leaf", &issuer));
    let (signatures, verdict) = verify(&trust(&roots, Vec::new()), &chain);
    // The topmost certificate is verified with each root of that name, the other four once each.
    assert_eq!((signatures, verdict), (roots.len() + CHAIN_INTERMEDIATES, Ok(())));

    // CRLs of as many keys as may share the name of the last intermediate, in every rotation.
    let others = (1..CRL_KEYS_PER_NAME).map(|number| maker.root(&format!("other{number}"), &issuer));
    roots.extend(others.collect::<Vec<_>>());
    let files = (1..CRL_KEYS_PER_NAME).map(|number| format!("other{number}")).chain([issuer.clone()]);
    let crls: Vec<_> = files.map(|file| maker.crl(&file)).collect();
    for turn in 0..crls.len() {
        let mut crls = crls.clone();
        crls.rotate_left(turn);
        let (signatures, verdict) = verify(&trust(&roots, crls), &chain);
        assert_eq!(verdict, Ok(()), "{signatures} signatures");
        assert!(signatures <= CHAIN_SIGNATURES, "{signatures}");
    }
}

/// A real intermediate CA is public, so an attacker can send it too.
#[test]
fn certificates_of_ours_do_not_lead_a_stranger_further() {
    let maker = Maker::new();
    let roots = [maker.root("root", "CA")];
    let real = maker.issue("real", "CA", "ca", "root");
    maker.root("stranger", "CA");
    let leaf = maker.issue("leaf", "leaf", "leaf", "stranger");
    let own = (0..3).map(|number| maker.root(&format!("own{number}"), "CA"));
    let chain: Vec<_> = [leaf, real].into_iter().chain(own).collect();
    let (signatures, verdict) = verify(&trust(&roots, Vec::new()), &chain);
    // Five verifications with the key of the root, four with that of the real intermediate.
    assert_eq!(signatures, 9);
    assert!(verdict.is_err());
}

/// A verification with a slow key counts more than once. The sizes are those of an RSAPublicKey of 2048, 4096 and 8192
/// bits.
#[test]
fn large_keys_count_twice() {
    for (bytes, most) in [(270, CHAIN_SIGNATURES), (526, CHAIN_SIGNATURES), (1038, CHAIN_SIGNATURES / 2)] {
        let verified = SignatureCache::default();
        let counted = CachingAlgorithm { inner: algorithms().all[0], cache: &verified };
        let (signatures, _) = count(|| {
            for message in 0..=255 {
                assert!(counted.verify_signature(&vec![1; bytes], &[message], b"wrong").is_err());
                // Verifying the same signature again costs nothing.
                assert!(counted.verify_signature(&vec![1; bytes], &[message], b"wrong").is_err());
            }
        });
        assert_eq!((signatures, verified.is_full()), (most, true), "{bytes} bytes");
    }
}

/// The key size bounds the most expensive verification: the provider has no algorithm for RSA keys over 8192 bits, so
/// it refuses them before any arithmetic. The algorithms can only be identified by their debug output.
#[test]
fn rsa_keys_have_at_most_8192_bits() {
    let all = provider().signature_verification_algorithms.all.iter().map(|one| format!("{one:?}"));
    let rsa: Vec<_> = all.filter(|one| one.contains("RSA_P")).collect();
    assert!(rsa.len() >= 6 && rsa.iter().all(|one| one.contains("2048_8192")), "{rsa:#?}");
}
