//! The page of the admin port, in a real browser; and its events, by plain HTTP.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "in a test, the panic is the report")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::plain::Plain;
use crate::support::proxy::Signal;
use crate::support::service::{SOON, Upstream, connect, in_front_of};
use crate::support::{
    Mongod, Proxy, ReservedPort, Scratch, admin, cert, generated, mongod, parts, process, require, until, wait,
};

/// Console, requests, accessibility, width, with a client whose name would be HTML.
#[test]
fn it_is_quiet_and_accessible_in_both_colours_and_widths() {
    let browser = require!(Browser::find());
    let proxy = over_echo("preferSSL", &[]);
    let mut client = Plain::connect(proxy.port());
    client.send_hello(HTML);
    seen(&proxy, HTML);
    browser.run(&proxy, "looks", json!({ "client": HTML }));
}

#[test]
fn it_is_used_by_keyboard() {
    let browser = require!(Browser::find());
    let proxy = over_echo("allowSSL", &[]);
    let mut clients: Vec<_> = (0..3).map(|_| Plain::connect(proxy.port())).collect();
    for (client, name) in clients.iter_mut().zip(["reports", "orders", "orders"]) {
        client.send_hello(name);
        seen(&proxy, name);
    }
    browser.run(&proxy, "keyboard", json!({ "client": "reports" }));
}

/// Of three changes, the page shows at least one within a second: the machine may be busy with other tests.
#[test]
fn a_change_by_ctl_is_shown_within_a_second() {
    let browser = require!(Browser::find());
    let proxy = over_echo("allowSSL", &[]);
    let ctl = [env!("CARGO_BIN_EXE_tlsramp"), "ctl", "--admin", &proxy.address("admin").to_string()];
    let printed =
        browser.run(&proxy, "follows", json!({ "ctl": ctl, "modes": ["preferSSL", "requireSSL", "allowSSL"] }));
    let waited: Vec<i64> = serde_json::from_str(&printed).unwrap();
    let in_time = until::busy() || waited.iter().any(|millis| *millis < 1000);
    assert!(waited.len() == 3 && in_time, "milliseconds: {waited:?}");
    eprintln!("the page showed a change after (milliseconds): {waited:?}");
}

#[test]
fn its_buttons_walk_the_ladder_with_mongod_and_drivers_behind() {
    let browser = require!(Browser::find());
    let python = require!(parts::pymongo());
    require!(parts::mongod());
    let (mongod, folder) = (Mongod::start(&mongod::Options::default()), Scratch::new("cockpit"));
    let (upstream, state) = (mongod.address(), folder.join("state").display().to_string());
    let [server, ca, client] = ["server.pem", "ca.pem", "client.pem"].map(cert);
    let base = ["--port", "0", "--upstream", &upstream, "--upstreamTLS", "never", "--upstreamProbe", "on"];
    let tls = ["--sslPEMKeyFile", &server, "--sslCAFile", &ca, "--stateFile", &state];
    let proxy = Proxy::start(base.iter().chain(&tls));
    browser.run(
        &proxy,
        "walk",
        json!({ "steps": [{ "button": "step-up", "mode": "allowSSL", "shows": { "servers": "up", "certificates": "localhost" } }] }),
    );

    let uri = |name: &str, more: &str| {
        let port = proxy.port();
        format!("mongodb://127.0.0.1:{port}/?directConnection=true&appName={name}&serverSelectionTimeoutMS=30000{more}")
    };
    let reports = pymongo(python, &uri("reports", ""));
    let orders = pymongo(python, &uri("orders", &format!("&tls=true&tlsCAFile={ca}&tlsCertificateKeyFile={client}")));
    seen(&proxy, "reports");
    seen(&proxy, "orders");
    browser.run(
        &proxy,
        "walk",
        json!({ "steps": [
            { "button": "step-up", "mode": "preferSSL", "shows": { "blockers": "reports", "clients": "orders" } },
            {
                "button": "step-up", "mode": "requireSSL", "warnings": ["reports"], "options": ["persist"],
                "shows": { "recycle": "Recycle", "next-verdict": "last step", "mode-facts": "keeps requireSSL" },
            },
            { "button": "recycle", "options": ["force"], "shows": { "recycle": "Recycle connections", "refusals": "mode requires TLS" } },
            { "button": "rotate", "shows": { "said": "generation", "history": "rotate" } },
            { "button": "roll-back", "mode": "preferSSL", "shows": { "mode-facts": "a restart would go on to requireSSL" } },
            { "button": "roll-back", "mode": "allowSSL", "options": ["persist"] },
        ] }),
    );
    // Both clients have an open connection again, and the one that moved nowhere still blocks.
    seen(&proxy, "reports");
    drop((reports, orders));
    let history = admin::of(&proxy).get("/history");
    let made = history["history"].as_array().unwrap().iter().filter(|entry| entry["effect"] == "done");
    let made: Vec<_> = made.map(|entry| (entry["action"].as_str().unwrap(), entry["door"].as_str().unwrap())).collect();
    assert_eq!(made.iter().filter(|(action, door)| (*action, *door) == ("mode", "http")).count(), 5, "{made:?}");
}

