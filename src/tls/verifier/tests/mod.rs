//! Compares verdicts on certificates with those of OpenSSL and mongod.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use certs_gen::{Authority, Issued, Request, Validity};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime};

use crate::tls::errors::explain::explain;
use crate::tls::pem::PemItem;
use crate::tls::provider::provider;
use crate::tls::revocation::CrlSet;
use crate::tls::verifier::ca::CaCertificate;
use crate::tls::verifier::chain::ChainVerifier;
use crate::tls::x509::purpose::PeerRole;

fn der(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
}

/// Builds a verifier from these CAs and CRLs, in this order.
fn trust(cas: &[&str], crls: &[&str]) -> ChainVerifier {
    let algorithms = provider().signature_verification_algorithms;
    let cas: Vec<_> =
        cas.iter().map(|pem| CaCertificate::new(PemItem { line: 1, der: der(pem) }, &algorithms).unwrap()).collect();
    let lists: Vec<_> = crls
        .iter()
        .map(|pem| PemItem { line: 1, der: CertificateRevocationListDer::from_pem_slice(pem.as_bytes()).unwrap() })
        .collect();
    let known: Vec<&[u8]> = cas.iter().map(|ca| ca.der.as_ref()).collect();
    let crls = CrlSet::new(&lists, &known, &algorithms).unwrap();
    ChainVerifier::new(cas, Arc::new(crls), algorithms)
}

/// `ok`, or the reason of the refusal.
fn verdict(trust: &ChainVerifier, leaf: &str, peer: PeerRole) -> String {
    match trust.verify(&der(leaf), &[], peer, UnixTime::now()) {
        Ok(_) => "ok".into(),
        Err(error) => explain(&error),
    }
}

#[track_caller]
fn is(trust: &ChainVerifier, leaf: &Issued, expected: &str) {
    let verdict = verdict(trust, leaf.cert_pem(), PeerRole::Client);
    assert!(verdict.contains(expected), "expected {expected}: {verdict}");
}

#[test]
fn of_several_lists_of_one_issuer_the_newest_valid_one_counts() {
    let ca = Authority::new("CA").unwrap();
    let [revoked, other] = ["revoked", "other"].map(|name| ca.issue(&Request::client(name)).unwrap());
    let list = |validity| ca.revoke(&[&revoked], validity).unwrap();
    let empty = ca.revoke(&[], Validity::Now).unwrap();
    let (expired_empty, expired) = (ca.revoke(&[], Validity::Expired).unwrap(), list(Validity::Expired));
    let (future_empty, future) = (ca.revoke(&[], Validity::NotYet).unwrap(), list(Validity::NotYet));
    // Times in CRLs have a resolution of one second.
    std::thread::sleep(Duration::from_millis(1100));
    let newer = list(Validity::Now);
    let rows: [(&[&str], &str, &str); 9] = [
        (&[&empty, &newer], "revoked", "ok"),
        (&[&newer, &empty], "revoked", "ok"),
        (&[&expired_empty, &newer], "revoked", "ok"),
        (&[&newer, &expired_empty, &future_empty], "revoked", "ok"),
        (&[&expired, &empty], "ok", "ok"),
        (&[&future, &empty], "ok", "ok"),
        (&[&expired], "CRL of its issuer has expired", "CRL of its issuer has expired"),
        (&[&future], "not yet valid", "not yet valid"),
        (&[&future_empty, &future], "not yet valid", "not yet valid"),
    ];
    for (lists, of_revoked, of_other) in rows {
        let trust = trust(&[ca.pem()], lists);
        is(&trust, &revoked, of_revoked);
        is(&trust, &other, of_other);
    }
}

