//! The parsed command line, checked for consistency.

use std::net::SocketAddr;
use std::num::NonZero;
use std::sync::Arc;
use std::time::Duration;

use clap::ArgMatches;
use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::pki_types::ServerName;

use super::command as arg;
use super::limits::{BULK_BYTES, DURATION, SESSIONS, WARM_UP};
use super::workload::{LoadRequest, Workload};
use crate::limits::MOST_WORKERS;
use crate::net::HostPort;
use crate::tls::{DisabledProtocols, Material, TlsFiles};

/// A measurement as requested on the command line.
#[derive(Debug, Clone)]
pub(super) struct LoadArgs {
    pub(super) workload: Workload,
    pub(super) request: LoadRequest,
    pub(super) target: HostPort,
    pub(super) connections: usize,
    /// The number of connections that use TLS.
    pub(super) tls_connections: usize,
    pub(super) tls: Option<LoadTls>,
    /// Operations per second; `None` for a closed loop.
    pub(super) rate: Option<u32>,
    pub(super) duration: Duration,
    pub(super) warm_up: Duration,
    pub(super) threads: usize,
    pub(super) cpu_of: Vec<i32>,
    pub(super) json: bool,
}

/// The TLS configuration of clients.
#[derive(Debug, Clone)]
pub(super) struct LoadTls {
    pub(super) config: Arc<ClientConfig>,
    pub(super) name: ServerName<'static>,
}

/// The echo server as requested on the command line.
#[derive(Debug)]
pub(super) struct ServeArgs {
    pub(super) listen: SocketAddr,
    pub(super) threads: usize,
    pub(super) material: Option<Material>,
}

impl LoadArgs {
    /// # Errors
    /// A message about options that exclude each other, or a line for each file that cannot be used.
    pub(super) fn of(matches: &ArgMatches) -> Result<LoadArgs, String> {
        let target: HostPort =
            matches.get_one(arg::TARGET).cloned().ok_or("--target is missing: give the HOST:PORT to load")?;
        let workload = matches.get_one(arg::WORKLOAD).copied().unwrap_or(Workload::Ping);
        let connections = matches.get_one::<u32>(arg::CONNECTIONS).map_or(1, |count| *count as usize);
        let mix = matches.get_one::<u32>(arg::MIX).copied();
        let percent = mix.unwrap_or(if matches.get_flag(arg::TLS) { 100 } else { 0 });
        let tls_connections = (connections * percent as usize).div_ceil(100);
        if tls_connections == 0 {
            refuse_tls_options(matches)?;
        }
        Ok(LoadArgs {
            workload,
            request: request(matches, workload)?,
            connections,
            tls_connections,
            tls: (tls_connections > 0).then(|| tls(matches, &target)).transpose()?,
            target,
            rate: matches.get_one(arg::RATE).copied(),
            duration: positive(matches, arg::DURATION, DURATION)?,
            warm_up: matches.get_one(arg::WARM_UP).copied().unwrap_or(WARM_UP),
            threads: threads(matches).min(connections),
            cpu_of: matches.get_many(arg::CPU_OF).into_iter().flatten().copied().collect(),
            json: matches.get_flag(arg::JSON),
        })
    }
}

impl ServeArgs {
    /// `None` without `--serve`.
    ///
    /// # Errors
    /// A message about each file that cannot be used.
    pub(super) fn of(matches: &ArgMatches) -> Option<Result<ServeArgs, String>> {
        let listen = *matches.get_one::<SocketAddr>(arg::SERVE)?;
        let files = TlsFiles { certificate_key: matches.get_one(arg::CERTIFICATE_KEY).cloned(), ..TlsFiles::default() };
        let material = files.certificate_key.is_some().then(|| load(&files)).transpose();
        Some(material.map(|material| ServeArgs { listen, threads: threads(matches), material }))
    }
}

fn request(matches: &ArgMatches, workload: Workload) -> Result<LoadRequest, String> {
    let size = |name, otherwise| matches.get_one::<u32>(name).copied().unwrap_or(otherwise);
    let bytes = size(arg::REQUEST, REQUEST_BYTES);
    let echo = |response| LoadRequest::Echo { request: bytes, response: size(arg::RESPONSE, response) };
    let request = match (workload, matches.get_one::<String>(arg::COMMAND).map(String::as_str)) {
        (Workload::Echo, _) => echo(RESPONSE_BYTES),
        (Workload::Bulk, _) => echo(BULK_BYTES),
        (_, Some("echo")) => echo(RESPONSE_BYTES),
        (_, Some("hello")) => LoadRequest::Hello,
        (_, Some("insert")) => LoadRequest::Insert { bytes },
        _ => LoadRequest::Ping,
    };
    let sized = matches!(request, LoadRequest::Echo { .. } | LoadRequest::Insert { .. });
    if !sized && (matches.contains_id(arg::REQUEST) || matches.contains_id(arg::RESPONSE)) {
        return Err("--request and --response do not apply to a MongoDB ping or hello, whose size is fixed: omit them"
            .to_owned());
    }
    Ok(request)
}