#[test]
fn what_happens_while_a_dialog_is_open_is_shown_before_the_change() {
    let browser = require!(Browser::find());
    let proxy = over_echo("preferSSL", &[]);
    let port = proxy.port();
    let admin = admin::of(&proxy);
    let signal = on_request(move || {
        let mut client = Plain::connect(port);
        client.send_hello("late");
        wait("the client is seen", || admin.get("/ready?to=requireSSL")["blockers"][0].is_object());
        client
    });
    browser.run(&proxy, "overtaken", json!({ "signal": signal, "client": "late" }));
}

#[test]
fn a_foreign_page_can_do_nothing() {
    let browser = require!(Browser::find());
    let proxy = over_echo("allowSSL", &[]);
    browser.run(&proxy, "foreign", json!({}));
    assert_eq!(admin::of(&proxy).get("/status")["sslMode"], "allowSSL");
}

#[test]
fn a_read_only_address_shows_no_buttons() {
    let browser = require!(Browser::find());
    let proxy = over_echo("preferSSL", &["--adminReadOnly"]);
    let mut client = Plain::connect(proxy.port());
    client.send_hello("reports");
    seen(&proxy, "reports");
    browser.run(&proxy, "readOnly", json!({ "client": "reports" }));
}

#[test]
fn it_comes_back_after_a_restart_and_links_to_other_nodes() {
    let browser = require!(Browser::find());
    let port = ReservedPort::new();
    let bind = format!("127.0.0.1:{}", port.port());
    let start = move |mode: &str| {
        let links = ["--adminLink", "https://db2.example.net:28017/", "--adminLink", "http://127.0.0.1:28018/x"];
        over_echo(mode, &[&["--adminBind", &bind][..], &links].concat())
    };
    let proxy = start("allowSSL");
    let signal = on_request(move || start("preferSSL"));
    let links = json!([
        ["db2.example.net:28017", "https://db2.example.net:28017/"],
        ["127.0.0.1:28018", "http://127.0.0.1:28018/x"],
    ]);
    browser.run(&proxy, "restart", json!({ "signal": signal, "links": links }));
}

/// The pictures of the documentation. With `TLSRAMP_BLESS=1` they are made anew.
#[test]
fn pictures() {
    let files = ["light", "dark", "phone"].map(|name| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("docs/src/images/cockpit-{name}.png"));
        (name, path)
    });
    if generated::is_blessing() {
        let browser = require!(Browser::find());
        let python = require!(parts::pymongo());
        require!(parts::mongod());
        let mongod = Mongod::start(&mongod::Options::default());
        let proxy = in_use(&mongod, python);
        let pictures = files.each_ref().map(|(name, file)| {
            let (width, height) = if *name == "phone" { (360, 1200) } else { (1000, 980) };
            let colour = if *name == "dark" { "dark" } else { "light" };
            json!({ "file": file, "viewport": { "width": width, "height": height }, "colorScheme": colour })
        });
        browser.run(&proxy.0, "pictures", json!({ "client": "reports", "pictures": pictures }));
    }
    let page = include_str!("../../docs/src/how-to/cockpit.md");
    for (name, file) in files {
        let picture = std::fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        assert!(picture.starts_with(b"\x89PNG") && picture.len() < 150 * 1024, "{name}: {} bytes", picture.len());
        assert!(page.contains(&format!("(../images/cockpit-{name}.png)")), "the page does not show {name}");
    }
}

#[test]
fn every_reply_has_the_headers_that_protect_the_page() {
    let proxy = over_echo("allowSSL", &[]);
    let admin = admin::of(&proxy);
    for path in ["/", "/page/main.js", "/page/style.css", "/page/icon.svg", "/status", "/livez", "/page/x", "/none"] {
        let head = admin.request("GET", path, None).head;
        for header in [
            "content-security-policy: default-src 'none'; script-src 'self'; style-src 'self';",
            "frame-ancestors 'none'",
            "x-content-type-options: nosniff",
            "referrer-policy: no-referrer",
            "cross-origin-resource-policy: same-origin",
        ] {
            assert!(head.contains(header), "{path} has no {header}: {head}");
        }
    }
    for (path, kind) in [("/", "text/html"), ("/page/main.js", "text/javascript"), ("/page/style.css", "text/css")] {
        assert!(admin.request("HEAD", path, None).head.contains(&format!("content-type: {kind}; charset=utf-8")));
    }
}

