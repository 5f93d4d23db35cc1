//! The memory that unauthenticated clients can make the proxy hold: a bound for each handshake, and one for all.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "in a test, the panic is the report")]

use std::{
    fs,
    io::{ErrorKind, Read as _, Write as _},
    net::TcpStream,
    sync::Arc,
};

use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
    version::{TLS12, TLS13},
};

use crate::support::service::{SOON, Upstream, echoes, tls_client, wait_until};
use crate::support::{Mark, Proxy, Scratch, admin, cert, certs, openssl, require_command};

#[test]
fn a_hello_without_end_is_refused_before_it_takes_memory() {
    let upstream = Upstream::start();
    let proxy = start(&upstream);
    let before = resident(&proxy);
    let hello = half_hello(60_000);
    let mut clients = stalled(&proxy, MANY, |_| hello.clone());
    let mut answer = Vec::new();
    let _ = clients[0].read_to_end(&mut answer);
    assert_eq!(answer, [21, 3, 3, 0, 2, 2, 47], "a fatal alert, illegal_parameter");
    assert!(wait_until(SOON, || count(&proxy, "tls_handshake_failed") == MANY as f64));
    let grown = resident(&proxy) - before;
    assert!(grown < 64 * MEBIBYTE, "{grown} bytes more for {MANY} hellos of 60 KB");
    let record = proxy.wait_record(Mark::START, |record| record["outcome"] == "tls_handshake_failed", SOON);
    assert!(record["reason"].as_str().unwrap().contains("more than 16384 bytes"), "{record}");
    assert!(wait_until(SOON, || held(&proxy) == 0.0), "{} bytes held", held(&proxy));
}

#[test]
fn hellos_that_stall_below_their_bound_share_a_budget() {
    let upstream = Upstream::start();
    let proxy = start(&upstream);
    let before = resident(&proxy);
    let hello = half_hello(16_000);
    let clients = stalled(&proxy, MANY, |_| hello.clone());
    // These clients send 40 MB, and 16 MiB may be held.
    assert!(wait_until(SOON, || count(&proxy, "handshake_memory") > 1000.0), "{}", count(&proxy, "handshake_memory"));
    let (grown, held_now) = (resident(&proxy) - before, held(&proxy));
    assert!(held_now > 0.0 && held_now <= BUDGET, "{held_now} bytes held");
    assert!(grown < 64 * MEBIBYTE, "{grown} bytes more for {MANY} hellos of 16 KB");
    // An honest client holds less than any of them.
    let mut honest = tls_client(proxy.address("inbound"), certs::shared(), Some("client.pem"));
    echoes(&mut honest, b"served");
    drop(clients);
    assert!(wait_until(SOON, || held(&proxy) == 0.0), "{} bytes held", held(&proxy));
}

#[test]
fn certificates_without_end_are_refused_and_stalled_ones_share_the_budget() {
    let upstream = Upstream::start();
    for version in [&TLS13, &TLS12] {
        let proxy = start(&upstream);
        let before = resident(&proxy);
        let few = 800;
        let config = with_a_chain_of(60_000, version);
        let clients = stalled(&proxy, few, |socket| flight(&config, socket, 4000));
        assert!(wait_until(SOON, || count(&proxy, "tls_handshake_failed") == few as f64), "{version:?}");
        let record = proxy.wait_record(Mark::START, |record| record["outcome"] == "tls_handshake_failed", SOON);
        assert!(record["reason"].as_str().unwrap().contains("more than 32768 bytes"), "{record}");
        drop(clients);

        let config = with_a_chain_of(28_000, version);
        let clients = stalled(&proxy, few, |socket| flight(&config, socket, 4000));
        assert!(wait_until(SOON, || count(&proxy, "handshake_memory") > 0.0), "{version:?}");
        let (grown, held_now) = (resident(&proxy) - before, held(&proxy));
        assert!(held_now > 0.0 && held_now <= BUDGET, "{held_now} bytes held");
        assert!(grown < 48 * MEBIBYTE, "{grown} bytes more for {few} certificates of 28 KB");
        drop(clients);
        assert!(wait_until(SOON, || held(&proxy) == 0.0), "{} bytes held", held(&proxy));
    }
}

