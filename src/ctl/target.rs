//! Clients and connections, as they are named on the command line.

use std::net::{IpAddr, SocketAddr};

use crate::admin::replies::{ClientRow, ConnectionRow};
use crate::telemetry::ClientIdentity;

/// A client: the number of its row in `clients`, or its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ClientTarget {
    Number(u64),
    Key(String),
}

/// The end of a connection, an address, or a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ConnectionTarget {
    /// One end of a connection: the client's, or the proxy's own towards the server.
    End(SocketAddr),
    /// All clients of an address.
    Ip(IpAddr),
    /// The client of a row in `clients`.
    Number(u64),
}

impl ClientTarget {
    pub(super) fn parse(text: &str) -> Result<ClientTarget, String> {
        if let Ok(number) = text.parse() {
            return Ok(ClientTarget::Number(number));
        }
        let key = ClientIdentity::parse(text).map(|_| ClientTarget::Key(text.to_owned()));
        key.map_err(|error| format!("it is not a number in `tlsramp ctl clients`, and {error}"))
    }
}

impl ConnectionTarget {
    pub(super) fn parse(text: &str) -> Result<ConnectionTarget, String> {
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
        let number = || text.parse().ok().map(ConnectionTarget::Number);
        let end = || text.parse().ok().map(ConnectionTarget::End);
        let ip = || bare.parse().ok().map(ConnectionTarget::Ip);
        number().or_else(end).or_else(ip).ok_or_else(|| {
            "expected IP:PORT ([IP]:PORT for IPv6), an IP address, or a number in `tlsramp ctl clients`; names are not \
             resolved"
                .to_owned()
        })
    }
}

/// Whether a connection has this address at either end.
pub(super) fn has_end(row: &ConnectionRow, end: SocketAddr) -> bool {
    is_end(&row.peer, end) || row.upstream_local.as_deref().is_some_and(|local| is_end(local, end))
}

/// Whether a text is this address. IPv4-mapped IPv6 equals IPv4.
pub(super) fn is_end(text: &str, end: SocketAddr) -> bool {
    let canonical = |end: SocketAddr| (end.ip().to_canonical(), end.port());
    text.parse().is_ok_and(|one| canonical(one) == canonical(end))
}

/// Whether the client of a connection has this address.
pub(super) fn is_from(row: &ConnectionRow, ip: IpAddr) -> bool {
    client_ip(row) == Some(ip.to_canonical())
}

/// The connections of the client of a row. A shared row stands for all clients of its address whose names have no
/// separate row, so it has their connections.
pub(super) fn of_client<'a>(
    connections: &'a [ConnectionRow],
    clients: &[ClientRow],
    client: &ClientRow,
) -> Vec<&'a ConnectionRow> {
    let own = |row: &&ConnectionRow| {
        if client.more_names.is_none() {
            return is_named_as(row, client);
        }
        is_of_group(row, client) && !clients.iter().any(|one| one.more_names.is_none() && is_named_as(row, one))
    };
    connections.iter().filter(own).collect()
}

fn is_named_as(row: &ConnectionRow, client: &ClientRow) -> bool {
    is_of_group(row, client)
        && (&row.application, &row.driver, &row.driver_version)
            == (&client.application, &client.driver, &client.driver_version)
}

fn is_of_group(row: &ConnectionRow, client: &ClientRow) -> bool {
    let kind = row.tls_version.as_ref().unwrap_or(&row.opening);
    let ip = client.ip.parse().ok();
    ip.is_some() && client_ip(row) == ip && *kind == client.kind && row.member == client.member
}

fn client_ip(row: &ConnectionRow) -> Option<IpAddr> {
    row.peer.parse().ok().map(|peer: SocketAddr| peer.ip().to_canonical())
}

#[cfg(test)]
mod tests {
    use super::{ClientTarget, ConnectionTarget, has_end, is_from, of_client};
    use crate::admin::replies::{ClientRow, ConnectionRow};

