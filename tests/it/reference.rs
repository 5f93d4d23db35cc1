//! `docs/src/reference/`: what the pages say is generated from the source of truth, or compared with it: the help, the
//! metrics, the replies of the admin port, the log.

use std::{collections::BTreeSet, fs, path::Path};

use bson::rawdoc;
use serde_json::{Value, json};
use tlsramp::testing::Outcome;

use crate::support::{
    Mark, Proxy, Scratch, admin, cert, generated, process, raw, run_to_end, scraped::Families, service, wait,
};

mod types;

/// The text of each command's help; that of `run` and `check` without the options, which have a page of their own.
#[test]
fn commands() {
    let mut text = String::new();
    let commands = subcommands(&help(&[]));
    assert!(commands.contains(&"run".to_owned()), "{commands:?}");
    for command in commands {
        let long = help(&[&command]);
        let nested = subcommands(&long);
        text.push_str(&format!(
            "## tlsramp {command}\n\n```text\n{}\n```\n\n",
            without_options(&command, &long).trim()
        ));
        for name in nested {
            let long = without_section(&help(&[&command, &name]), "Admin port:");
            text.push_str(&format!("### tlsramp {command} {name}\n\n```text\n{}\n```\n\n", long.trim()));
        }
    }
    generated::check("commands.md", "commands", &text);
}

/// Every metric family, with its labels and its help.
#[test]
fn metrics() {
    let mut text = "| metric | type | labels | meaning |\n|---|---|---|---|\n".to_owned();
    for (name, family) in Families::scrape().iter() {
        let labels: Vec<_> = family.labels.keys().map(|label| format!("`{label}`")).collect();
        text.push_str(&format!("| `{name}` | {} | {} | {} |\n", family.kind, labels.join(", "), family.help));
    }
    generated::check("metrics.md", "metrics", &text);
}

/// The outcomes of connections, which are log fields and label values.
#[test]
fn outcomes() {
    let docs = types::variants(&source("src/telemetry/outcome.rs"), "Outcome");
    let mut text = "| outcome | meaning | caused by |\n|---|---|---|\n".to_owned();
    for outcome in Outcome::ALL {
        let (_, doc) = docs.iter().find(|(name, _)| *name == format!("{outcome:?}")).unwrap();
        let by = format!("{:?}", outcome.source()).to_lowercase().replace("internal", "tlsramp").replace("none", "");
        text.push_str(&format!("| `{}` | {doc} | {by} |\n", outcome.name()));
    }
    generated::check("log.md", "outcomes", &text);
}

/// The fields of a connection's line: those of the source have a row each, and real lines have no others.
#[test]
fn log_fields() {
    let source = source("src/telemetry/ended_connection.rs");
    let line = source.split("tracing::Level::$level,").nth(1).unwrap().split("\"connection\"").next().unwrap();
    let fields = line.lines().map(str::trim).filter(|line| !line.is_empty());
    let fields: Vec<_> = fields.map(|field| field.split([' ', ',']).next().unwrap().to_owned()).collect();
    assert_eq!(rows("log.md", "## Connection records"), fields);
    let mut everything = String::new();
    read_all(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut everything);
    for message in rows("log.md", "## Other lines") {
        let message = message.trim_end_matches(" ...").to_owned();
        assert!(everything.contains(&format!("\"{message}")), "no line of the log begins with {message:?}");
    }

    let (service, files) = (service::Upstream::start(), [cert("server.pem"), cert("ca.pem")]);
    let tls = ["--sslMode", "allowSSL", "--sslPEMKeyFile", &files[0], "--sslCAFile", &files[1]].map(str::to_owned);
    let proxy = Proxy::start(service::in_front_of(&service).into_iter().chain(tls));
    service::served(&proxy);
    let folder = Path::new(&files[1]).parent().unwrap();
    let mut client = service::tls_client(proxy.address("inbound"), folder, Some("client.pem"));
    service::echoes(&mut client, b"TLS");
    drop(client);
    wait("both are logged", || proxy.records().len() == 2);
    let usual: BTreeSet<_> = ["timestamp", "level", "message", "target"].map(str::to_owned).into();
    let mut seen = BTreeSet::new();
    for record in proxy.records_since(Mark::START) {
        seen.extend(record.as_object().unwrap().keys().filter(|key| !usual.contains(*key)).cloned());
    }
    let unknown: Vec<_> = seen.iter().filter(|key| !fields.contains(key)).collect();
    assert!(unknown.is_empty() && seen.contains("client_subject"), "{unknown:?} of {seen:?}");
}

