//! Invalid configurations: exit code 2, and all mistakes in one run, each with flag or key, value and remedy.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "in a test, the panic is the report")]

use std::{
    fs,
    net::TcpListener,
    os::unix::fs::PermissionsExt as _,
    process::{Command, Output},
    time::Duration,
};

use crate::support::{Proxy, Scratch, cert, process, require, require_command, run_to_end};

#[test]
fn a_key_of_a_file_that_does_not_exist_is_named_with_the_one_that_was_meant() {
    let rows: [(&str, &[&str]); 8] = [
        ("net:\n  tls:\n    cafile: ca.pem\n", &["net.tls.cafile", "no such option", "did you mean net.tls.CAFile?"]),
        ("proxy:\n  upstrem: db1:27017\n", &["proxy.upstrem", "no such option", "did you mean proxy.upstream?"]),
        ("net:\n  tls:\n    FIPSMode: true\n", &["net.tls.FIPSMode", "no such option", "remove it"]),
        ("storage:\n  dbPath: /data\n", &["storage", "mongod's", "remove it"]),
        ("sslmode = allowSSL\n", &["sslmode", "no such option", "did you mean sslMode?"]),
        ("port = 0\nwibble = 3\n", &["wibble", "no such option", "remove it; `tlsramp run --help` lists the keys"]),
        ("port = 0\ndbpath = /data\n", &["dbpath", "mongod's", "remove it"]),
        (
            "sslOnNormalPorts = true\n",
            &["sslOnNormalPorts", "mode name of older versions", "write sslMode = requireSSL"],
        ),
    ];
    for (text, fragments) in rows {
        let file = Config::new(text);
        let refused = refused(&[&FRONT[..], &["--config", &file.path]].concat());
        refused.has_one_mistake(&[fragments, &[&file.path]].concat());
    }
}

#[test]
fn a_flag_that_does_not_exist_or_lacks_its_value_is_named() {
    for (args, fragments) in [
        (&["run", "--sslMod", "allowSSL"][..], &["'--sslMod'", "'--sslMode'"][..]),
        (&["run", "--dbpath", "/data"], &["'--dbpath'"]),
        (&["check", "--upstream"], &["'--upstream <HOST:PORT|unix:PATH>'", "a value is required"]),
        (&["run", "--upstream", ""], &["--upstream"]),
        (&["run", "surplus"], &["'surplus'"]),
    ] {
        refusal(args, run_to_end(args)).says(fragments);
    }
}

#[test]
fn a_command_that_does_not_exist_is_named() {
    refusal(&["start"], run_to_end(["start"])).says(&["'start'", "Usage"]);
}

#[test]
fn without_a_command_the_commands_are_shown() {
    refusal(&[], run_to_end([""; 0])).says(&["run", "check", "Usage"]);
}

