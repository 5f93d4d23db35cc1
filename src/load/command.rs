//! The command line of `tlsramp load`.

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Arg, ArgAction, Command, value_parser};

use super::limits::{self, MESSAGE_BYTES, MOST_CONNECTIONS};
use super::workload::Workload;
use crate::config::time;
use crate::limits::MOST_WORKERS;
use crate::net::HostPort;

/// The command line of `tlsramp load`.
pub fn command() -> Command {
    Command::new("load")
        .about("Load generator for TLS and plaintext")
        .long_about(LONG_ABOUT)
        .after_long_help(EXIT_CODES)
        .arg_required_else_help(true)
        .args(what())
        .args(how_much())
        .args(tls())
        .args(shown())
}

fn what() -> Vec<Arg> {
    vec![
        Arg::new(WORKLOAD).value_name("WORKLOAD").value_parser(workload()).default_value("ping").help(
            "connect: a new connection for each request; ping: requests on open connections; echo: the same with the \
             protocol of --serve; bulk: large answers with that protocol; idle: open connections that wait after one \
             request; mixed: requests, of which every tenth uses a new connection",
        ),
        Arg::new(TARGET)
            .long(TARGET)
            .value_name("HOST:PORT")
            .value_parser(value_parser!(HostPort))
            .required_unless_present(SERVE)
            .help("Address of the proxy or server to load"),
        Arg::new(SERVE)
            .long(SERVE)
            .value_name("IP:PORT")
            .value_parser(value_parser!(std::net::SocketAddr))
            .conflicts_with(TARGET)
            .help("Run the server for echo and bulk instead, until it is stopped; with TLS if --tlsCertificateKeyFile is given"),
        Arg::new(COMMAND)
            .long(COMMAND)
            .value_name("ping|hello|insert|echo")
            .value_parser(["ping", "hello", "insert", "echo"])
            .default_value("ping")
            .help(
                "The request of connect, ping, idle and mixed: a MongoDB command (insert: documents of --request bytes, \
                 into tlsramp_load.load), or echo for a request of the protocol of --serve",
            ),
        bytes(REQUEST, "Size of a request of --serve's protocol, or of an inserted document [default: 256]"),
        bytes(RESPONSE, "Size of its answer [default: 1k; bulk: 16M]"),
    ]
}

fn workload() -> impl TypedValueParser<Value = Workload> {
    let of = |name: String| Workload::ALL.into_iter().find(|workload| workload.name() == name);
    // The parser has already checked the names.
    PossibleValuesParser::new(Workload::ALL.map(Workload::name)).map(move |name| of(name).unwrap_or(Workload::Ping))
}

fn bytes(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name("SIZE").value_parser(size).help(help)
}

/// A number of bytes, with or without a unit: k, K or KiB (1,024), kB or KB (1,000), m, M or MiB (1,048,576), or MB
/// (1,000,000).
fn size(text: &str) -> Result<u32, String> {
    let digits = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor = match unit.trim_start() {
        "" | "B" => Some(1),
        "k" | "K" | "KiB" => Some(1 << 10),
        "kB" | "KB" => Some(1000),
        "m" | "M" | "MiB" => Some(1 << 20),
        "MB" => Some(1_000_000),
        _ => None,
    };
    let bytes = factor.and_then(|factor| number.parse::<u64>().ok()?.checked_mul(factor));
    let bounded = bytes.and_then(|bytes| u32::try_from(bytes).ok()).filter(|bytes| *bytes <= MESSAGE_BYTES);
    bounded.ok_or_else(|| {
        format!(
            "expected 0 to {MESSAGE_BYTES} bytes, with or without a unit: 512, 4k (4 KiB), 16M (16 MiB), 1kB (1,000)"
        )
    })
}