/// The types of requests and replies are those of the source, and every reply has exactly the fields of its type.
#[test]
fn replies_by_http() {
    let types = types::Types::of(&types::FILES.map(source));
    generated::check("admin-http.md", "types", &types.text(types::REPLIES));
    generated::check("admin-http.md", "bodies", &types.text(types::REQUESTS));
    let kinds = types::variants(&source("src/control/blocker.rs"), "BlockerKind");
    let kinds = kinds.iter().map(|(name, doc)| format!("| `{}{}` | {doc} |\n", name[..1].to_lowercase(), &name[1..]));
    generated::check(
        "admin-http.md",
        "blockers",
        &format!("| kind | meaning |\n|---|---|\n{}", kinds.collect::<String>()),
    );

    let (service, folder) = (service::Upstream::start(), Scratch::new("reference"));
    let state = folder.join("state.json").display().to_string();
    let files = [cert("member.pem"), cert("ca.pem"), cert("crl-empty.pem")];
    let mut flags = service::in_front_of(&service);
    let outbound = format!("127.0.0.1:0={}", service.address);
    let more =
        ["--sslMode", "allowSSL", "--sslPEMKeyFile", &files[0], "--sslCAFile", &files[1], "--sslCRLFile", &files[2]];
    flags.extend(more.map(str::to_owned));
    flags.extend(["--stateFile", &state, "--outbound", &outbound, "--upstreamProbe", "on"].map(str::to_owned));
    let proxy = Proxy::start(flags);
    let mut client = service::connect(&proxy);
    service::echoes(&mut client, &service::ping());
    let admin = admin::of(&proxy);
    wait("it is listed", || admin.get("/connections")["connections"][0].is_object());
    wait("its client is listed", || admin.get("/clients")["clients"][0].is_object());
    wait("the servers are probed", || admin.get("/status")["links"][0].is_object());
    let shapes: [(&str, &str, Value, u16, &str); 16] = [
        ("POST", "/lease", json!({"holder": "doc", "ttlSecs": 60}), 200, "lease=LeaseStatus"),
        ("PUT", "/mode", json!({"mode": "preferSSL"}), 409, "ErrorReply"),
        ("POST", "/lease", json!({"holder": "doc", "ttlSecs": 0}), 200, ""),
        ("PUT", "/mode", json!({"mode": "disabled"}), 409, "ErrorReply"),
        ("PUT", "/mode", json!({"mode": "allowSSL", "persist": true}), 200, "ModeReply"),
        ("POST", "/rotate", json!({}), 200, "RotateReply"),
        ("POST", "/reload", json!({}), 200, "ModeReply"),
        ("POST", "/recycle", json!({}), 200, "RecycleReply"),
        ("POST", "/accept", json!({"key": "192.0.2.1/app/driver"}), 200, "AcceptReply"),
        ("POST", "/members", json!({"sets": {"rs0": ["db1.example.net:27017"]}}), 200, "MembersReply"),
        ("GET", "/status", Value::Null, 200, "Status"),
        ("GET", "/clients", Value::Null, 200, "clients=[ClientRow]"),
        ("GET", "/connections", Value::Null, 200, "connections=[ConnectionRow]"),
        ("GET", "/history", Value::Null, 200, "history=[HistoryEntry]"),
        ("GET", "/doctor", Value::Null, 200, "DoctorReply"),
        ("GET", "/ready?to=requireSSL", Value::Null, 200, "Ready"),
    ];
    for (method, path, body, status, shape) in shapes {
        let reply = admin.request(method, path, Some(&body).filter(|body| !body.is_null())).json(status);
        types.check(&format!("{method} {path}"), &reply, shape);
    }
    wait("the state is saved", || fs::read_to_string(&state).is_ok_and(|text| text.contains("192.0.2.1/app/driver")));
    let saved: Value = serde_json::from_str(&fs::read_to_string(&state).unwrap()).unwrap();
    let keys: Vec<_> = saved.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>().into_iter().collect();
    let mut documented = rows("state-file.md", "## Contents");
    documented.sort();
    assert_eq!(documented, keys, "the keys of the state file");
}