#[test]
fn each_value_that_is_none_is_named_with_what_was_expected() {
    let rows: [(&[&str], &[&str]); 22] = [
        (&["--port", "70000"], &["--port '70000'", "0 to 65535", "remove the option to use the default, 27017"]),
        (&["--bind_ip", "no such host"], &["--bind_ip 'no such host'", "neither an IP address", "0.0.0.0 is every"]),
        (&["--sslMode", "on"], &["--sslMode 'on'", "'preferSSL'", "remove the option to use the default, disabled"]),
        (&["--sslMode", "requireTLS"], &["--sslMode 'requireTLS'", "'requireSSL'", "correct the value"]),
        (&["--tlsMode", "requireSSL"], &["--tlsMode 'requireSSL'", "'requireTLS'", "correct the value"]),
        (&["--upstreamTLS", "yes"], &["--upstreamTLS 'yes'", "policy, never or always", "the default, policy"]),
        (&["--inboundTLS", "pass"], &["--inboundTLS 'pass'", "terminate or passthrough", "the default, terminate"]),
        (&["--upstreamBind", "db1"], &["--upstreamBind 'db1'", "an IP address", "remove the option"]),
        (&["--outbound", "27018"], &["--outbound '27018'", "LISTEN=HOST:PORT", "remove this one"]),
        (&["--outbound", "127.0.0.1:0=db2"], &["--outbound '127.0.0.1:0=db2'", "it has no port", "remove this one"]),
        (&["--sslDisabledProtocols", "SSLv3"], &["--sslDisabledProtocols 'SSLv3'", "TLS1_3", "TLS1_0,TLS1_1"]),
        (&["--sslDisabledProtocols", "TLS1_2,TLS1_3"], &["'TLS1_2,TLS1_3'", "All valid TLS modes", "remove one"]),
        (
            &["--sslAllowInvalidHostnames=maybe"],
            &["--sslAllowInvalidHostnames 'maybe'", "true or false", "correct the value"],
        ),
        (
            &["--maxIncomingConnections", "0"],
            &["--maxIncomingConnections '0'", "from 1 to 1000000", "correct the value"],
        ),
        (&["--workers", "many"], &["--workers 'many'", "from 1 to 256", "one for each core"]),
        (&["--sniffTimeout", "0"], &["--sniffTimeout '0'", "from 1ms", "the default, 10s"]),
        (&["--handshakeTimeout", "2d"], &["--handshakeTimeout '2d'", "86400s", "the default, 10s"]),
        (&["--connectTimeout", "-1"], &["--connectTimeout '-1'", "expected a time", "the default, 5s"]),
        (&["--drainTimeout", "soon"], &["--drainTimeout 'soon'", "from 0 to", "the default, 60s"]),
        (&["--onSilence", "drop"], &["--onSilence 'drop'", "wait or close", "the default, wait"]),
        (&["--refusal", "rude"], &["--refusal 'rude'", "reply or close", "the default, reply"]),
        (&["--logLevel", "loud"], &["--logLevel 'loud'", "debug or trace", "the default, info"]),
    ];
    for (args, fragments) in rows {
        let mut args = args.to_vec();
        args.extend(["--upstream", "127.0.0.1:9"]);
        // Each flag may be given once. The others are those of a valid route.
        for (name, value) in [("--port", "0"), ("--upstreamTLS", "never")] {
            if !args.contains(&name) {
                args.extend([name, value]);
            }
        }
        refused(&args).has_one_mistake(fragments);
    }
}

#[test]
fn an_upstream_that_cannot_be_parsed_is_named() {
    for (value, problem, remedy) in [
        ("db1", "it has no port", "write HOST:PORT"),
        ("db1:0", "port is not a number from 1", "correct the value"),
        ("db 1:27017", "not a DNS name or an IP address", "correct the value"),
        ("::1:27017", "an IPv6 host in brackets", "correct the value"),
        ("http://db1:27017", "it is a URI", "write HOST:PORT"),
        ("unix:mongod.sock", "absolute path", "correct the value"),
    ] {
        let named = format!("--upstream '{value}'");
        let args = ["--port", "0", "--upstream", value, "--upstreamTLS", "never"];
        refused(&args).has_one_mistake(&[&named, problem, remedy]);
    }
}

#[test]
fn a_mode_that_needs_a_certificate_without_one_names_the_option_that_is_missing() {
    for mode in ["allowSSL", "preferSSL", "requireSSL"] {
        let named = format!("--sslMode '{mode}'");
        let refused = refused(&[&FRONT[..], &["--sslMode", mode]].concat());
        refused.has_one_mistake(&[
            &named,
            "need sslPEMKeyFile when SSL is enabled",
            "give --sslPEMKeyFile the PEM file",
        ]);
    }
    let newer = refused(&[&FRONT[..], &["--tlsMode", "requireTLS"]].concat());
    newer.has_one_mistake(&["need tlsCertificateKeyFile when TLS is enabled", "give --tlsCertificateKeyFile"]);
    let file = Config::new("net:\n  tls:\n    mode: requireTLS\n");
    let by_file = refused(&[&FRONT[..], &["--config", &file.path]].concat());
    by_file.has_one_mistake(&["net.tls.mode 'requireTLS'", &file.path, "give net.tls.certificateKeyFile"]);
}

