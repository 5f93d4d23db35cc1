//! Revocation lists made by OpenSSL, several at a time: which clients they admit at the data port and at the admin
//! port, compared with a mongod that has the same files.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::support::openssl::{run, s_client};
use crate::support::proxy::run_to_end;
use crate::support::service::SOON;
use crate::support::{Mongod, Proxy, Scratch, admin, cert, mongod, parts, require, require_command};

/// A CA managed by `openssl ca`, with two clients. It can revoke one of them.
struct Ca {
    folder: Scratch,
}

impl Ca {
    /// All CAs have the same name and different keys.
    fn new() -> Ca {
        let folder = Scratch::new("openssl-crl");
        let write = |name: &str, text: &str| fs::write(folder.join(name), text).unwrap();
        let ca = "[ca]\ndefault_ca = a\n[a]\ndatabase = index\nnew_certs_dir = .\nserial = serial\ncertificate = ca.pem\n\
            private_key = key\ndefault_md = sha256\ndefault_days = 30\ndefault_crl_days = 30\npolicy = p\n\
            x509_extensions = x\n";
        let key = "authorityKeyIdentifier = keyid:always\n";
        let rest = format!("[p]\ncommonName = supplied\n[x]\nextendedKeyUsage = clientAuth\n{key}[c]\n{key}");
        write("without-number", &format!("{ca}{rest}"));
        write("cnf", &format!("{ca}crlnumber = crlnumber\ncrl_extensions = c\n{rest}"));
        write("index", "");
        write("serial", "1000\n");
        write("crlnumber", "01\n");
        let new = Ca { folder };
        let ec = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
        new.openssl(&format!(
            "req -x509 {ec} -days 30 -subj /CN=root -addext keyUsage=critical,keyCertSign,cRLSign -keyout key -out ca.pem"
        ));
        for name in ["good", "bad"] {
            new.openssl(&format!("req -new {ec} -subj /CN={name} -keyout {name}.key -out {name}.csr"));
            new.openssl(&format!("ca -batch -notext -config cnf -in {name}.csr -out {name}.crt"));
            let both = ["crt", "key"].map(|end| fs::read_to_string(new.path(&format!("{name}.{end}"))).unwrap());
            fs::write(new.path(&format!("{name}.pem")), both.concat()).unwrap();
        }
        new
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn openssl(&self, line: &str) {
        run(Some(self.folder.path()), &line.split_whitespace().collect::<Vec<_>>());
    }

    fn revoke_bad(&self) {
        self.openssl("ca -config cnf -revoke bad.crt");
    }

    /// A CRL of the certificates revoked so far. The dates are in OpenSSL's format.
    fn list(&self, from: &str, to: &str) -> String {
        self.openssl(&format!("ca -config cnf -gencrl -crl_lastupdate {from} -crl_nextupdate {to} -out crl"));
        fs::read_to_string(self.path("crl")).unwrap()
    }
}

const PAST: &str = "20200101000000Z";
const LATER: &str = "20210101000000Z";
const LAST: &str = "20220101000000Z";
const FUTURE: &str = "20900101000000Z";
const END: &str = "20950101000000Z";

/// Whether a client completes a TLS 1.2 handshake, during which the server verifies its certificate.
fn is_let_in(address: SocketAddr, client: &Path) -> bool {
    s_client(address, &["-tls1_2", "-cert", &client.to_string_lossy(), "-servername", "localhost"]).status.success()
}

/// mongod completes the handshake with every client, and then closes the connections of those it refuses; its log has
/// the reason.
fn is_let_in_by(mongod: &Mongod, client: &Path) -> bool {
    let mark = mongod.log().mark();
    let _ = is_let_in(mongod.address().parse().unwrap(), client);
    mongod.log().wait(mark, SOON, |line| line["msg"] == "Connection ended").unwrap_or_else(|why| panic!("{why}"));
    let refused = |line: &serde_json::Value| {
        line["attr"]["error"]["errmsg"].as_str().is_some_and(|said| said.contains("ertificate"))
    };
    !mongod.log().objects(mark).iter().any(refused)
}

#[test]
fn the_newest_list_that_is_valid_counts_at_every_port() {
    require_command!("openssl");
    require!(parts::mongod());
    let (ca, twin) = (Ca::new(), Ca::new());
    // The lists differ in what was revoked when they were made.
    let (old, expired) = (ca.list(PAST, END), ca.list(PAST, LATER));
    let future_empty = ca.list(FUTURE, END);
    ca.revoke_bad();
    let (new, newer_expired) = (ca.list(LATER, END), ca.list(LATER, LAST));
    let future = ca.list(FUTURE, END);
    let of_twin = twin.list(LAST, END);
    let one = fs::read_to_string(ca.path("ca.pem")).unwrap();
    let both = one.clone() + &fs::read_to_string(twin.path("ca.pem")).unwrap();
    let rows = [
        ("old, then new", &one, [&*old, &new].concat(), [true, false, false]),
        ("new, then old", &one, [&*new, &old].concat(), [true, false, false]),
        ("expired, then current", &one, [&*expired, &new].concat(), [true, false, false]),
        ("current, then expired", &one, [&*new, &expired].concat(), [true, false, false]),
        ("current, then newer and expired", &one, [&*old, &newer_expired].concat(), [true, true, false]),
        ("expired", &one, newer_expired.clone(), [false, false, false]),
        ("future", &one, future.clone(), [false, false, false]),
        ("current, then future", &one, [&*old, &future].concat(), [true, true, false]),
        ("future, then current", &one, [&*future_empty, &new].concat(), [true, false, false]),
        ("two CAs of one name", &both, [&*new, &of_twin].concat(), [true, false, true]),
        ("two CAs of one name, the other way", &both, [&*of_twin, &new].concat(), [true, false, true]),
        ("two CAs of one name, one list", &both, new.clone(), [true, false, false]),
    ];
    let clients = [ca.path("good.pem"), ca.path("bad.pem"), twin.path("good.pem")];
    let folder = Scratch::new("crls");
    let (ca_file, crl_file) = (folder.join("ca.pem"), folder.join("crl.pem"));
    let (ca_path, crl_path) = (ca_file.to_string_lossy().into_owned(), crl_file.to_string_lossy().into_owned());
    for (name, cas, lists, expected) in rows {
        fs::write(&ca_file, cas).unwrap();
        fs::write(&crl_file, lists).unwrap();
        let route = ["--port", "0", "--upstream", "127.0.0.1:9", "--upstreamTLS", "never", "--sslMode", "requireSSL"];
        let admin = ["--adminBind", "0.0.0.0:0", "--adminAllow", "CN=good", "--adminAllow", "CN=bad"];
        let key = cert("server.pem");
        let files = ["--sslPEMKeyFile", &key, "--sslCAFile", &ca_path, "--sslCRLFile", &crl_path];
        let proxy = Proxy::start([&route[..], &admin, &files].concat());
        let admin = SocketAddr::from(([127, 0, 0, 1], proxy.address("admin").port()));
        let tls = mongod::Tls { mode: "requireTLS", certificate_key_file: key.clone(), ca_file: Some(ca_path.clone()) };
        let args = vec!["--tlsCRLFile".to_owned(), crl_path.clone()];
        let mongod = Mongod::start(&mongod::Options { tls: Some(tls), args, ..mongod::Options::default() });
        for (port, address) in [("data", proxy.address("inbound")), ("admin", admin)] {
            let let_in = [0, 1, 2].map(|client: usize| is_let_in(address, &clients[client]));
            assert_eq!(let_in, expected, "{name}: {port}");
        }
        let let_in = [0, 1, 2].map(|client: usize| is_let_in_by(&mongod, &clients[client]));
        assert_eq!(let_in, expected, "{name}: mongod");
        // In TLS 1.3, the verdict comes after the client has completed its handshake, so it is read from the record.
        for (client, expected) in clients.iter().zip(expected) {
            let mark = proxy.mark();
            let client = client.to_string_lossy();
            s_client(proxy.address("inbound"), &["-tls1_3", "-cert", &client, "-servername", "localhost"]);
            let record = proxy.wait_record(mark, |record| record["tls_version"] != "TLS1.2", SOON);
            assert_eq!(record["outcome"] != "client_certificate_refused", expected, "{name}: {client}: {record}");
        }
    }
}

/// mongod accepts such lists; tlsramp's error says how to make a usable one.
#[test]
fn a_list_without_a_number_is_refused_in_words() {
    require_command!("openssl");
    let ca = Ca::new();
    ca.openssl("ca -config without-number -gencrl -out crl.pem");
    let shown = run(Some(ca.folder.path()), &["crl", "-in", "crl.pem", "-noout", "-text"]);
    assert!(shown.contains("Version 1"), "{shown}");
    let (crl, ca_file, key) = (ca.path("crl.pem"), ca.path("ca.pem"), cert("server.pem"));
    let (crl, ca_file) = (crl.to_string_lossy(), ca_file.to_string_lossy());
    let route = ["--port", "0", "--upstream", "127.0.0.1:9", "--sslMode", "allowSSL"];
    let files = ["--sslPEMKeyFile", &key, "--sslCAFile", &ca_file, "--sslCRLFile", &crl];
    let checked = run_to_end(["check"].iter().chain(&route).chain(&files));
    let said = String::from_utf8([checked.stdout, checked.stderr].concat()).unwrap();
    assert_eq!(checked.status.code(), Some(2), "{said}");
    for part in ["crl.pem", "line 1", "version 1", "crlnumber = FILE", "openssl ca -gencrl"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    // Follows the remedy in the error.
    ca.openssl("ca -config cnf -gencrl -out crl.pem");
    assert_eq!(run_to_end(["check"].iter().chain(&route).chain(&files)).status.code(), Some(0));
}

fn check(ca: &Ca, crl: &str) -> (Option<i32>, String) {
    let (crl, ca_file, key) = (ca.path(crl), ca.path("ca.pem"), cert("server.pem"));
    let (crl, ca_file) = (crl.to_string_lossy(), ca_file.to_string_lossy());
    let route = ["--port", "0", "--upstream", "127.0.0.1:9", "--sslMode", "allowSSL"];
    let files = ["--sslPEMKeyFile", &key, "--sslCAFile", &ca_file, "--sslCRLFile", &crl];
    let checked = run_to_end(["check"].iter().chain(&route).chain(&files));
    (checked.status.code(), String::from_utf8([checked.stdout, checked.stderr].concat()).unwrap())
}

/// Whether a mongod with this list admits the client that is not revoked, and the one that is.
fn mongod_lets_in(ca: &Ca, crl: &str) -> [bool; 2] {
    let path = |name: &str| ca.path(name).to_string_lossy().into_owned();
    let tls =
        mongod::Tls { mode: "requireTLS", certificate_key_file: cert("server.pem"), ca_file: Some(path("ca.pem")) };
    let args = vec!["--tlsCRLFile".to_owned(), path(crl)];
    let mongod = Mongod::start(&mongod::Options { tls: Some(tls), args, ..mongod::Options::default() });
    ["good.pem", "bad.pem"].map(|client| is_let_in_by(&mongod, &ca.path(client)))
}

/// mongod accepts some of these lists. It also starts with the others, but then refuses all clients.
#[test]
fn lists_that_are_not_supported_are_refused_in_words() {
    require_command!("openssl");
    require!(parts::mongod());
    let ca = Ca::new();
    ca.revoke_bad();
    let point = |content: &str| format!("issuingDistributionPoint = critical,@point\n[point]\n{content}\n");
    let rows = [
        ("delta", "2.5.29.27 = critical,ASN1:INTEGER:1\n".to_owned(), "is a delta CRL", [true, false]),
        ("indirect", point("indirectCRL = TRUE"), "is an indirect CRL", [false, false]),
        ("users", point("onlyuser = TRUE"), "onlyContainsUserCerts alone", [true, false]),
        ("cas", point("onlyCA = TRUE"), "issuingDistributionPoint without a fullname", [false, false]),
        ("attributes", point("onlyAA = TRUE"), "covers attribute certificates only", [false, false]),
        ("reasons", point("onlysomereasons = keyCompromise"), "covers some revocation reasons only", [false, false]),
        ("critical", "1.2.3.4 = critical,ASN1:UTF8:x\n".to_owned(), "a critical extension", [false, false]),
        ("empty", String::new(), "has no extensions", [true, false]),
    ];
    for (kind, extensions, words, let_in) in rows {
        let numbered = kind != "empty";
        let base = fs::read_to_string(ca.path("cnf")).unwrap();
        let base = if numbered { base } else { base.replace("crlnumber = crlnumber\n", "") };
        fs::write(ca.path("kind.cnf"), format!("{base}[kind]\n{extensions}")).unwrap();
        ca.openssl("ca -config kind.cnf -gencrl -crlexts kind -out kind.pem");
        let (code, said) = check(&ca, "kind.pem");
        assert_eq!(code, Some(2), "{kind}: {said}");
        for part in ["kind.pem", "line 1: the revocation list", words] {
            assert!(said.contains(part), "{kind}: {part}: {said}");
        }
        assert!(!said.contains("Unsupported") && !said.contains("Malformed"), "{kind}: {said}");
        assert_eq!(mongod_lets_in(&ca, "kind.pem"), let_in, "{kind}: mongod");
    }
}

/// OpenSSL considers the names equal. webpki does not, so the list would apply to no CA.
#[test]
fn a_list_whose_issuer_is_written_otherwise_is_refused_in_words() {
    require_command!("openssl");
    require!(parts::mongod());
    let ca = Ca::new();
    ca.revoke_bad();
    for (subject, mask) in [("/CN=root", "nombstr"), ("/CN=ROOT", "utf8only")] {
        fs::write(ca.path("req.cnf"), format!("[req]\nstring_mask = {mask}\ndistinguished_name = d\n[d]\n")).unwrap();
        ca.openssl(&format!("req -x509 -config req.cnf -days 30 -key key -subj {subject} -addext subjectKeyIdentifier=hash -out alias.pem"));
        ca.openssl("ca -config cnf -gencrl -cert alias.pem -out alias-crl.pem");
        let (code, said) = check(&ca, "alias-crl.pem");
        assert_eq!(code, Some(2), "{subject} {mask}: {said}");
        for part in [
            "line 1: the revocation list was issued by CN=",
            "CA CN=root in the CA file encodes that name with other string types",
        ] {
            assert!(said.contains(part), "{subject} {mask}: {part}: {said}");
        }
        assert_eq!(mongod_lets_in(&ca, "alias-crl.pem"), [true, false], "{subject} {mask}: mongod");
    }
}

/// A list that no CA of the file has signed: it has no effect, here and in mongod, and a warning says so.
#[test]
fn a_list_of_another_ca_is_warned_about() {
    require_command!("openssl");
    require!(parts::mongod());
    let (ca, twin) = (Ca::new(), Ca::new());
    let ec = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    twin.openssl(&format!("req -x509 {ec} -days 30 -subj /CN=other -keyout other.key -out other.pem"));
    twin.openssl("ca -config cnf -gencrl -cert other.pem -keyfile other.key -out other-crl.pem");
    twin.openssl("ca -config cnf -gencrl -out twin-crl.pem");
    let rows = [
        ("other-crl.pem", "the revocation list of CN=other belongs to no CA in the CA file"),
        ("twin-crl.pem", "the revocation list of CN=root is signed with another key than that of the CA of this name"),
    ];
    for (crl, words) in rows {
        fs::copy(twin.path(crl), ca.path(crl)).unwrap();
        let (code, said) = check(&ca, crl);
        assert_eq!(code, Some(0), "{said}");
        for part in [words, "warning: tlsCRLFile: the file has no revocation list of the CA CN=root"] {
            assert!(said.contains(part), "{crl}: {part}: {said}");
        }
        assert_eq!(mongod_lets_in(&ca, crl), [false, false], "{crl}: mongod");
    }
}

/// A CA file with an intermediate and no root: as in mongod, the start succeeds, and all clients are refused.
#[test]
fn a_ca_file_without_a_root_lets_nobody_in() {
    require_command!("openssl");
    require!(parts::mongod());
    let ca = Ca::new();
    let ec = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    fs::write(ca.path("sub.ext"), "basicConstraints = critical,CA:TRUE\n").unwrap();
    fs::write(ca.path("leaf.ext"), "extendedKeyUsage = clientAuth\n").unwrap();
    for (name, issuer, extensions) in
        [("sub", "ca.pem -CAkey key", "sub.ext"), ("leaf", "sub.pem -CAkey sub.key", "leaf.ext")]
    {
        ca.openssl(&format!("req -new {ec} -subj /CN={name} -keyout {name}.key -out {name}.csr"));
        ca.openssl(&format!(
            "x509 -req -in {name}.csr -CA {issuer} -CAcreateserial -days 20 -extfile {extensions} -out {name}.pem"
        ));
    }
    let read = |name: &str| fs::read_to_string(ca.path(name)).unwrap();
    fs::write(ca.path("alone.pem"), read("leaf.pem") + &read("leaf.key")).unwrap();
    fs::write(ca.path("chain.pem"), read("leaf.pem") + &read("sub.pem") + &read("ca.pem") + &read("leaf.key")).unwrap();
    fs::write(ca.path("both.pem"), read("sub.pem") + &read("ca.pem")).unwrap();
    for (file, expected) in [("sub.pem", false), ("both.pem", true)] {
        let (key, file) = (cert("server.pem"), ca.path(file).to_string_lossy().into_owned());
        let route = ["--port", "0", "--upstream", "127.0.0.1:9", "--upstreamTLS", "never", "--sslMode", "requireSSL"];
        let files = ["--sslPEMKeyFile", &key, "--sslCAFile", &file];
        let checked = run_to_end(["check"].iter().chain(&route).chain(&files));
        let said = String::from_utf8([checked.stdout, checked.stderr].concat()).unwrap();
        assert_eq!(checked.status.code(), Some(0), "{said}");
        let words =
            "tlsCAFile: the file contains no root (self-signed CA certificate): the CA CN=sub is an intermediate";
        assert_eq!(said.contains(words), !expected, "{said}");
        let proxy = Proxy::start([&route[..], &files].concat());
        let warnings = admin::of(&proxy).get("/status")["warnings"].to_string();
        assert_eq!(warnings.contains("no root (self-signed CA certificate)"), !expected, "{warnings}");
        let tls = mongod::Tls { mode: "requireTLS", certificate_key_file: key.clone(), ca_file: Some(file.clone()) };
        let mongod = Mongod::start(&mongod::Options { tls: Some(tls), ..mongod::Options::default() });
        for client in ["alone.pem", "chain.pem"] {
            let client = ca.path(client);
            assert_eq!(is_let_in_by(&mongod, &client), expected, "mongod: {file} {}", client.display());
            let mark = proxy.mark();
            assert_eq!(is_let_in(proxy.address("inbound"), &client), expected, "{file} {}", client.display());
            let record = proxy.wait_next(mark, SOON);
            let reason = "an intermediate whose root is not in the CA file (mongod: unable to get issuer certificate)";
            assert_eq!(record["reason"].as_str().is_some_and(|said| said.contains(reason)), !expected, "{record}");
        }
    }
}
