//! The stream against the same stack with buffers of its own, over real sockets: every byte, however it is cut.

use std::io::{ErrorKind, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use certs_gen::Set;
use rustls::crypto::aws_lc_rs::{self, cipher_suite, kx_group};
use rustls::crypto::cipher::{MessageEncrypter, OutboundChunks, OutboundPlainMessage};
use rustls::crypto::{CipherSuiteCommon, CryptoProvider};
use rustls::pki_types::ServerName;
use rustls::{
    ClientConfig, Connection, ConnectionTrafficSecrets, ContentType, HandshakeKind, ProtocolVersion, ServerConfig,
    SupportedCipherSuite, Tls12CipherSuite, Tls13CipherSuite,
};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::limits::{TLS_RECORD, TLS_UNFINISHED_BY_CLIENT, TLS_UNFINISHED_BY_SERVER};
use crate::tls::{AcceptedStream, ClientStream, DisabledProtocols, Material, ServerStream, TlsFiles, accept, connect};

const SECOND: Duration = Duration::from_secs(10);

struct Configs {
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
    name: ServerName<'static>,
}

fn configs(folder: &Path, disabled: DisabledProtocols) -> Configs {
    let file = |name: &str| Some(folder.join(name));
    let files = TlsFiles {
        certificate_key: file("server.pem"),
        cluster: file("client.pem"),
        ca: file("ca.pem"),
        disabled,
        ..TlsFiles::default()
    };
    let (material, _) = Material::load(&files).unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let client = material.client_config(std::slice::from_ref(&name)).unwrap();
    Configs { server: material.server_config().unwrap(), client, name }
}

/// Both versions, each with files of its own.
fn each_version() -> (TempDir, Vec<Configs>) {
    let folder = TempDir::new().unwrap();
    Set::full().unwrap().write(folder.path()).unwrap();
    let only = |tls1_2| DisabledProtocols { tls1_2, tls1_3: !tls1_2 };
    let both = [true, false].map(|without_1_2| configs(folder.path(), only(without_1_2)));
    (folder, both.into())
}

async fn sockets() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (near, far) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
    (near.unwrap(), far.unwrap().0)
}

/// Our server, and an ordinary client.
async fn served(configs: &Configs) -> (tokio_rustls::client::TlsStream<TcpStream>, ServerStream) {
    let (near, far) = sockets().await;
    let connector = TlsConnector::from(Arc::clone(&configs.client));
    let ours = accept(far, Arc::clone(&configs.server), SECOND);
    let (theirs, ours) = tokio::join!(connector.connect(configs.name.clone(), near), ours);
    let AcceptedStream { stream, server_name } = ours.map_err(|(error, _)| error).unwrap();
    assert_eq!(server_name.as_deref(), Some("localhost"));
    (theirs.unwrap(), stream)
}

/// Our client, and an ordinary server.
async fn dialled(configs: &Configs) -> (ClientStream, tokio_rustls::server::TlsStream<TcpStream>) {
    let (near, far) = sockets().await;
    let ours = connect(near, Arc::clone(&configs.client), configs.name.clone(), SECOND);
    let theirs = TlsAcceptor::from(Arc::clone(&configs.server)).accept(far);
    let (ours, theirs) = tokio::join!(ours, theirs);
    (ours.unwrap(), theirs.unwrap())
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| u8::try_from((at * 7 + at / 251) % 256).unwrap()).collect()
}

/// Sends in pieces of one size while the other side reads with room for another.
async fn carries<A, B>(from: &mut A, to: &mut B, bytes: &[u8], piece: usize, room: usize)
where
    A: tokio::io::AsyncWrite + Unpin,
    B: tokio::io::AsyncRead + Unpin,
{
    let send = async {
        for piece in bytes.chunks(piece) {
            from.write_all(piece).await.unwrap();
        }
        from.flush().await.unwrap();
    };
    let receive = async {
        let (mut got, mut buffer) = (Vec::new(), vec![0; room]);
        while got.len() < bytes.len() {
            let count = to.read(&mut buffer).await.unwrap();
            assert!(count > 0);
            got.extend_from_slice(&buffer[..count]);
        }
        got
    };
    let ((), got) = tokio::join!(send, receive);
    assert!(got == bytes, "{} bytes in pieces of {piece}, read by {room}", bytes.len());
}

