//! What is known of a connection when it is established; it does not change after that. Every open connection holds one,
//! of the size that glibc has to spare beside what tokio aligns (104 bytes): what plaintext has not is boxed.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use rustls::pki_types::CertificateDer;

use super::metrics::RouteMetrics;
use super::outcome::Outcome;
use crate::mongo::ClientMetadata;
use crate::policy::{Mode, Opening};
use crate::route::RouteId;

/// What is known of one connection.
#[derive(Debug)]
pub struct ConnectionInfo {
    /// Its number in the log.
    pub id: u64,
    /// The client.
    pub peer: SocketAddr,
    /// The address that the client connected to, where the kernel hands connections to other addresses than the listener's
    /// over.
    pub destination: Option<Box<SocketAddr>>,
    /// The route.
    pub route: Arc<RouteRecord>,
    /// When it was accepted.
    pub accepted: Instant,
    /// How it opened.
    pub opening: Option<Opening>,
    /// The mode it was judged by, if it was.
    pub mode: Option<Mode>,
    /// The snapshot it was judged by.
    pub generation: u64,
    /// Who was turned away, as far as that was said.
    pub turned_away: Option<Box<ClientMetadata>>,
    /// What its TLS has told, if it is TLS.
    pub tls: Option<Box<ClientTls>>,
    /// Where it leads.
    pub upstream: Option<Box<UpstreamInfo>>,
}

/// A route, as the records of its connections name and count it.
#[derive(Debug)]
pub struct RouteRecord {
    /// Which route it is.
    pub id: RouteId,
    /// `inbound`, `outbound HOST:PORT`, or `outbound transparent`.
    pub name: Arc<str>,
    /// Its counts.
    pub metrics: Arc<RouteMetrics>,
}

/// An upstream, as far as it was reached.
#[derive(Debug)]
pub struct UpstreamInfo {
    /// As written.
    pub name: Arc<str>,
    /// Our own address there: what the server takes for the client's.
    pub local: Option<SocketAddr>,
    /// The version agreed on with it.
    pub tls_version: Option<&'static str>,
}

/// What a client's TLS has told: its opening, and its handshake if that was with us.
#[derive(Debug, Default)]
pub struct ClientTls {
    /// The versions that a client without a handshake offered.
    pub versions_offered: Option<String>,
    /// The version agreed on.
    pub version: Option<&'static str>,
    /// The cipher suite agreed on.
    pub cipher: Option<String>,
    /// The name that was asked for.
    pub sni: Option<String>,
    /// The subject of the client's certificate, verified.
    pub subject: Option<String>,
    /// That certificate and its chain.
    pub chain: Option<Arc<[CertificateDer<'static>]>>,
}

impl ConnectionInfo {
    /// Counts it on its route: it has ended so, after so many bytes.
    pub(super) fn count(&self, outcome: Outcome, bytes: (u64, u64)) {
        self.route.metrics.closed(self.opening, self.tls_version(), outcome, bytes.0, bytes.1);
    }

    /// The version agreed on with the client.
    #[must_use]
    pub fn tls_version(&self) -> Option<&'static str> {
        self.tls.as_deref()?.version
    }

    /// The subject of the client's certificate, verified.
    #[must_use]
    pub fn client_subject(&self) -> Option<&str> {
        self.tls.as_deref()?.subject.as_deref()
    }

    /// That certificate and its chain.
    #[must_use]
    pub fn client_chain(&self) -> Option<&[CertificateDer<'static>]> {
        self.tls.as_deref()?.chain.as_deref()
    }
}
