//! Counts the signatures that a whole handshake verifies: those of the chain, and one by the peer's own key.

use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection};

use super::costs::{Maker, algorithms, count, trust};
use crate::limits::CHAIN_SIGNATURES;
use crate::tls::errors::diagnosis::TOO_COSTLY;
use crate::tls::errors::explain::explain;
use crate::tls::provider::provider;
use crate::tls::verifier::chain::ChainVerifier;
use crate::tls::verifier::{ClientVerifier, ServerVerifier};

/// A whole handshake verifies one signature more than the chain has: that of the peer's own key.
#[test]
fn a_handshake_verifies_one_signature_more() {
    let maker = Maker::new();
    let roots: Vec<_> = (0..4).map(|number| maker.root(&format!("root{number}"), "CA")).collect();
    maker.root("stranger", "CA");
    let hostile: Vec<_> = [maker.issue("leaf", "leaf", "leaf", "stranger")]
        .into_iter()
        .chain((0..4).map(|number| maker.root(&format!("own{number}"), "CA")))
        .collect();
    let good = vec![maker.issue("good", "good", "leaf", "root3")];
    let trust = trust(&roots, Vec::new());
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        for (chain, key, is_good) in [(&hostile, "leaf", false), (&good, "good", true)] {
            let of_client = inbound(&trust, version, chain, maker.private_key(key));
            let of_server = outbound(&trust, version, chain, maker.private_key(key));
            for (signatures, verdict) in [of_client, of_server] {
                assert_eq!(verdict.is_ok(), is_good, "{verdict:?}");
                let expected = if is_good { roots.len() + 1 } else { CHAIN_SIGNATURES };
                assert_eq!(signatures, expected, "{version:?} {verdict:?}");
                assert!(is_good || verdict.unwrap_err().contains(TOO_COSTLY));
            }
        }
    }
}

type Version = &'static rustls::SupportedProtocolVersion;

/// A client with this chain connects; the server verifies it with a [`ClientVerifier`], as the data port and the admin
/// port do.
fn inbound(
    trust: &Arc<ChainVerifier>,
    version: Version,
    chain: &[CertificateDer<'static>],
    key: PrivateKeyDer<'static>,
) -> (usize, Result<(), String>) {
    let verifier = ClientVerifier {
        subjects: trust.subjects(),
        chains: Arc::clone(trust),
        algorithms: algorithms(),
        mandatory: true,
        allow_invalid_certificates: false,
    };
    let client = ClientConfig::builder_with_provider(provider()).with_protocol_versions(&[version]).unwrap();
    let client =
        client.dangerous().with_custom_certificate_verifier(anyone()).with_client_auth_cert(chain.to_vec(), key);
    let server = ServerConfig::builder_with_provider(provider()).with_protocol_versions(&[version]).unwrap();
    let (own, own_key) = own_identity();
    let server = server.with_client_cert_verifier(Arc::new(verifier)).with_single_cert(own, own_key).unwrap();
    let (signatures, (_, server)) = count(|| handshake(client.unwrap(), server));
    (signatures, server)
}

/// Our client dials a server with this chain.
fn outbound(
    trust: &Arc<ChainVerifier>,
    version: Version,
    chain: &[CertificateDer<'static>],
    key: PrivateKeyDer<'static>,
) -> (usize, Result<(), String>) {
    let verifier = ServerVerifier {
        chains: Some(Arc::clone(trust)),
        algorithms: algorithms(),
        names: vec![ServerName::try_from("localhost").unwrap()],
        allow_invalid_certificates: false,
        allow_invalid_hostnames: false,
    };
    let client = ClientConfig::builder_with_provider(provider()).with_protocol_versions(&[version]).unwrap();
    let client = client.dangerous().with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth();
    let server = ServerConfig::builder_with_provider(provider()).with_protocol_versions(&[version]).unwrap();
    let server = server.with_no_client_auth().with_single_cert(chain.to_vec(), key).unwrap();
    let (signatures, (client, _)) = count(|| handshake(client, server));
    (signatures, client)
}

/// Completes the handshake on both ends; returns the reason for each end that fails.
fn handshake(client: ClientConfig, server: ServerConfig) -> (Result<(), String>, Result<(), String>) {
    let mut client = ClientConnection::new(Arc::new(client), ServerName::try_from("localhost").unwrap()).unwrap();
    let mut server = ServerConnection::new(Arc::new(server)).unwrap();
    let (mut of_client, mut of_server) = (Ok(()), Ok(()));
    for _ in 0..6 {
        let mut flight = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut flight).unwrap();
        }
        let mut flight = &flight[..];
        while !flight.is_empty() && of_server.is_ok() {
            server.read_tls(&mut flight).unwrap();
            of_server = server.process_new_packets().map(drop).map_err(|error| explain(&error));
        }
        let mut flight = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut flight).unwrap();
        }
        let mut flight = &flight[..];
        while !flight.is_empty() && of_client.is_ok() {
            client.read_tls(&mut flight).unwrap();
            of_client = client.process_new_packets().map(drop).map_err(|error| explain(&error));
        }
    }
    (of_client, of_server)
}

/// A verifier that counts nothing, for the end that is not under test.
fn anyone() -> Arc<ServerVerifier> {
    Arc::new(ServerVerifier {
        chains: None,
        algorithms: provider().signature_verification_algorithms,
        names: Vec::new(),
        allow_invalid_certificates: true,
        allow_invalid_hostnames: true,
    })
}

fn own_identity() -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let issued = certs_gen::Authority::new("own").unwrap().issue(&certs_gen::Request::server("localhost")).unwrap();
    let key = PrivateKeyDer::from_pem_slice(issued.key_pem().as_bytes()).unwrap();
    (vec![super::der(issued.cert_pem())], key)
}
