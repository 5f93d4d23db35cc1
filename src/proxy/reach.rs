//! The upstream's leg: dialled with the permit, and made what the permit says. There is no lesser link to fall
//! back to.

use rustls::pki_types::ServerName;
use tokio::net::TcpStream;

use super::failure::Failure;
use super::leg::Leg;
use super::route::{Route, Way};
use crate::limits::Timeouts;
use crate::net::{self, Dialled};
use crate::observe::Record;
use crate::policy::{Link, Permit};
use crate::snapshot::Snapshot;
use crate::tls;

/// Makes the upstream's leg.
pub(super) async fn reach(
    permit: Permit,
    route: &Route,
    snapshot: &Snapshot,
    timeouts: &Timeouts,
    record: &mut Record,
) -> Result<Leg, Failure> {
    record.upstream = Some(route.written.clone());
    match &route.way {
        Way::Unix(path) => {
            let dialled = net::dial_unix(permit, path, timeouts.connect).await.map_err(Failure::Dial)?;
            // A configuration that would speak TLS on a Unix socket is refused at start.
            if dialled.link == Link::Tls { Err(Failure::NoMaterial) } else { Ok(Leg::Unix(dialled.socket)) }
        }
        Way::Tcp { resolver, source, names } => {
            let dialled = net::dial(permit, resolver, *source, timeouts.connect).await.map_err(Failure::Dial)?;
            record.upstream_local = dialled.socket.local_addr().ok();
            let Dialled { socket, link } = dialled;
            match link {
                Link::Plaintext | Link::Untouched => Ok(Leg::Tcp(socket)),
                Link::Tls => secure(socket, names, route, snapshot, timeouts, record).await,
            }
        }
    }
}

async fn secure(
    socket: TcpStream,
    names: &[ServerName<'static>],
    route: &Route,
    snapshot: &Snapshot,
    timeouts: &Timeouts,
    record: &mut Record,
) -> Result<Leg, Failure> {
    let config = snapshot.tls.client_config(names).ok_or(Failure::NoMaterial)?;
    let sni = sni(names, route, record).ok_or(Failure::NoMaterial)?;
    let stream = tls::connect(socket, config, sni, timeouts.handshake).await.map_err(Failure::UpstreamTls)?;
    record.upstream_tls = stream.get_ref().1.protocol_version().and_then(tls::version_name);
    Ok(Leg::ToServer(Box::new(stream)))
}

/// The client's own, where the route passes it on and there is one; else the name that is verified.
fn sni(names: &[ServerName<'static>], route: &Route, record: &Record) -> Option<ServerName<'static>> {
    let asked = record.sni.as_ref().filter(|_| route.passes_sni());
    asked.and_then(|name| ServerName::try_from(name.clone()).ok()).or_else(|| names.first().cloned())
}
