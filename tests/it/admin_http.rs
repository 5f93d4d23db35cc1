//! HTTP at the admin port: every path and method, which hosts are accepted, which bodies are accepted, and the errors.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "in a test, the panic is the report")]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use serde_json::json;

use crate::support::admin::{self, Admin};
use crate::support::proxy::Signal;
use crate::support::service::*;
use crate::support::{Proxy, cert};

#[test]
fn paths_and_methods() {
    let served = Served::start(&[]);
    let looks = [
        "/",
        "/page/main.js",
        "/livez",
        "/readyz",
        "/metrics",
        "/status",
        "/clients",
        "/connections",
        "/ready?to=requireTLS",
    ];
    let changes = [("PUT", "/mode"), ("POST", "/rotate"), ("POST", "/reload"), ("POST", "/recycle")];
    let changes =
        [&changes[..], &[("POST", "/accept"), ("POST", "/lease"), ("POST", "/members"), ("POST", "/quit")]].concat();
    for path in looks {
        let got = served.ask("GET", path, &[], "");
        assert_eq!(got.status, 200, "{path}: {}", got.body);
        for header in ["cache-control: no-store", "x-content-type-options: nosniff"] {
            assert!(got.head.contains(header), "{}", got.head);
        }
        assert!(!got.head.contains("access-control"), "{}", got.head);
        let head = served.ask("HEAD", path, &[], "");
        assert_eq!((head.status, &*head.body), (200, ""), "{path}");
        assert_eq!(without_date(&head.head), without_date(&got.head), "HEAD has the headers of GET: {path}");
        for method in ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"] {
            let refused = served.ask(method, path, &[JSON], "{}");
            assert_eq!(code(&refused, 405), "MethodNotAllowed", "{method} {path}");
            assert!(refused.head.contains("allow: get, head"), "{}", refused.head);
        }
    }
    for (method, path) in changes {
        for other in ["GET", "HEAD", "DELETE", if method == "PUT" { "POST" } else { "PUT" }] {
            let refused = served.ask(other, path, &[JSON], "");
            assert_eq!(refused.status, 405, "{other} {path}");
            assert!(refused.head.contains(&format!("allow: {}", method.to_lowercase())), "{}", refused.head);
        }
    }
    for path in [
        "/page",
        "/page/",
        "/page/..",
        "/index.html",
        "/status/",
        "//status",
        "/STATUS",
        "/livez/",
        "/..",
        "/mode/x",
        "/ready/",
    ] {
        assert_eq!(code(&served.ask("GET", path, &[], ""), 404), "NotFound", "{path}");
    }
    for path in ["/status?x", "/ready", "/ready?to=", "/ready?to=on", "/ready?to=allowSSL&to=allowSSL", "/ready?x=1"] {
        assert_eq!(code(&served.ask("GET", path, &[], ""), 400), "BadRequest", "{path}");
    }
    for path in ["/clients?plaintext", "/connections?nonConforming=true", "/readyz?upstream=false"] {
        assert_eq!(served.ask("GET", path, &[], "").status, 200, "{path}");
    }
    let quit = served.ask("POST", "/quit", &[JSON], "{}");
    assert_eq!((quit.status, &*quit.body), (202, "{\"quitting\":true}\n"));
    let mut proxy = served.proxy;
    assert_eq!(proxy.wait_exit(SOON).expect("it quits").code(), Some(0));
}

#[test]
fn a_foreign_host_is_refused_except_for_probes() {
    let served = Served::start(&["--adminHost", "ramp.example.net"]);
    let port = served.proxy.address("admin").port();
    let local = format!("localhost:{port}");
    for (host, is_ours) in [
        (&*local, true),
        ("localhost", true),
        ("127.0.0.1", true),
        ("[::1]", true),
        ("RAMP.example.net", true),
        ("ramp.example.net:80", true),
        ("evil.example", false),
        ("localhost.evil.example", false),
        ("192.0.2.1", false),
        ("", false),
    ] {
        let request = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        let answer = served.admin.raw(&request("/status"));
        match is_ours {
            true => assert_eq!(answer.status, 200, "{host}"),
            false => assert_eq!(code(&answer, 403), "Forbidden", "{host}"),
        }
        for probe in ["/livez", "/readyz", "/metrics"] {
            assert_eq!(served.admin.raw(&request(probe)).status, 200, "{host}");
        }
    }
    let without = served.admin.raw("GET /status HTTP/1.0\r\n\r\n");
    assert_eq!(code(&without, 403), "Forbidden");
    let absolute = "GET http://evil.example/status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    assert_eq!(code(&served.admin.raw(absolute), 403), "Forbidden");
}

