//! Version, host, command line and log. The version is marked as tlsramp's, and has a form that clients of mongod
//! understand.

use std::env;
use std::time::SystemTime;

use bson::raw::{RawArrayBuf, RawBson, RawBsonRef, RawDocumentBuf, cstr};
use bson::{DateTime, rawdoc};

use super::context::CommandContext;
use super::errors::OPERATION_FAILED;
use super::fields::wrong_type;
use super::handshake::MAX_DOCUMENT_BYTES;
use crate::config::Settings;
use crate::control::status;
use crate::mongo::{CommandFailure, CommandResult};
use crate::policy::Spelling;
use crate::text::rfc3339;

/// tlsramp's own version.
pub(super) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The version is 6.0, because the announced wire protocol is that of MongoDB 6.0.
pub(super) fn build_info(_: &CommandContext<'_>) -> CommandResult {
    Ok(rawdoc! {
        "version": "6.0.0",
        "gitVersion": format!("tlsramp {VERSION}"),
        "modules": [],
        "sysInfo": "deprecated",
        "versionArray": [6, 0, 0, 0],
        "bits": 64,
        "debug": false,
        "maxBsonObjectSize": MAX_DOCUMENT_BYTES,
        "tlsramp": VERSION,
    })
}

pub(super) fn host_info(_: &CommandContext<'_>) -> CommandResult {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    Ok(rawdoc! {
        "system": {
            "currentTime": DateTime::now(),
            "hostname": host_name(),
            "cpuAddrSize": 64,
            "numCores": i32::try_from(cores).unwrap_or(i32::MAX),
            "cpuArch": env::consts::ARCH,
        },
        "os": { "type": "Linux", "name": "Linux", "version": "" },
        "extra": {},
    })
}

/// The host name, from the kernel.
pub(super) fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname");
    name.map_or_else(|_| "localhost".to_owned(), |name| name.trim().to_owned())
}

/// `argv` without passwords; `parsed` from the settings, in mongod's names.
pub(super) fn command_line(context: &CommandContext<'_>) -> CommandResult {
    let argv = redacted(env::args()).into_iter().map(RawBson::String).collect::<RawArrayBuf>();
    let mut answer = RawDocumentBuf::new();
    answer.append(cstr!("argv"), argv);
    answer.append(cstr!("parsed"), parsed(&context.connection.shared.controller.view().settings()));
    Ok(answer)
}

/// The arguments, with mongod's placeholder for passwords.
fn redacted(arguments: impl Iterator<Item = String>) -> Vec<String> {
    let mut is_secret = false;
    let redact = |argument: String| {
        let (name, value) = match argument.split_once('=') {
            Some((name, _)) => (name, true),
            None => (&*argument, false),
        };
        let names_secret = name.starts_with("--") && name.to_ascii_lowercase().contains("password");
        let shown = match (is_secret, names_secret) {
            (true, _) => SECRET.to_owned(),
            (false, true) if value => format!("{name}={SECRET}"),
            (false, _) => argument.clone(),
        };
        is_secret = !is_secret && names_secret && !value;
        shown
    };
    arguments.map(redact).collect()
}

fn parsed(settings: &Settings) -> RawDocumentBuf {
    let mut tls = rawdoc! { "mode": settings.mode.name(Spelling::Tls) };
    let files = [
        (cstr!("certificateKeyFile"), &settings.tls.certificate_key),
        (cstr!("clusterFile"), &settings.tls.cluster),
        (cstr!("CAFile"), &settings.tls.ca),
        (cstr!("clusterCAFile"), &settings.tls.cluster_ca),
        (cstr!("CRLFile"), &settings.tls.crl),
    ];
    for (name, file) in files {
        if let Some(file) = file {
            tls.append(name, file.to_string_lossy().as_ref());
        }
    }
    let mut net = RawDocumentBuf::new();
    let mut proxy = RawDocumentBuf::new();
    if let Some(inbound) = &settings.inbound {
        let addresses: Vec<_> = inbound.binds.iter().map(|bind| bind.ip().to_string()).collect();
        net.append(cstr!("bindIp"), addresses.join(","));
        net.append(cstr!("port"), inbound.binds.first().map_or(0, |bind| i32::from(bind.port())));
        proxy.append(cstr!("upstream"), inbound.upstream.to_string());
    }
    net.append(cstr!("tls"), tls);
    let outbound = settings.outbound.iter().map(|route| format!("{}={}", route.listen, route.target));
    proxy.append(cstr!("outbound"), outbound.map(RawBson::String).collect::<RawArrayBuf>());
    let mut parsed = RawDocumentBuf::new();
    if let Some(file) = &settings.file {
        parsed.append(cstr!("config"), file.to_string_lossy().as_ref());
    }
    parsed.append(cstr!("net"), net);
    parsed.append(cstr!("proxy"), proxy);
    parsed
}

/// The log is not kept. Shells show `startupWarnings` when they connect: these say that this is tlsramp, and repeat the
/// warnings of its status.
pub(super) async fn log(context: CommandContext<'_>) -> CommandResult {
    let CommandContext { connection, request, .. } = context;
    let first = request.command.iter().next().and_then(Result::ok).map(|(_, value)| value);
    let name = match first {
        Some(RawBsonRef::String(name)) => name,
        Some(value) => return Err(wrong_type("getLog", "getLog", value, "expected type 'string'")),
        None => "",
    };
    match name {
        "*" => Ok(rawdoc! { "names": ["global", "startupWarnings"] }),
        "global" => Ok(rawdoc! { "totalLinesWritten": 0, "log": [] }),
        "startupWarnings" => {
            let about = format!("This is the admin port of tlsramp {VERSION}, not a mongod: it holds no data");
            let warnings = status(connection.shared.controller.view()).await.map_err(CommandFailure::from)?.warnings;
            let lines: Vec<_> = std::iter::once(about).chain(warnings).map(|text| line(&text)).collect();
            let count = i32::try_from(lines.len()).unwrap_or(i32::MAX);
            let log = lines.into_iter().map(RawBson::String).collect::<RawArrayBuf>();
            let mut answer = RawDocumentBuf::new();
            answer.append(cstr!("totalLinesWritten"), count);
            answer.append(cstr!("log"), log);
            Ok(answer)
        }
        other => Err(CommandFailure::new(OPERATION_FAILED, format!("No log named '{other}'"))),
    }
}

/// A line in mongod's log format, which shells parse.
fn line(text: &str) -> String {
    let now = rfc3339(SystemTime::now());
    let line = serde_json::json!({
        "t": { "$date": now }, "s": "W", "c": "CONTROL", "id": 1, "ctx": "tlsramp", "msg": text,
        "tags": ["startupWarnings"],
    });
    format!("{line}\n")
}

const SECRET: &str = "<password>";

#[cfg(test)]
mod tests {
    use super::redacted;

    #[test]
    fn passwords_are_not_shown() {
        let arguments = "tlsramp run --sslPEMKeyPassword a --tlsClusterPassword=b --sslMode allowSSL";
        let shown = redacted(arguments.split(' ').map(str::to_owned)).join(" ");
        let expected = "tlsramp run --sslPEMKeyPassword <password> --tlsClusterPassword=<password> --sslMode allowSSL";
        assert_eq!(shown, expected);
    }
}