/// Paths and methods, and the codes of errors.
#[test]
fn routes_and_codes() {
    let routes = source("src/admin/http/routes.rs");
    let routes = routes.split("#[cfg(test)]").next().unwrap();
    let paths = routes.split("HttpRoute::").filter_map(|rest| rest.split_once("(\"/")?.1.split('"').next());
    let paths: BTreeSet<_> = paths.map(|path| format!("/{path}")).collect();
    let page = page("admin-http.md");
    let documented: BTreeSet<_> = rows("admin-http.md", "## Paths").into_iter().collect();
    assert!(documented.len() == paths.len() && paths.len() > 10, "{documented:?}, and {paths:?}");
    let proxy = Proxy::start(["--port", "0", "--upstream", "127.0.0.1:9", "--adminBind", "127.0.0.1:0"]);
    for path in documented {
        let (methods, path) = path.rsplit_once(' ').unwrap();
        assert!(paths.contains(path), "no {path}");
        let answer = admin::of(&proxy).request("OPTIONS", path, None);
        let allow = answer.head.lines().find_map(|line| line.strip_prefix("allow: ")).unwrap();
        assert_eq!((answer.status, allow.to_uppercase().as_str()), (405, methods), "{path}");
    }
    let mut codes = BTreeSet::new();
    for file in ["reply.rs", "body.rs", "hosts.rs", "server.rs", "changes.rs", "queries.rs"] {
        // The formatter breaks long calls into lines; one code has a name.
        let source = source(&format!("src/admin/http/{file}")).replace("ErrorReply::GUARDED", "\"Guarded\"");
        let source = source.split_whitespace().collect::<Vec<_>>().join(" ");
        for rest in source.split("StatusCode::").skip(1) {
            let Some((status, code)) = rest.split_once(", \"").filter(|(name, _)| is_constant(name) && *name != "OK")
            else {
                continue;
            };
            codes.insert((status.to_owned(), code.split('"').next().unwrap().to_owned()));
        }
    }
    assert!(codes.len() > 8, "{codes:?}");
    let documented: BTreeSet<_> = rows("admin-http.md", "## Errors").into_iter().collect();
    assert_eq!(documented, codes.iter().map(|(_, code)| code.clone()).collect(), "codes");
    for (status, code) in codes {
        let status = STATUSES.iter().find(|(name, _)| *name == status).unwrap_or_else(|| panic!("{status}")).1;
        assert!(page.contains(&format!("| `{code}` | {status} |")), "{code} comes with {status}");
    }
}

/// The commands that `listCommands` lists have a row each.
#[test]
fn mongodb_commands() {
    let proxy = Proxy::start(["--port", "0", "--upstream", "127.0.0.1:9", "--adminBind", "127.0.0.1:0"]);
    let answer = raw::connect(proxy.address("admin")).command("admin", &rawdoc! { "listCommands": 1 });
    let commands = answer.get_document("commands").unwrap();
    let listed: BTreeSet<_> = commands.iter().map(|command| command.unwrap().0.as_str().to_owned()).collect();
    let documented: BTreeSet<_> = rows("admin-mongodb.md", "## Commands").into_iter().collect();
    assert_eq!(documented, listed);
}