#[test]
fn a_change_needs_json_and_no_foreign_page() {
    let served = Served::start(&[]);
    let port = served.proxy.address("admin").port();
    let ours = format!("Origin: http://localhost:{port}");
    let body = r#"{"mode":"preferSSL"}"#;
    for (headers, status, name) in [
        (&["Content-Type: text/plain"][..], 415, "UnsupportedMediaType"),
        (&[], 415, "UnsupportedMediaType"),
        (&["Content-Type: application/x-www-form-urlencoded"], 415, "UnsupportedMediaType"),
        (&[JSON, "Origin: http://evil.example"], 403, "Forbidden"),
        (&[JSON, "Origin: null"], 403, "Forbidden"),
        (&[JSON, "Origin: http://localhost:1"], 403, "Forbidden"),
    ] {
        assert_eq!(code(&served.ask("PUT", "/mode", headers, body), status), name, "{headers:?}");
    }
    assert_eq!(served.admin.get("/status")["sslMode"], "allowSSL", "nothing of it had an effect");
    let json = "Content-Type: application/json; charset=utf-8";
    assert_eq!(served.ask("PUT", "/mode", &[json, &ours], body).status, 200);
    assert_eq!(served.admin.get("/status")["sslMode"], "preferSSL");
}

#[test]
fn a_body_is_bounded_and_every_key_is_known() {
    let served = Served::start(&[]);
    for (method, path, body, names) in [
        ("PUT", "/mode", r#"{"mode":"preferSSL","gaurd":true}"#, "gaurd"),
        ("PUT", "/mode", r#"{"mode":"on"}"#, "'on'"),
        ("PUT", "/mode", r#"{"mode":1}"#, "expected a string"),
        ("PUT", "/mode", "{}", "mode"),
        ("PUT", "/mode", "", "EOF"),
        ("PUT", "/mode", "[]", "line 1"),
        ("PUT", "/mode", r#"{"mode":"preferSSL"} x"#, "trailing"),
        ("POST", "/rotate", r#"{"x":1}"#, "x"),
        ("POST", "/recycle", r#"{"graceSecs":-1}"#, "-1"),
        // Such a time would overflow the clock.
        ("POST", "/recycle", r#"{"graceSecs":18446744073709551615}"#, "expected 0 to 86400"),
        ("POST", "/recycle", r#"{"waitSecs":601}"#, "expected 0 to 600"),
        ("POST", "/lease", r#"{"holder":"","ttlSecs":1}"#, "holder"),
        ("POST", "/lease", r#"{"holder":"a","ttlSecs":3601}"#, "3600"),
        ("POST", "/quit", "null", "line 1"),
    ] {
        let refused = served.ask(method, path, &[JSON], body);
        assert_eq!(code(&refused, 400), "BadRequest", "{body}");
        assert!(refused.body.contains(names), "{names:?} is not in {}", refused.body);
    }
    let deep = format!(r#"{{"mode":{}1{}}}"#, "[".repeat(8000), "]".repeat(8000));
    assert_eq!(served.ask("PUT", "/mode", &[JSON], &deep).status, 400);
    let large = "x".repeat(16 * 1024 + 1);
    assert_eq!(code(&served.ask("PUT", "/mode", &[JSON], &large), 413), "PayloadTooLarge");
    let chunks = format!("{:x}\r\n{large}\r\n0\r\n\r\n", large.len());
    let head = "PUT /mode HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n";
    let chunked = served.admin.raw(&format!("{head}{JSON}\r\n\r\n{chunks}"));
    assert_eq!(code(&chunked, 413), "PayloadTooLarge");
    let many = (0..100).map(|n| format!("X-{n}: 1\r\n")).collect::<String>();
    for headers in [many, format!("X: {}\r\n", "x".repeat(32 * 1024))] {
        let text = format!("GET /status HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n");
        let mut stream = TcpStream::connect(served.proxy.address("admin")).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        let _ = stream.write_all(text.as_bytes());
        let mut start = [0; 12];
        stream.read_exact(&mut start).unwrap();
        assert_eq!(&start, b"HTTP/1.1 431");
    }
    assert_eq!(served.admin.get("/status")["generation"], 1, "nothing of it had an effect");
}

#[test]
fn changes_are_made_and_refused_with_reasons() {
    let served = Served::start(&[]);
    let put = |body: &str| served.ask("PUT", "/mode", &[JSON], body);
    let reply = put(r#"{"mode":"preferTLS"}"#).json(200);
    assert_eq!((&reply["was"], &reply["mode"]), (&"allowTLS".into(), &"preferTLS".into()));
    let again = put(r#"{"mode":"preferSSL"}"#).json(200);
    assert_eq!(again["generation"], reply["generation"], "idempotent");
    let refused = put(r#"{"mode":"disabled"}"#);
    assert_eq!(code(&refused, 409), "IllegalTransition");
    assert!(refused.body.contains("attempt to change from preferSSL to disabled"), "{}", refused.body);
    assert_eq!(put(r#"{"mode":"allowSSL","force":true}"#).json(200)["mode"], "allowSSL");

    let post = |path: &str, body: &str| served.ask("POST", path, &[JSON], body);
    let lease = post("/lease", r#"{"holder":"rollout 7","ttlSecs":60}"#).json(200);
    assert_eq!(lease["lease"]["holder"], "rollout 7");
    assert_eq!(code(&put(r#"{"mode":"preferSSL"}"#), 409), "Leased");
    assert_eq!(code(&post("/lease", r#"{"holder":"b","ttlSecs":1}"#), 409), "Leased");
    assert_eq!(put(r#"{"mode":"preferSSL","holder":"rollout 7"}"#).status, 200);
    assert_eq!(post("/lease", r#"{"holder":"rollout 7","ttlSecs":0}"#).json(200), json!({ "lease": null }));
    assert_eq!(post("/rotate", "{}").status, 200);
    assert_eq!(post("/reload", "{}").json(200)["mode"], "preferSSL");
    assert_eq!(post("/recycle", "{}").status, 200);
    let log = served.proxy.wait_log(|line| line["message"] == "reloaded", SOON);
    assert_eq!(log["door"], "http", "{log}");
}

#[test]
fn one_connection_takes_one_request_after_another() {
    let served = Served::start(&[]);
    let mut stream = TcpStream::connect(served.proxy.address("admin")).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    let request = "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n";
    // The second and third request are sent at once: pipelining.
    for requests in [request.to_owned(), request.repeat(2)] {
        stream.write_all(requests.as_bytes()).unwrap();
        let mut got = String::new();
        while got.matches("\r\n\r\nok").count() < requests.matches("GET").count() {
            let mut some = [0; 512];
            let count = stream.read(&mut some).unwrap();
            assert!(count > 0, "closed after {got:?}");
            got.push_str(std::str::from_utf8(&some[..count]).unwrap());
        }
    }
}

#[test]
fn while_it_stops_it_is_live_and_not_ready_and_can_be_looked_at() {
    let mut served = Served::start(&["--drainTimeout", "0"]);
    let mut open = connect(&served.proxy);
    echoes(&mut open, b"open");
    served.proxy.signal(Signal::TERM);
    served.proxy.wait_log(|line| line["message"].as_str().is_some_and(|said| said.starts_with("stopping")), SOON);
    assert_eq!(served.ask("GET", "/livez", &[], "").status, 200);
    let ready = served.ask("GET", "/readyz", &[], "");
    assert_eq!((ready.status, &*ready.body), (503, "stopping"));
    assert_eq!(served.ask("GET", "/status", &[], "").status, 200);
    drop(open);
    assert_eq!(served.proxy.wait_exit(SOON).expect("the last connection is over").code(), Some(0));
}

struct Served {
    proxy: Proxy,
    admin: Admin,
    _upstream: Upstream,
}

impl Served {
    fn start(args: &[&str]) -> Self {
        let upstream = Upstream::start();
        let (server, ca) = (cert("server.pem"), cert("ca.pem"));
        let tls = ["--sslMode", "allowSSL", "--sslPEMKeyFile", &server, "--sslCAFile", &ca];
        let mut line = in_front_of(&upstream);
        line.extend(tls.iter().chain(args).map(|&arg| arg.to_owned()));
        let proxy = Proxy::start(line);
        Self { admin: admin::of(&proxy), proxy, _upstream: upstream }
    }

    /// A request for `localhost` with these headers, and otherwise only the body's length.
    #[track_caller]
    fn ask(&self, method: &str, path: &str, headers: &[&str], body: &str) -> admin::Answer {
        let headers = headers.iter().map(|header| format!("{header}\r\n")).collect::<String>();
        let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
        self.admin.raw(&format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}{length}\r\n{body}"
        ))
    }
}

/// The code of an error with this status. The error must also have a text.
#[track_caller]
fn code(answer: &admin::Answer, status: u16) -> String {
    let error = answer.json(status);
    assert!(error["error"].as_str().is_some_and(|text| text.len() > 10), "{error}");
    error["code"].as_str().unwrap_or_else(|| panic!("no code in {error}")).to_owned()
}

fn without_date(head: &str) -> Vec<&str> {
    // Answers of different seconds differ in their date, and a status also in its uptime and so in its length.
    head.lines().filter(|line| !line.starts_with("date:") && !line.starts_with("content-length:")).collect()
}

const JSON: &str = "Content-Type: application/json";
