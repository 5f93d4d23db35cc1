//! Measures tlsramp's costs with many open connections, and checks open connections during mode changes.
//!
//! | file | contents |
//! |---|---|
//! | [`options`] | the command line |
//! | [`costs`] | the cost of a connection and a request with 10, 1,000 and 10,000 open connections |
//! | [`changes`] | latency that mode changes add to requests; ten thousand connections held meanwhile |
//! | [`switch`] | a thread that changes the mode through the admin port |
//!
//! The exit code is 1 if a connection was lost. The figures are reported without a judgement.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "a benchmark")]

mod changes;
mod costs;
mod options;
#[path = "../support/mod.rs"]
mod support;
mod switch;

use std::fmt::Write as _;
use std::process::ExitCode;

use options::Options;
use support::{Certs, machine};

fn main() -> ExitCode {
    let options = Options::read();
    match measure(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("scale: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(options: &Options) -> Result<(), String> {
    let carried = machine::raise_descriptors(DESCRIPTORS);
    let most = carried.saturating_sub(SPARE).max(1);
    let certs = Certs::make()?;
    let mut page = String::new();
    let mut say = |text: &str| {
        println!("{text}");
        // Writing to a `String` does not fail.
        let _ = writeln!(page, "{text}");
    };
    say("# tlsramp with many connections\n");
    say("Made by `cargo bench --bench scale`; see [README.md](README.md) for how to read it.\n");
    say(&format!(
        "{}. A proxied connection takes two descriptors of the proxy and one each of client and server: tlsramp takes {carried} \
         here, and {most} are held at most. Outgoing ports for each destination: {}.\n",
        machine::text(),
        machine::outgoing_ports()
    ));
    say(&costs::measure(options, &certs, most)?);
    let lost = [changes::in_flight(options, &certs)?, changes::held(options, &certs, most)?];
    for part in &lost {
        say(&part.text);
    }
    if let Some(file) = &options.markdown {
        std::fs::write(file, &page).map_err(|error| format!("{}: {error}", file.display()))?;
    }
    match lost.iter().find_map(|part| part.lost.clone()) {
        Some(lost) => Err(lost),
        None => Ok(()),
    }
}

/// Twice as many descriptors as ten thousand proxied connections take.
const DESCRIPTORS: u64 = 40_000;
/// Number of connections in addition to those that are held: some are still closing.
const SPARE: usize = 100;
