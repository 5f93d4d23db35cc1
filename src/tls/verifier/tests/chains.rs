//! Chains and revocation lists made by OpenSSL. For CA files, most verdicts are compared with OpenSSL's.

use std::process::Command;

use super::{CaCertificate, ChainVerifier, CrlSet, PeerRole, der};
use crate::tls::errors::explain::explain;
use crate::tls::pem::PemItem;
use crate::tls::provider::provider;
use crate::tls::verifier::ca::apply_issuer_limits;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateRevocationListDer, UnixTime};
use std::sync::Arc;

/// Makes a root, CAs below it and leaves; and CRLs of the root and of a CA that is in no CA file, with and without the
/// extensions that distinguish CRLs.
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
issue reasons root 'extendedKeyUsage=clientAuth\ncrlDistributionPoints=at\n[at]\nfullname=URI:http://crl.test/2\nreasons=keyCompromise'
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
    let verdict = |trust: &ChainVerifier, leaf: &str, chain: &[&str]| {
        let chain: Vec<_> = chain.iter().map(|name| der(&read(&format!("{name}.pem")))).collect();
        match trust.verify(&der(&read(&format!("{leaf}.pem"))), &chain, PeerRole::Client, UnixTime::now()) {
            Ok(_) => "ok".to_owned(),
            Err(error) => explain(&error),
        }
    };
    let trust = |lists: &[&str]| of(&[read("root.pem")], lists.iter().map(|name| read(&format!("{name}.crl"))), |_| {});
    let rows: [(&[&str], &str, &[&str], &str); 16] = [
        (&[], "leaf", &[], "ok"),
        (&[], "enciphers", &[], "its key usage or extended key usage does not allow this use"),
        (&[], "ofsub", &["sub"], "ok"),
        (&[], "ofnosign", &["nosign"], "a certificate above it is not a CA certificate"),
        // The key of a CA that is in no CA file counts as one key, whatever its CRLs say about it.
        (&["subold"], "ofsub", &["sub"], "ok"),
        (&["subold", "subnew"], "ofsub", &["sub"], "it is revoked"),
        (&["subnew", "subold"], "ofsub", &["sub"], "it is revoked"),
        (&["nolist"], "ofnolist", &["nolist"], "does not allow signing CRLs"),
        // The CRL of a distribution point does not cover a certificate that names none.
        (&["point"], "leaf", &[], "has no CRL of its issuer"),
        (&["point", "full"], "leaf", &[], "it is revoked"),
        (&["full", "point"], "leaf", &[], "it is revoked"),
        // A CRL does not cover a certificate whose distribution points are limited to some revocation reasons.
        (&[], "reasons", &[], "ok"),
        (&["first"], "reasons", &[], "has no CRL of its issuer"),
        // At the same `thisUpdate`, the higher CRL number is used.
        (&["first", "second"], "leaf", &[], "it is revoked"),
        (&["second", "first"], "leaf", &[], "it is revoked"),
        (&["first"], "leaf", &[], "ok"),
    ];
    for (lists, leaf, chain, expected) in rows {
        let said = verdict(&trust(lists), leaf, chain);
        assert!(said.contains(expected), "{lists:?}, {leaf}: expected {expected}: {said}");
    }

    // A CA whose issuer is in the same file is not a root: the validity and usage of the issuer apply.
    let both = [read("root.pem"), read("sub.pem")];
    for chain in [&[][..], &["sub"]] {
        assert_eq!(verdict(&of(&both, [].into_iter(), |_| {}), "ofsub", chain), "ok");
        let over = |cas: &mut Vec<CaCertificate>| cas[0].not_after = 1_700_000_000;
        let said = verdict(&of(&both, [].into_iter(), over), "ofsub", chain);
        assert!(said.contains("the CA that signed it has expired"), "{chain:?}: {said}");
    }
}