#[test]
fn two_cas_of_one_name_are_told_apart_by_key() {
    let [old, new] = [(); 2].map(|()| Authority::new("CA").unwrap());
    let of_old = old.issue(&Request::client("old")).unwrap();
    let [revoked, good] = ["revoked", "good"].map(|name| new.issue(&Request::client(name)).unwrap());
    let lists = [old.revoke(&[], Validity::Now).unwrap(), new.revoke(&[&revoked], Validity::Now).unwrap()];
    for order in [[0, 1], [1, 0]] {
        for cas in [[old.pem(), new.pem()], [new.pem(), old.pem()]] {
            let trust = trust(&cas, &order.map(|at| lists[at].as_str()));
            is(&trust, &of_old, "ok");
            is(&trust, &good, "ok");
            is(&trust, &revoked, "it is revoked");
        }
    }
    // The CRL of one CA does not cover certificates of the other.
    let trust = trust(&[old.pem(), new.pem()], &[&lists[0]]);
    is(&trust, &of_old, "ok");
    is(&trust, &good, "refused");
}

#[test]
fn cas_have_dates() {
    let ca = Authority::new("CA").unwrap();
    let leaf = ca.issue(&Request::client("leaf")).unwrap();
    let now = i64::try_from(UnixTime::now().as_secs()).unwrap();
    for (from, to, expected) in [
        (now - 10, now + 1000, "ok"),
        (now - 10, now - 5, "the CA that signed it has expired"),
        (now + 1000, now + 2000, "the CA that signed it is not yet valid"),
    ] {
        let mut trust = trust(&[ca.pem()], &[]);
        (trust.cas[0].not_before, trust.cas[0].not_after) = (from, to);
        is(&trust, &leaf, expected);
    }
    is(&trust(&[Authority::new("CA").unwrap().pem()], &[]), &leaf, "its signature does not verify");
    is(&trust(&[Authority::new("other").unwrap().pem()], &[]), &leaf, "not signed by a CA in the CA file");
}