#[test]
fn tls_to_other_servers_without_a_ca_names_the_option_that_is_missing() {
    let server = cert("server.pem");
    let rows: [(&[&str], &[&str]); 4] = [
        (
            &["--upstream", "db1.invalid:1", "--sslMode", "preferSSL", "--sslPEMKeyFile", &server],
            &["--sslMode 'preferSSL'", "no CA file", "give --sslCAFile", "--upstreamTLS to never"],
        ),
        (
            &["--upstream", "db1.invalid:1", "--upstreamTLS", "always"],
            &["--upstreamTLS 'always'", "no CA file", "give --sslCAFile"],
        ),
        (
            &["--outbound", "127.0.0.1:0=db2.invalid:1", "--sslMode", "requireSSL"],
            &["--sslMode 'requireSSL'", "no CA file", "give --sslCAFile"],
        ),
        (
            &["--outbound", "127.0.0.1:0=db2.invalid:1", "--tlsMode", "preferTLS"],
            &["--tlsMode 'preferTLS'", "no CA file", "give --tlsCAFile"],
        ),
    ];
    for (args, fragments) in rows {
        refused(&[args, &["--port", "0"]].concat()).has_one_mistake(fragments);
    }
}

/// TLS files are also checked in `disabled`, the mode in force here, so that a later change of mode brings no surprise.
#[test]
fn each_tls_file_that_is_of_no_use_is_named_with_what_is_wrong_with_it() {
    let files = Scratch::new("bad-pem");
    let made = |name: &str, text: &str| {
        let path = files.join(name);
        fs::write(&path, text).unwrap();
        path.to_string_lossy().into_owned()
    };
    let blocks = |name: &str| fs::read_to_string(cert(name)).unwrap();
    let key_starts = |text: &str| text.find("-----BEGIN PRIVATE KEY").unwrap();
    let (server, member) = (blocks("server.pem"), blocks("member.pem"));
    let (server_certificate, server_key) = server.split_at(key_starts(&server));
    let member_certificate = &member[..key_starts(&member)];
    let missing = files.join("missing.pem").to_string_lossy().into_owned();
    let folder = files.path().to_string_lossy().into_owned();
    let torn = server_certificate.replace("-----END CERTIFICATE-----", "");
    let (first, second) = (blocks("ca.pem"), blocks("other-ca.pem"));
    assert_eq!(first.lines().count(), 10);
    let glued = format!("{}{second}", first.trim_end());
    let damaged =
        format!("{first}{}", second.replacen(second.lines().nth(1).unwrap(), "", 1).replacen("\n\n", "\n", 1));
    let (pem_key, ca_file, crl_file) = ("--sslPEMKeyFile", "--sslCAFile", "--sslCRLFile");

    let rows = [
        (pem_key, missing.clone(), "cannot be read: No such file", "name a PEM file that this user can read"),
        (pem_key, folder.clone(), "not a regular file", "name a PEM file"),
        (pem_key, made("empty.pem", ""), "the file is empty", "put PEM blocks"),
        (pem_key, made("blank.pem", "\n \n"), "the file is empty", "put PEM blocks"),
        (pem_key, made("torn.pem", &torn), "cannot be parsed as PEM", "create the file again"),
        (pem_key, made("prose.pem", "my certificate"), "the file contains no certificate", "put the certificate"),
        (pem_key, made("key-alone.pem", server_key), "the file contains no certificate", "put the certificate"),
        (pem_key, made("no-key.pem", server_certificate), "contains 0 private keys", "private key into the same file"),
        (pem_key, made("two-keys.pem", &[&server, server_key].concat()), "2 private keys", "expected one"),
        (
            pem_key,
            made("mismatched.pem", &[member_certificate, server_key].concat()),
            "the private key does not match the certificate",
            "put the key for which the certificate was issued",
        ),
        (pem_key, cert("expired.pem"), "expired", "renew it"),
        (pem_key, cert("not-yet-valid.pem"), "not yet valid", ""),
        (pem_key, cert("no-san.pem"), "no subject alternative name", "subjectAltName"),
        ("--sslClusterFile", cert("expired.pem"), "expired", "renew it"),
        ("--sslClusterFile", missing.clone(), "cannot be read: No such file", "name a PEM file"),
        (ca_file, missing.clone(), "cannot be read: No such file", "name a PEM file"),
        (ca_file, folder, "not a regular file", "name a PEM file"),
        (ca_file, made("empty-ca.pem", ""), "the file is empty", "put PEM blocks"),
        (ca_file, made("key-as-ca.pem", server_key), "no usable CA certificate", "put the CA's certificate"),
        (crl_file, missing, "cannot be read: No such file", "name a PEM file"),
        (crl_file, made("empty-crl.pem", ""), "the file is empty", "put PEM blocks"),
        (crl_file, cert("ca.pem"), "no certificate revocation list", "openssl ca -gencrl"),
        (
            crl_file,
            made("broken-crl.pem", "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n"),
            "line 1: the block X509 CRL is damaged",
            "create the file again",
        ),
        (ca_file, made("glued.pem", &glued), "line 10: END and BEGIN on the same line", "create the file again"),
        (ca_file, made("damaged.pem", &damaged), "line 11: the block CERTIFICATE is damaged", "create the file again"),
    ];
    let ca = cert("ca.pem");
    for (flag, path, problem, remedy) in rows {
        let mut args = [&FRONT[..], &[flag, &path]].concat();
        if flag == crl_file {
            args.extend([ca_file, &ca]);
        }
        refused(&args).has_one_mistake(&[&format!("{flag} '{path}'"), problem, remedy]);
    }
}