#[test]
fn events_are_for_a_few_pages_of_this_site() {
    let proxy = over_echo("allowSSL", &["--probeBind", "127.0.0.1:0"]);
    let (at, admin) = (proxy.address("admin"), admin::of(&proxy));
    let own = format!("Origin: http://{at}");
    for (headers, status) in [
        (&["Origin: http://evil.example"][..], 403),
        (&["Sec-Fetch-Site: cross-site"], 403),
        (&["Sec-Fetch-Site: same-site", "Sec-Fetch-Dest: image"], 403),
        (&[&own, "Sec-Fetch-Site: same-origin"], 200),
    ] {
        assert_eq!(Events::open(at, headers).status, status, "{headers:?}");
    }
    assert_eq!(Events::open(proxy.address("probes"), &[]).status, 404);
    for path in ["/", "/page/main.js"] {
        assert_eq!(admin::at(proxy.address("probes")).request("GET", path, None).status, 404);
    }
    let head = admin.request("HEAD", "/events", None);
    assert_eq!((head.status, &*head.body), (200, ""));
    // Pages that were closed free their places.
    for _ in 0..3 {
        wait("there is room for sixteen", || {
            let pages: Vec<_> = (0..16).map(|_| Events::open(at, &[])).collect();
            pages.iter().all(|page| page.status == 200) && {
                assert_eq!(admin.request("GET", "/events", None).json(503)["code"], "Busy");
                true
            }
        });
    }
}

#[test]
fn events_come_while_something_happens_and_end_with_the_process() {
    let mut proxy = over_echo("allowSSL", &["--drainTimeout", "0"]);
    let mut events = Events::open(proxy.address("admin"), &[]);
    assert_eq!(events.next("access"), json!({ "mayChange": true, "stopping": false, "links": [] }));
    assert_eq!(events.next("status")["sslMode"], "allowSSL");
    let ready = events.next("ready");
    assert_eq!((&ready["mode"], &ready["to"]), (&json!("allowSSL"), &json!("preferSSL")));
    let sample = events.next("samples");
    let sample = sample[0].as_array().unwrap();
    assert_eq!((sample.len(), &sample[1..]), (6, &[0, 0, 0, 0, 0].map(Value::from)[..]));
    let mut client = connect(&proxy);
    client.write_all(b"plaintext").unwrap();
    while events.next("samples").as_array().unwrap().iter().all(|sample| sample[1] != 1 || sample[4] != 1) {}
    admin::of(&proxy).put("/mode", &json!({ "mode": "preferSSL" }));
    while events.next("status")["sslMode"] != "preferSSL" {}
    let entry = |event: Value| event["history"].as_array().unwrap().last().unwrap()["what"].clone();
    while entry(events.next("history")) != "allowSSL -> preferSSL" {}
    while events.next("ready")["to"] != "requireSSL" {}
    // A second page begins with what was sampled.
    let mut late = Events::open(proxy.address("admin"), &[]);
    assert!(late.next("samples").as_array().unwrap().len() > 1);
    drop(late);
    proxy.signal(Signal::TERM);
    assert_eq!(events.next("access")["stopping"], true);
    drop(client);
    assert_eq!(proxy.wait_exit(SOON).unwrap().code(), Some(0));
    assert!(events.rest_is_over());
}

/// A proxy before a server that returns what it is sent, with certificates. The server lives as long as the test process.
fn over_echo(mode: &str, args: &[&str]) -> Proxy {
    let (server, ca) = (cert("server.pem"), cert("ca.pem"));
    let tls = ["--sslMode", mode, "--sslPEMKeyFile", &server, "--sslCAFile", &ca];
    let mut line = in_front_of(&Upstream::start());
    line.extend(tls.iter().chain(args).map(|&arg| arg.to_owned()));
    Proxy::start(line)
}

/// Waits until a client of this application is connected.
fn seen(proxy: &Proxy, application: &str) {
    let admin = admin::of(proxy);
    let is_open = |row: &Value| row["application"] == application && row["open"].as_u64() > Some(0);
    wait("the client is seen", || admin.get("/clients")["clients"].as_array().unwrap().iter().any(is_open));
}

