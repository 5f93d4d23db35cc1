//! The command line of the bench.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Arg, ArgAction, Command, value_parser};

use super::support::tlsramp;

#[derive(Debug)]
pub(crate) struct Options {
    /// Duration of one measurement.
    pub(crate) span: Duration,
    pub(crate) rounds: usize,
    /// Numbers of open connections.
    pub(crate) sizes: Vec<usize>,
    /// Number of connections that are held while the mode changes.
    pub(crate) held: usize,
    pub(crate) markdown: Option<PathBuf>,
    pub(crate) tlsramp: PathBuf,
}

impl Options {
    /// Parses the command line; ends the process on an error or for help.
    pub(crate) fn read() -> Options {
        let matches = command().get_matches();
        let count = |name: &str| matches.get_one::<u32>(name).map_or(1, |count| *count as usize);
        let file = |name: &str| matches.get_one::<PathBuf>(name).cloned();
        let seconds = matches.get_one::<f64>("seconds").copied().unwrap_or(1.0);
        Options {
            span: Duration::from_secs_f64(seconds.clamp(0.1, 600.0)),
            rounds: count("rounds"),
            sizes: matches.get_many::<u32>("sizes").into_iter().flatten().map(|size| *size as usize).collect(),
            held: count("held"),
            markdown: file("markdown"),
            tlsramp: file("tlsramp").unwrap_or_else(tlsramp::program),
        }
    }
}

fn command() -> Command {
    let file = |name: &'static str| Arg::new(name).long(name).value_name("FILE").value_parser(value_parser!(PathBuf));
    let count = |name: &'static str, otherwise: &'static str| {
        let most = i64::from(tlsramp_most());
        let parser = value_parser!(u32).range(1..=most);
        Arg::new(name).long(name).value_name("COUNT").value_parser(parser).default_value(otherwise)
    };
    Command::new("scale")
        .about("Measures tlsramp's costs with many open connections, and checks connections during mode changes")
        .arg(
            Arg::new("seconds")
                .long("seconds")
                .value_name("SECONDS")
                .value_parser(value_parser!(f64))
                .default_value("2")
                .help("How long each cell is measured"),
        )
        .arg(count("rounds", "3").help("How often requests in flight are measured, with changes and without"))
        .arg(count("sizes", "10,1000,10000").value_delimiter(',').help("Open connections at which costs are measured"))
        .arg(count("held", "10000").help("Connections that are held while the mode changes"))
        .arg(file("markdown").help("Write the page there, too"))
        .arg(file("tlsramp").help("The proxy to measure [default: this build's]"))
        // Cargo passes this option to every bench.
        .arg(Arg::new("bench").long("bench").hide(true).action(ArgAction::SetTrue))
}

/// The largest number of connections that `tlsramp load` opens.
fn tlsramp_most() -> u32 {
    ::tlsramp::load::MOST_CONNECTIONS
}
