//! The properties of a connection that are known when it is established, and do not change after that. Every open
//! connection has a [`ConnectionInfo`], so it is kept small: the parts that many connections do not have are boxed.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use rustls::pki_types::CertificateDer;

use super::metrics::RouteMetrics;
use super::outcome::Outcome;
use crate::mongo::ClientMetadata;
use crate::policy::{Mode, Opening};
use crate::route::RouteId;

/// The properties of one connection.
#[derive(Debug)]
pub struct ConnectionInfo {
    /// Its identifier in logs.
    pub id: u64,
    /// The client's address.
    pub peer: SocketAddr,
    /// The address that the client connected to, if the listener is transparent (`--inboundTransparent`).
    pub destination: Option<Box<SocketAddr>>,
    /// The route.
    pub route: Arc<RouteRecord>,
    /// When it was accepted.
    pub accepted: Instant,
    /// How the client opened it: plaintext or a kind of TLS.
    pub opening: Option<Opening>,
    /// The mode in which it was accepted or refused.
    pub mode: Option<Mode>,
    /// The generation of the snapshot under which it was accepted or refused.
    pub generation: u64,
    /// The metadata of a client whose plaintext was refused, if it has sent any.
    pub turned_away: Option<Box<ClientMetadata>>,
    /// TLS with the client, if it is used.
    pub tls: Option<Box<ClientTls>>,
    /// The upstream.
    pub upstream: Option<Box<UpstreamInfo>>,
}

/// The name and the metrics of a route.
#[derive(Debug)]
pub struct RouteRecord {
    /// The route's identifier.
    pub id: RouteId,
    /// `inbound`, `outbound HOST:PORT`, or `outbound transparent`.
    pub name: Arc<str>,
    /// Its metrics.
    pub metrics: Arc<RouteMetrics>,
}

/// The upstream of a connection.
#[derive(Debug)]
pub struct UpstreamInfo {
    /// The upstream's name, as configured.
    pub name: Arc<str>,
    /// The local address of the upstream connection. The server sees it as its client's address.
    pub local: Option<SocketAddr>,
    /// The TLS version negotiated with the upstream.
    pub tls_version: Option<&'static str>,
}

/// TLS with a client: the contents of its ClientHello, and the result of the handshake unless TLS is passed through.
#[derive(Debug, Default)]
pub struct ClientTls {
    /// The versions that the client offered; set if there was no handshake.
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
    /// Adds the ended connection to the metrics of its route.
    pub(super) fn count(&self, outcome: Outcome, bytes: (u64, u64)) {
        self.route.metrics.closed(self.opening, self.tls_version(), outcome, bytes.0, bytes.1);
    }

    /// The TLS version negotiated with the client.
    pub fn tls_version(&self) -> Option<&'static str> {
        self.tls.as_deref()?.version
    }

    /// The subject of the verified client certificate.
    pub fn client_subject(&self) -> Option<&str> {
        self.tls.as_deref()?.subject.as_deref()
    }

    /// The client certificate and its chain.
    pub fn client_chain(&self) -> Option<&[CertificateDer<'static>]> {
        self.tls.as_deref()?.chain.as_deref()
    }
}
