//! The echo server, and the proxy in front of it, configured as in production: TLS and plaintext clients on one port,
//! with policy, records and metrics, and a log file.

use std::path::{Path, PathBuf};

use super::{Certs, Running, ports};

/// The path of this build's program.
pub(crate) fn program() -> PathBuf {
    env!("CARGO_BIN_EXE_tlsramp").into()
}

/// Starts `tlsramp load --serve` on a port of its own, with TLS if `certs` are given. Every proxy has its own server,
/// so that ports in TIME_WAIT of one do not affect another.
///
/// # Errors
/// The server does not start.
pub(crate) fn serve(certs: Option<&Certs>, folder: &Path) -> Result<(Running, u16), String> {
    let port = ports::free()?;
    let mut args = vec!["load".to_owned(), "--serve".to_owned(), format!("127.0.0.1:{port}")];
    if let Some(certs) = certs {
        args.extend(["--tlsCertificateKeyFile".into(), certs.both.display().to_string()]);
    }
    let mut server = Running::start(&format!("server-{port}"), &program(), &args, folder)?;
    server.wait_for(&[port])?;
    Ok((server, port))
}

/// The ports of a proxy.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Places {
    pub(crate) port: u16,
    pub(crate) admin: u16,
}

/// Starts `tlsramp run` in `mode`, in front of a plaintext server.
///
/// # Errors
/// The proxy does not start.
pub(crate) fn proxy(
    program: &Path,
    certs: &Certs,
    upstream: u16,
    mode: &str,
    more: &[&str],
    folder: &Path,
) -> Result<(Running, Places), String> {
    let places = Places { port: ports::free()?, admin: ports::free()? };
    let certificate = certs.both.display().to_string();
    let (port, admin) = (places.port.to_string(), format!("127.0.0.1:{}", places.admin));
    let upstream = format!("127.0.0.1:{upstream}");
    let mut args: Vec<&str> = vec!["run", "--port", &port, "--bind_ip", "127.0.0.1", "--upstream", &upstream];
    args.extend(["--upstreamTLS", "never", "--upstreamProbe", "off", "--sslMode", mode]);
    args.extend(["--sslPEMKeyFile", &certificate, "--adminBind", &admin, "--drainTimeout", "1s"]);
    args.extend(more);
    let args: Vec<String> = args.into_iter().map(str::to_owned).collect();
    let mut proxy = Running::start(&format!("tlsramp-{port}"), program, &args, folder)?;
    proxy.wait_for(&[places.port])?;
    Ok((proxy, places))
}