#[test]
fn a_tls_file_that_this_user_may_not_read_is_named() {
    let files = Scratch::new("unreadable");
    let path = files.join("server.pem");
    fs::copy(cert("server.pem"), &path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    let path = path.to_string_lossy().into_owned();
    let mut command = if require::root().is_ok() {
        // Root can read every file because of these two capabilities.
        let mut command = Command::new(require_command!("setpriv"));
        command.args(["--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all", PROGRAM]);
        command
    } else {
        Command::new(PROGRAM)
    };
    command.arg("check").args(FRONT).args(["--sslPEMKeyFile", &path]);
    let output = process::output(command, Duration::from_secs(60)).unwrap();
    let named = format!("--sslPEMKeyFile '{path}'");
    refusal(&["check"], output).has_one_mistake(&[
        &named,
        "cannot be read: Permission denied",
        "that this user can read",
    ]);
}

#[test]
fn an_encrypted_key_without_its_password_names_the_option_that_is_missing() {
    let encrypted = cert("encrypted.pem");
    for (file, password) in [
        ("--sslPEMKeyFile", "sslPEMKeyPassword"),
        ("--tlsCertificateKeyFile", "tlsCertificateKeyFilePassword"),
        ("--sslClusterFile", "sslClusterPassword"),
        ("--tlsClusterFile", "tlsClusterPassword"),
    ] {
        let refused = refused(&[&FRONT[..], &[file, &encrypted]].concat());
        refused.has_one_mistake(&[&format!("{file} '{encrypted}'"), "no password is configured", password]);
    }
}

#[test]
fn a_wrong_password_is_refused_and_not_shown() {
    let encrypted = cert("encrypted.pem");
    let args = [&FRONT[..], &["--sslPEMKeyFile", &encrypted, "--sslPEMKeyPassword", "hunter2"]].concat();
    let refused = refused(&args);
    refused.has_one_mistake(&[&format!("--sslPEMKeyFile '{encrypted}'"), "wrong password", "check the password"]);
    assert!(!refused.text.contains("hunter2"), "{}", refused.text);
}

#[test]
fn an_old_style_encrypted_key_is_refused_with_the_command_that_converts_it() {
    let openssl = require_command!("openssl");
    let files = Scratch::new("old-style");
    let mut genrsa = Command::new(&openssl);
    genrsa.current_dir(files.path()).args(["genrsa", "-out", "plain.pem", "2048"]);
    let mut encrypt = Command::new(&openssl);
    encrypt.current_dir(files.path()).args(["rsa", "-aes256", "-traditional", "-passout", "pass:hunter2"]);
    encrypt.args(["-in", "plain.pem", "-out", "old.pem"]);
    for command in [genrsa, encrypt] {
        process::succeed(command, Duration::from_secs(60)).unwrap();
    }
    let key = fs::read_to_string(files.join("old.pem")).unwrap();
    assert!(key.contains("Proc-Type: 4,ENCRYPTED"), "{key}");
    let server = fs::read_to_string(cert("server.pem")).unwrap();
    let certificate = &server[..server.find("-----BEGIN PRIVATE KEY").unwrap()];
    let path = files.join("server.pem");
    fs::write(&path, [certificate, &key].concat()).unwrap();
    let path = path.to_string_lossy().into_owned();

    // A password does not help: the format of the key is not supported.
    for password in [&[][..], &["--sslPEMKeyPassword", "hunter2"]] {
        let refused = refused(&[&FRONT[..], &["--sslPEMKeyFile", &path], password].concat());
        let named = format!("--sslPEMKeyFile '{path}'");
        refused.has_one_mistake(&[&named, "Proc-Type: 4,ENCRYPTED", "openssl pkcs8 -topk8"]);
    }
}

#[test]
fn an_option_that_means_nothing_without_another_names_both() {
    let (server, ca, crl) = (cert("server.pem"), cert("ca.pem"), cert("crl.pem"));
    for (flag, value, needed) in [
        ("--sslCRLFile", crl.as_str(), "--sslCAFile"),
        ("--sslClusterCAFile", &ca, "--sslCAFile"),
        ("--sslPEMKeyPassword", "hunter2", "--sslPEMKeyFile"),
        ("--sslClusterPassword", "hunter2", "--sslClusterFile"),
        ("--tlsCRLFile", &crl, "--tlsCAFile"),
    ] {
        let refused = refused(&[&FRONT[..], &[flag, value]].concat());
        refused.has_one_mistake(&[flag, &format!("need {needed}"), &format!("give {needed}, or remove this option")]);
    }
    accepted(&[&FRONT[..], &["--sslPEMKeyFile", &server, "--sslCAFile", &ca, "--sslCRLFile", &crl]].concat());
}

#[test]
fn a_port_that_another_program_has_is_named_with_the_way_to_find_it() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let port = address.port().to_string();
    let inbound = refused_by_run(&["--port", &port, "--upstream", "127.0.0.1:9", "--upstreamTLS", "never"]);
    inbound.has_one_mistake(&["--port", &address.to_string(), "Address already in use", "ss -ltnp"]);
    let outbound = refused_by_run(&["--outbound", &format!("{address}=db2.invalid:1")]);
    outbound.has_one_mistake(&["--outbound", &address.to_string(), "Address already in use", "ss -ltnp"]);
}