#[tokio::test]
async fn every_byte_arrives_however_it_is_cut() {
    let (_folder, versions) = each_version();
    let bytes = pattern(3_000_000);
    for configs in &versions {
        let (mut client, mut server) = served(configs).await;
        let (mut our_client, mut their_server) = dialled(configs).await;
        for (length, piece, room) in
            [(1, 1, 1), (300, 1, 7), (60_000, 1000, 17), (3_000_000, 1 << 20, 1 << 16), (2_000_000, 20_000, 1 << 20)]
        {
            carries(&mut client, &mut server, &bytes[..length], piece, room).await;
            carries(&mut server, &mut client, &bytes[..length], piece, room).await;
            carries(&mut our_client, &mut their_server, &bytes[..length], piece, room).await;
            carries(&mut their_server, &mut our_client, &bytes[..length], piece, room).await;
        }
        // Nothing is kept of what has moved.
        for (incoming, plain, outgoing) in [server.kept(), our_client.kept()] {
            assert_eq!((incoming, plain, outgoing), (0, 0, 0));
        }
    }
}

/// A relay of bytes, a few at a time.
async fn dribble(mut from: TcpStream, mut to: TcpStream) {
    let (mut from_read, mut from_write) = from.split();
    let (mut to_read, mut to_write) = to.split();
    let up = async {
        let mut byte = [0; 1];
        while from_read.read_exact(&mut byte).await.is_ok() {
            to_write.write_all(&byte).await.unwrap();
            tokio::task::yield_now().await;
        }
    };
    let down = async {
        let mut bytes = [0; 3];
        while let Ok(count @ 1..) = to_read.read(&mut bytes).await {
            from_write.write_all(&bytes[..count]).await.unwrap();
            tokio::task::yield_now().await;
        }
    };
    tokio::join!(up, down);
}

#[tokio::test]
async fn handshakes_and_records_may_come_byte_by_byte() {
    let (_folder, versions) = each_version();
    for configs in &versions {
        let ((near, middle), (other, far)) = (sockets().await, sockets().await);
        for socket in [&near, &middle, &other, &far] {
            socket.set_nodelay(true).unwrap();
        }
        let between = tokio::spawn(dribble(middle, other));
        let ours = connect(near, Arc::clone(&configs.client), configs.name.clone(), SECOND);
        let (client, server) = tokio::join!(ours, accept(far, Arc::clone(&configs.server), SECOND));
        let (mut client, mut server) = (client.unwrap(), server.map_err(|(error, _)| error).unwrap().stream);
        let bytes = pattern(20_000);
        carries(&mut client, &mut server, &bytes, 5000, 333).await;
        carries(&mut server, &mut client, &bytes, 5000, 333).await;
        between.abort();
    }
}

#[tokio::test]
async fn ends_are_told_apart() {
    let (_folder, versions) = each_version();
    for configs in &versions {
        // A close_notify is an end, behind all data; our own direction is still open.
        let (mut client, mut server) = served(configs).await;
        client.write_all(b"last").await.unwrap();
        client.shutdown().await.unwrap();
        let mut got = Vec::new();
        server.read_to_end(&mut got).await.unwrap();
        assert_eq!(got, b"last");
        server.write_all(b"answer").await.unwrap();
        server.shutdown().await.unwrap();
        got.clear();
        client.read_to_end(&mut got).await.unwrap();
        assert_eq!(got, b"answer");
        // Its absence is none.
        let (client, mut server) = served(configs).await;
        drop(client.into_inner().0);
        let error = server.read(&mut [0; 9]).await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof);
    }
}

