//! The rows of `GET /clients` and `GET /connections`.

use std::sync::atomic::Ordering;

use serde::{Deserialize, Serialize};

use crate::control::{ClientReport, ConnectionReport};
use crate::telemetry::QueuedConnection;
use crate::text::rfc3339_millis;

/// A row of `GET /clients`: a client's address, kind of connection, application and driver.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ClientRow {
    /// The row's number, which is not reused as long as the state file is kept; 0 in a reply of a version without row
    /// numbers.
    pub number: u64,
    /// The key to pass to `accept`.
    pub key: String,
    /// The client's address.
    pub ip: String,
    /// `plaintext`, `TLS1.2`, `TLS1.3`, or `tls` if it is passed through.
    pub kind: String,
    /// The application name that the client sends.
    pub application: Option<String>,
    /// The driver.
    pub driver: Option<String>,
    /// The driver's version.
    pub driver_version: Option<String>,
    /// Whether the client is a mongod or mongos.
    pub member: bool,
    /// The approximate number of client names in the row, if several names share it because their address has too many.
    pub more_names: Option<u64>,
    /// Open connections.
    pub open: u64,
    /// All connections since the first.
    pub total: u64,
    /// Connections that `requireSSL` refused.
    pub refused: u64,
    /// The time of the first connection: RFC 3339.
    pub first_seen: String,
    /// The time of the last connection: RFC 3339.
    pub last_seen: String,
    /// Whether an operator has accepted the client.
    pub accepted: bool,
    /// Whether the client blocks `requireSSL` now.
    pub blocks: bool,
}

/// A row of `GET /connections`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ConnectionRow {
    /// The connection's number in the log.
    pub id: u64,
    /// The client's address.
    pub peer: String,
    /// The address that the client connected to, on a transparent route.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination: Option<String>,
    /// The route.
    pub route: String,
    /// Whether it waits for a connection slot; then most of the following fields are not known yet.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub waiting: bool,
    /// `plaintext`, `tls`, ...
    #[serde(skip_serializing_if = "String::is_empty")]
    pub opening: String,
    /// The TLS version negotiated with the client.
    pub tls_version: Option<String>,
    /// The subject of the client's certificate.
    pub client_subject: Option<String>,
    /// The application name that the client sends.
    pub application: Option<String>,
    /// The driver.
    pub driver: Option<String>,
    /// The driver's version.
    pub driver_version: Option<String>,
    /// Whether the client is a mongod or mongos.
    pub member: bool,
    /// The mode under which the connection was judged.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub mode: String,
    /// The generation of the snapshot under which the connection was judged.
    pub generation: u64,
    /// The server to which the connection leads.
    pub upstream: Option<String>,
    /// The local address of the link, which mongod logs as the client's address.
    pub upstream_local: Option<String>,
    /// The kind of the link.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub upstream_link: String,
    /// Bytes from the client.
    pub bytes_in: u64,
    /// Bytes to the client.
    pub bytes_out: u64,
    /// Seconds since it was accepted.
    pub age_secs: u64,
    /// Why the present policy would not make the connection; `None` if it conforms.
    pub non_conforming: Option<String>,
    /// Whether the connection waits to be recycled.
    pub recycling: bool,
}

impl From<ClientReport> for ClientRow {
    fn from(ClientReport { seen, blocks }: ClientReport) -> ClientRow {
        ClientRow {
            number: seen.number,
            blocks,
            key: seen.identity.text(),
            ip: seen.identity.ip.to_string(),
            kind: seen.kind.name().into(),
            member: seen.identity.is_member(),
            application: seen.identity.application,
            driver: seen.identity.driver,
            driver_version: seen.driver_version,
            more_names: seen.more_names,
            open: seen.open,
            total: seen.total,
            refused: seen.refused,
            first_seen: rfc3339_millis(seen.first_seen),
            last_seen: rfc3339_millis(seen.last_seen),
            accepted: seen.accepted,
        }
    }
}

impl From<ConnectionReport> for ConnectionRow {
    fn from(ConnectionReport { open, non_conforming }: ConnectionReport) -> ConnectionRow {
        let (client, upstream) = (open.client(), open.upstream.as_deref());
        ConnectionRow {
            id: open.id,
            peer: open.peer.to_string(),
            destination: open.destination.as_deref().map(ToString::to_string),
            route: open.route.name.to_string(),
            waiting: false,
            opening: open.opening.name().into(),
            tls_version: open.tls_version().map(Into::into),
            client_subject: open.client_subject().map(Into::into),
            application: client.and_then(|client| client.application.clone()),
            driver: client.and_then(|client| client.driver.clone()),
            driver_version: client.and_then(|client| client.driver_version.clone()),
            member: client.is_some_and(|client| client.internal),
            mode: open.mode.to_string(),
            generation: open.generation,
            upstream: upstream.map(|upstream| upstream.name.to_string()),
            upstream_local: upstream.and_then(|upstream| upstream.local).map(|local| local.to_string()),
            upstream_link: open.link.name().into(),
            bytes_in: open.counters.inbound.load(Ordering::Relaxed),
            bytes_out: open.counters.outbound.load(Ordering::Relaxed),
            age_secs: open.accepted.elapsed().as_secs(),
            non_conforming: non_conforming.map(|reason| reason.name().into()),
            recycling: open.recycling.is_requested(),
        }
    }
}

impl From<QueuedConnection> for ConnectionRow {
    fn from(QueuedConnection { id, peer, route, accepted }: QueuedConnection) -> ConnectionRow {
        ConnectionRow {
            id,
            peer: peer.to_string(),
            route: route.name.to_string(),
            waiting: true,
            age_secs: accepted.elapsed().as_secs(),
            ..ConnectionRow::default()
        }
    }
}
