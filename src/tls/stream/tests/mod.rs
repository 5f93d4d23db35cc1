//! Tests the stream against tokio-rustls over real sockets, with data split at many sizes.

mod floods;
mod keys;

use std::io::{ErrorKind, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use certs_gen::Set;
use rustls::crypto::aws_lc_rs::kx_group;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, HandshakeKind, ProtocolVersion, ServerConfig};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::limits::TLS_RECORD;
use crate::tls::{AcceptedStream, ClientStream, DisabledProtocols, Material, ServerStream, TlsFiles, accept, connect};

use keys::with_provider;

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

/// Configurations of both protocol versions, each with files of its own.
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

/// Connects our server and a tokio-rustls client.
async fn served(configs: &Configs) -> (tokio_rustls::client::TlsStream<TcpStream>, ServerStream) {
    let (near, far) = sockets().await;
    let connector = TlsConnector::from(Arc::clone(&configs.client));
    let ours = accept(far, Arc::clone(&configs.server), SECOND);
    let (theirs, ours) = tokio::join!(connector.connect(configs.name.clone(), near), ours);
    let AcceptedStream { stream, server_name } = ours.map_err(|(error, _)| error).unwrap();
    assert_eq!(server_name.as_deref(), Some("localhost"));
    (theirs.unwrap(), stream)
}

/// Connects our client and a tokio-rustls server.
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

/// Sends `bytes` in pieces of one size while the other side reads with a buffer of another size.
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
        // The streams keep no bytes after these were delivered.
        for (incoming, plain, outgoing) in [server.kept(), our_client.kept()] {
            assert_eq!((incoming, plain, outgoing), (0, 0, 0));
        }
    }
}

/// Relays bytes, a few at a time.
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
        // `close_notify` ends the stream after all data; our own direction stays open.
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
        // A FIN without `close_notify` is a truncation.
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
        // The failed stream sends nothing more: no data, no second alert, no `close_notify` after the alert.
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
        // In TLS 1.3, a session ticket was delayed until data was sent.
        let tickets = usize::from(session.protocol_version() == Some(ProtocolVersion::TLSv1_3));
        assert_eq!(records, tickets + 1);
    }
}

/// A writer processes a forged record before a reader does.
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
        // Only a read: no write and no flush.
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

/// A server that sends a HelloRetryRequest receives the SNI twice. The next handshake on this thread must not get it.
#[tokio::test]
async fn a_name_is_the_name_of_who_asked_for_it() {
    let (_folder, versions) = each_version();
    let retrying = with_provider(&versions[0], |provider| provider.kx_groups = vec![kx_group::SECP384R1]);
    let (client, server) = served(&retrying).await;
    assert_eq!(server.session().handshake_kind(), Some(HandshakeKind::FullWithHelloRetryRequest));
    drop((client, server));
    let (near, far) = sockets().await;
    let late = async {
        // By now our side has polled the socket and found no data.
        tokio::task::yield_now().await;
        // An IP address is not sent as SNI.
        let ip = ServerName::try_from("127.0.0.1").unwrap();
        TlsConnector::from(Arc::clone(&retrying.client)).connect(ip, near).await.unwrap()
    };
    let (ours, _theirs) = tokio::join!(accept(far, Arc::clone(&retrying.server), SECOND), late);
    assert_eq!(ours.map_err(|(error, _)| error).unwrap().server_name, None);
}

#[tokio::test]
async fn a_sink_that_is_full_is_waited_for() {
    let (_folder, versions) = each_version();
    for configs in &versions {
        let (mut client, mut server) = served(configs).await;
        let piece = pattern(50_000);
        let mut sent = 0;
        // Writes until the socket buffer is full.
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
    // Each side supports one version, and they differ.
    let theirs = TlsConnector::from(Arc::clone(&versions[0].client)).connect(versions[0].name.clone(), near);
    let (theirs, ours) = tokio::join!(theirs, accept(far, Arc::clone(&versions[1].server), SECOND));
    let (error, socket) = ours.unwrap_err();
    assert!(socket.is_some(), "{error}");
    let error = theirs.unwrap_err().downcast::<rustls::Error>().unwrap();
    assert!(matches!(error, rustls::Error::AlertReceived(_)), "{error}");
}
