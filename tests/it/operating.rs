//! The interface for an operator's other tools: signals, exit codes, files with secrets, the state file.

use std::{
    ffi::OsString,
    fs,
    os::unix::{
        ffi::OsStringExt as _,
        fs::{PermissionsExt as _, symlink},
    },
    path::Path,
};

use serde_json::json;

use crate::support::proxy::Signal;
use crate::support::service::SOON;
use crate::support::{Mark, Proxy, Scratch, admin, cert, certs, process, run_to_end};

const FRONT: [&str; 4] = ["--port", "0", "--upstream", "127.0.0.1:9"];

fn check(args: &[&str]) -> (Option<i32>, String) {
    ended(&[&["check"], args].concat())
}

fn ended(args: &[&str]) -> (Option<i32>, String) {
    let output = run_to_end(args);
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).unwrap())
}

#[test]
fn signals_by_which_other_servers_reopen_their_log_are_acknowledged() {
    let proxy = Proxy::start(FRONT);
    for (signal, name) in [(Signal::USR1, "SIGUSR1"), (Signal::USR2, "SIGUSR2")] {
        proxy.signal(signal);
        proxy.wait_log(|line| line["signal"] == name, SOON);
    }
    assert_eq!(admin::of(&proxy).get("/status")["sslMode"], "disabled");
}

#[test]
fn the_start_says_how_many_connections_it_takes_and_what_bounds_them() {
    for (args, expected, bound) in [
        (&["--maxIncomingConnections", "7"][..], Some(7), "maxIncomingConnections"),
        (&[][..], None, "descriptor limit"),
    ] {
        let proxy = Proxy::start([&FRONT[..], args].concat());
        let line = proxy.log().wait(Mark::START, SOON, |line| line["message"] == "ready").unwrap();
        assert_eq!(line["bounded_by"], bound, "{line}");
        let most = line["max_incoming_connections"].as_u64().unwrap();
        assert!(expected.is_none_or(|expected| most == expected) && most > 0, "{line}");
    }
}

/// 192.0.2.1 belongs to TEST-NET-1 (RFC 5737), and `.invalid` never resolves (RFC 2606).
#[test]
fn what_may_come_to_be_is_a_failure_and_a_mistake_is_not() {
    for (bind, code) in [
        ("192.0.2.1", 1),
        ("not-there.invalid", 1),
        ("127.0.0.1,192.0.2.1", 1),
        ("no such host", 2),
        ("10", 2),
        ("192.0.2.1,no such host", 2),
    ] {
        let (found, text) = ended(&["run", "--port", "0", "--bind_ip", bind, "--upstream", "127.0.0.1:9"]);
        assert_eq!(found, Some(code), "{bind}: {text}");
        assert!(text.contains("--bind_ip"), "{bind}: {text}");
    }
    let (code, text) =
        ended(&[&["run"], &FRONT[..], &["--adminBind", "127.0.0.1:0", "--probeBind", "192.0.2.1:1"]].concat());
    assert_eq!(code, Some(1), "{text}");
    let (code, text) = check(&["--port", "0", "--bind_ip", "192.0.2.1", "--upstream", "127.0.0.1:9"]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("'192.0.2.1:0': cannot listen") && text.contains("so try again later"), "{text}");
}

/// The arguments of a proxy that has persisted `allowSSL` over `disabled` in this state file.
fn persisted(state: &str) -> Vec<String> {
    let (certificate, ca) = (cert("server.pem"), cert("ca.pem"));
    let files = ["--stateFile", state, "--sslPEMKeyFile", &certificate, "--sslCAFile", &ca];
    let args = [&FRONT[..], &["--upstreamTLS", "never"], &files].concat().into_iter().map(str::to_owned);
    let args = args.collect::<Vec<_>>();
    let proxy = Proxy::start(&args);
    admin::of(&proxy).put("/mode", &json!({ "mode": "allowSSL", "persist": true }));
    args
}

fn arguments<'a>(command: &'a str, args: &'a [String]) -> Vec<&'a str> {
    std::iter::once(command).chain(args.iter().map(String::as_str)).collect()
}