#[test]
fn a_second_instance_on_the_same_port_does_not_start() {
    let first = Proxy::start([&FRONT[..], &["--outbound", "127.0.0.1:0=db2.invalid:1"]].concat());
    let port = first.port().to_string();
    let second = refused_by_run(&["--port", &port, "--upstream", "127.0.0.1:9", "--upstreamTLS", "never"]);
    second.has_one_mistake(&["--port", &port, "Address already in use", "another process listens there"]);
    let outbound = refused_by_run(&["--outbound", &format!("{}=db2.invalid:1", first.outbound(0))]);
    outbound.has_one_mistake(&["--outbound", "Address already in use", "another process listens there"]);
}

#[test]
fn every_listener_that_cannot_be_had_is_reported() {
    let taken = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let [inbound, one, two] = taken.each_ref().map(|taken| taken.local_addr().unwrap());
    let port = inbound.port().to_string();
    let (one, two) = (format!("{one}=db1.invalid:1"), format!("{two}=db2.invalid:1"));
    let args = [
        "--port",
        &port,
        "--upstream",
        "127.0.0.1:9",
        "--upstreamTLS",
        "never",
        "--outbound",
        &one,
        "--outbound",
        &two,
    ];
    let refused = refused_by_run(&args);
    assert_eq!(refused.mistakes.len(), 3, "{}", refused.text);
    for (address, flag) in taken.iter().zip(["--port", "--outbound", "--outbound"]) {
        let address = address.local_addr().unwrap().to_string();
        let mistake = refused.mistakes.iter().find(|mistake| mistake.contains(&address));
        assert!(mistake.is_some_and(|mistake| mistake.contains(flag)), "{address}: {}", refused.text);
    }
}

#[test]
fn an_outbound_listener_that_others_could_reach_is_refused() {
    for listen in ["0.0.0.0:0", "10.0.0.1:27018", "[::]:0", "localhost:27018"] {
        let value = format!("{listen}=db2.invalid:27017");
        refused(&["--outbound", &value]).has_one_mistake(&[
            &format!("--outbound '{value}'"),
            "listener",
            "remove this one",
        ]);
    }
}