/// Makes CAs of many kinds, among them: an intermediate and one below it; a root cross-signed by another; a root with a
/// new key signed by its old key, and the reverse; an expired root with the same key as a newer one; a CA signed with
/// SHA-1.
const MAKE_CAS: &str = r#"
set -e
key() { openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out $1.key 2>/dev/null; }
sign() { # name, issuer, subject, extensions, options
    openssl req -new -key $1.key -subj $3 -out $1.csr
    printf "$4
" > $1.ext
    openssl x509 -req -in $1.csr -CA $2.pem -CAkey $2.key -CAcreateserial -days 30 -extfile $1.ext $5 -out $1.pem 2>/dev/null
}
issue() { key $1; sign $1 $2 /CN=$1 "$3" "$4"; }
root() { key $1; openssl req -x509 -new -key $1.key -subj /CN=$2 -days 30 -out $1.pem; }
ca='basicConstraints=critical,CA:TRUE'
root root root; root other other; root new root; root self self
issue sub root $ca; issue subsub sub $ca; issue old root $ca -sha1
cp root.key cross.key; sign cross other /CN=root $ca
cp new.key newbyold.key; sign newbyold root /CN=root $ca
cp root.key oldbynew.key; sign oldbynew new /CN=root $ca
cp root.key expired.key
openssl x509 -in root.pem -signkey root.key -days -1 -out expired.pem 2>/dev/null
printf '[req]\nstring_mask=nombstr\ndistinguished_name=d\n[d]\n' > req.cnf
cp root.key alias.key; openssl req -x509 -new -config req.cnf -key root.key -subj /CN=ROOT -addext subjectKeyIdentifier=hash -days 30 -out alias.pem
issue crit root 'basicConstraints=critical,CA:TRUE\n1.2.3.4=critical,ASN1:NULL'; issue nobasic root keyUsage=keyCertSign
issue dns root 'basicConstraints=critical,CA:TRUE\nnameConstraints=critical,permitted;DNS:a.test'
client=extendedKeyUsage=clientAuth
for name in a.test x.a.test b.test app; do key $name; sign $name dns /CN=$name $client; done
issue nsserver root nsCertType=server; issue nsclient root nsCertType=client
key selfissued; sign selfissued root /CN=root authorityKeyIdentifier=none
key otherkid; sign otherkid root /CN=otherkid authorityKeyIdentifier=DER:30:06:80:04:01:02:03:04
key p224root; openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-224 -out p224root.key 2>/dev/null
openssl req -x509 -new -key p224root.key -subj /CN=p224root -days 30 -out p224root.pem; issue ofp224 p224root $client
for name in crit nobasic root sub subsub new old alias; do issue of$name $name extendedKeyUsage=clientAuth; done
"#;

