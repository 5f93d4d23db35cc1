//! `certs-gen`: writes a folder of certificates for trying tlsramp.
//!
//! Files are overwritten only with `--force`. Exit codes: 0 if the files were written, 1 for an error of the operating
//! system, 2 for invalid arguments.

use std::{io::Write, path::PathBuf, process::ExitCode};

use certs_gen::{DEFAULT_NAMES, Error, Set};
use clap::Parser;

/// Makes certificates for trying and testing tlsramp: a CA, a server, a cluster member and a client.
///
/// Every file but the CA's holds a certificate and then its private key, as mongod wants it, with mode 0600. The CA's own
/// key is not kept: to add or renew a certificate, make the whole set again.
#[derive(Debug, Parser)]
#[command(name = "certs-gen", version)]
struct Args {
    /// Folder to write into; made if missing
    #[arg(long, value_name = "DIR", default_value = "certs")]
    out: PathBuf,

    /// Host names and IP addresses of the server and member certificates
    #[arg(long, value_name = "NAME", num_args = 1.., default_values = DEFAULT_NAMES)]
    name: Vec<String>,

    /// Also make a certificate for each member of a replica set: NAME.pem, for that name
    #[arg(long, value_name = "NAME", num_args = 1..)]
    member: Vec<String>,

    /// Also make a certificate for each of these clients: NAME.pem, with CN=NAME
    #[arg(long, value_name = "NAME", num_args = 1..)]
    client: Vec<String>,

    /// Also make the wrong ones: expired, not yet valid, wrong name, no SAN, wrong CA, revoked (with CRLs), and one whose
    /// key is encrypted with the password "tlsramp"
    #[arg(long)]
    wrong: bool,

    /// Replace files that are already there
    #[arg(long)]
    force: bool,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
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

/// Writes the set. Returns one line per file, or an exit code and the reason for it.
fn run(args: &Args) -> Result<String, (u8, String)> {
    let failed = |error: Error| {
        let code = match error {
            Error::Name(_) | Error::File(_) => 2,
            Error::Sign(_) | Error::Encrypt(_) | Error::Write { .. } => 1,
        };
        (code, error.to_string())
    };
    let set = Set::new(&args.name, args.wrong, &args.member, &args.client).map_err(failed)?;
    if let (false, Some(first)) = (args.force, set.existing(&args.out).first()) {
        return Err((2, format!("{} exists already; --force replaces it", first.display())));
    }
    set.write(&args.out).map_err(failed)?;
    let path = |name: &str| args.out.join(name).display().to_string();
    let width = set.files().iter().map(|file| path(&file.name).len()).max().unwrap_or(0);
    Ok(set.files().iter().map(|file| format!("{:width$}  {}\n", path(&file.name), file.purpose)).collect())
}
