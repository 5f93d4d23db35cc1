//! Revocation lists as OpenSSL makes them, several at a time: whom they let in at the data port and at the admin port, beside a
//! mongod with the same files.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::support::openssl::{run, s_client};
use crate::support::proxy::run_to_end;
use crate::support::service::SOON;
use crate::support::{Mongod, Proxy, Scratch, cert, mongod, parts, require, require_command};

/// A CA as `openssl ca` keeps one, with two clients, of which it can revoke one.
struct Ca {
    folder: Scratch,
}

impl Ca {
    /// All have the same name; their keys differ.
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

    /// A list of what is revoked by now; dates as OpenSSL writes them.
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

/// Whether a client gets as far as the end of a handshake of TLS 1.2, in which the server judges it before.
fn is_let_in(address: SocketAddr, client: &Path) -> bool {
    s_client(address, &["-tls1_2", "-cert", &client.to_string_lossy(), "-servername", "localhost"]).status.success()
}

/// mongod ends the handshake with everybody, and the connection with those whom it refuses; its log has the reason.
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
    // By the order in which they were made: what they revoke.
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
        // By TLS 1.3 the verdict comes after the client's end of the handshake: the record has it.
        for (client, expected) in clients.iter().zip(expected) {
            let mark = proxy.mark();
            let client = client.to_string_lossy();
            s_client(proxy.address("inbound"), &["-tls1_3", "-cert", &client, "-servername", "localhost"]);
            let record = proxy.wait_record(mark, |record| record["tls_version"] != "TLS1.2", SOON);
            assert_eq!(record["outcome"] != "client_certificate_refused", expected, "{name}: {client}: {record}");
        }
    }
}

/// mongod takes them; here the words say what to do.
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
    // As it says.
    ca.openssl("ca -config cnf -gencrl -out crl.pem");
    assert_eq!(run_to_end(["check"].iter().chain(&route).chain(&files)).status.code(), Some(0));
}