/// A certificate with 250 names and three intermediates: far more bytes than four RSA-4096 certificates.
#[test]
fn a_chain_as_long_as_real_ones_passes() {
    require_command!("openssl");
    let folder = Scratch::new("chain");
    let openssl = |args: &str| openssl::run(Some(folder.path()), &args.split_whitespace().collect::<Vec<_>>());
    openssl("req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=ca0 -keyout key -out ca0");
    fs::write(folder.join("ca"), "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign\n").unwrap();
    let names: Vec<_> = (0..250).map(|number| format!("DNS:host-{number:04}.of.some.department.example.net")).collect();
    let names = format!("extendedKeyUsage=clientAuth\nsubjectAltName={}\n", names.join(","));
    fs::write(folder.join("leaf"), names).unwrap();
    // All certificates use the same key, because their size comes from the names.
    for (issuer, subject, kind) in
        [("ca0", "ca1", "ca"), ("ca1", "ca2", "ca"), ("ca2", "ca3", "ca"), ("ca3", "own", "leaf")]
    {
        openssl(&format!("req -new -key key -subj /CN={subject} -out request"));
        openssl(&format!(
            "x509 -req -in request -CA {issuer} -CAkey key -CAcreateserial -days 20 -extfile {kind} -out {subject}"
        ));
    }
    let chain = ["own", "ca3", "ca2", "ca1", "key"].map(|name| fs::read_to_string(folder.join(name)).unwrap()).concat();
    fs::write(folder.join("client.pem"), chain).unwrap();
    let upstream = Upstream::start();
    let (address, server) = (upstream.address.to_string(), cert("server.pem"));
    let ca = folder.join("ca0").to_string_lossy().into_owned();
    let front = ["--port", "0", "--upstream", &address, "--upstreamTLS", "never", "--sslMode", "requireSSL"];
    let proxy = Proxy::start(front.iter().chain(&["--sslPEMKeyFile", &server, "--sslCAFile", &ca]));
    for version in [&TLS13, &TLS12] {
        let chain: Vec<_> =
            CertificateDer::pem_file_iter(folder.join("client.pem")).unwrap().map(Result::unwrap).collect();
        assert!(chain.len() == 4 && chain.iter().map(|one| one.len()).sum::<usize>() > 12_000);
        let config = client(chain, PrivateKeyDer::from_pem_file(folder.join("client.pem")).unwrap(), version);
        let session = ClientConnection::new(config, ServerName::try_from("localhost").unwrap()).unwrap();
        let socket = TcpStream::connect(proxy.address("inbound")).unwrap();
        socket.set_read_timeout(Some(SOON)).unwrap();
        echoes(&mut StreamOwned::new(session, socket), b"served");
    }
}

fn start(upstream: &Upstream) -> Proxy {
    // This process needs a descriptor for each client, often more than a shell's default limit.
    let _ = tlsramp::testing::raise_descriptor_limit(1);
    let (address, server, ca) = (upstream.address.to_string(), cert("server.pem"), cert("ca.pem"));
    let front = ["--port", "0", "--upstream", &address, "--upstreamTLS", "never", "--sslMode", "requireSSL"];
    let more = ["--sslPEMKeyFile", &server, "--sslCAFile", &ca, "--handshakeTimeout", "600s", "--upstreamProbe", "off"];
    Proxy::start(front.iter().chain(&more))
}

