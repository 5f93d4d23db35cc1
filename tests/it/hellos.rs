//! Real ClientHellos, cut at every byte and split over records of every size: they are always classified as TLS.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Stdio;
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use tlsramp::testing::{Class, ClientHello, Opening, classify};

use crate::support::{Proxy, ReservedPort, cert, process, require_command, tls};

#[test]
fn openssls_hellos_are_tls_however_cut_and_split() {
    require_command!("openssl");
    for args in [&["-tls1_2"][..], &["-tls1_3"], &["-servername", "db1.example.net"], &["-no_ticket", "-noservername"]]
    {
        check(&openssl_hello(args), &format!("openssl {args:?}"));
    }
    let longest = "a".repeat(255);
    let hello = openssl_hello(&["-servername", &longest]);
    check(&hello, "openssl, SNI of 255 bytes");
    assert_eq!(ClientHello::read(&hello).sni, Some(longest));
    let old = openssl_hello(&["-tls1", "-cipher", "ALL:@SECLEVEL=0"]);
    check(&old, "openssl -tls1");
    assert!(ClientHello::read(&old).is_too_old());
}

#[test]
fn rustlss_hellos_are_tls_however_cut_and_split() {
    let label = "a".repeat(63);
    let longest = format!("{label}.{label}.{label}.{}", "b".repeat(61));
    for post_quantum in [true, false] {
        for name in ["localhost", longest.as_str()] {
            let hello = rustls_hello(post_quantum, name);
            assert_eq!(hello.len() > 1200, post_quantum, "a post-quantum share is larger than this");
            check(&hello, &format!("rustls, post-quantum {post_quantum}, {name}"));
            assert_eq!(ClientHello::read(&hello).sni.as_deref(), Some(name));
            assert_eq!(ClientHello::read(&hello).versions.to_string(), "TLS1.2, TLS1.3");
        }
    }
}

/// With the real binary: however a ClientHello arrives, the handshake succeeds.
#[test]
fn a_split_and_dribbled_hello_gets_its_handshake() {
    let reserved = ReservedPort::new();
    let server = reserved.address().to_string();
    let (key, ca) = (cert("server.pem"), cert("ca.pem"));
    let base = ["--port", "0", "--upstream", &server, "--upstreamTLS", "never", "--sslMode", "requireSSL"];
    let more = ["--sslPEMKeyFile", &key, "--sslCAFile", &ca, "--sniffTimeout", "120s", "--handshakeTimeout", "120s"];
    let proxy = Proxy::start(base.iter().chain(&more));
    for (fragment, dribbled) in [(1, false), (2, true), (7, true), (4096, true), (4096, false)] {
        let mut hello = Vec::new();
        let config = tls::client(&ca, Some(&cert("client.pem")));
        let mut client = ClientConnection::new(config, ServerName::try_from("localhost").unwrap()).unwrap();
        client.write_tls(&mut hello).unwrap();
        let mut socket = std::net::TcpStream::connect(proxy.address("inbound")).unwrap();
        socket.set_nodelay(true).unwrap();
        let split = split(&hello, fragment);
        for part in split.chunks(if dribbled { 1 } else { split.len() }) {
            socket.write_all(part).unwrap();
        }
        client
            .complete_io(&mut socket)
            .unwrap_or_else(|error| panic!("records of {fragment}, dribbled {dribbled}: {error}"));
        assert!(!client.is_handshaking());
    }
}

/// Every prefix is undecided or TLS, and decided from 16 bytes on, whatever the record size.
fn check(hello: &[u8], what: &str) {
    for fragment in 1..=hello.len() {
        let split = split(hello, fragment);
        let mut decided = false;
        for end in 0..=split.len().min(64) {
            match classify(&split[..end]) {
                Class::Is(Opening::Tls) => decided = true,
                Class::NeedMore => assert!(!decided && end < 16, "{what}, records of {fragment}, cut at {end}"),
                Class::Is(other) => panic!("{what}, records of {fragment}, cut at {end}: {other:?}"),
            }
        }
        assert_eq!(classify(&split), Class::Is(Opening::Tls), "{what}, records of {fragment}");
    }
    for end in 0..=hello.len() {
        assert!(matches!(classify(&hello[..end]), Class::NeedMore | Class::Is(Opening::Tls)), "{what}, cut at {end}");
    }
}

/// Splits the handshake message into records of at most `fragment` bytes.
fn split(record: &[u8], fragment: usize) -> Vec<u8> {
    let chunks = record[5..].chunks(fragment);
    chunks
        .flat_map(|chunk| [&record[..3], &u16::try_from(chunk.len()).unwrap().to_be_bytes(), chunk].concat())
        .collect()
}

fn openssl_hello(args: &[&str]) -> Vec<u8> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut command = process::tethered("openssl");
    command.args(["s_client", "-connect", &listener.local_addr().unwrap().to_string()]).args(args);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = process::spawn(command).unwrap();
    let (mut socket, _) = listener.accept().unwrap();
    let mut hello = vec![0; 5];
    socket.read_exact(&mut hello).unwrap();
    let length = usize::from(u16::from_be_bytes([hello[3], hello[4]]));
    hello.resize(5 + length, 0);
    socket.read_exact(&mut hello[5..]).unwrap();
    let _ = socket.write_all(b"no TLS here");
    child.kill().unwrap();
    child.wait().unwrap();
    hello
}

fn rustls_hello(post_quantum: bool, name: &str) -> Vec<u8> {
    let mut provider: CryptoProvider = aws_lc_rs::default_provider();
    provider.kx_groups = if post_quantum {
        vec![aws_lc_rs::kx_group::X25519MLKEM768, aws_lc_rs::kx_group::X25519]
    } else {
        vec![aws_lc_rs::kx_group::X25519]
    };
    let config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut connection = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut hello = Vec::new();
    connection.write_tls(&mut hello).unwrap();
    hello
}
