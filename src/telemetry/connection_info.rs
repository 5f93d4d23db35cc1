//! What is known about a connection when it is established; it does not change after that. Every open connection has one, so
//! it is kept at 104 bytes, an allocation size that is free beside tokio's: fields that only TLS has are boxed.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use rustls::pki_types::CertificateDer;

use super::metrics::RouteMetrics;
use super::outcome::Outcome;
use crate::mongo::ClientMetadata;
use crate::policy::{Mode, Opening};
use crate::route::RouteId;

/// What is known about one connection.
#[derive(Debug)]
pub struct ConnectionInfo {
    /// Its id in logs.
    pub id: u64,
    /// The client.
    pub peer: SocketAddr,
    /// The address that the client connected to, if that is not the address of the listener (transparent routes).
    pub destination: Option<Box<SocketAddr>>,
    /// The route.
    pub route: Arc<RouteRecord>,
    /// When it was accepted.
    pub accepted: Instant,
    /// How the client opened it.
    pub opening: Option<Opening>,
    /// The mode by which it was admitted or refused.
    pub mode: Option<Mode>,
    /// The generation of the snapshot by which it was admitted or refused.
    pub generation: u64,
    /// The metadata of a client that was refused.
    pub turned_away: Option<Box<ClientMetadata>>,
    /// TLS with the client, if any.
    pub tls: Option<Box<ClientTls>>,
    /// The upstream.
    pub upstream: Option<Box<UpstreamInfo>>,
}

/// The name and the metrics of a route.
#[derive(Debug)]
pub struct RouteRecord {
    /// Which route it is.
    pub id: RouteId,
    /// `inbound`, `outbound HOST:PORT`, or `outbound transparent`.
    pub name: Arc<str>,
    /// Its metrics.
    pub metrics: Arc<RouteMetrics>,
}

/// The upstream of a connection.
#[derive(Debug)]
pub struct UpstreamInfo {
    /// Its name, as configured.
    pub name: Arc<str>,
    /// The local address of the upstream connection, which the server sees as the address of its client.
    pub local: Option<SocketAddr>,
    /// The TLS version negotiated with it.
    pub tls_version: Option<&'static str>,
}

/// TLS with a client: from its ClientHello, and from the handshake unless it is passed through.
#[derive(Debug, Default)]
pub struct ClientTls {
    /// The versions that the client offered, if there was no handshake.
    pub versions_offered: Option<String>,
    /// The negotiated version.
    pub version: Option<&'static str>,
    /// The negotiated cipher suite.
    pub cipher: Option<String>,
    /// The server name (SNI).
    pub sni: Option<String>,
    /// The subject of the verified client certificate.
    pub subject: Option<String>,
    /// The client certificate and its chain.
    pub chain: Option<Arc<[CertificateDer<'static>]>>,
}

impl ConnectionInfo {
    /// Counts the ended connection in the metrics of its route.
    pub(super) fn count(&self, outcome: Outcome, bytes: (u64, u64)) {
        self.route.metrics.closed(self.opening, self.tls_version(), outcome, bytes.0, bytes.1);
    }

    /// The TLS version negotiated with the client.
    #[must_use]
    pub fn tls_version(&self) -> Option<&'static str> {
        self.tls.as_deref()?.version
    }

    /// The subject of the verified client certificate.
    #[must_use]
    pub fn client_subject(&self) -> Option<&str> {
        self.tls.as_deref()?.subject.as_deref()
    }

    /// The client certificate and its chain.
    #[must_use]
    pub fn client_chain(&self) -> Option<&[CertificateDer<'static>]> {
        self.tls.as_deref()?.chain.as_deref()
    }
}