#[test]
fn a_route_that_leads_back_to_itself_is_refused() {
    let rows: [(&[&str], &[&str]); 5] = [
        (
            &["--outbound", "127.0.0.1:27999=127.0.0.1:27999"],
            &[
                "--outbound '127.0.0.1:27999=127.0.0.1:27999'",
                "one of our own outbound listeners",
                "name the other server",
            ],
        ),
        (
            &["--outbound", "127.0.0.1:27999=localhost:27999"],
            &[
                "--outbound '127.0.0.1:27999=localhost:27999'",
                "one of our own outbound listeners",
                "name the other server",
            ],
        ),
        (
            &["--outbound", "127.0.0.1:27998=127.0.0.1:27999", "--outbound", "127.0.0.1:27999=db2.invalid:1"],
            &[
                "--outbound '127.0.0.1:27998=127.0.0.1:27999'",
                "one of our own outbound listeners",
                "name the other server",
            ],
        ),
        (
            &["--port", "27999", "--upstream", "localhost:27999", "--upstreamTLS", "never"],
            &["--upstream 'localhost:27999'", "our own inbound listener", "move this one with --port"],
        ),
        (
            &[
                "--port",
                "0",
                "--upstream",
                "127.0.0.1:27999",
                "--upstreamTLS",
                "never",
                "--outbound",
                "127.0.0.1:27999=db2.invalid:1",
            ],
            &[
                "--upstream '127.0.0.1:27999'",
                "one of our own outbound listeners",
                "name the server that this proxy fronts",
            ],
        ),
    ];
    for (args, fragments) in rows {
        refused(args).has_one_mistake(fragments);
    }
}

#[test]
fn both_spellings_of_an_option_with_different_values_are_refused() {
    let (server, member) = (cert("server.pem"), cert("member.pem"));
    let by_flags = [&FRONT[..], &["--sslPEMKeyFile", &server, "--tlsCertificateKeyFile", &member]].concat();
    let named = format!("--sslPEMKeyFile '{server}'");
    let other = format!("the same option as --tlsCertificateKeyFile '{member}'");
    refused(&by_flags).has_one_mistake(&[&named, &other, "another value", "keep one of the two"]);

    let modes = [&FRONT[..], &["--sslPEMKeyFile", &server, "--sslMode", "allowSSL", "--tlsMode", "preferTLS"]].concat();
    refused(&modes).has_one_mistake(&["--sslMode 'allowSSL'", "--tlsMode 'preferTLS'", "keep one of the two"]);

    let file = Config::new("sslMode = disabled\ntlsMode = allowTLS\n");
    let by_file = [&FRONT[..], &["--sslPEMKeyFile", &server, "--config", &file.path]].concat();
    refused(&by_file).has_one_mistake(&["sslMode 'disabled'", &file.path, "tlsMode 'allowTLS'", "keep one of the two"]);

    let passwords =
        ["--sslClusterFile", &cert("encrypted.pem"), "--sslClusterPassword", "hunter2", "--tlsClusterPassword", "x"];
    let refused = refusal(&passwords, run_to_end([&["check"], &FRONT[..], &passwords].concat()));
    refused.says(&["--sslClusterPassword", "--tlsClusterPassword", "keep one of the two"]);
    assert!(!refused.text.contains("hunter2"), "{}", refused.text);
}

#[test]
fn both_spellings_of_an_option_with_the_same_value_are_one() {
    let server = cert("server.pem");
    let files = ["--sslPEMKeyFile", &server, "--tlsCertificateKeyFile", &server];
    accepted(&[&FRONT[..], &files, &["--sslMode", "allowSSL", "--tlsMode", "allowTLS"]].concat());
}

#[test]
fn all_mistakes_of_a_run_are_reported_at_once() {
    let missing = Scratch::new("missing").join("ca.pem").to_string_lossy().into_owned();
    let (expired, no_san) = (cert("expired.pem"), cert("no-san.pem"));
    let file = Config::new(&format!(
        "net:\n  tls:\n    certificateKeyFile: {expired}\n    clusterFile: {no_san}\n    CAFile: {missing}\n    mode: on\n\
         proxy:\n  upstream: db1\n  workers: 0\n  drainTimeout: soon\n  outbound: ['0.0.0.0:0=db2:1', 'db3']\nstorage: {{}}\n",
    ));
    let args = ["--config", &file.path, "--port", "-1", "--logLevel", "loud", "--refusal=a", "--onSilence=b"];
    let refused = refused(&args);
    let expected: [&[&str]; 13] = [
        &["storage"],
        &["--port '-1'"],
        &["proxy.upstream 'db1'"],
        &["proxy.outbound '0.0.0.0:0=db2:1'", "loopback"],
        &["proxy.outbound 'db3'", "LISTEN=HOST:PORT"],
        &["net.tls.mode"],
        &["net.tls.certificateKeyFile", &expired, "expired"],
        &["net.tls.CAFile", &missing, "No such file"],
        &["proxy.workers '0'"],
        &["proxy.drainTimeout 'soon'"],
        &["--onSilence 'b'"],
        &["--refusal 'a'"],
        &["--logLevel 'loud'"],
    ];
    for fragments in expected {
        let found =
            refused.mistakes.iter().filter(|mistake| fragments.iter().all(|part| mistake.contains(part))).count();
        assert_eq!(found, 1, "{fragments:?} in: {}", refused.text);
    }
    assert_eq!(refused.mistakes.len(), expected.len(), "{}", refused.text);
}