#[test]
fn check_reads_the_state_file_as_a_start_does() {
    let folder = Scratch::new("state");
    let path = folder.join("state.json");
    let state = path.to_string_lossy().into_owned();
    let args = persisted(&state);
    let (code, text) = ended(&arguments("check", &args));
    assert_eq!(code, Some(0), "{text}");
    assert!(
        text.contains("tlsramp would start in the persisted mode allowSSL, not in the configured mode disabled"),
        "{text}"
    );
    let whole = fs::read_to_string(&path).unwrap();
    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    for command in ["check", "run"] {
        let (code, text) = ended(&arguments(command, &args));
        assert_eq!(code, Some(2), "{text}");
        assert!(text.contains(&format!("--stateFile '{state}': the file is not a state file")), "{text}");
    }
}

#[test]
fn a_state_file_behind_a_link_is_replaced_where_it_is_and_a_shared_folder_is_refused() {
    let folder = Scratch::new("state");
    let (link, real) = (folder.join("state"), folder.join("real"));
    fs::create_dir(&real).unwrap();
    symlink("real/state.json", &link).unwrap();
    let state = link.to_string_lossy().into_owned();
    let args = persisted(&state);
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert!(fs::read_to_string(real.join("state.json")).unwrap().contains("allowSSL"));
    fs::set_permissions(&real, fs::Permissions::from_mode(0o1777)).unwrap();
    for command in ["check", "run"] {
        let (code, text) = ended(&arguments(command, &args));
        assert_eq!(code, Some(2), "{text}");
        assert!(text.contains("every user can write to its folder"), "{text}");
    }
}

#[test]
fn a_password_comes_from_a_file_or_the_environment_and_a_key_that_others_read_is_warned_about() {
    let folder = certs::folder();
    let file = |name: &str| folder.join(name).to_string_lossy().into_owned();
    let (key, password) = (file("encrypted.pem"), file("password"));
    fs::write(&password, format!("{}\nnot this\n", certs_gen::PASSWORD)).unwrap();
    fs::set_permissions(&password, fs::Permissions::from_mode(0o600)).unwrap();
    let args = [&FRONT[..], &["--sslPEMKeyFile", &key, "--sslPEMKeyPasswordFile", &password]].concat();
    let (code, text) = check(&args);
    assert_eq!((code, text.contains("every user of this host can read the file")), (Some(0), false), "{text}");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let (_, text) = check(&args);
    assert!(text.contains(&format!("--sslPEMKeyFile {key}: every user of this host can read the file")), "{text}");
    for (content, expected) in
        [("wrong\n", "cannot be decrypted: wrong password"), ("\nsecret\n", "its first line is empty")]
    {
        fs::write(&password, content).unwrap();
        let (code, text) = check(&args);
        assert_eq!(code, Some(2), "{text}");
        assert!(text.contains(expected) && !text.contains("secret"), "{text}");
    }
    let twice = [&args[..], &["--sslPEMKeyPassword", "one"]].concat();
    let (code, text) = check(&twice);
    assert!(code == Some(2) && text.contains("the password is given twice: --sslPEMKeyPassword"), "{text}");

    let mut command = process::tethered(env!("CARGO_BIN_EXE_tlsramp"));
    command
        .arg("check")
        .args(FRONT)
        .args(["--sslPEMKeyFile", &key])
        .env("TLSRAMP_PEM_KEY_PASSWORD", certs_gen::PASSWORD);
    let output = process::output(command, SOON).unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn a_running_proxy_leaves_no_core_dump() {
    let proxy = Proxy::start(FRONT);
    proxy.wait_log(|line| line["message"] == "ready", SOON);
    let limits = fs::read_to_string(Path::new("/proc").join(proxy.pid().to_string()).join("limits")).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
}

#[test]
fn arguments_that_are_not_utf_8_are_an_error_and_never_a_panic() {
    for args in [
        &["run", "--port"][..],
        &["run", "--config"],
        &["run", "--sslPEMKeyFile"],
        &["run", "--sslPEMKeyPassword"],
        &["check", "--stateFile"],
        &["ctl", "--admin"],
        &["ctl", "accept"],
        &["ctl", "--tlsCAFile"],
        &["rollout", "--node"],
        &["rollout", "--log"],
        &["load", "--target"],
        &["netfilter", "--port"],
        &["demo"],
        &[],
    ] {
        let words = args.iter().map(OsString::from).chain([OsString::from_vec(b"\xff\xfe".to_vec())]);
        let output = run_to_end(words);
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {text}");
        assert!(!text.contains("panicked"), "{args:?}: {text}");
    }
}
