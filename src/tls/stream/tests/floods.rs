//! Tests with peers that send incomplete messages or floods of records after the handshake.

use std::time::Duration;

use rustls::crypto::cipher::{MessageEncrypter, OutboundChunks, OutboundPlainMessage};
use rustls::{
    ClientConfig, Connection, ConnectionTrafficSecrets, ContentType, ProtocolVersion, ServerConfig,
    SupportedCipherSuite,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Configs, dialled, each_version, served};
use crate::limits::{TLS_UNFINISHED_BY_CLIENT, TLS_UNFINISHED_BY_SERVER};
use crate::tls::stream::session::UnbufferedSession;
use crate::tls::stream::tls_stream::TlsStream;

/// A peer that encrypts arbitrary records of any type with its session keys.
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
        // AWS-LC requires that the first nonce is the one of the first record.
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

/// Data that a peer sends after the handshake.
#[derive(Debug, Clone, Copy)]
enum Flood {
    /// A handshake message of this type whose header announces 65,000 bytes, in records of this size.
    Message(u8, usize),
    /// A record of 16 KiB without its last byte.
    PartOfARecord,
    /// Records of this type with this content, repeated without end.
    Records(ContentType, &'static [u8]),
}

impl Flood {
    /// Returns at most `most` bytes of the flood.
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

/// Reads until no more data arrives. Returns the bytes held and the error, if any.
async fn holds<S: UnbufferedSession + Unpin>(
    ours: &mut TlsStream<S>,
    from: &mut Forger,
    flood: Flood,
) -> (usize, String) {
    let bytes = flood.bytes(from, 200_000);
    let mut most = 0;
    let mut buffer = vec![0; 1 << 16];
    for piece in bytes.chunks(10_000) {
        // The peer may have closed the connection.
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
    // The flood, and the expected errors with TLS 1.3 and TLS 1.2.
    let rows = [
        // A session ticket, a key update, a ClientHello (a renegotiation in TLS 1.2), a HelloRequest, a
        // CertificateRequest.
        (Flood::Message(4, 16_000), [too_long; 2]),
        (Flood::Message(4, 64), [too_long; 2]),
        (Flood::Message(24, 16_000), [too_long; 2]),
        (Flood::Message(1, 1000), [too_long; 2]),
        (Flood::Message(0, 1000), [too_long; 2]),
        (Flood::Message(13, 16_000), [too_long; 2]),
        // The stream waits for the rest of the record.
        (Flood::PartOfARecord, ["", ""]),
        (Flood::Records(ContentType::ApplicationData, &[]), ["TooManyEmptyFragments"; 2]),
        (Flood::Records(ContentType::Handshake, &[]), ["TooManyEmptyFragments"; 2]),
        (Flood::Records(ContentType::ApplicationData, b"x"), ["", ""]),
        // Warning alerts: user_canceled, no_renegotiation.
        (Flood::Records(ContentType::Alert, &[1, 90]), ["TooManyWarningAlertsReceived"; 2]),
        (Flood::Records(ContentType::Alert, &[1, 100]), ["NoRenegotiation", "TooManyWarningAlertsReceived"]),
        // A HelloRequest, which asks for a renegotiation.
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

/// Configurations whose traffic secrets can be extracted.
fn extractable(configs: &Configs) -> Configs {
    let mut server = ServerConfig::clone(&configs.server);
    let mut client = ClientConfig::clone(&configs.client);
    (server.enable_secret_extraction, client.enable_secret_extraction) = (true, true);
    Configs { server: server.into(), client: client.into(), name: configs.name.clone() }
}