/// Refuses TLS options if no client uses TLS.
fn refuse_tls_options(matches: &ArgMatches) -> Result<(), String> {
    let given = |name: &&str| {
        matches.contains_id(name) && matches.value_source(name) == Some(clap::parser::ValueSource::CommandLine)
    };
    let names = [arg::VERSION, arg::RESUME, arg::CA, arg::CERTIFICATE_KEY, arg::INVALID];
    match names.iter().find(|name| given(name)) {
        Some(name) => Err(format!("--{name} has no effect without --tls or a --mix above 0: give both or neither")),
        None => Ok(()),
    }
}

fn tls(matches: &ArgMatches, target: &HostPort) -> Result<LoadTls, String> {
    let version = matches.get_one::<String>(arg::VERSION).map(String::as_str);
    let files = TlsFiles {
        cluster: matches.get_one(arg::CERTIFICATE_KEY).cloned(),
        ca: matches.get_one(arg::CA).cloned(),
        allow_invalid_certificates: matches.get_flag(arg::INVALID),
        disabled: DisabledProtocols { tls1_2: version == Some("1.3"), tls1_3: version == Some("1.2") },
        ..TlsFiles::default()
    };
    if files.ca.is_none() && !files.allow_invalid_certificates {
        return Err(format!("--{} requires --{}, or --{} to verify nothing", arg::TLS, arg::CA, arg::INVALID));
    }
    let name = ServerName::try_from(target.host.clone()).map_err(|_| {
        format!(
            "--{}: {:?} is neither a DNS name nor an IP address, so no certificate can be verified for it",
            arg::TARGET,
            target.host
        )
    })?;
    let material = load(&files)?;
    let config = material.client_config(std::slice::from_ref(&name)).ok_or("internal error: no TLS configuration")?;
    let mut config = ClientConfig::clone(&config);
    config.resumption =
        if matches.get_flag(arg::RESUME) { Resumption::in_memory_sessions(SESSIONS) } else { Resumption::disabled() };
    Ok(LoadTls { config: Arc::new(config), name })
}

fn load(files: &TlsFiles) -> Result<Material, String> {
    let text = |faults: Vec<crate::tls::FileError>| {
        let line =
            |fault: &crate::tls::FileError| format!("{}: {}; {}", fault.path.display(), fault.problem, fault.remedy);
        faults.iter().map(line).collect::<Vec<_>>().join("\n")
    };
    Material::load(files).map(|(material, _)| material).map_err(text)
}

fn positive(matches: &ArgMatches, name: &str, otherwise: Duration) -> Result<Duration, String> {
    let time = matches.get_one::<Duration>(name).copied().unwrap_or(otherwise);
    if time.is_zero() { Err(format!("--{name} must be greater than 0")) } else { Ok(time) }
}

fn threads(matches: &ArgMatches) -> usize {
    let given = matches.get_one::<u16>(arg::THREADS).map(|count| usize::from(*count));
    given.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, NonZero::get).min(MOST_WORKERS))
}

const REQUEST_BYTES: u32 = 256;
const RESPONSE_BYTES: u32 = 1024;

#[cfg(test)]
mod tests {
    use super::{LoadArgs, LoadRequest, ServeArgs, Workload};
    use crate::load::command::command;

    fn read(line: &str) -> Result<LoadArgs, String> {
        let words = ["load"].into_iter().chain(line.split_whitespace());
        let matches = command().try_get_matches_from(words).map_err(|error| error.to_string())?;
        LoadArgs::of(&matches)
    }

    #[test]
    fn arguments_are_parsed() {
        let args = read("--target db1:27017").unwrap();
        assert_eq!(
            (args.workload, args.request, args.connections, args.tls_connections),
            (Workload::Ping, LoadRequest::Ping, 16, 0)
        );
        let args = read("bulk --target db1:1 --mix 70 --connections 9 --tlsAllowInvalidCertificates --rate 5").unwrap();
        assert_eq!((args.tls_connections, args.rate), (7, Some(5)));
        assert_eq!(args.request, LoadRequest::Echo { request: 256, response: 16 << 20 });
        let args = read("mixed --target db1:1 --command insert --request 9").unwrap();
        assert_eq!((args.workload, args.request), (Workload::Mixed, LoadRequest::Insert { bytes: 9 }));
        let matches = command().try_get_matches_from(["load", "--serve", "127.0.0.1:0"]).unwrap();
        assert!(ServeArgs::of(&matches).unwrap().unwrap().material.is_none());
    }

    #[test]
    fn conflicting_arguments_are_refused() {
        for (line, part) in [
            ("ping", "--target"),
            ("sing --target db1:1", "possible values"),
            ("--target db1", "it has no port"),
            ("--target db1:1 --serve 127.0.0.1:1", "cannot be used with"),
            ("--target db1:1 --connections 0", "not in 1.."),
            ("--target db1:1 --duration 0", "must be greater than 0"),
            ("--target db1:1 --tls", "--tls requires --tlsCAFile"),
            ("--target db1:1 --resume", "--resume has no effect without --tls"),
            ("--target db1:1 --mix 0 --tlsCAFile a", "--tlsCAFile has no effect"),
            ("--target db1:1 --mix 101", "not in 0..=100"),
            ("--target db1:1 --tls --tlsCAFile /none", "/none: it cannot be read"),
            ("--target db1:1 --request 5", "whose size is fixed"),
        ] {
            let error = read(line).unwrap_err();
            assert!(error.contains(part), "{line}: {error}");
        }
    }
}