#[tokio::test]
async fn a_forged_record_ends_it_with_an_alert_behind_what_was_good() {
    let (_folder, versions) = each_version();
    for configs in &versions {
        let (mut client, mut server) = served(configs).await;
        client.write_all(b"good").await.unwrap();
        client.get_mut().0.write_all(&[23, 3, 3, 0, 32]).await.unwrap();
        client.get_mut().0.write_all(&[7; 32]).await.unwrap();
        let mut good = [0; 4];
        server.read_exact(&mut good).await.unwrap();
        assert_eq!(&good, b"good");
        let error = server.read(&mut [0; 9]).await.unwrap_err();
        assert_eq!(error.downcast::<rustls::Error>().unwrap(), rustls::Error::DecryptError);
        // Nothing comes of it any more, whoever asks: no data, no second alert, no close_notify behind the alert.
        assert_eq!(server.write(b"more").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
        client.write_all(b"still good").await.unwrap();
        let error = server.read(&mut [0; 9]).await.unwrap_err();
        assert_eq!(error.downcast::<rustls::Error>().unwrap(), rustls::Error::DecryptError);
        server.shutdown().await.unwrap();
        let (socket, session) = client.get_mut();
        let mut got = Vec::new();
        socket.read_to_end(&mut got).await.unwrap();
        session.read_tls(&mut &got[..]).unwrap();
        let error = session.process_new_packets().unwrap_err();
        assert_eq!(error, rustls::Error::AlertReceived(rustls::AlertDescription::BadRecordMac));
        let mut records = 0;
        while let [_, _, _, high, low, rest @ ..] = &got[..] {
            got = rest[usize::from(u16::from_be_bytes([*high, *low]))..].to_vec();
            records += 1;
        }
        // TLS 1.3 has a ticket that has waited for data.
        let tickets = usize::from(session.protocol_version() == Some(ProtocolVersion::TLSv1_3));
        assert_eq!(records, tickets + 1);
    }
}

/// A forged record that a writer meets before a reader does.
#[tokio::test]
async fn nothing_is_written_behind_a_failure() {
    let (_folder, versions) = each_version();
    for configs in &versions {
        let (mut client, mut server) = served(configs).await;
        let mut both = Vec::new();
        client.get_mut().1.writer().write_all(b"good").unwrap();
        client.get_mut().1.write_tls(&mut both).unwrap();
        both.extend_from_slice(&[23, 3, 3, 0, 32]);
        both.extend_from_slice(&[7; 32]);
        client.get_mut().0.write_all(&both).await.unwrap();
        let mut good = [0; 4];
        server.read_exact(&mut good).await.unwrap();
        assert_eq!(server.write(b"more").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
        server.shutdown().await.unwrap();
        let error = client.read(&mut [0; 9]).await.unwrap_err().downcast::<rustls::Error>().unwrap();
        assert_eq!(error, rustls::Error::AlertReceived(rustls::AlertDescription::BadRecordMac));
    }
}

#[tokio::test]
async fn who_waits_for_an_answer_has_sent_all() {
    let (_folder, versions) = each_version();
    for configs in &versions {
        let (mut client, mut server) = served(configs).await;
        let piece = pattern(50_000);
        let mut sent = 0;
        while let Ok(written) = tokio::time::timeout(Duration::from_millis(300), server.write(&piece)).await {
            sent += written.unwrap();
        }
        assert!(server.kept().2 > 0);
        // No write, no flush, only a read.
        let mut byte = [0];
        let answer = async {
            let mut got = vec![0; sent];
            client.read_exact(&mut got).await.unwrap();
            client.write_all(b"!").await.unwrap();
        };
        tokio::time::timeout(SECOND, async { tokio::join!(answer, server.read_exact(&mut byte)).1 })
            .await
            .expect("who reads has nothing left to send")
            .unwrap();
    }
}

#[tokio::test]
async fn keys_that_are_used_up_are_renewed_or_said_to_be() {
    let (_folder, versions) = each_version();
    let bytes = pattern(1_000_000);
    let (mut client, mut server) = served(&of(&versions[0], |provider| {
        provider.cipher_suites = vec![of_few_records(cipher_suite::TLS13_AES_128_GCM_SHA256)];
    }))
    .await;
    carries(&mut server, &mut client, &bytes, 1000, 1 << 16).await;
    carries(&mut server, &mut client, &bytes, 50_000, 1 << 16).await;
    // TLS 1.2 has no others: an answer that cannot be sent must not be waited for.
    let (mut client, mut server) = served(&of(&versions[1], |provider| {
        provider.cipher_suites = vec![of_few_records(cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256)];
    }))
    .await;
    let write = async {
        loop {
            if let Err(error) = server.write_all(&[7; 10]).await {
                return error;
            }
        }
    };
    let mut got = Vec::new();
    let (error, read) = tokio::join!(write, tokio::time::timeout(SECOND, client.read_to_end(&mut got)));
    assert_eq!(read.expect("the client is told").unwrap() % 10, 0);
    assert!(got.len() > 500, "{error}: {}", got.len());
    assert_eq!(server.write(b"more").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
}

/// The same with another provider of the server's.
fn of(configs: &Configs, change: impl FnOnce(&mut CryptoProvider)) -> Configs {
    let mut provider = aws_lc_rs::default_provider();
    change(&mut provider);
    let server = ServerConfig::builder_with_provider(provider.into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::clone(&configs.server.cert_resolver));
    Configs { server: Arc::new(server), client: Arc::clone(&configs.client), name: configs.name.clone() }
}

/// A cipher suite whose keys carry 100 records.
fn of_few_records(suite: SupportedCipherSuite) -> SupportedCipherSuite {
    let limited = |common: &CipherSuiteCommon| CipherSuiteCommon { confidentiality_limit: 100, ..*common };
    match suite {
        SupportedCipherSuite::Tls12(suite) => {
            let common = limited(&suite.common);
            SupportedCipherSuite::Tls12(Box::leak(Box::new(Tls12CipherSuite { common, ..*suite })))
        }
        SupportedCipherSuite::Tls13(suite) => {
            let common = limited(&suite.common);
            SupportedCipherSuite::Tls13(Box::leak(Box::new(Tls13CipherSuite { common, ..*suite })))
        }
    }
}

/// A server that asks for a second hello hears the name twice. It must not be taken for the next client's.
#[tokio::test]
async fn a_name_is_the_name_of_who_asked_for_it() {
    let (_folder, versions) = each_version();
    let retrying = of(&versions[0], |provider| provider.kx_groups = vec![kx_group::SECP384R1]);
    let (client, server) = served(&retrying).await;
    assert_eq!(server.session().handshake_kind(), Some(HandshakeKind::FullWithHelloRetryRequest));
    drop((client, server));
    let (near, far) = sockets().await;
    let late = async {
        // By then our side has looked, and found nothing.
        tokio::task::yield_now().await;
        // An address is no name to ask for.
        let ip = ServerName::try_from("127.0.0.1").unwrap();
        TlsConnector::from(Arc::clone(&retrying.client)).connect(ip, near).await.unwrap()
    };
    let (ours, _theirs) = tokio::join!(accept(far, Arc::clone(&retrying.server), SECOND), late);
    assert_eq!(ours.map_err(|(error, _)| error).unwrap().server_name, None);
}

#[tokio::test]
async fn keys_are_updated_by_either_side() {
    let (_folder, versions) = each_version();
    let configs = &versions[0];
    let (mut client, mut server) = served(configs).await;
    for round in 0..3 {
        client.get_mut().1.refresh_traffic_keys().unwrap();
        carries(&mut client, &mut server, &pattern(5000), 1000, 700 + round).await;
        // What the update makes us say goes out with the next data.
        carries(&mut server, &mut client, &pattern(5000), 1000, 700 + round).await;
    }
}

#[tokio::test]
async fn a_sink_that_is_full_is_waited_for() {
    let (_folder, versions) = each_version();
    for configs in &versions {
        let (mut client, mut server) = served(configs).await;
        let piece = pattern(50_000);
        let mut sent = 0;
        // Until the socket takes no more.
        while let Ok(written) = tokio::time::timeout(Duration::from_millis(300), server.write_all(&piece)).await {
            written.unwrap();
            sent += piece.len();
        }
        let (_, _, outgoing) = server.kept();
        assert!(outgoing > 0 && outgoing <= 4 * TLS_RECORD, "{outgoing}");
        let rest = async {
            server.flush().await.unwrap();
            server.shutdown().await.unwrap();
        };
        let receive = async {
            let mut got = Vec::new();
            client.read_to_end(&mut got).await.unwrap();
            got
        };
        let ((), got) = tokio::join!(rest, receive);
        assert!(got.len() >= sent && got.iter().enumerate().all(|(at, byte)| *byte == piece[at % piece.len()]));
    }
}

#[tokio::test]
async fn what_fails_in_a_handshake_is_said_to_the_peer() {
    let (_folder, versions) = each_version();
    let (near, far) = sockets().await;
    // One version each, and not the same.
    let theirs = TlsConnector::from(Arc::clone(&versions[0].client)).connect(versions[0].name.clone(), near);
    let (theirs, ours) = tokio::join!(theirs, accept(far, Arc::clone(&versions[1].server), SECOND));
    let (error, socket) = ours.unwrap_err();
    assert!(socket.is_some(), "{error}");
    let error = theirs.unwrap_err().downcast::<rustls::Error>().unwrap();
    assert!(matches!(error, rustls::Error::AlertReceived(_)), "{error}");
}

/// A peer that sends any records, of any type, under the keys of its session.
struct Forger {
    socket: TcpStream,
    version: ProtocolVersion,
    sequence: u64,
    encrypter: Box<dyn MessageEncrypter>,
}

impl Forger {
    fn new(socket: TcpStream, session: impl Into<Connection>) -> Forger {
        let session = session.into();
        let suite = session.negotiated_cipher_suite().unwrap();
        let version = session.protocol_version().unwrap();
        let (sequence, secrets) = session.dangerous_extract_secrets().unwrap().tx;
        let ConnectionTrafficSecrets::Aes128Gcm { key, iv } = secrets else { panic!("{suite:?}") };
        let encrypter = match suite {
            SupportedCipherSuite::Tls13(suite) => suite.aead_alg.encrypter(key, iv),
            SupportedCipherSuite::Tls12(suite) => suite.aead_alg.encrypter(key, &iv.as_ref()[..4], &iv.as_ref()[4..]),
        };
        let mut forger = Forger { socket, version, sequence: 0, encrypter };
        // AWS-LC takes the first nonce for that of the first record.
        while forger.sequence < sequence {
            forger.record(ContentType::ApplicationData, &[]);
        }
        forger
    }

    fn record(&mut self, typ: ContentType, payload: &[u8]) -> Vec<u8> {
        let payload = OutboundChunks::Single(payload);
        let message = OutboundPlainMessage { typ, version: ProtocolVersion::TLSv1_2, payload };
        let record = self.encrypter.encrypt(message, self.sequence).unwrap().encode();
        self.sequence += 1;
        record
    }
}

/// What a peer sends after the handshake.
#[derive(Debug, Clone, Copy)]
enum Flood {
    /// A handshake message of this type whose header says 65,000 bytes, in records of so many.
    Message(u8, usize),
    /// A record of 16 KiB without its last byte.
    PartOfARecord,
    /// Records of this type with this content, over and over.
    Records(ContentType, &'static [u8]),
}

impl Flood {
    /// At most `most` bytes of it.
    fn bytes(self, from: &mut Forger, most: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        match self {
            Flood::Message(kind, piece) => {
                let mut message = vec![7; 60_000];
                message[..4].copy_from_slice(&[kind, 0, 0xfd, 0xe8]);
                for piece in message.chunks(piece) {
                    bytes.extend(from.record(ContentType::Handshake, piece));
                }
            }
            Flood::PartOfARecord => {
                bytes = from.record(ContentType::ApplicationData, &[7; 16_384]);
                bytes.pop();
            }
            Flood::Records(typ, payload) => {
                while bytes.len() < most {
                    bytes.extend(from.record(typ, payload));
                }
            }
        }
        bytes.truncate(most);
        bytes
    }
}

/// Reads until nothing more comes: what it holds then, and why it failed if it did.
async fn holds<S: super::session::UnbufferedSession + Unpin>(
    ours: &mut super::tls_stream::TlsStream<S>,
    from: &mut Forger,
    flood: Flood,
) -> (usize, String) {
    let bytes = flood.bytes(from, 200_000);
    let mut most = 0;
    let mut buffer = vec![0; 1 << 16];
    for piece in bytes.chunks(10_000) {
        // It may have been closed.
        if from.socket.write_all(piece).await.is_err() {
            break;
        }
        loop {
            let read = tokio::time::timeout(Duration::from_millis(10), ours.read(&mut buffer)).await;
            let (incoming, plain, outgoing) = ours.kept();
            most = most.max(incoming + plain + outgoing);
            match read {
                Ok(Ok(0)) => return (most, "closed".to_owned()),
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return (most, error.to_string()),
                Err(_) => break,
            }
        }
    }
    (most, String::new())
}

#[tokio::test]
async fn what_a_peer_leaves_unfinished_after_the_handshake_is_bounded() {
    let (_folder, versions) = each_version();
    let too_long = "of more than";
    // What it is, and why it ends; by TLS 1.3, and by 1.2.
    let rows = [
        // A session ticket, a key update, a hello (a renegotiation in TLS 1.2), a request for one, a certificate request.
        (Flood::Message(4, 16_000), [too_long; 2]),
        (Flood::Message(4, 64), [too_long; 2]),
        (Flood::Message(24, 16_000), [too_long; 2]),
        (Flood::Message(1, 1000), [too_long; 2]),
        (Flood::Message(0, 1000), [too_long; 2]),
        (Flood::Message(13, 16_000), [too_long; 2]),
        // It is waited for.
        (Flood::PartOfARecord, ["", ""]),
        (Flood::Records(ContentType::ApplicationData, &[]), ["TooManyEmptyFragments"; 2]),
        (Flood::Records(ContentType::Handshake, &[]), ["TooManyEmptyFragments"; 2]),
        (Flood::Records(ContentType::ApplicationData, b"x"), ["", ""]),
        // Warnings: user_canceled, no_renegotiation.
        (Flood::Records(ContentType::Alert, &[1, 90]), ["TooManyWarningAlertsReceived"; 2]),
        (Flood::Records(ContentType::Alert, &[1, 100]), ["NoRenegotiation", "TooManyWarningAlertsReceived"]),
        // A request for a renegotiation.
        (Flood::Records(ContentType::Handshake, &[0, 0, 0, 0]), ["", ""]),
        (Flood::Records(ContentType::ChangeCipherSpec, &[1]), ["", ""]),
    ];
    for (row, expected) in rows {
        for (configs, expected) in versions.iter().zip(expected) {
            let (client, mut server) = served(&extractable(configs)).await;
            let (socket, session) = client.into_inner();
            let mut forger = Forger::new(socket, session);
            let (held, why) = holds(&mut server, &mut forger, row).await;
            let case = format!("{row:?} of a client by {:?}: {held} bytes, {why}", forger.version);
            assert!(held <= TLS_UNFINISHED_BY_CLIENT && why.contains(expected), "{case}");
            let (mut client, server) = dialled(&extractable(configs)).await;
            let (socket, session) = server.into_inner();
            let mut forger = Forger::new(socket, session);
            let (held, why) = holds(&mut client, &mut forger, row).await;
            let case = format!("{row:?} of a server by {:?}: {held} bytes, {why}", forger.version);
            assert!(held <= TLS_UNFINISHED_BY_SERVER && why.contains(expected), "{case}");
        }
    }
}

/// Each asks for one of ours in answer, which waits for our next data.
#[tokio::test]
async fn updates_of_keys_make_one_answer() {
    let (_folder, versions) = each_version();
    for with_data in [false, true] {
        let (mut client, mut server) = served(&versions[0]).await;
        let (mut kept, mut error) = (0, None);
        for _ in 0..100 {
            client.get_mut().1.refresh_traffic_keys().unwrap();
            client.write_all(if with_data { b"x" } else { b"" }).await.unwrap();
            client.flush().await.unwrap();
            let read = tokio::time::timeout(Duration::from_millis(5), server.read(&mut [0; 9])).await;
            if let Ok(Err(failed)) = read {
                error = Some(failed.to_string());
            }
            kept = kept.max(server.kept().2);
        }
        // A ticket waits for data as well.
        assert!(kept < 1024, "{kept}");
        assert_eq!(error.is_some_and(|error| error.contains("TooManyKeyUpdateRequests")), !with_data);
    }
}

/// The same, and a peer's keys may be taken out.
fn extractable(configs: &Configs) -> Configs {
    let mut server = ServerConfig::clone(&configs.server);
    let mut client = ClientConfig::clone(&configs.client);
    (server.enable_secret_extraction, client.enable_secret_extraction) = (true, true);
    Configs { server: server.into(), client: client.into(), name: configs.name.clone() }
}
