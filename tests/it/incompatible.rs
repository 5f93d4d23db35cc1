//! Clients with which no handshake is possible, as `openssl s_client` can imitate: each receives an alert at once, and
//! its record describes the incompatibility.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Duration;

use serde_json::Value;

use crate::support::openssl::{run, s_client};
use crate::support::proxy::run_to_end;
use crate::support::service::{SOON, Upstream};
use crate::support::{Proxy, Scratch, process, require_command};

/// The upstream of all proxies: a connection that is accepted ends with its client.
static UPSTREAM: LazyLock<Upstream> = LazyLock::new(Upstream::start);

/// Makes a self-signed server certificate with this kind of key. Returns the path of the file with both.
fn identity(folder: &Scratch, key: &str) -> PathBuf {
    let extensions = "-addext basicConstraints=critical,CA:FALSE -addext subjectAltName=DNS:localhost";
    let line = format!("req -x509 -newkey {key} -nodes -days 9 -subj /CN=localhost {extensions} -keyout k -out c");
    run(Some(folder.path()), &line.split_whitespace().collect::<Vec<_>>());
    let both = ["c", "k"].map(|name| fs::read_to_string(folder.join(name)).unwrap()).concat();
    let name: String = key.chars().filter(char::is_ascii_alphanumeric).collect();
    let file = folder.join(format!("{name}.pem"));
    fs::write(&file, both).unwrap();
    file
}

fn start(certificate: &Path, more: &[&str]) -> Proxy {
    let certificate = certificate.to_string_lossy();
    let upstream = UPSTREAM.address.to_string();
    let route = ["--port", "0", "--upstream", &upstream, "--upstreamTLS", "never", "--sslMode", "requireSSL"];
    Proxy::start([&route[..], &["--sslPEMKeyFile", &certificate], more].concat())
}

