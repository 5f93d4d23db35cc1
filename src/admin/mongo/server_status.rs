//! `serverStatus`: mongod's sections about TLS and connections, and tlsramp's own status.

use bson::raw::{RawDocumentBuf, cstr};
use bson::{DateTime, rawdoc};

use super::context::CommandContext;
use super::document::document;
use super::server_info::{VERSION, host_name};
use crate::admin::replies::Status;
use crate::control::status;
use crate::mongo::{CommandFailure, CommandResult};
use crate::tls::Material;

/// Unknown sections in the request are ignored, as in mongod.
pub(super) async fn answer(context: CommandContext<'_>) -> CommandResult {
    let CommandContext { connection, .. } = context;
    let view = connection.shared.controller.view();
    let status = Status::from(status(view).await.map_err(CommandFailure::from)?);
    let port = connection.local.map_or_else(String::new, |local| format!(":{}", local.port()));
    let uptime = i64::try_from(status.uptime_secs).unwrap_or(i64::MAX);
    let mut answer = rawdoc! {
        "host": format!("{}{port}", host_name()),
        "version": VERSION,
        "process": "tlsramp",
        "pid": i64::from(status.pid),
    };
    #[expect(clippy::cast_precision_loss, reason = "exact below 2^53 seconds")]
    answer.append(cstr!("uptime"), uptime as f64);
    answer.append(cstr!("uptimeEstimate"), uptime);
    answer.append(cstr!("localTime"), DateTime::now());
    let open = i32::try_from(status.connections.open).unwrap_or(i32::MAX);
    answer.append(cstr!("connections"), rawdoc! { "current": open, "totalCreated": long(view.accepted()) });
    if let Some(security) = security(&view.snapshot().tls) {
        answer.append(cstr!("security"), security);
    }
    answer.append(cstr!("transportSecurity"), transport(view.handshakes()));
    answer.append(cstr!("tlsramp"), document(&status));
    Ok(answer)
}

/// mongod's section `security`; present if there is a certificate.
fn security(material: &Material) -> Option<RawDocumentBuf> {
    let serving = material.serving.as_ref()?;
    Some(rawdoc! {
        "SSLServerSubjectName": &*serving.subject,
        "SSLServerHasCertificateAuthority": material.can_dial(),
        "SSLServerCertificateExpirationDate": DateTime::from_millis(serving.not_after.saturating_mul(1000)),
    })
}

/// mongod's section `transportSecurity`: handshakes with clients by version. Versions before 1.2 are never completed
/// here.
fn transport(handshakes: [u64; 3]) -> RawDocumentBuf {
    let [tls1_2, tls1_3, unknown] = handshakes.map(long);
    rawdoc! { "1.0": 0_i64, "1.1": 0_i64, "1.2": tls1_2, "1.3": tls1_3, "unknown": unknown }
}

fn long(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
