//! The stream against the same stack with buffers of its own, over real sockets: every byte, however it is cut.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use certs_gen::Set;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ServerConfig};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::limits::TLS_RECORD;
use crate::tls::{Accepted, ClientStream, DisabledProtocols, Material, ServerStream, TlsFiles, accept, connect};

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
    let Accepted { stream, server_name } = ours.map_err(|(error, _)| error).unwrap();
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
        let error = client.read(&mut [0; 9]).await.unwrap_err().downcast::<rustls::Error>().unwrap();
        assert_eq!(error, rustls::Error::AlertReceived(rustls::AlertDescription::BadRecordMac));
    }
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
