//! Client certificates that are refused, made by OpenSSL: each with the alert of its fault and a reason in words, with
//! TLS 1.2 and 1.3, at the data port and at the admin port.

use std::fs;
use std::net::SocketAddr;
use std::sync::LazyLock;

use certs_gen::{Authority, Issued, Request, Validity};

use crate::support::openssl::{run, s_client};
use crate::support::service::{SOON, Upstream};
use crate::support::{Mark, Proxy, Scratch, cert, require_command};

/// The upstream of all proxies: a connection that is accepted ends with its client.
static UPSTREAM: LazyLock<Upstream> = LazyLock::new(Upstream::start);

const EC: &str = "ec -pkeyopt ec_paramgen_curve:P-256";
const USAGE: &str = "extendedKeyUsage = clientAuth\n";

/// A folder with CAs made by `openssl` and the certificates that they issue.
struct Maker(Scratch);

impl Maker {
    fn new() -> Maker {
        let maker = Maker(Scratch::new("refused-certificates"));
        maker.ca("root", "");
        maker.ca("narrow", "-addext nameConstraints=critical,permitted;DNS:example.net");
        maker
    }

    fn openssl(&self, line: &str) {
        run(Some(self.0.path()), &line.split_whitespace().collect::<Vec<_>>());
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_string_lossy().into_owned()
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.0.join(name)).unwrap()
    }

    fn write(&self, name: &str, text: &str) -> String {
        fs::write(self.0.join(name), text).unwrap();
        self.path(name)
    }

    fn ca(&self, name: &str, more: &str) {
        self.openssl(&format!(
            "req -x509 -newkey {EC} -nodes -days 9 -subj /CN={name} -addext keyUsage=critical,keyCertSign,cRLSign {more} \
             -keyout {name}.key -out {name}.pem"
        ));
    }

    /// Issues a certificate with a new key; without extensions it has version 1. The file contains both.
    fn issue(&self, name: &str, ca: &str, key: &str, extensions: &str, more: &str) -> String {
        self.openssl(&format!("req -new -newkey {key} -nodes -subj /CN={name} -keyout {name}.key -out {name}.csr"));
        let sign = format!("x509 -req -in {name}.csr -CA {ca}.pem -CAkey {ca}.key -CAcreateserial -days 9 {more}");
        if extensions.is_empty() {
            self.openssl(&format!("{sign} -out {name}.pem"));
        } else {
            self.write("ext", extensions);
            self.openssl(&format!("{sign} -extfile ext -out {name}.pem"));
        }
        self.write(&format!("{name}.both"), &(self.read(&format!("{name}.pem")) + &self.read(&format!("{name}.key"))))
    }

    fn take(&self, name: &str, issued: &Issued) -> String {
        self.write(name, &issued.pem())
    }
}

/// A client: its certificate, the CAs above it that it sends too, and the expected reason; empty if it is accepted.
struct Row {
    name: &'static str,
    file: String,
    chain: Option<String>,
    reason: &'static str,
}