#[test]
fn a_ca_file_counts_from_its_roots_as_in_openssl() {
    let folder = tempfile::tempdir().unwrap();
    let made = Command::new("sh").args(["-c", MAKE_CAS]).current_dir(folder.path()).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let read = |name: &str| std::fs::read_to_string(folder.path().join(format!("{name}.pem"))).unwrap();
    let openssl = |cas: &[String], leaf: &str, chain: &[&str]| {
        std::fs::write(folder.path().join("cas"), cas.concat()).unwrap();
        std::fs::write(folder.path().join("chain"), chain.iter().map(|name| read(name)).collect::<String>()).unwrap();
        let mut command = Command::new("openssl");
        command.current_dir(folder.path()).args(["verify", "-no-CApath", "-no-CAstore", "-purpose", "sslclient"]);
        command.args(["-auth_level", "0", "-CAfile", "cas"]);
        command.args((!chain.is_empty()).then_some(["-untrusted", "chain"]).into_iter().flatten());
        command.arg(format!("{leaf}.pem"));
        command.output().unwrap().status.success()
    };
    let no_root = "an intermediate whose root is not in the CA file";
    let rows: [(&[&str], &str, &[&str], &str); 38] = [
        (&["root", "crit"], "ofcrit", &[], "has a critical extension"),
        (&["root", "nobasic"], "ofnobasic", &[], "not allowed to issue certificates"),
        (&["root", "dns"], "a.test", &[], "ok"),
        (&["root", "dns"], "x.a.test", &[], "ok"),
        (&["root", "dns"], "b.test", &[], "name constraints"),
        (&["root"], "b.test", &["dns"], "name constraints"),
        (&["root", "dns"], "app", &[], "ok"),
        (&["root"], "nsserver", &[], "its key usage or extended key usage does not allow this use"),
        (&["root"], "nsclient", &[], "ok"),
        (&["root"], "selfissued", &[], "its subject equals its issuer"),
        (&["root"], "otherkid", &[], "not signed by a CA"),
        (&["sub"], "ofsub", &[], no_root),
        (&["sub"], "ofsub", &["sub"], no_root),
        (&["sub"], "ofsub", &["sub", "root"], no_root),
        (&["sub", "other"], "ofsub", &["sub"], no_root),
        (&["sub", "root"], "ofsub", &[], "ok"),
        (&["root", "sub"], "ofsub", &["sub"], "ok"),
        (&["root"], "ofsub", &["sub"], "ok"),
        (&["root", "subsub"], "ofsubsub", &[], no_root),
        (&["root", "sub"], "ofsubsub", &["subsub"], "ok"),
        (&["root", "subsub", "sub"], "ofsubsub", &[], "ok"),
        // Two certificates of one CA: self-signed, and signed by another CA.
        (&["root", "cross"], "ofroot", &[], "ok"),
        (&["cross"], "ofroot", &[], no_root),
        (&["cross", "other"], "ofroot", &[], "ok"),
        (&["cross", "other", "root"], "ofroot", &[], "ok"),
        // Cross-signed certificates between two keys of one CA.
        (&["newbyold"], "ofnew", &[], no_root),
        (&["newbyold", "root"], "ofnew", &[], "ok"),
        (&["root", "newbyold"], "ofroot", &[], "ok"),
        (&["root"], "ofnew", &["newbyold"], "ok"),
        (&["oldbynew", "newbyold"], "ofnew", &[], no_root),
        (&["new", "oldbynew"], "ofroot", &[], "ok"),
        (&["expired", "root"], "ofroot", &[], "ok"),
        (&["root", "expired"], "ofsub", &["sub"], "ok"),
        (&["expired"], "ofroot", &[], "the CA that signed it has expired"),
        (&["sub", "expired"], "ofsub", &[], "expired"),
        (&["ofsub"], "ofsub", &[], "not signed by a CA"),
        (&["self"], "self", &[], "ok"),
        // SHA-1 signatures are never accepted. Within the CA file, names and key identifiers decide.
        (&["root", "old"], "ofold", &[], "ok"),
    ];
    for (cas, leaf, chain, expected) in rows {
        let files: Vec<_> = cas.iter().map(|name| read(name)).collect();
        let trust = of(&files, [].into_iter(), |_| {});
        let peers: Vec<_> = chain.iter().map(|name| der(&read(name))).collect();
        let said = match trust.verify(&der(&read(leaf)), &peers, PeerRole::Client, UnixTime::now()) {
            Ok(_) => "ok".to_owned(),
            Err(error) => explain(&error),
        };
        assert!(said.contains(expected), "{cas:?}, {leaf} {chain:?}: expected {expected}: {said}");
        assert_eq!(openssl(&files, leaf, chain), expected == "ok", "OpenSSL: {cas:?}, {leaf} {chain:?}");
    }
    let trust = of(&[read("p224root")], [].into_iter(), |_| {});
    let error = trust.verify(&der(&read("ofp224")), &[], PeerRole::Client, UnixTime::now()).unwrap_err();
    assert!(explain(&error).contains("signature algorithm or key that is not supported"), "{error:?}");
    // The leaf encodes the issuer name in other bytes than the CA's own certificate.
    let files = ["root"].map(read);
    assert!(openssl(&files, "ofalias", &[]));
    let trust = of(&files, [].into_iter(), |_| {});
    let error = trust.verify(&der(&read("ofalias")), &[], PeerRole::Client, UnixTime::now()).unwrap_err();
    assert!(explain(&error).contains("differ in string type, case or spaces"), "{error:?}");
    // OpenSSL uses only the first certificate with a given name and key. Here the order does not matter.
    let files = ["cross", "root"].map(read);
    let trust = of(&files, [].into_iter(), |_| {});
    assert!(trust.verify(&der(&read("ofroot")), &[], PeerRole::Client, UnixTime::now()).is_ok());
}

fn of(
    cas: &[String],
    lists: impl Iterator<Item = String>,
    change: impl FnOnce(&mut Vec<CaCertificate>),
) -> ChainVerifier {
    let algorithms = provider().signature_verification_algorithms;
    let mut cas: Vec<_> =
        cas.iter().map(|pem| CaCertificate::new(PemItem { line: 1, der: der(pem) }, &algorithms).unwrap()).collect();
    change(&mut cas);
    apply_issuer_limits(&mut cas, &algorithms);
    let lists: Vec<_> = lists
        .map(|pem| PemItem { line: 1, der: CertificateRevocationListDer::from_pem_slice(pem.as_bytes()).unwrap() })
        .collect();
    let known: Vec<&[u8]> = cas.iter().map(|ca| ca.der.as_ref()).collect();
    let crls = CrlSet::new(&lists, &known, &algorithms).unwrap();
    ChainVerifier::new(cas, Arc::new(crls), algorithms)
}