/// A pymongo client that has sent a ping, and stays connected until it is dropped.
fn pymongo(python: &Path, uri: &str) -> Killed {
    let mut command = process::tethered(python);
    command.args([concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/py/client.py"), uri]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = process::spawn(command).unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line.trim(), "ready");
    Killed(child)
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A proxy that has been used for some minutes, for the pictures: modes were changed, clients come and go.
fn in_use(mongod: &Mongod, python: &Path) -> (Proxy, Vec<Killed>) {
    let upstream = mongod.address();
    let [server, ca, client] = ["server.pem", "ca.pem", "client.pem"].map(cert);
    let base = ["--port", "0", "--upstream", &upstream, "--upstreamTLS", "never", "--upstreamProbe", "on"];
    let tls = ["--sslPEMKeyFile", &server, "--sslCAFile", &ca, "--adminLink", "https://db2.example.net:28017/"];
    let proxy = Proxy::start(base.iter().chain(&tls).chain(&["--adminLink", "https://db3.example.net:28017/"]));
    let admin = admin::of(&proxy);
    let mut page = Events::open(proxy.address("admin"), &[]);
    let mut clients = Vec::new();
    let by_tls = format!("&tls=true&tlsCAFile={ca}&tlsCertificateKeyFile={client}");
    let names = ["reports", "orders", "billing", "search", "nightly-export", "web"];
    for minute in 0..18_usize {
        match minute {
            4 => drop(admin.put("/mode", &json!({ "mode": "allowSSL" }))),
            10 => drop(admin.put("/mode", &json!({ "mode": "preferSSL" }))),
            _ => {}
        }
        let more = if minute > 4 && minute % 3 != 0 { &*by_tls } else { "" };
        let name = names[minute % names.len()];
        let uri = format!("mongodb://127.0.0.1:{}/?directConnection=true&appName={name}{more}", proxy.port());
        clients.push(pymongo(python, &uri));
        if minute > 10 && minute % 2 == 0 {
            clients.remove(0);
        }
        for _ in 0..10 {
            let _ = page.next("samples");
        }
    }
    (proxy, clients)
}

/// Runs `action` at the first request to the URL that is returned, before the request is answered. Its result lives as
/// long as the test process.
fn on_request<T>(action: impl FnOnce() -> T + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 1024]);
        std::mem::forget(action());
        let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
    });
    url
}

/// The browser and what drives it.
struct Browser {
    program: PathBuf,
    node: PathBuf,
    parts: &'static Path,
}

impl Browser {
    fn find() -> Result<Self, String> {
        let [program, node] = ["chromium", "node"].map(crate::support::require::command);
        Ok(Self { program: program?, node: node?, parts: parts::playwright()? })
    }

    /// Runs a scenario of `page.mjs` on a proxy's page. Returns its output.
    #[track_caller]
    fn run(&self, proxy: &Proxy, scenario: &str, mut given: Value) -> String {
        let base = json!({
            "scenario": scenario,
            "url": format!("http://{}", proxy.address("admin")),
            "browser": self.program,
            "parts": self.parts,
        });
        given.as_object_mut().unwrap().extend(base.as_object().unwrap().clone());
        let mut command = process::tethered(&self.node);
        command.args([concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/js/page.mjs"), &given.to_string()]);
        let output = process::output(command, Duration::from_secs(240)).unwrap_or_else(|why| panic!("{why}"));
        let [printed, errors] = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
        assert!(output.status.success(), "{scenario}: {errors}");
        printed
    }
}

/// A page as far as HTTP goes: `GET /events`.
struct Events {
    status: u16,
    reader: BufReader<TcpStream>,
}

impl Events {
    fn open(address: SocketAddr, headers: &[&str]) -> Self {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        let headers = headers.iter().map(|header| format!("{header}\r\n")).collect::<String>();
        stream.write_all(format!("GET /events HTTP/1.1\r\nHost: {address}\r\n{headers}\r\n").as_bytes()).unwrap();
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        Self { status: line.split(' ').nth(1).unwrap().parse().unwrap(), reader }
    }

    /// The data of the next event of a kind; others are left out.
    #[track_caller]
    fn next(&mut self, kind: &str) -> Value {
        let mut line = String::new();
        loop {
            line.clear();
            assert!(self.reader.read_line(&mut line).unwrap() > 0, "the events end before {kind}");
            if line.trim_end() == format!("event: {kind}") {
                line.clear();
                self.reader.read_line(&mut line).unwrap();
                return serde_json::from_str(line.strip_prefix("data: ").unwrap()).unwrap();
            }
        }
    }

    /// Whether the connection ends.
    fn rest_is_over(&mut self) -> bool {
        self.reader.read_to_end(&mut Vec::new()).is_ok()
    }
}

const HTML: &str = "<img src=x onerror=alert(1)><b>reports";