#[test]
fn each_has_its_reason_in_words() {
    require_command!("openssl");
    let maker = Maker::new();
    let mut rows = Vec::new();
    let mut row = |name, file, chain, reason| rows.push(Row { name, file, chain, reason });
    let issue = |name, key, extensions, more| maker.issue(name, "root", key, extensions, more);
    let with = |text: &str| format!("{USAGE}{text}\n");
    let names = with("subjectAltName = DNS:app.example.com");

    row("good", issue("good", EC, USAGE, ""), None, "");
    row("RSA of 1024 bits", issue("rsa1024", "rsa:1024", USAGE, ""), None, "shorter than 2048 bits");
    row("v1", issue("v1", "rsa:2048", "", ""), None, "it is X.509 v1");
    row("SHA-1", issue("sha1", EC, USAGE, "-sha1"), None, "it is signed with SHA-1");
    let policies = with("certificatePolicies = critical,1.2.3.4");
    row("critical policies", issue("policies", EC, &policies, ""), None, "its certificate policies are critical");
    let policies = with("certificatePolicies = 1.2.3.4");
    row("policies", issue("policies-too", EC, &policies, ""), None, "");
    let unknown = with("1.2.3.4.5 = critical,ASN1:NULL");
    row("an unknown critical extension", issue("unknown", EC, &unknown, ""), None, "has a critical extension");
    let ca = with("basicConstraints = critical,CA:TRUE");
    row("CA:TRUE", issue("ca-leaf", EC, &ca, ""), None, "it is a CA certificate (basicConstraints CA:TRUE);");
    let server = "extendedKeyUsage = serverAuth\n";
    row(
        "for servers only",
        issue("server-only", EC, server, ""),
        None,
        "its key usage or extended key usage does not allow this use",
    );
    let outside = maker.issue("outside", "narrow", EC, &names, "");
    row("outside of name constraints", outside, None, "violate the name constraints");
    let inside = with("subjectAltName = DNS:app.example.net");
    row("inside of name constraints", maker.issue("inside", "narrow", EC, &inside, ""), None, "");
    // Below an intermediate that is not a CA, and below one CA more than allowed.
    maker.issue("no-ca", "root", EC, "keyUsage = digitalSignature\n", "");
    let below = maker.issue("below-no-ca", "no-ca", EC, USAGE, "");
    row("below what is no CA", below, Some(maker.path("no-ca.pem")), "CA:TRUE is missing");
    let middle = "basicConstraints = critical,CA:TRUE,pathlen:0\nkeyUsage = keyCertSign\n";
    maker.issue("upper", "root", EC, middle, "");
    maker.issue("lower", "upper", EC, middle, "");
    let below = maker.issue("below-lower", "lower", EC, USAGE, "");
    let both = maker.write("chain", &["lower.pem", "upper.pem"].map(|name| maker.read(name)).concat());
    row("longer than the path length", below, Some(both), "path length");
    let below = maker.issue("below-upper", "upper", EC, USAGE, "");
    row("as long as the path length", below, Some(maker.path("upper.pem")), "");

    let ours = Authority::new("ours").unwrap();
    let issued = |ca: &Authority, validity| ca.issue(&Request::client("app").valid(validity)).unwrap();
    row("expired", maker.take("expired", &issued(&ours, Validity::Expired)), None, "it has expired");
    row("not yet valid", maker.take("not-yet", &issued(&ours, Validity::NotYet)), None, "it is not yet valid");
    let over = Authority::valid("over", Validity::Expired).unwrap();
    let early = Authority::valid("early", Validity::NotYet).unwrap();
    let stranger = Authority::new("stranger").unwrap();
    row(
        "of an expired CA",
        maker.take("of-over", &issued(&over, Validity::Now)),
        None,
        "the CA that signed it has expired",
    );
    let of_early = maker.take("of-early", &issued(&early, Validity::Now));
    row("of a CA not yet valid", of_early, None, "the CA that signed it is not yet valid");
    row("of a stranger", maker.take("of-stranger", &issued(&stranger, Validity::Now)), None, "not signed by a CA");

    let cas = ["root.pem", "narrow.pem"].map(|name| maker.read(name)).concat();
    let cas = maker.write("cas", &[&*cas, ours.pem(), over.pem(), early.pem()].concat());
    let key = cert("server.pem");
    let files = ["--sslPEMKeyFile", &key, "--sslCAFile", &cas];
    let upstream = UPSTREAM.address.to_string();
    let route = ["--port", "0", "--upstream", &upstream, "--upstreamTLS", "never", "--sslMode", "requireSSL"];
    let admin = ["--adminBind", "0.0.0.0:0", "--adminAllow", "CN=nobody"];
    let proxy = Proxy::start([&route[..], &files, &admin].concat());
    let admin = SocketAddr::from(([127, 0, 0, 1], proxy.address("admin").port()));
    for Row { name, file, chain, reason } in &rows {
        for version in ["-tls1_2", "-tls1_3"] {
            let mut args = vec![version, "-cert", file, "-cipher", "ALL:@SECLEVEL=0"];
            args.extend(chain.iter().flat_map(|chain| ["-cert_chain", chain]));
            // Waits for the verdict, if a refusal is expected.
            args.extend((!reason.is_empty()).then_some("-ign_eof"));
            let (record, output) = proxy.recorded(|| s_client(proxy.address("inbound"), &args));
            let said = record["reason"].as_str().unwrap_or_default();
            assert_eq!(record["outcome"] == "client_certificate_refused", !reason.is_empty(), "{name}: {record}");
            assert!(said.contains(reason), "{name} {version}: {record}");
            let told = String::from_utf8_lossy(&output.stderr).contains(" alert ");
            assert_eq!(told, !reason.is_empty(), "{name} {version}: {output:?}");
            if reason.is_empty() {
                continue;
            }
            let mark: Mark = proxy.mark();
            s_client(admin, &args);
            let refused = |line: &serde_json::Value| line["message"] == "admin connection refused";
            let line = proxy.wait_log_since(mark, refused, SOON);
            assert!(line["reason"].as_str().unwrap().contains(reason), "{name} {version}: {line}");
        }
    }
}

/// OpenSSL uses a signature scheme for it that tlsramp does not request, so it sends no certificate instead.
#[test]
fn a_key_of_the_kind_rsa_pss_is_not_taken() {
    require_command!("openssl");
    let maker = Maker::new();
    let file = maker.issue("pss", "root", "rsa-pss -pkeyopt rsa_keygen_bits:2048", USAGE, "");
    let (key, ca) = (cert("server.pem"), maker.path("root.pem"));
    let upstream = UPSTREAM.address.to_string();
    let route = ["--port", "0", "--upstream", &upstream, "--upstreamTLS", "never", "--sslMode", "requireSSL"];
    let proxy = Proxy::start([&route[..], &["--sslPEMKeyFile", &key, "--sslCAFile", &ca]].concat());
    for version in ["-tls1_2", "-tls1_3"] {
        let mark = proxy.mark();
        s_client(proxy.address("inbound"), &[version, "-cert", &file, "-ign_eof"]);
        let record = proxy.wait_next(mark, SOON);
        assert_eq!(record["outcome"], "client_certificate_refused", "{record}");
        assert!(record["reason"].as_str().unwrap().contains("RSA-PSS"), "{version}: {record}");
    }
}