/// Makes one attempt; returns its record and the output of s_client.
fn attempt(proxy: &Proxy, args: &[&str]) -> (Value, String) {
    let (record, output) = proxy.recorded(|| s_client(proxy.address("inbound"), args));
    (record, String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Arguments of `s_client`, and the expected reason of the failure; empty if it succeeds.
type Attempt = (&'static [&'static str], &'static str);

const RSA: &str = "rsa:2048";
const P256: &str = "ec -pkeyopt ec_paramgen_curve:P-256";
const P384: &str = "ec -pkeyopt ec_paramgen_curve:P-384";
const ED25519: &str = "ed25519";
const WEAK: &str = "ALL:@SECLEVEL=0";
const SCHEME: &str = "no signature scheme in common";
const SUITE: &str = "no cipher suite or key exchange group in common";

#[test]
fn nothing_in_common_is_an_alert_and_a_reason() {
    require_command!("openssl");
    let folder = Scratch::new("incompatible");
    let rows: [(&str, &[Attempt]); 4] = [
        (
            RSA,
            &[
                (&["-tls1_2", "-sigalgs", "RSA+SHA1"], SCHEME),
                (&["-tls1_2", "-sigalgs", "ECDSA+SHA256"], SCHEME),
                (&["-tls1_2", "-sigalgs", "ed25519"], SCHEME),
                (&["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"], SCHEME),
                (&["-tls1_2", "-sigalgs", "RSA+SHA256"], ""),
                (&["-tls1_3", "-sigalgs", "RSA+SHA256"], SCHEME),
                (&["-tls1_3", "-sigalgs", "ECDSA+SHA256"], SCHEME),
                (&["-tls1_3", "-sigalgs", "RSA-PSS+SHA384"], ""),
                (&["-tls1_2", "-cipher", "AES128-SHA:@SECLEVEL=0"], SUITE),
                (&["-tls1_2", "-cipher", "DHE-RSA-AES128-GCM-SHA256"], SUITE),
                (&["-tls1_2", "-cipher", "ECDHE-RSA-AES128-SHA"], SUITE),
                (&["-tls1_3", "-ciphersuites", "TLS_AES_128_CCM_SHA256"], SUITE),
                (&["-tls1_2", "-groups", "P-521"], SUITE),
                (&["-tls1_3", "-groups", "P-521"], SUITE),
                (&["-tls1_3", "-groups", "ffdhe2048"], SUITE),
            ],
        ),
        (
            P256,
            &[
                (&["-tls1_2", "-sigalgs", "ECDSA+SHA1"], SCHEME),
                (&["-tls1_2", "-sigalgs", "RSA+SHA256"], SCHEME),
                // The type of the key is offered, but not with its hash.
                (&["-tls1_2", "-sigalgs", "ECDSA+SHA384"], SCHEME),
                (&["-tls1_2", "-sigalgs", "ECDSA+SHA512:ed25519"], SCHEME),
                (&["-tls1_2", "-sigalgs", "ECDSA+SHA384:ECDSA+SHA256"], ""),
                (&["-tls1_3", "-sigalgs", "RSA-PSS+SHA256"], SCHEME),
                (&["-tls1_3", "-sigalgs", "ECDSA+SHA384"], SCHEME),
                (&["-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"], SCHEME),
            ],
        ),
        (
            P384,
            &[
                (&["-tls1_2", "-sigalgs", "ECDSA+SHA256"], SCHEME),
                (&["-tls1_3", "-sigalgs", "ECDSA+SHA256"], SCHEME),
                (&["-tls1_2"], ""),
            ],
        ),
        (
            ED25519,
            &[
                (&["-tls1_2", "-sigalgs", "RSA+SHA256:ECDSA+SHA256"], SCHEME),
                (&["-tls1_3", "-sigalgs", "ECDSA+SHA256"], SCHEME),
                (&["-tls1_2"], ""),
                (&["-tls1_3"], ""),
            ],
        ),
    ];
    for (key, rows) in rows {
        let proxy = start(&identity(&folder, key), &[]);
        for (args, reason) in rows {
            let weak = if args.contains(&"-cipher") { &[][..] } else { &["-cipher", WEAK] };
            let (record, said) = attempt(&proxy, &[*args, weak].concat());
            if reason.is_empty() {
                assert!(!record["tls_version"].is_null(), "{key} {args:?}: {record}");
                continue;
            }
            assert_eq!(record["outcome"], "tls_handshake_failed", "{key} {args:?}: {record}");
            let why = record["reason"].as_str().unwrap();
            assert!(why.contains(reason), "{key} {args:?}: {record}");
            assert!(said.contains("alert handshake failure"), "{key} {args:?}: {said}");
        }
    }
    for (disabled, version) in [("TLS1_2", "-tls1_2"), ("TLS1_3", "-tls1_3")] {
        let proxy = start(&folder.join("rsa2048.pem"), &["--sslDisabledProtocols", disabled]);
        let (record, said) = attempt(&proxy, &[version]);
        assert_eq!(record["outcome"], "tls_too_old", "{record}");
        assert_eq!(record["reason"], "no protocol version in common");
        assert!(said.contains("alert protocol version"), "{said}");
    }
}

/// mongod ignores an invalid server name; here it ends the handshake with an alert and a reason.
#[test]
fn a_server_name_that_is_none_is_an_alert_and_a_reason() {
    require_command!("openssl");
    let folder = Scratch::new("names");
    let proxy = start(&identity(&folder, RSA), &[]);
    let long = format!("{}.example", "a".repeat(64));
    let whole = vec!["a".repeat(62); 4].join(".") + ".ab";
    let rows = [
        ("localhost", true),
        ("MONGO.Example", true),
        ("my_host", true),
        ("db1.example.net.", true),
        ("1a.b2", true),
        // An IP address is not allowed as a server name either, but is common enough to be ignored.
        ("1.2.3.4", true),
        ("::1", true),
        ("mongo.1", false),
        ("1", false),
        ("db-.x", false),
        ("-db.x", false),
        ("a..b", false),
        ("[::1]", false),
        ("mongo1:27017", false),
        ("a b", false),
        ("*.x", false),
        ("m\u{fc}nchen.example", false),
        (&long, false),
        (&whole, false),
    ];
    for (name, taken) in rows {
        for version in ["-tls1_2", "-tls1_3"] {
            let (record, said) = attempt(&proxy, &[version, "-servername", name]);
            check_name(&record, name, taken);
            assert_eq!(said.contains("alert illegal parameter"), !taken, "{name}: {said}");
        }
    }
    // An empty name, which s_client does not send.
    let mut hello = openssl_hello("x");
    let at = hello.windows(10).position(|part| part == [0, 0, 0, 6, 0, 4, 0, 0, 1, b'x']).unwrap();
    // Removes one byte from the lengths of name, list, extension, all extensions, handshake and record; the list of
    // extensions begins before it.
    hello.remove(at + 9);
    let extensions = at - 2;
    for (high, by) in [(at + 2, 1), (at + 4, 1), (at + 7, 1), (extensions, 1), (7, 1), (3, 1)] {
        let length = u16::from_be_bytes([hello[high], hello[high + 1]]) - by;
        hello[high..high + 2].copy_from_slice(&length.to_be_bytes());
    }
    let (record, alert) = proxy.recorded(|| {
        let mut socket = TcpStream::connect(proxy.address("inbound")).unwrap();
        socket.set_read_timeout(Some(SOON)).unwrap();
        socket.write_all(&hello).unwrap();
        let mut alert = [0; 7];
        socket.read_exact(&mut alert).unwrap();
        alert
    });
    assert_eq!((alert[0], alert[5]), (21, 2), "a fatal alert: {alert:?}");
    assert!(record["reason"].as_str().unwrap().contains("such as the server name (SNI)"), "{record}");
    assert_eq!((&record["outcome"], &record["sni"]), (&"tls_handshake_failed".into(), &"".into()), "{record}");

    // The same names as upstreams: a configuration that contains an invalid one is refused before it is dialled.
    for (name, taken) in [("mongo.1", false), ("db-.x", false), ("a..b", false), ("*.x", false), ("my_host", true)] {
        let place = format!("{name}:27017");
        let outbound = format!("127.0.0.1:0={place}");
        let rows = [["--outbound", &outbound], ["--upstream", &place]];
        for row in rows {
            let files = ["check", "--port", "0", "--sslMode", "disabled"];
            let output = run_to_end(files.iter().chain(&row));
            let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
            let refused = said.contains("its host is not a DNS name or an IP address");
            assert_eq!(refused, !taken, "{row:?}: {said}");
        }
    }
}

#[track_caller]
fn check_name(record: &Value, name: &str, taken: bool) {
    let is_name = |record: &Value| {
        record["reason"]
            .as_str()
            .is_some_and(|reason| reason.contains("the server name (SNI) in the ClientHello is not a DNS name"))
    };
    assert_eq!(is_name(record), !taken, "{name}: {record}");
    assert_eq!(record["outcome"] == "tls_handshake_failed", !taken, "{name}: {record}");
    // The requested name is in the record too.
    assert!(taken || name.len() > 60 || record["sni"] == name, "{name}: {record}");
}

/// The ClientHello that s_client sends for this name.
fn openssl_hello(name: &str) -> Vec<u8> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    let mut command = process::tethered("openssl");
    command.args(["s_client", "-connect", &address.to_string(), "-tls1_2", "-servername", name]);
    let client = std::thread::spawn(move || process::output(command, Duration::from_secs(20)));
    let (mut socket, _) = listener.accept().unwrap();
    let mut hello = vec![0; 5];
    socket.read_exact(&mut hello).unwrap();
    let length = usize::from(u16::from_be_bytes([hello[3], hello[4]]));
    hello.resize(5 + length, 0);
    socket.read_exact(&mut hello[5..]).unwrap();
    drop(socket);
    drop(client.join().unwrap());
    hello
}

/// A certificate that other tlsramps refuse causes a warning in advance.
#[test]
fn a_certificate_of_ours_that_is_a_cas_is_warned_of() {
    require_command!("openssl");
    let folder = Scratch::new("issued-ca");
    let openssl = |line: &str| run(Some(folder.path()), &line.split_whitespace().collect::<Vec<_>>());
    openssl("req -x509 -newkey rsa:2048 -nodes -days 9 -subj /CN=root -keyout root.key -out root.pem");
    openssl("req -new -newkey rsa:2048 -nodes -subj /CN=db1 -keyout key -out csr");
    let path = |name: &str| folder.join(name).to_string_lossy().into_owned();
    for (constraint, warned) in [("CA:TRUE", true), ("CA:FALSE", false)] {
        fs::write(folder.join("ext"), format!("basicConstraints={constraint}\nsubjectAltName=DNS:localhost\n"))
            .unwrap();
        openssl("x509 -req -in csr -CA root.pem -CAkey root.key -CAcreateserial -days 9 -extfile ext -out crt");
        let both = ["crt", "key"].map(|name| fs::read_to_string(folder.join(name)).unwrap()).concat();
        fs::write(folder.join("db1.pem"), both).unwrap();
        let (pem, ca) = (path("db1.pem"), path("root.pem"));
        let base = ["check", "--port", "0", "--upstream", "127.0.0.1:9", "--sslMode", "disabled", "--sslCAFile", &ca];
        for (flag, name) in [("--sslPEMKeyFile", "tlsCertificateKeyFile"), ("--sslClusterFile", "tlsClusterFile")] {
            let output = run_to_end(base.iter().chain(&[flag, pem.as_str()]));
            let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
            let text =
                format!("warning: {name}: it is a CA certificate (basicConstraints CA:TRUE) that another CA issued");
            assert_eq!(said.contains(&text), warned, "{constraint} {flag}: {said}");
        }
    }
}
