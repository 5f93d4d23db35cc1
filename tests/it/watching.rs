//! Changed files are applied automatically: certificates, however they are replaced, and the configuration if
//! requested.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "in a test, the panic is the report")]

use std::{fs, os::unix::fs::symlink, path::Path, time::Duration};

use serde_json::json;

use crate::support::{
    Proxy, Scratch,
    admin::{self, Admin},
    cert,
    service::Upstream,
    wait,
};

#[test]
fn certificates_are_taken_up_however_they_are_replaced() {
    let service = Upstream::start();
    let folder = Scratch::new("watching");
    let version = |name: &str, from: &str| {
        fs::create_dir(folder.join(name)).unwrap();
        fs::copy(cert(from), folder.join(name).join("tls.pem")).unwrap();
    };
    version("..1", "server.pem");
    symlink("..1", folder.join("..data")).unwrap();
    let key = folder.join("tls.pem");
    symlink("..data/tls.pem", &key).unwrap();
    let key_file = key.display().to_string();
    let (upstream, ca) = (service.address.to_string(), cert("ca.pem"));
    let flags = ["--port", "0", "--upstream", &upstream, "--upstreamTLS", "never", "--sslMode", "allowSSL"];
    let proxy = Proxy::start(flags.into_iter().chain(["--sslPEMKeyFile", &key_file, "--sslCAFile", &ca]));
    let admin = admin::of(&proxy);
    let mut serials = vec![serial(&admin)];
    let mut is_another = |how: &str| {
        let last = serials.last().unwrap().clone();
        wait(how, || serial(&admin) != last);
        serials.push(serial(&admin));
    };

    // As Kubernetes replaces files.
    version("..2", "member.pem");
    symlink("..2", folder.join("..data_tmp")).unwrap();
    fs::rename(folder.join("..data_tmp"), folder.join("..data")).unwrap();
    is_another("by the swap of a link");
    // Replaced by a rename.
    fs::copy(cert("server.pem"), folder.join("new")).unwrap();
    fs::rename(folder.join("new"), &key).unwrap();
    is_another("by rename");
    // Overwritten in place.
    fs::copy(cert("member.pem"), &key).unwrap();
    is_another("in place");
    assert_eq!((&serials[0], &serials[1]), (&serials[2], &serials[3]), "the same two, by turns");

    // A file that cannot be used is not applied, and this is reported.
    let mark = proxy.mark();
    fs::write(&key, "no PEM at all").unwrap();
    let line = proxy.wait_log_since(mark, |line| line["door"] == "watch", PATIENCE);
    assert_eq!((&line["level"], &line["by"]), (&json!("ERROR"), &json!("this process")), "{line}");
    assert!(line["error"].as_str().unwrap().contains("tls.pem"), "{line}");
    assert_eq!(&serial(&admin), serials.last().unwrap());
}

#[test]
fn the_configuration_is_taken_up_if_that_is_wished() {
    let service = Upstream::start();
    let text = |mode: &str| {
        let (key, ca) = (cert("server.pem"), cert("ca.pem"));
        let upstream = service.address;
        format!(
            "port = 0\nupstream = {upstream}\nupstreamTLS = never\nsslMode = {mode}\nsslPEMKeyFile = {key}\nsslCAFile = {ca}\nwatch = all\n"
        )
    };
    let proxy = Proxy::start_with_config::<&str>(&text("disabled"), []);
    let admin = admin::of(&proxy);
    replace(&proxy.config_file(), &text("allowSSL"));
    wait("a step up", || admin.get("/status")["sslMode"] == "allowSSL");
    let mark = proxy.mark();
    replace(&proxy.config_file(), &text("requireSSL"));
    let line = proxy.wait_log_since(mark, |line| line["door"] == "watch" && line["error"].is_string(), PATIENCE);
    assert!(line["error"].as_str().unwrap().contains("Illegal state transition"), "{line}");
    assert_eq!(admin.get("/status")["sslMode"], "allowSSL");
}

fn replace(path: &Path, text: &str) {
    let beside = path.with_extension("new");
    fs::write(&beside, text).unwrap();
    fs::rename(beside, path).unwrap();
}

fn serial(admin: &Admin) -> String {
    admin.get("/status")["certificates"][0]["serial"].as_str().unwrap().to_owned()
}

const PATIENCE: Duration = Duration::from_secs(20);
