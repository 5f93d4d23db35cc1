//! Compares mongod's own TLS with tlsramp in front of the same mongod in plaintext, by the processor time of all
//! processes except the clients.

use std::path::PathBuf;

use super::figures::Spread;
use super::options::Options;
use super::support::{Certs, Load, Running, Scratch, parts, ports, tlsramp};
use super::workload::{Unit, WORKLOADS};

/// A mongod that accepts TLS and plaintext, and tlsramp in front of it.
#[derive(Debug)]
pub(crate) struct Bench {
    proxy: Running,
    port: u16,
    mongod: Running,
    direct: u16,
    certs_ca: PathBuf,
    costs: Vec<(&'static str, Route, f64)>,
    _folder: Scratch,
}

/// A line of the table, in microseconds per operation.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) title: &'static str,
    pub(crate) plaintext: Option<Spread>,
    pub(crate) own: Option<Spread>,
    pub(crate) both: Option<Spread>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Route {
    /// Plaintext to mongod.
    Plaintext,
    /// mongod's own TLS.
    Own,
    /// TLS to tlsramp, and plaintext from tlsramp to mongod.
    Both,
}

impl Bench {
    /// # Errors
    /// There is no mongod, or mongod or tlsramp does not start.
    pub(crate) fn start(options: &Options, certs: &Certs) -> Result<Bench, String> {
        let program = match &options.mongod {
            Some(program) => program.clone(),
            None => parts::mongod()?.to_owned(),
        };
        let folder = Scratch::new("mongod");
        let direct = ports::free()?;
        let (certificate, port) = (certs.both.display().to_string(), direct.to_string());
        let data = folder.path().display().to_string();
        let args = ["--dbpath", &data, "--port", &port, "--bind_ip", "127.0.0.1", "--nounixsocket", "--nojournal"];
        let tls = ["--tlsMode", "allowTLS", "--tlsCertificateKeyFile", &certificate, "--wiredTigerCacheSizeGB", "0.25"];
        // mongod logs no connections, so that a connection through tlsramp is not logged twice.
        let quiet = ["--setParameter", "diagnosticDataCollectionEnabled=false", "--quiet"];
        let args: Vec<String> = args.into_iter().chain(tls).chain(quiet).map(str::to_owned).collect();
        let mut mongod = Running::start("mongod", &program, &args, folder.path())?;
        mongod.wait_for(&[direct])?;
        let workers = ["--workers", "2"];
        let (proxy, places) = tlsramp::proxy(&options.tlsramp, certs, direct, "preferSSL", &workers, folder.path())?;
        let certs_ca = certs.ca.clone();
        Ok(Bench { proxy, port: places.port, mongod, direct, certs_ca, costs: Vec::new(), _folder: folder })
    }

    /// Measures each route, starting with a different one in each round.
    pub(crate) fn round(&mut self, options: &Options, round: usize) -> Result<(), String> {
        for (title, args) in ROWS {
            for turn in 0..ROUTES.len() {
                let route = ROUTES[(turn + round) % ROUTES.len()];
                let cost = self.cost(options, args, route)?;
                self.costs.push((title, route, cost));
            }
        }
        Ok(())
    }

    fn cost(&self, options: &Options, args: &[&str], route: Route) -> Result<f64, String> {
        let mut processes = vec![self.mongod.id()];
        let (port, ca) = match route {
            Route::Plaintext => (self.direct, None),
            Route::Own => (self.direct, Some(self.certs_ca.as_path())),
            Route::Both => {
                processes.push(self.proxy.id());
                (self.port, Some(self.certs_ca.as_path()))
            }
        };
        let program = tlsramp::program();
        let warm_up =
            WORKLOADS.iter().find(|one| one.unit == Unit::Operation).map(|one| one.warm_up()).unwrap_or_default();
        let load = Load {
            program: &program,
            launcher: &[],
            args,
            port,
            ca,
            warm_up,
            duration: options.span,
            processes: &processes,
        };
        let report = load.run()?;
        if report.failed() > 0 {
            return Err(format!("{} failed: {}", report.failed(), report.errors_text()));
        }
        report.cpu.and_then(|cpu| cpu.micros_per_operation).ok_or_else(|| "no processor time".to_owned())
    }

    pub(crate) fn rows(self) -> Vec<Row> {
        let of = |title: &str, route: Route| {
            let costs = self.costs.iter().filter(|(row, by, _)| *row == title && *by == route);
            Spread::over(costs.map(|(_, _, cost)| *cost))
        };
        let row = |(title, _): (&'static str, _)| Row {
            title,
            plaintext: of(title, Route::Plaintext),
            own: of(title, Route::Own),
            both: of(title, Route::Both),
        };
        ROWS.into_iter().map(row).collect()
    }
}

const ROUTES: [Route; 3] = [Route::Plaintext, Route::Own, Route::Both];
const ROWS: [(&str, &[&str]); 3] = [
    ("ping on an open connection, us", &["ping", "--connections", "32"]),
    ("new connection + ping, us", &["connect", "--connections", "16"]),
    ("insert of 1,000 B, us", &["ping", "--connections", "32", "--command", "insert", "--request", "1000"]),
];