/// Clients that have sent as much of the bytes made by `opening` as the proxy accepts, and then send nothing.
fn stalled(proxy: &Proxy, count: usize, opening: impl Fn(&mut TcpStream) -> Vec<u8>) -> Vec<TcpStream> {
    let mut clients = Vec::new();
    for _ in 0..count {
        let mut client = TcpStream::connect(proxy.address("inbound")).unwrap();
        client.set_read_timeout(Some(SOON)).unwrap();
        client.set_write_timeout(Some(SOON)).unwrap();
        let bytes = opening(&mut client);
        match client.write_all(&bytes) {
            Ok(()) => {}
            // The proxy refused the client in the middle.
            Err(error) if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => {}
            Err(error) => panic!("{error}"),
        }
        clients.push(client);
    }
    clients
}

/// The beginning of a ClientHello that announces 65,000 bytes, in records of 16,000.
fn half_hello(length: usize) -> Vec<u8> {
    let mut hello = vec![1, 0, 0xfd, 0xe8, 3, 3];
    hello.extend([7; 32]);
    hello.extend([0, 0, 2, 0x13, 1, 1, 0, 0xfd, 0xb0, 0xff, 1, 0xfd, 0xac]);
    hello.resize(length, 0);
    let record = |part: &[u8]| [&[22, 3, 1][..], &u16::try_from(part.len()).unwrap().to_be_bytes(), part].concat();
    hello.chunks(16_000).flat_map(record).collect()
}

/// A client whose certificate chain has this number of bytes.
fn with_a_chain_of(bytes: usize, version: &'static rustls::SupportedProtocolVersion) -> Arc<ClientConfig> {
    let own = cert("client.pem");
    let ca = CertificateDer::from_pem_file(cert("ca.pem")).unwrap();
    let mut chain = vec![CertificateDer::from_pem_file(&own).unwrap()];
    chain.extend(std::iter::repeat_n(ca.clone(), bytes / ca.len()));
    client(chain, PrivateKeyDer::from_pem_file(own).unwrap(), version)
}

fn client(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    version: &'static rustls::SupportedProtocolVersion,
) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(cert("ca.pem")).unwrap()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let builder = builder.with_protocol_versions(&[version]).unwrap().with_root_certificates(roots);
    Arc::new(builder.with_client_auth_cert(chain, key).unwrap())
}

/// The client's answer to the server's flight, except for the last `kept` bytes.
fn flight(config: &Arc<ClientConfig>, socket: &mut TcpStream, kept: usize) -> Vec<u8> {
    let mut session = ClientConnection::new(Arc::clone(config), ServerName::try_from("localhost").unwrap()).unwrap();
    let mut flight = Vec::new();
    session.write_tls(&mut flight).unwrap();
    loop {
        socket.write_all(&flight).unwrap();
        session.read_tls(socket).unwrap();
        session.process_new_packets().unwrap();
        flight.clear();
        while session.wants_write() {
            session.write_tls(&mut flight).unwrap();
        }
        if flight.len() > kept {
            flight.truncate(flight.len() - kept);
            return flight;
        }
    }
}

fn count(proxy: &Proxy, outcome: &str) -> f64 {
    metric(proxy, "tlsramp_connections_total", &format!("outcome=\"{outcome}\""))
}

fn held(proxy: &Proxy) -> f64 {
    metric(proxy, "tlsramp_handshake_held_bytes", "side=\"client\"")
}

fn metric(proxy: &Proxy, name: &str, label: &str) -> f64 {
    let page = admin::of(proxy).request("GET", "/metrics", None).body;
    let lines = page.lines().filter(|line| line.starts_with(name) && line.contains(label));
    lines.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
}

/// Resident memory, in bytes.
fn resident(proxy: &Proxy) -> usize {
    let status = fs::read_to_string(format!("/proc/{}/status", proxy.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
}

const MANY: usize = 2500;
/// 16 MiB, plus input that has just arrived on each worker.
const BUDGET: f64 = 17.0 * 1024.0 * 1024.0;
const MEBIBYTE: usize = 1024 * 1024;