    fn connection(id: u64, peer: &str, application: &str) -> ConnectionRow {
        ConnectionRow {
            id,
            peer: peer.into(),
            opening: "plaintext".into(),
            application: (!application.is_empty()).then(|| application.into()),
            upstream_local: Some(format!("127.0.0.1:{}", 50_000 + id)),
            ..ConnectionRow::default()
        }
    }

    #[test]
    fn connections_are_found_by_end_address_and_client() {
        let rows = [
            connection(1, "[::ffff:10.0.0.7]:4001", "a"),
            connection(2, "10.0.0.7:4002", "b"),
            connection(3, "10.0.0.7:4003", ""),
            connection(4, "10.0.0.8:4004", "a"),
            ConnectionRow { tls_version: Some("TLS1.3".into()), ..connection(5, "10.0.0.7:4005", "a") },
            ConnectionRow { member: true, ..connection(6, "10.0.0.7:4006", "a") },
        ];
        let ids = |found: Vec<&ConnectionRow>| found.iter().map(|row| row.id).collect::<Vec<_>>();
        for (end, expected) in [
            ("10.0.0.7:4001", vec![1]),
            ("[::ffff:10.0.0.8]:4004", vec![4]),
            ("127.0.0.1:50002", vec![2]),
            ("10.0.0.7:1", vec![]),
        ] {
            let end = end.parse().unwrap();
            assert_eq!(ids(rows.iter().filter(|row| has_end(row, end)).collect()), expected, "{end}");
        }
        let ip = "::ffff:10.0.0.7".parse().unwrap();
        assert_eq!(ids(rows.iter().filter(|row| is_from(row, ip)).collect()), [1, 2, 3, 5, 6]);

        let client = |application: Option<&str>| ClientRow {
            ip: "10.0.0.7".into(),
            kind: "plaintext".into(),
            application: application.map(Into::into),
            ..ClientRow::default()
        };
        let by_tls = ClientRow { kind: "TLS1.3".into(), ..client(Some("a")) };
        let member = ClientRow { member: true, ..client(Some("a")) };
        let shared = ClientRow { more_names: Some(9), ..client(None) };
        let clients = [client(Some("a")), client(None), by_tls, member, shared];
        for (client, expected) in clients.iter().zip([vec![1], vec![3], vec![5], vec![6], vec![2]]) {
            assert_eq!(ids(of_client(&rows, &clients, client)), expected, "{client:?}");
        }
    }

    #[test]
    fn targets_are_numbers_keys_and_addresses() {
        use ConnectionTarget::{End, Ip, Number};
        assert_eq!(ClientTarget::parse("3"), Ok(ClientTarget::Number(3)));
        assert_eq!(ClientTarget::parse("::1/a/-"), Ok(ClientTarget::Key("::1/a/-".into())));
        for wrong in ["nobody", "-1", "10.0.0.7", ""] {
            let error = ClientTarget::parse(wrong).unwrap_err();
            assert!(
                error.contains("number in `tlsramp ctl clients`") && error.contains("IP/APPLICATION/DRIVER"),
                "{error}"
            );
        }
        for (text, target) in [
            ("3", Number(3)),
            ("10.0.0.7:40022", End("10.0.0.7:40022".parse().unwrap())),
            ("[::1]:40022", End("[::1]:40022".parse().unwrap())),
            ("10.0.0.7", Ip("10.0.0.7".parse().unwrap())),
            ("::1", Ip("::1".parse().unwrap())),
            ("[2001:db8::1]", Ip("2001:db8::1".parse().unwrap())),
        ] {
            assert_eq!(ConnectionTarget::parse(text), Ok(target), "{text}");
        }
        for wrong in ["db1", "db1:27017", "10.0.0.7:", "[::1", "-1", ""] {
            assert!(ConnectionTarget::parse(wrong).unwrap_err().contains("[IP]:PORT"), "{wrong}");
        }
    }
}