/// Both forms of the configuration file on the page are accepted, and mean the same.
#[test]
fn configuration_files() {
    let page = page("configuration.md");
    let folder = Scratch::new("reference");
    let [yaml, pairs] = ["```yaml\n", "```ini\n"].map(|fence| {
        let text = page.split_once(fence).unwrap().1.split("```").next().unwrap();
        let here = folder.path().display().to_string();
        // An address of TEST-NET-1 is not one of this host.
        let text = text.replace("192.0.2.1", "127.0.0.9");
        let text = text
            .replace("/etc/tlsramp/server.pem", &cert("member.pem"))
            .replace("/etc/tlsramp/ca.pem", &cert("ca.pem"));
        let file = folder.join(if fence.contains("yaml") { "yaml.conf" } else { "pairs.conf" });
        fs::write(&file, text.replace("/var/lib/tlsramp", &here).replace("/run/tlsramp", &here)).unwrap();
        let output = run_to_end(["check", "--config", &file.display().to_string()]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let report = String::from_utf8(output.stdout).unwrap();
        // The first line names the file; warnings name keys as they are written.
        report.lines().skip(1).filter(|line| !line.starts_with("warning")).map(str::to_owned).collect::<Vec<_>>()
    });
    assert_eq!(yaml, pairs);
}

fn help(words: &[&str]) -> String {
    let mut command = process::tethered(env!("CARGO_BIN_EXE_tlsramp"));
    command.args(words).arg("--help").env_remove("COLUMNS").env_remove("TLSRAMP_ADMIN");
    let output = process::succeed(command, std::time::Duration::from_secs(60)).unwrap_or_else(|why| panic!("{why}"));
    // Help aligns with spaces at the ends of lines, which editors remove.
    String::from_utf8(output.stdout).unwrap().lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

fn subcommands(help: &str) -> Vec<String> {
    let list = help.split_once("\nCommands:\n").map_or("", |(_, rest)| rest.split("\n\n").next().unwrap());
    let names = list.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    names.map(|line| line.split_whitespace().next().unwrap().to_owned()).filter(|name| name != "help").collect()
}

fn without_options(command: &str, help: &str) -> String {
    match command {
        "run" | "check" => {
            format!("{}\n\n(The options are on their own page.)", help.split("\nOptions:").next().unwrap().trim())
        }
        _ => help.to_owned(),
    }
}

/// The help without a section: its heading, and the indented and empty lines below.
fn without_section(help: &str, heading: &str) -> String {
    let mut is_inside = false;
    let lines = help.lines().filter(|line| {
        is_inside = *line == heading || (is_inside && (line.is_empty() || line.starts_with(' ')));
        !is_inside
    });
    lines.map(|line| format!("{line}\n")).collect()
}

/// The names in the first column of the table below a heading, without their backticks.
fn rows(name: &str, heading: &str) -> Vec<String> {
    let page = page(name);
    let (_, below) = page.split_once(&format!("\n{heading}\n")).unwrap_or_else(|| panic!("{name} has no {heading}"));
    let below = below.split("\n## ").next().unwrap();
    let cells = below.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    cells.map(|(name, _)| name.to_owned()).collect()
}

fn is_constant(name: &str) -> bool {
    name.chars().all(|c| c.is_ascii_uppercase() || c == '_')
}

/// Appends the source files of a folder.
fn read_all(folder: &Path, to: &mut String) {
    for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        match path.is_dir() {
            true => read_all(&path, to),
            false => to.push_str(&fs::read_to_string(&path).unwrap()),
        }
    }
}

fn page(name: &str) -> String {
    source(&format!("docs/src/reference/{name}"))
}

fn source(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path))
        .unwrap_or_else(|error| panic!("{path}: {error}"))
}

const STATUSES: [(&str, u16); 12] = [
    ("BAD_REQUEST", 400),
    ("FORBIDDEN", 403),
    ("NOT_FOUND", 404),
    ("METHOD_NOT_ALLOWED", 405),
    ("REQUEST_TIMEOUT", 408),
    ("CONFLICT", 409),
    ("LENGTH_REQUIRED", 411),
    ("PAYLOAD_TOO_LARGE", 413),
    ("UNSUPPORTED_MEDIA_TYPE", 415),
    ("MISDIRECTED_REQUEST", 421),
    ("INTERNAL_SERVER_ERROR", 500),
    ("SERVICE_UNAVAILABLE", 503),
];