/// A certificate in the CA file that is not a CA's cannot issue others: otherwise the key of a client's self-made
/// certificate could be used for any name. The verdict of `openssl verify` on the same files is the reference.
#[test]
fn a_root_issues_what_openssl_lets_it_issue() {
    require_command!("openssl");
    let maker = Maker(Scratch::new("roots"));
    // Extensions of the root, and whether it may issue certificates for clients.
    let rows = [
        ("a CA", "basicConstraints = critical,CA:TRUE\nkeyUsage = keyCertSign\n", true),
        ("a CA without key usage", "basicConstraints = CA:TRUE\n", true),
        ("a CA by its key usage alone", "keyUsage = keyCertSign\n", true),
        ("version 1", "", true),
        ("no CA", "basicConstraints = critical,CA:FALSE\n", false),
        ("neither", "subjectKeyIdentifier = hash\n", false),
        ("no CA by its key usage", "keyUsage = digitalSignature\n", false),
        ("a CA without keyCertSign", "basicConstraints = CA:TRUE\nkeyUsage = digitalSignature\n", false),
        ("a CA of clients", "basicConstraints = CA:TRUE\nextendedKeyUsage = clientAuth\n", true),
        ("a CA of servers", "basicConstraints = CA:TRUE\nextendedKeyUsage = serverAuth\n", false),
    ];
    let key = cert("server.pem");
    for (name, extensions, expected) in rows {
        maker.openssl(&format!("req -new -newkey {EC} -nodes -subj /CN=root -keyout root.key -out root.csr"));
        let sign = "x509 -req -in root.csr -signkey root.key -days 9 -out root.pem";
        if extensions.is_empty() {
            maker.openssl(sign);
        } else {
            maker.write("ext", extensions);
            maker.openssl(&format!("{sign} -extfile ext"));
        }
        let client = maker.issue("client", "root", EC, USAGE, "");
        assert_eq!(verify(&maker, &[]), expected, "openssl: {name}");
        let (said, let_in) = shown(&key, &maker.path("root.pem"), &client, None);
        assert_eq!(let_in, expected, "{name}: {said}");
        assert!(expected || said.contains("in the CA file but is not allowed to issue certificates"), "{name}: {said}");
    }
    // The path length of a root counts like that of any CA.
    for (length, expected) in [(0, false), (1, true)] {
        maker.ca("long", &format!("-addext basicConstraints=critical,CA:TRUE,pathlen:{length}"));
        fs::copy(maker.path("long.pem"), maker.path("root.pem")).unwrap();
        maker.issue("upper", "long", EC, "basicConstraints = critical,CA:TRUE\nkeyUsage = keyCertSign\n", "");
        let client = maker.issue("client", "upper", EC, USAGE, "");
        assert_eq!(verify(&maker, &["-untrusted", "upper.pem"]), expected, "openssl: {length}");
        let (said, let_in) = shown(&key, &maker.path("root.pem"), &client, Some(&maker.path("upper.pem")));
        assert_eq!(let_in, expected, "{length}: {said}");
        assert!(expected || said.contains("path length"), "{said}");
    }
}

/// Whether OpenSSL, and so mongod, accepts `client.pem` with `root.pem`.
fn verify(maker: &Maker, more: &[&str]) -> bool {
    let mut command = std::process::Command::new("openssl");
    command.current_dir(maker.0.path()).args(["verify", "-purpose", "sslclient", "-CAfile", "root.pem"]);
    command.args(more).arg("client.pem").output().unwrap().status.success()
}

/// The record's reason for a client of a proxy with this CA file, and whether the client is accepted.
fn shown(key: &str, ca: &str, client: &str, chain: Option<&str>) -> (String, bool) {
    let upstream = UPSTREAM.address.to_string();
    let route = ["--port", "0", "--upstream", &upstream, "--upstreamTLS", "never", "--sslMode", "requireSSL"];
    let proxy = Proxy::start([&route[..], &["--sslPEMKeyFile", key, "--sslCAFile", ca]].concat());
    let mut args = vec!["-tls1_2", "-cert", client];
    args.extend(chain.iter().flat_map(|chain| ["-cert_chain", chain]));
    let mark = proxy.mark();
    s_client(proxy.address("inbound"), &args);
    let record = proxy.wait_next(mark, SOON);
    let let_in = record["outcome"] != "client_certificate_refused";
    (record["reason"].as_str().unwrap_or_default().to_owned(), let_in)
}