/// A result of verification is valid until the earliest expiry time of everything that it depends on.
#[test]
fn what_is_verified_has_an_end() {
    let ca = Authority::new("CA").unwrap();
    let now = i64::try_from(UnixTime::now().as_secs()).unwrap();
    let leaf = |validity| ca.issue(&Request::client("leaf").valid(validity)).unwrap();
    let list = |validity| ca.revoke(&[], validity).unwrap();
    let end = |trust: &ChainVerifier, leaf: &str, chain: &[CertificateDer<'_>]| {
        trust.verify(&der(leaf), chain, PeerRole::Client, UnixTime::now()).unwrap() - now
    };
    let about = |end: i64, seconds: i64| (seconds - 1..seconds + 5).contains(&end);
    let (short, long) = (leaf(Validity::Seconds(1000)), leaf(Validity::Now));
    let cases: [(&Issued, Option<i64>, &[Validity], i64); 7] = [
        (&short, None, &[], 1001),
        (&short, Some(500), &[], 501),
        (&short, Some(5000), &[Validity::Now], 1001),
        (&long, None, &[Validity::Seconds(700)], 700),
        (&long, None, &[Validity::Expired, Validity::Seconds(700)], 700),
        // A CRL that comes into force earlier may revoke the certificate.
        (&long, None, &[Validity::Now, Validity::NotYet], 24 * 3600),
        (&short, Some(500), &[Validity::Seconds(700)], 501),
    ];
    for (number, (leaf, root, lists, expected)) in cases.into_iter().enumerate() {
        let lists: Vec<_> = lists.iter().map(|validity| list(*validity)).collect();
        let mut trust = trust(&[ca.pem()], &lists.iter().map(String::as_str).collect::<Vec<_>>());
        if let Some(root) = root {
            trust.cas[0].not_after = now + root;
        }
        let found = end(&trust, leaf.cert_pem(), &[]);
        assert!(about(found, expected), "case {number}: {found}, not {expected}");
    }

    // For a root that was renewed with the same key, the later expiry time counts.
    let mut renewed = trust(&[ca.pem(), ca.pem()], &[]);
    (renewed.cas[0].not_after, renewed.cas[1].not_after) = (now + 300, now + 400);
    assert!(about(end(&renewed, short.cert_pem(), &[]), 401));

    let folder = tempfile::tempdir().unwrap();
    let openssl = |line: &str| {
        let output = Command::new("openssl").current_dir(&folder).args(line.split(' ')).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    openssl(&format!("req -x509 {key} -days 30 -subj /CN=root -keyout root.key -out root.pem"));
    let by = |issuer: &str| format!("-CA {issuer}.pem -CAkey {issuer}.key");
    openssl(&format!("req -x509 {key} -days 5 -subj /CN=middle {} -keyout middle.key -out middle.pem", by("root")));
    let leaf = "-addext basicConstraints=CA:FALSE -keyout leaf.key -out leaf.pem";
    openssl(&format!("req -x509 {key} -days 20 -subj /CN=leaf {} {leaf}", by("middle")));
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    let chained = trust(&[&read("root.pem")], &[]);
    let found = end(&chained, &read("leaf.pem"), &[der(&read("middle.pem"))]);
    assert!(about(found, 5 * 24 * 3600 + 1), "the intermediate's: {found}");
    let itself = end(&chained, &read("root.pem"), &[]);
    assert!(about(itself, 30 * 24 * 3600 + 1), "as it stands: {itself}");
}

/// Certificates made by `openssl req -x509`, the most common self-made kind, have `CA:TRUE`.
#[test]
fn a_self_signed_certificate_of_the_ca_file_is_trusted_as_it_stands() {
    let folder = tempfile::tempdir().unwrap();
    let made = |extensions: &[&str]| {
        let request = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -subj /CN=self";
        let extensions = extensions.iter().flat_map(|extension| ["-addext", extension]);
        let mut command = Command::new("openssl");
        command.current_dir(&folder).args(request.split(' ')).args(["-keyout", "key"]).args(extensions);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let openssl = |certificate: &str, purpose: &str| {
        let file = folder.path().join("certificate");
        std::fs::write(&file, certificate).unwrap();
        let mut command = Command::new("openssl");
        command.args(["verify", "-no-CApath", "-no-CAstore", "-purpose", purpose, "-CAfile"]).arg(&file).arg(&file);
        command.output().unwrap().status.success()
    };
    let rows: [(&[&str], bool, bool); 6] = [
        (&[], true, true),
        (&["subjectAltName=DNS:localhost"], true, true),
        (&["extendedKeyUsage=serverAuth"], false, true),
        (&["extendedKeyUsage=clientAuth"], true, false),
        (&["keyUsage=critical,keyCertSign,cRLSign"], false, false),
        (&["keyUsage=critical,digitalSignature,keyCertSign"], true, true),
    ];
    for (extensions, client, server) in rows {
        let certificate = made(extensions);
        let trust = trust(&[&certificate], &[]);
        for (peer, purpose, expected) in
            [(PeerRole::Client, "sslclient", client), (PeerRole::Server, "sslserver", server)]
        {
            assert_eq!(openssl(&certificate, purpose), expected, "OpenSSL: {extensions:?} {purpose}");
            assert_eq!(verdict(&trust, &certificate, peer) == "ok", expected, "{extensions:?} {purpose}");
        }
    }
    // Another certificate of the same name is not trusted, and revocation is checked for trusted ones too.
    let (ours, other) = (made(&[]), made(&[]));
    assert_ne!(verdict(&trust(&[&ours], &[]), &other, PeerRole::Client), "ok");
    let list = Authority::new("CA").unwrap().revoke(&[], Validity::Now).unwrap();
    let verdict = verdict(&trust(&[&ours], &[&list]), &ours, PeerRole::Client);
    assert!(verdict.contains("no CRL of its issuer"), "{verdict}");
}

#[test]
fn a_chain_is_bounded_before_it_is_built() {
    let ca = Authority::new("CA").unwrap();
    let stranger = Authority::new("CA").unwrap();
    let leaf = stranger.issue(&Request::client("leaf")).unwrap();
    let trust = trust(&[ca.pem()], &[]);
    for count in [1, 3, 4, 5, 8, 100] {
        let chain: Vec<_> = (0..count).map(|_| der(Authority::new("CA").unwrap().pem())).collect();
        let error = trust.verify(&der(leaf.cert_pem()), &chain, PeerRole::Client, UnixTime::now()).unwrap_err();
        assert_eq!(explain(&error).contains("more than 4 intermediate"), count > 4, "{error:?}");
    }
}

mod chains;
mod costs;
mod handshake_costs;
