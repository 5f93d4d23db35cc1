//! TLS connections of unauthenticated clients after the handshake: the size of incomplete records and messages is
//! bounded.

use std::{
    fs,
    io::{ErrorKind, Read as _, Write as _},
    net::TcpStream,
    sync::Arc,
    time::Duration,
};

use rustls::{
    ClientConfig, ClientConnection, ConnectionTrafficSecrets, ContentType, ProtocolVersion, RootCertStore,
    SupportedCipherSuite,
    crypto::{
        aws_lc_rs,
        cipher::{MessageEncrypter, OutboundChunks, OutboundPlainMessage},
    },
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
    version::{TLS12, TLS13},
};

use crate::support::service::{SOON, Upstream, echoes, tls_client};
use crate::support::{Mark, Proxy, cert, certs};

/// Without a certificate, in either version: a message whose header announces 65,000 bytes.
#[test]
fn a_handshake_message_that_is_never_whole_ends_the_connection() {
    let upstream = Upstream::start();
    for version in [&TLS13, &TLS12] {
        let proxy = start(&upstream);
        let mut clients: Vec<_> = (0..MANY).map(|_| Client::connect(&proxy, version)).collect();
        let before = resident(&proxy);
        for client in &mut clients {
            let mut message = vec![0; 60_000];
            message[..4].copy_from_slice(&[24, 0, 0xfd, 0xe8]);
            for part in message.chunks(16_000) {
                client.send(ContentType::Handshake, part);
            }
        }
        for client in &mut clients {
            let mut end = Vec::new();
            match client.socket.read_to_end(&mut end) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
                Err(error) => panic!("{version:?}: {error}"),
            }
        }
        let grown = resident(&proxy).saturating_sub(before);
        assert!(grown < MANY * 8 * 1024, "{version:?}: {grown} bytes more for {MANY} connections");
        let record = proxy.wait_record(Mark::START, |record| record["outcome"] == "client_reset", SOON);
        let reason = "the peer sent a TLS handshake message of more than 18437 bytes after the handshake";
        assert_eq!(record["reason"], reason, "{record}");
        let mut honest = tls_client(proxy.address("inbound"), certs::shared(), None);
        echoes(&mut honest, b"served");
    }
}

/// The client receives a fatal alert, and data sent before the message is relayed.
#[test]
fn what_came_before_is_relayed_and_an_alert_says_that_it_ended() {
    let upstream = Upstream::start();
    let proxy = start(&upstream);
    let mut client = Client::connect(&proxy, &TLS12);
    client.send(ContentType::ApplicationData, b"relayed");
    let mut record = [0; 5 + 8 + 7 + 16];
    client.socket.read_exact(&mut record).unwrap();
    assert_eq!(record[0], 23, "the echo");
    client.send(ContentType::Handshake, &[24, 0, 0xfd, 0xe8]);
    client.send(ContentType::Handshake, &[0; 16_000]);
    // A message that is within the bound is waited for.
    client.socket.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    assert_eq!(client.socket.read(&mut [0; 1]).unwrap_err().kind(), ErrorKind::WouldBlock);
    client.socket.set_read_timeout(Some(SOON)).unwrap();
    client.send(ContentType::Handshake, &[0; 3000]);
    let mut alert = [0; 5];
    client.socket.read_exact(&mut alert).unwrap();
    assert_eq!(alert, [21, 3, 3, 0, 26]);
}