fn how_much() -> Vec<Arg> {
    let span = |name: &'static str| {
        let least = std::time::Duration::ZERO;
        Arg::new(name).long(name).value_name("TIME").value_parser(move |text: &str| time(text, least))
    };
    vec![
        Arg::new(CONNECTIONS)
            .long(CONNECTIONS)
            .value_name("COUNT")
            .value_parser(value_parser!(u32).range(1..=i64::from(MOST_CONNECTIONS)))
            .default_value("16")
            .help("Number of concurrent clients, each with its own connection"),
        Arg::new(RATE).long(RATE).value_name("PER_SECOND").value_parser(value_parser!(u32).range(1..)).help(
            "Open loop: operations per second that are due, over all clients. A client whose last operation has not \
             ended starts the next one late; its latency counts from the time at which it was due. Without this \
             option, each client starts an operation when its previous one has ended",
        ),
        span(DURATION).help(format!("Duration of the measurement [default: {}s]", limits::DURATION.as_secs())),
        span(WARM_UP).help(format!("Duration of the warm-up before it [default: {}s]", limits::WARM_UP.as_secs())),
        Arg::new(THREADS)
            .long(THREADS)
            .value_name("COUNT")
            .value_parser(value_parser!(u16).range(1..=i64::try_from(MOST_WORKERS).unwrap_or(1)))
            .help("Number of threads [default: one per core]"),
    ]
}

fn tls() -> Vec<Arg> {
    let option = |name: &'static str| Arg::new(name).long(name).help_heading("TLS");
    let file = |name| option(name).value_name("FILE").value_parser(value_parser!(PathBuf));
    vec![
        option(TLS).action(ArgAction::SetTrue).help("Use TLS for all clients"),
        option(MIX)
            .value_name("PERCENT")
            .value_parser(value_parser!(u32).range(0..=100))
            .help("Percentage of clients that use TLS; the others use plaintext; implies --tls"),
        option(VERSION)
            .value_name("1.2|1.3")
            .value_parser(["1.2", "1.3"])
            .help("Use only this TLS version [default: the server's choice]"),
        option(RESUME)
            .action(ArgAction::SetTrue)
            .help("Resume sessions if the server issues tickets; without it, every handshake is a full one"),
        file(CA).help("PEM file of the CA that signed the server's certificate"),
        file(CERTIFICATE_KEY).help("PEM file of the client certificate with its key; with --serve: the server's"),
        option(INVALID).action(ArgAction::SetTrue).help("Do not verify the server: for tests only"),
    ]
}

fn shown() -> Vec<Arg> {
    vec![
        Arg::new(CPU_OF)
            .long(CPU_OF)
            .value_name("PID")
            .value_parser(value_parser!(i32).range(1..))
            .action(ArgAction::Append)
            .help(
                "Report the processor time of process PID per operation, and its memory per idle connection; \
                 repeatable",
            ),
        Arg::new(JSON).long(JSON).action(ArgAction::SetTrue).help("Print the result as one JSON object"),
    ]
}

pub(super) const WORKLOAD: &str = "workload";
pub(super) const TARGET: &str = "target";
pub(super) const SERVE: &str = "serve";
pub(super) const COMMAND: &str = "command";
pub(super) const REQUEST: &str = "request";
pub(super) const RESPONSE: &str = "response";
pub(super) const CONNECTIONS: &str = "connections";
pub(super) const RATE: &str = "rate";
pub(super) const DURATION: &str = "duration";
pub(super) const WARM_UP: &str = "warmUp";
pub(super) const THREADS: &str = "threads";
pub(super) const TLS: &str = "tls";
pub(super) const MIX: &str = "mix";
pub(super) const VERSION: &str = "tlsVersion";
pub(super) const RESUME: &str = "resume";
pub(super) const CA: &str = "tlsCAFile";
pub(super) const CERTIFICATE_KEY: &str = "tlsCertificateKeyFile";
pub(super) const INVALID: &str = "tlsAllowInvalidCertificates";
pub(super) const CPU_OF: &str = "cpu-of";
pub(super) const JSON: &str = "json";

const LONG_ABOUT: &str = "Loads a proxy or a server with clients that use TLS, plaintext or both, and reports the \
     number of operations, their latencies, failures, and, with --cpu-of, the processor time of other processes. \
     Requests are MongoDB commands, for a mongod or a proxy in front of it; echo and bulk need `tlsramp load --serve` \
     as the server.";

const EXIT_CODES: &str = "Exit codes:\n  0  measured\n  1  no operation succeeded, or the server could not listen\n  \
     2  usage, or the measurement could not be made";
