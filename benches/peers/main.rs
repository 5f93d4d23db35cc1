//! Compares tlsramp with its peers: the same load, the same kind of server, one machine, one run.
//!
//! | file | contents |
//! |---|---|
//! | [`options`] | the command line |
//! | [`workload`] | the workloads, and the goals |
//! | [`peer`] | the proxies, and how each is started |
//! | [`configs`] | the peers' configuration files |
//! | [`naive`] | the simplest proxy |
//! | [`install`] | installing the peers |
//! | [`floor`] | the cost of the cryptography alone |
//! | [`rounds`] | the order of measurements |
//! | [`storms`] [`crowd`] | latency of established clients during storms of new ones |
//! | [`latency`] | the latency that a proxy adds to a request |
//! | [`rest`] | start, memory and size without clients |
//! | [`mongod`] | mongod's own TLS, against tlsramp in front of a plaintext mongod |
//! | [`figures`] | medians, spreads, ratios |
//! | [`page`] [`chart`] | Markdown, and a picture |
//!
//! The published figure is the processor time of the proxy's processes as counted by the kernel. Load, server and proxy
//! share the cores, so throughput depends on all three.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "a benchmark")]

mod chart;
mod configs;
mod crowd;
mod figures;
mod floor;
mod install;
mod latency;
mod mongod;
mod naive;
mod options;
mod page;
mod peer;
mod rest;
mod rounds;
mod storms;
#[path = "../support/mod.rs"]
mod support;
mod workload;

use std::process::ExitCode;

use options::Options;

fn main() -> ExitCode {
    // This program also runs as one of the peers.
    if let Some(wanted) = naive::NaiveArgs::of(std::env::args()) {
        return naive::run(&wanted);
    }
    let options = Options::read();
    match measure(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("peers: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(options: &Options) -> Result<(), String> {
    // The report shows the resulting limit.
    let _ = tlsramp::testing::raise_descriptor_limit(1);
    if options.install {
        install::all()?;
    }
    let measured = rounds::run(options)?;
    let page = page::render(options, &measured);
    println!("\n{page}");
    if let Some(file) = &options.markdown {
        std::fs::write(file, &page).map_err(|error| format!("{}: {error}", file.display()))?;
    }
    if let Some(file) = &options.chart {
        std::fs::write(file, chart::render(&measured)).map_err(|error| format!("{}: {error}", file.display()))?;
    }
    Ok(())
}