/// The largest incomplete record, 16 KiB, which is waited for as in mongod.
#[test]
fn a_part_of_a_record_holds_one_record() {
    let upstream = Upstream::start();
    let proxy = start(&upstream);
    let mut clients: Vec<_> = (0..MANY).map(|_| Client::connect(&proxy, &TLS13)).collect();
    let before = resident(&proxy);
    for client in &mut clients {
        let record = client.record(ContentType::ApplicationData, &[7; 16_384]);
        client.socket.write_all(&record[..record.len() - 1]).unwrap();
        client.rest = record[record.len() - 1..].to_vec();
    }
    // Another client is served in the meantime.
    echoes(&mut tls_client(proxy.address("inbound"), certs::shared(), None), b"served");
    let grown = resident(&proxy).saturating_sub(before);
    assert!(grown < MANY * 26 * 1024, "{grown} bytes more for {MANY} connections");
    for client in &mut clients {
        let rest = std::mem::take(&mut client.rest);
        client.socket.write_all(&rest).unwrap();
        client.socket.read_exact(&mut [0; 16_384]).unwrap();
    }
}

fn start(upstream: &Upstream) -> Proxy {
    let (address, server, ca) = (upstream.address.to_string(), cert("server.pem"), cert("ca.pem"));
    let front = ["--port", "0", "--upstream", &address, "--upstreamTLS", "never", "--sslMode", "requireSSL"];
    let files = ["--sslPEMKeyFile", &server, "--sslCAFile", &ca, "--sslAllowConnectionsWithoutCertificates"];
    Proxy::start(front.iter().chain(&files).chain(&["--upstreamProbe", "off"]))
}

/// A client that sends records of any type, encrypted with the keys of its session, and ignores the answers.
struct Client {
    socket: TcpStream,
    sequence: u64,
    encrypter: Box<dyn MessageEncrypter>,
    rest: Vec<u8>,
}

impl Client {
    fn connect(proxy: &Proxy, version: &'static rustls::SupportedProtocolVersion) -> Client {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(cert("ca.pem")).unwrap()).unwrap();
        let mut provider = aws_lc_rs::default_provider();
        provider.cipher_suites.retain(|suite| format!("{:?}", suite.suite()).contains("AES_128_GCM"));
        let builder = ClientConfig::builder_with_provider(Arc::new(provider));
        let builder = builder.with_protocol_versions(&[version]).unwrap();
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        config.enable_secret_extraction = true;
        let name = ServerName::try_from("localhost").unwrap();
        let mut session = ClientConnection::new(Arc::new(config), name).unwrap();
        let mut socket = TcpStream::connect(proxy.address("inbound")).unwrap();
        socket.set_read_timeout(Some(SOON)).unwrap();
        while session.is_handshaking() || session.wants_write() {
            session.complete_io(&mut socket).unwrap();
        }
        let suite = session.negotiated_cipher_suite().unwrap();
        let (used, secrets) = session.dangerous_extract_secrets().unwrap().tx;
        let ConnectionTrafficSecrets::Aes128Gcm { key, iv } = secrets else { panic!("{suite:?}") };
        let encrypter = match suite {
            SupportedCipherSuite::Tls13(suite) => suite.aead_alg.encrypter(key, iv),
            SupportedCipherSuite::Tls12(suite) => suite.aead_alg.encrypter(key, &iv.as_ref()[..4], &iv.as_ref()[4..]),
        };
        let mut client = Client { socket, sequence: 0, encrypter, rest: Vec::new() };
        // AWS-LC requires that the first nonce is the one of the first record.
        while client.sequence < used {
            client.record(ContentType::ApplicationData, b"");
        }
        client
    }

    fn record(&mut self, typ: ContentType, payload: &[u8]) -> Vec<u8> {
        let payload = OutboundChunks::Single(payload);
        let message = OutboundPlainMessage { typ, version: ProtocolVersion::TLSv1_2, payload };
        let record = self.encrypter.encrypt(message, self.sequence).unwrap().encode();
        self.sequence += 1;
        record
    }

    fn send(&mut self, typ: ContentType, payload: &[u8]) {
        let record = self.record(typ, payload);
        match self.socket.write_all(&record) {
            Ok(()) => {}
            // The connection was closed in the middle of the message.
            Err(error) if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

/// Resident memory, in bytes.
fn resident(proxy: &Proxy) -> usize {
    let status = fs::read_to_string(format!("/proc/{}/status", proxy.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
}

const MANY: usize = 200;
