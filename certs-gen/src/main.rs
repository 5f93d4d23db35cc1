//! `certs-gen`: writes a folder of certificates for trying tlsramp.
//!
//! Files are overwritten only with `--force`. Exit codes: 0 if the files were written, 1 for an error of the operating
//! system, 2 for invalid arguments.

use std::{io::Write, path::PathBuf, process::ExitCode};

use certs_gen::{DEFAULT_NAMES, Error, Set};
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

fn main() -> ExitCode {
    match run(&command().get_matches()) {
        Ok(listing) => {
            // A closed pipe (`| head`) is not an error, since the files are written.
            let _ = std::io::stdout().write_all(listing.as_bytes());
            ExitCode::SUCCESS
        }
        Err((code, text)) => {
            eprintln!("certs-gen: {text}");
            ExitCode::from(code)
        }
    }
}

fn command() -> Command {
    let names = |id: &'static str| Arg::new(id).long(id).value_name("NAME").num_args(1..).action(ArgAction::Append);
    let switch = |id: &'static str| Arg::new(id).long(id).action(ArgAction::SetTrue);
    Command::new("certs-gen")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Makes certificates for trying and testing tlsramp: a CA, a server, a cluster member and a client")
        .long_about(LONG_ABOUT)
        .args([
            Arg::new(OUT)
                .long(OUT)
                .value_name("DIR")
                .default_value("certs")
                .value_parser(value_parser!(PathBuf))
                .help("Folder to write to; created if missing"),
            names(NAME)
                .default_values(DEFAULT_NAMES)
                .help("Host names and IP addresses of the server and member certificates"),
            names(MEMBER).help("Also make a certificate for each member of a replica set: NAME.pem, for that name"),
            names(CLIENT).help("Also make a certificate for each of these clients: NAME.pem, with CN=NAME"),
            switch(WRONG).help(WRONG_HELP),
            switch(FORCE).help("Replace existing files"),
        ])
}

/// Writes the set. Returns one line per file, or an exit code and the reason for it.
fn run(args: &ArgMatches) -> Result<String, (u8, String)> {
    let failed = |error: Error| {
        let code = match error {
            Error::Name(_) | Error::File(_) => 2,
            Error::Sign(_) | Error::Encrypt(_) | Error::Write { .. } => 1,
        };
        (code, error.to_string())
    };
    let texts = |id: &str| args.get_many::<String>(id).into_iter().flatten().cloned().collect::<Vec<_>>();
    let Some(out) = args.get_one::<PathBuf>(OUT) else { return Ok(String::new()) };
    let set = Set::new(&texts(NAME), args.get_flag(WRONG), &texts(MEMBER), &texts(CLIENT)).map_err(failed)?;
    if let (false, Some(first)) = (args.get_flag(FORCE), set.existing(out).first()) {
        return Err((2, format!("{} exists already; --force replaces it", first.display())));
    }
    set.write(out).map_err(failed)?;
    let path = |name: &str| out.join(name).display().to_string();
    let width = set.files().iter().map(|file| path(&file.name).len()).max().unwrap_or(0);
    Ok(set.files().iter().map(|file| format!("{:width$}  {}\n", path(&file.name), file.purpose)).collect())
}

const OUT: &str = "out";
const NAME: &str = "name";
const MEMBER: &str = "member";
const CLIENT: &str = "client";
const WRONG: &str = "wrong";
const FORCE: &str = "force";

const LONG_ABOUT: &str = "Makes certificates for trying and testing tlsramp: a CA, a server, a cluster member and a client.\n\n\
     Every file except the CA's contains a certificate followed by its private key, as mongod requires, with mode 0600. \
     The CA's key is not kept: to add or renew a certificate, make the whole set again.";
const WRONG_HELP: &str = "Also make invalid certificates: expired, not yet valid, wrong name, no SAN, wrong CA, revoked (with CRLs), \
     and one whose key is encrypted with the password \"tlsramp\"";