#[test]
fn a_configuration_without_a_route_says_how_to_give_one() {
    refused(&["--port", "0"]).has_one_mistake(&["--upstream", "there is no route", "--outbound"]);
}

#[test]
fn a_configuration_file_that_cannot_be_read_is_named() {
    let folder = Scratch::new("no-config");
    let missing = folder.join("tlsramp.conf").to_string_lossy().into_owned();
    refused(&["--config", &missing]).has_one_mistake(&["--config", &missing, "No such file", "check the path"]);
    let torn = Config::new("net:\n  port: [\n");
    refused(&["--config", &torn.path]).has_one_mistake(&[&torn.path, "invalid YAML", "correct the line"]);
}

#[test]
fn a_good_file_passes_check_which_reports_what_it_would_do() {
    let (server, ca) = (cert("server.pem"), cert("ca.pem"));
    let yaml = Config::new(&format!(
        "net:\n  port: 0\n  tls:\n    mode: requireTLS\n    certificateKeyFile: {server}\n    CAFile: {ca}\n\
         proxy:\n  upstream: 127.0.0.1:27999\n  upstreamTLS: never\n  outbound: ['127.0.0.1:27018=db2.invalid:27017,name=db2']\n"
    ));
    let report = accepted(&["--config", &yaml.path]);
    for line in [
        &format!("configuration: {}", yaml.path),
        "tlsMode: requireTLS",
        "inbound: 127.0.0.1:0 -> 127.0.0.1:27999; plaintext is refused; TLS is terminated here and forwarded in plaintext",
        "outbound: 127.0.0.1:27018 -> db2.invalid:27017 (as db2); plaintext is forwarded over TLS",
        &format!("certificates: presented: {server}, CA: {ca}; required from clients"),
    ] {
        assert!(report.lines().any(|found| found == line), "{line:?} in: {report}");
    }
    assert!(report.contains("warning: ") && report.contains("enableLocalhostAuthBypass=0"), "{report}");

    let pairs = Config::new("port = 0\nsslMode = disabled # not yet\nupstream = db1.invalid:27017\n");
    let report = accepted(&["--config", &pairs.path]);
    assert!(report.contains("sslMode: disabled") && report.contains("certificates: none"), "{report}");
}

#[test]
fn the_help_of_run_and_of_check_lists_every_option() {
    for command in ["run", "check"] {
        let output = run_to_end([command, "--help"]);
        assert_eq!(output.status.code(), Some(0));
        let help = String::from_utf8(output.stdout).unwrap();
        for option in OPTIONS {
            // Compares whole words: `--portable` does not contain the flag `--port`.
            let flag = format!("--{option}");
            let mut words =
                help.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_' && letter != '-');
            assert!(words.any(|word| word == flag), "{flag} is not in: {help}");
        }
    }
}

#[test]
fn help_and_version_are_no_mistakes() {
    for args in [&["--help"][..], &["-h"], &["--version"], &["run", "-h"], &["help", "check"]] {
        let output = run_to_end(args);
        assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]), "{args:?}");
        assert!(!output.stdout.is_empty(), "{args:?}");
    }
}

/// The output of a refused run.
struct Refused {
    text: String,
    /// The mistakes, without the last line, which contains their number.
    mistakes: Vec<String>,
}

impl Refused {
    /// Asserts that there is exactly one mistake, since one cause must not be reported three times, and that it
    /// contains all fragments.
    #[track_caller]
    fn has_one_mistake(&self, fragments: &[&str]) {
        assert_eq!(self.mistakes.len(), 1, "{fragments:?} in: {}", self.text);
        self.says(fragments);
        assert!(self.text.contains("\ntlsramp: not started; 1 mistake in the configuration"), "{}", self.text);
    }

