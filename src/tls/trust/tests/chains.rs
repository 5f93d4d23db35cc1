//! Chains and revocation lists of OpenSSL's own making, which its verifier judges so too.

use std::process::Command;

use super::{Ca, Crls, Peer, Trust, der};
use crate::tls::ca::judge_by_issuers;
use crate::tls::pem::Found;
use crate::tls::provider;
use crate::tls::reason::explain;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateRevocationListDer, UnixTime};
use std::sync::Arc;

/// A root, CAs below it and leaves; lists of the root and of a CA that is in no CA file, with and without the extensions
/// by which lists are told apart.
const MAKE: &str = r#"
set -e
key() { openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out $1.key 2>/dev/null; }
issue() { # name, issuer, extensions
    key $1; openssl req -new -key $1.key -subj /CN=$1 -out $1.csr
    printf "$3\n" > $1.ext
    openssl x509 -req -in $1.csr -CA $2.pem -CAkey $2.key -CAcreateserial -days 30 -extfile $1.ext -out $1.pem 2>/dev/null
}
key root; openssl req -x509 -new -key root.key -subj /CN=root -days 30 -out root.pem
issue sub root 'basicConstraints=critical,CA:TRUE'
issue nosign root 'basicConstraints=critical,CA:TRUE\nkeyUsage=cRLSign'
issue nolist root 'basicConstraints=critical,CA:TRUE\nkeyUsage=keyCertSign'
issue leaf root 'extendedKeyUsage=clientAuth'
issue enciphers root 'extendedKeyUsage=clientAuth\nkeyUsage=keyEncipherment'
issue ofsub sub 'extendedKeyUsage=clientAuth'
issue ofnosign nosign 'extendedKeyUsage=clientAuth'
issue ofnolist nolist 'extendedKeyUsage=clientAuth'
cat > ca.cnf <<CNF
[ca]
default_ca=d
[d]
database=index
crlnumber=number
default_md=sha256
[aki]
authorityKeyIdentifier=keyid
[point]
issuingDistributionPoint=critical,@where
[where]
fullname=URI:http://crl.test/1
CNF
list() { # file, issuer, number, begin, revoked, extensions
    : > index; printf '%s\n' $3 > number
    if [ -n "$5" ]; then openssl ca -config ca.cnf -cert $2.pem -keyfile $2.key -revoke $5.pem 2>/dev/null; fi
    openssl ca -config ca.cnf -cert $2.pem -keyfile $2.key -gencrl ${6:+-crlexts $6} \
        -crl_lastupdate $4 -crl_nextupdate 20991231000000Z -out $1.crl 2>/dev/null
}
list subold sub 01 20260101000000Z '' ''
list subnew sub 02 20260201000000Z ofsub aki
list full root 01 20260101000000Z leaf ''
list point root 02 20260201000000Z '' point
list first root 01 20260101000000Z '' ''
list second root 02 20260101000000Z leaf ''
list nolist nolist 01 20260101000000Z '' ''
"#;

#[test]
fn chains_and_lists_are_judged_as_openssl_judges_them() {
    let folder = tempfile::tempdir().unwrap();
    let made = Command::new("sh").args(["-c", MAKE]).current_dir(folder.path()).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    let verdict = |trust: &Trust, leaf: &str, chain: &[&str]| {
        let chain: Vec<_> = chain.iter().map(|name| der(&read(&format!("{name}.pem")))).collect();
        match trust.verify(&der(&read(&format!("{leaf}.pem"))), &chain, Peer::Client, UnixTime::now()) {
            Ok(_) => "ok".to_owned(),
            Err(error) => explain(&error),
        }
    };
    let trust = |lists: &[&str]| of(&[read("root.pem")], lists.iter().map(|name| read(&format!("{name}.crl"))), |_| {});
    let rows: [(&[&str], &str, &[&str], &str); 14] = [
        (&[], "leaf", &[], "ok"),
        (&[], "enciphers", &[], "its key usage does not allow it"),
        (&[], "ofsub", &["sub"], "ok"),
        (&[], "ofnosign", &["nosign"], "a certificate above it is no CA's"),
        // A key that is in no CA file is one key, whatever its lists say of it.
        (&["subold"], "ofsub", &["sub"], "ok"),
        (&["subold", "subnew"], "ofsub", &["sub"], "it is revoked"),
        (&["subnew", "subold"], "ofsub", &["sub"], "it is revoked"),
        (&["nolist"], "ofnolist", &["nolist"], "does not allow the signing of CRLs"),
        // A list of a distribution point says nothing of a certificate that names none.
        (&["point"], "leaf", &[], "has no CRL of its issuer"),
        (&["point", "full"], "leaf", &[], "it is revoked"),
        (&["full", "point"], "leaf", &[], "it is revoked"),
        // Of the same time, the higher number counts.
        (&["first", "second"], "leaf", &[], "it is revoked"),
        (&["second", "first"], "leaf", &[], "it is revoked"),
        (&["first"], "leaf", &[], "ok"),
    ];
    for (lists, leaf, chain, expected) in rows {
        let said = verdict(&trust(lists), leaf, chain);
        assert!(said.contains(expected), "{lists:?}, {leaf}: expected {expected}: {said}");
    }

    // A CA that is in the file beside its own issuer is no root: the issuer's dates and uses count.
    let both = [read("root.pem"), read("sub.pem")];
    for chain in [&[][..], &["sub"]] {
        assert_eq!(verdict(&of(&both, [].into_iter(), |_| {}), "ofsub", chain), "ok");
        let over = |cas: &mut Vec<Ca>| cas[0].not_after = 1_700_000_000;
        let said = verdict(&of(&both, [].into_iter(), over), "ofsub", chain);
        assert!(said.contains("the CA that has signed it has expired"), "{chain:?}: {said}");
    }
}

fn of(cas: &[String], lists: impl Iterator<Item = String>, change: impl FnOnce(&mut Vec<Ca>)) -> Trust {
    let algorithms = provider().signature_verification_algorithms;
    let mut cas: Vec<_> =
        cas.iter().map(|pem| Ca::new(Found { line: 1, der: der(pem) }, &algorithms).unwrap()).collect();
    change(&mut cas);
    judge_by_issuers(&mut cas, &algorithms);
    let lists: Vec<_> = lists
        .map(|pem| Found { line: 1, der: CertificateRevocationListDer::from_pem_slice(pem.as_bytes()).unwrap() })
        .collect();
    let known: Vec<&[u8]> = cas.iter().map(|ca| ca.der.as_ref()).collect();
    let crls = Crls::new(&lists, &known, &algorithms).unwrap();
    Trust::new(cas, Arc::new(crls), algorithms)
}
