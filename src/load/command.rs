//! The command line of `tlsramp load`.

use std::path::PathBuf;

use clap::{Arg, ArgAction, Command, value_parser};

use crate::config::time;
use crate::limits::{LOAD_CONNECTIONS, LOAD_DURATION, LOAD_MESSAGE_BYTES, LOAD_WARM_UP, MOST_WORKERS};
use crate::net::HostPort;

/// The command line of `tlsramp load`.
#[must_use]
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
    let workloads = ["connect", "ping", "echo", "bulk", "idle", "mixed"];
    vec![
        Arg::new(WORKLOAD).value_name("WORKLOAD").value_parser(workloads).default_value("ping").help(
            "connect: a new connection for each request; ping: requests on open connections; echo: the same by the \
             protocol of --serve; bulk: large answers by that; idle: open connections that wait after one request; \
             mixed: requests, every tenth on a new connection",
        ),
        Arg::new(TARGET)
            .long(TARGET)
            .value_name("HOST:PORT")
            .value_parser(value_parser!(HostPort))
            .required_unless_present(SERVE)
            .help("The proxy or server to load"),
        Arg::new(SERVE)
            .long(SERVE)
            .value_name("IP:PORT")
            .value_parser(value_parser!(std::net::SocketAddr))
            .conflicts_with(TARGET)
            .help("Be the server of echo and bulk instead, until it is stopped; by TLS with --tlsCertificateKeyFile"),
        Arg::new(COMMAND)
            .long(COMMAND)
            .value_name("ping|hello|insert|echo")
            .value_parser(["ping", "hello", "insert", "echo"])
            .default_value("ping")
            .help(
                "The request of connect, ping, idle and mixed: a MongoDB command (insert: documents of --request bytes, \
                 into tlsramp_load.load), or one of the protocol of --serve",
            ),
        bytes(REQUEST, "Bytes of a request of --serve's protocol, or of an inserted document [default: 256]"),
        bytes(RESPONSE, "Bytes of its answer [default: 1024; bulk: 16777216]"),
    ]
}

fn bytes(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name)
        .long(name)
        .value_name("BYTES")
        .value_parser(value_parser!(u32).range(0..=i64::from(LOAD_MESSAGE_BYTES)))
        .help(help)
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
            .value_parser(value_parser!(u32).range(1..=i64::from(LOAD_CONNECTIONS)))
            .default_value("16")
            .help("Clients at a time, each with a connection of its own"),
        Arg::new(RATE).long(RATE).value_name("PER_SECOND").value_parser(value_parser!(u32).range(1..)).help(
            "Open loop: so many operations a second over all clients, each timed from when it was due, so that a \
                 server that stalls is not asked less. Without it, the next begins when the last has ended",
        ),
        span(DURATION).help(format!("How long is measured [default: {}s]", LOAD_DURATION.as_secs())),
        span(WARM_UP).help(format!("How long it runs before that [default: {}s]", LOAD_WARM_UP.as_secs())),
        Arg::new(THREADS)
            .long(THREADS)
            .value_name("COUNT")
            .value_parser(value_parser!(u16).range(1..=i64::try_from(MOST_WORKERS).unwrap_or(1)))
            .help("Threads [default: one for each core]"),
    ]
}

fn tls() -> Vec<Arg> {
    let option = |name: &'static str| Arg::new(name).long(name).help_heading("TLS");
    let file = |name| option(name).value_name("FILE").value_parser(value_parser!(PathBuf));
    vec![
        option(TLS).action(ArgAction::SetTrue).help("Clients speak TLS"),
        option(MIX)
            .value_name("PERCENT")
            .value_parser(value_parser!(u32).range(0..=100))
            .help("So many of a hundred clients do, the others speak plaintext; implies --tls"),
        option(VERSION)
            .value_name("1.2|1.3")
            .value_parser(["1.2", "1.3"])
            .help("Only this version [default: what the server likes best]"),
        option(RESUME)
            .action(ArgAction::SetTrue)
            .help("Resume sessions where the server gives tickets; without it every handshake is a full one"),
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
            .help("Tell what this process used for each operation: processor time, and memory for each connection; repeatable"),
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

const LONG_ABOUT: &str = "Loads a proxy or a server with clients that speak TLS, plaintext or both, and tells how many operations it \
     served, how long they took, what failed, and with --cpu-of what they cost it. Against a mongod or what stands before \
     it, requests are MongoDB's; echo and bulk need a server that is `tlsramp load --serve`.";

const EXIT_CODES: &str =
    "Exit codes:\n  0  measured\n  1  no operation succeeded, or the server could not listen\n  2  usage";
