//! Expired or refused files are reported: certificates, CAs and CRLs in `check`, the log, the status and the metrics;
//! and TLS files on disk that are not those in force.

use std::fs;

use serde_json::{Value, json};

use crate::support::proxy::run_to_end;
use crate::support::service::SOON;
use crate::support::{Proxy, admin, cert, certs, wait};

/// With an expired CRL, every client is refused, so it is critical. As in mongod, it does not prevent a start.
#[test]
fn a_revocation_list_that_is_over_is_told_everywhere() {
    let (server, ca, crl) = (cert("server.pem"), cert("ca.pem"), cert("crl-expired.pem"));
    let tls = ["--sslMode", "allowSSL", "--sslPEMKeyFile", &server, "--sslCAFile", &ca, "--sslCRLFile", &crl];
    let route = ["--port", "0", "--upstream", "127.0.0.1:9", "--upstreamTLS", "never"];
    let checked = run_to_end(["check"].iter().chain(&route).chain(&tls));
    let report = String::from_utf8(checked.stdout).unwrap();
    assert_eq!(checked.status.code(), Some(0), "{report}");
    assert!(report.contains("warning: tlsCRLFile: the revocation list of CN="), "{report}");

    let proxy = Proxy::start(route.iter().chain(&tls));
    let over =
        |text: &str| text.starts_with("tlsCRLFile: the revocation list of CN=") && text.contains("has expired on");
    proxy.wait_log(|line| line["message"].as_str().is_some_and(over), SOON);
    let status = admin::of(&proxy).get("/status");
    assert!(over(status["critical"][0].as_str().unwrap()), "{status}");
    let held: Vec<_> =
        status["certificates"].as_array().unwrap().iter().map(|row| (&row["kind"], &row["role"])).collect();
    let expected = [("certificate", "tlsCertificateKeyFile"), ("ca", "tlsCAFile"), ("crl", "tlsCRLFile")]
        .map(|row| (json!(row.0), json!(row.1)));
    assert_eq!(held, expected.iter().map(|row| (&row.0, &row.1)).collect::<Vec<_>>());
    let list = &status["certificates"][2];
    assert!(
        list["daysLeft"].as_i64().unwrap() < 0
            && list["notBefore"].as_str().unwrap() < list["notAfter"].as_str().unwrap()
    );
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
    for (role, is_over) in [("tlsCertificateKeyFile", false), ("tlsCAFile", false), ("tlsCRLFile", true)] {
        let ends = metric(&proxy, &format!("tlsramp_certificate_expiry_timestamp_seconds{{role=\"{role}\"}}"));
        assert_eq!(ends < now, is_over, "{role}: {ends}");
    }
}

/// By the watch or on request: a refused rotation is reported until the files on disk are in force again.
#[test]
fn a_refused_rotation_stays_in_sight_until_one_succeeds() {
    let folder = certs::folder();
    let file = |name: &str| folder.join(name).to_string_lossy().into_owned();
    let (server, ca) = (file("server.pem"), file("ca.pem"));
    let tls = ["--sslMode", "allowSSL", "--sslPEMKeyFile", &server, "--sslCAFile", &ca];
    let proxy = Proxy::start(["--port", "0", "--upstream", "127.0.0.1:9", "--upstreamTLS", "never"].iter().chain(&tls));
    let admin = admin::of(&proxy);
    let refused = || admin.get("/status")["refusedRotation"].clone();
    assert_eq!((refused(), metric(&proxy, "tlsramp_rotation_refused")), (Value::Null, 0.0));

    let good = fs::read(&server).unwrap();
    fs::write(&server, "no PEM\n").unwrap();
    wait("the watch is refused", || !refused().is_null());
    let first = refused();
    assert_eq!((&first["door"], &first["by"]), (&json!("watch"), &json!("this process")), "{first}");
    assert!(first["error"].as_str().unwrap().contains("server.pem"), "{first}");
    assert_eq!(metric(&proxy, "tlsramp_rotation_refused"), 1.0);
    admin.request("POST", "/rotate", Some(&json!({}))).json(409);
    let second = refused();
    assert_eq!((&second["door"], &second["since"]), (&json!("http"), &first["since"]), "{second}");
    let warnings = admin.get("/status")["warnings"].to_string();
    assert!(
        warnings.contains("the TLS files on disk have been refused since") && warnings.contains("server.pem"),
        "{warnings}"
    );

    fs::write(&server, good).unwrap();
    admin.post("/rotate", &json!({}));
    assert_eq!((refused(), metric(&proxy, "tlsramp_rotation_refused")), (Value::Null, 0.0));
    assert_eq!(metric(&proxy, "tlsramp_reload_refused"), 0.0);
}

fn metric(proxy: &Proxy, series: &str) -> f64 {
    let page = admin::of(proxy).raw("GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").body;
    let value = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    value.unwrap_or_else(|| panic!("no {series} in {page}")).parse().unwrap()
}