    #[track_caller]
    fn says(&self, fragments: &[&str]) {
        for fragment in fragments {
            assert!(self.text.contains(fragment), "{fragment:?} is not in: {}", self.text);
        }
    }
}

/// Refused by `check` and by `run`, with the same text.
#[track_caller]
fn refused(args: &[&str]) -> Refused {
    let checked = refusal(args, run_to_end([&["check"], args].concat()));
    let run = refusal(args, run_to_end([&["run"], args].concat()));
    assert_eq!(checked.text, run.text, "check and run differ on {args:?}");
    run
}

/// Refused by `run` only: the mistake only shows at the start, so `check` does not report it.
#[track_caller]
fn refused_by_run(args: &[&str]) -> Refused {
    refusal(args, run_to_end([&["run"], args].concat()))
}

#[track_caller]
fn refusal(args: &[&str], output: Output) -> Refused {
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{args:?}: {text}");
    assert!(!text.contains("panicked") && !text.contains("RUST_BACKTRACE"), "{args:?}: {text}");
    let ready = String::from_utf8_lossy(&output.stdout).contains("ready");
    assert!(!ready, "{args:?}: refused, and yet it was ready");
    // A mistake consists of a line and an indented remedy.
    let body = text.trim_end().rsplit_once("\ntlsramp: ").map_or("", |(body, _)| body);
    let mut mistakes = Vec::<String>::new();
    for line in body.lines() {
        match mistakes.last_mut() {
            Some(last) if line.starts_with("  ") => last.push_str(&format!("\n{line}")),
            _ => mistakes.push(line.to_owned()),
        }
    }
    assert!(mistakes.iter().all(|mistake| mistake.lines().count() == 2), "{args:?}: no remedy in {mistakes:#?}");
    Refused { text, mistakes }
}

/// Accepted by `check`, whose report is returned, and by `run`.
#[track_caller]
fn accepted(args: &[&str]) -> String {
    let output = run_to_end([&["check"], args].concat());
    assert_eq!(output.status.code(), Some(0), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    drop(Proxy::start(args));
    String::from_utf8(output.stdout).unwrap()
}

/// A configuration file.
struct Config {
    path: String,
    _folder: Scratch,
}

impl Config {
    fn new(text: &str) -> Self {
        let folder = Scratch::new("bad-config");
        let path = folder.join("tlsramp.conf");
        fs::write(&path, text).unwrap();
        Self { path: path.to_string_lossy().into_owned(), _folder: folder }
    }
}

const PROGRAM: &str = env!("CARGO_BIN_EXE_tlsramp");

/// A valid route to a server on this host.
const FRONT: [&str; 6] = ["--port", "0", "--upstream", "127.0.0.1:9", "--upstreamTLS", "never"];

const OPTIONS: [&str; 46] = [
    "config",
    "port",
    "bind_ip",
    "inboundTLS",
    "upstream",
    "upstreamTLS",
    "upstreamBind",
    "outbound",
    "sslMode",
    "tlsMode",
    "sslPEMKeyFile",
    "tlsCertificateKeyFile",
    "sslPEMKeyPassword",
    "tlsCertificateKeyFilePassword",
    "sslCAFile",
    "tlsCAFile",
    "sslClusterFile",
    "tlsClusterFile",
    "sslClusterPassword",
    "tlsClusterPassword",
    "sslClusterCAFile",
    "tlsClusterCAFile",
    "sslCRLFile",
    "tlsCRLFile",
    "sslAllowConnectionsWithoutCertificates",
    "tlsAllowConnectionsWithoutCertificates",
    "sslWeakCertificateValidation",
    "tlsWeakCertificateValidation",
    "sslAllowInvalidCertificates",
    "tlsAllowInvalidCertificates",
    "sslAllowInvalidHostnames",
    "tlsAllowInvalidHostnames",
    "sslDisabledProtocols",
    "tlsDisabledProtocols",
    "maxIncomingConnections",
    "maxConnectionsPerIp",
    "workers",
    "sniffTimeout",
    "handshakeTimeout",
    "connectTimeout",
    "drainTimeout",
    "onSilence",
    "refusal",
    "logFormat",
    "logLevel",
    "help",
];
