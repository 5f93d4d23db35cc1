//! TLS files that are out of date: neither a rotation nor a reload replaces good files with them unless forced, in
//! every way of reloading. A start with such files behaves as in mongod.

use std::fs;
use std::path::Path;

use bson::rawdoc;
use certs_gen::{Authority, Issued, Request, Validity};
use serde_json::{Value, json};

use crate::support::proxy::{Signal, run_to_end};
use crate::support::{
    Mongod, Proxy, Scratch, admin, mongod, openssl, parts, raw, require, require_command, service::SOON, wait,
};

/// What is wrong with a set of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    OwnExpired,
    OwnNotYet,
    ClusterExpired,
    RootExpired,
    RootNotYet,
    CrlExpired,
    CrlNotYet,
}

/// Each fault, its text, and whether mongod starts with it.
const FAULTS: [(Fault, &str, bool); 7] = [
    (Fault::OwnExpired, "tlsCertificateKeyFile: the certificate CN=db1 has expired on", false),
    (Fault::OwnNotYet, "tlsCertificateKeyFile: the certificate CN=db1 is not valid before", false),
    (Fault::ClusterExpired, "tlsClusterFile: the certificate CN=db1 has expired on", false),
    (Fault::RootExpired, "tlsCAFile: the CA CN=root has expired on", true),
    (Fault::RootNotYet, "tlsCAFile: the CA CN=root is not valid before", true),
    (Fault::CrlExpired, "tlsCRLFile: the revocation list of CN=root has expired on", true),
    (Fault::CrlNotYet, "tlsCRLFile: the revocation list of CN=root is not valid before", true),
];

fn write(folder: &Path, fault: Fault) {
    let when = |wrong: Fault, validity| if fault == wrong { validity } else { Validity::Now };
    let of_root =
        if fault == Fault::RootNotYet { Validity::NotYet } else { when(Fault::RootExpired, Validity::Expired) };
    let ca = Authority::valid("root", of_root).unwrap();
    let member =
        |validity| -> Issued { ca.issue(&Request::member("db1").names(["localhost"]).valid(validity)).unwrap() };
    let late = |wrong, early: Fault| {
        if fault == early { Validity::NotYet } else { when(wrong, Validity::Expired) }
    };
    let server = member(late(Fault::OwnExpired, Fault::OwnNotYet));
    let crl = ca.revoke(&[], late(Fault::CrlExpired, Fault::CrlNotYet));
    let file = |name: &str, text: String| fs::write(folder.join(name), text).unwrap();
    file("server.pem", server.pem());
    file("cluster.pem", member(when(Fault::ClusterExpired, Validity::Expired)).pem());
    file("ca.pem", ca.pem().to_owned());
    file("crl.pem", crl.unwrap());
}

fn flags(folder: &Path) -> Vec<String> {
    let names = [
        ("--sslPEMKeyFile", "server.pem"),
        ("--sslClusterFile", "cluster.pem"),
        ("--sslCAFile", "ca.pem"),
        ("--sslCRLFile", "crl.pem"),
    ];
    let files = names.iter().flat_map(|(flag, name)| [(*flag).to_owned(), folder.join(name).display().to_string()]);
    let route = ["--port", "0", "--upstream", "127.0.0.1:9", "--upstreamTLS", "never", "--sslMode", "allowSSL"];
    route.iter().map(|word| (*word).to_owned()).chain(files).collect()
}

/// Reloads the files in one way, with or without force. Returns the error if it is refused.
fn read_again(proxy: &Proxy, door: &str, force: bool) -> Option<String> {
    let body = if force { json!({ "force": true }) } else { json!({}) };
    let by_http = |path| {
        let answer = admin::of(proxy).request("POST", path, Some(&body));
        let is_refused = answer.status == 409;
        let answer = answer.json(if is_refused { 409 } else { 200 });
        assert!(!is_refused || answer["code"] == "Unusable", "{answer}");
        is_refused.then(|| answer["error"].as_str().unwrap().to_owned())
    };
    match door {
        "POST /rotate" => by_http("/rotate"),
        "POST /reload" => by_http("/reload"),
        "rotateCertificates" => {
            let command = if force {
                rawdoc! { "rotateCertificates": 1, "force": true }
            } else {
                rawdoc! { "rotateCertificates": 1 }
            };
            let answer = raw::connect(proxy.address("admin")).command("admin", &command);
            let is_refused = answer.get_f64("ok").unwrap() == 0.0;
            assert!(!is_refused || answer.get_i32("code").unwrap() == 140, "{answer:?}");
            is_refused.then(|| answer.get_str("errmsg").unwrap().to_owned())
        }
        "ctl rotate" | "ctl reload" => {
            let (address, verb) = (proxy.address("admin").to_string(), &door[4..]);
            let force = if force { &["--force"][..] } else { &[] };
            let output = run_to_end(["ctl", "--admin", &address, verb].iter().chain(force));
            let said = String::from_utf8(output.stderr).unwrap();
            match output.status.code() {
                Some(0) => None,
                code => {
                    assert_eq!(code, Some(1), "{said}");
                    Some(said)
                }
            }
        }
        "SIGHUP" => {
            let from = proxy.mark();
            proxy.signal(Signal::HUP);
            let refused = "reload refused: the configuration in force stays";
            let line =
                proxy.wait_log_since(from, |line| line["message"] == "reloaded" || line["message"] == refused, SOON);
            line["error"].as_str().map(str::to_owned)
        }
        _ => panic!("no door {door}"),
    }
}

const DOORS: [&str; 6] = ["POST /rotate", "POST /reload", "rotateCertificates", "ctl rotate", "ctl reload", "SIGHUP"];

#[test]
fn good_files_do_not_make_room_for_those_that_are_out_of_date() {
    let folder = Scratch::new("outdated");
    write(folder.path(), Fault::None);
    let proxy = Proxy::start(flags(folder.path()).into_iter().chain(["--watch", "off"].map(str::to_owned)));
    let admin = admin::of(&proxy);
    let in_force = || {
        let status = admin.get("/status");
        let serials = status["certificates"].as_array().unwrap().iter().map(|row| row["serial"].to_string());
        (status["generation"].clone(), serials.collect::<Vec<_>>())
    };
    for (number, (fault, text, _)) in FAULTS.into_iter().enumerate() {
        let before = in_force();
        write(folder.path(), fault);
        for door in DOORS {
            let refused = read_again(&proxy, door, false).unwrap_or_else(|| panic!("{door} has taken {fault:?}"));
            assert!(
                refused.contains(text) && refused.contains("use force to load them anyway"),
                "{door}: {text}: {refused}"
            );
            assert_eq!(in_force(), before, "{door}: {fault:?}");
        }
        let critical = admin.get("/status")["critical"].to_string();
        assert!(
            critical.contains("TLS files on disk have been refused since") && critical.contains(text),
            "{critical}"
        );
        // With force, each time in another way.
        let door = DOORS[..5][number % 5];
        assert_eq!(read_again(&proxy, door, true), None, "{door}: {fault:?}");
        let status = admin.get("/status");
        assert!(status["warnings"].to_string().contains(text), "{status}");
        assert_eq!(status["refusedRotation"], Value::Null, "{status}");
        // The files in force are now unusable, so other files are accepted even if they are no better.
        let (other, _, _) = FAULTS[(number + 1) % FAULTS.len()];
        write(folder.path(), other);
        for door in DOORS {
            assert_eq!(read_again(&proxy, door, false), None, "{door}: {fault:?}, then {other:?}");
        }
        write(folder.path(), Fault::None);
        let rotated = admin.post("/rotate", &json!({}));
        assert_eq!(rotated.get("warnings"), None, "{rotated}");
        assert_eq!(admin.get("/status")["critical"], json!([]));
        proxy.wait_log(|line| line["level"] == "WARN" && line["message"].as_str().unwrap().contains(text), SOON);
    }
    let history = admin.get("/history").to_string();
    assert!(history.contains("CN=db1, serial ") && history.contains(", forced"), "{history}");
}

/// The watch cannot use force: the refusal is reported until good files arrive.
#[test]
fn the_watch_keeps_good_files_and_says_so_until_others_come() {
    let folder = Scratch::new("outdated");
    // All files at once, as Kubernetes does, so that the watch never sees some of them alone.
    let swap = |name: &str, fault| {
        fs::create_dir(folder.join(name)).unwrap();
        write(&folder.join(name), fault);
        std::os::unix::fs::symlink(name, folder.join("next")).unwrap();
        fs::rename(folder.join("next"), folder.join("current")).unwrap();
    };
    swap("first", Fault::None);
    for name in ["server.pem", "cluster.pem", "ca.pem", "crl.pem"] {
        std::os::unix::fs::symlink(format!("current/{name}"), folder.join(name)).unwrap();
    }
    let proxy = Proxy::start(flags(folder.path()));
    let admin = admin::of(&proxy);
    let refused = || admin.get("/status")["refusedRotation"].clone();
    let metric = || {
        let page = admin.raw("GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").body;
        page.contains("tlsramp_rotation_refused 1")
    };
    swap("second", Fault::CrlExpired);
    wait("the watch refuses", || !refused().is_null());
    let status = admin.get("/status");
    let text = "the revocation list of CN=root has expired on";
    assert_eq!(status["refusedRotation"]["door"], "watch", "{status}");
    assert!(status["critical"].to_string().contains(text) && metric(), "{status}");
    assert_eq!(status["generation"], 1);
    swap("third", Fault::None);
    wait("the watch takes good files", || refused().is_null());
    assert!(admin.get("/status")["critical"] == json!([]) && !metric());
    assert!(admin.get("/status")["generation"].as_u64().unwrap() > 1);
}

/// As in mongod, an expired certificate of our own prevents a start, whereas an expired root or CRL is a warning.
#[test]
fn a_start_is_as_mongods() {
    require!(parts::mongod());
    for (fault, text, starts) in FAULTS {
        let folder = Scratch::new("outdated");
        write(folder.path(), fault);
        let path = |name: &str| folder.join(name).display().to_string();
        let tls =
            mongod::Tls { mode: "allowTLS", certificate_key_file: path("server.pem"), ca_file: Some(path("ca.pem")) };
        let args = ["--tlsCRLFile".to_owned(), path("crl.pem"), "--tlsClusterFile".to_owned(), path("cluster.pem")];
        let options = mongod::Options { tls: Some(tls), args: args.to_vec(), ..mongod::Options::default() };
        assert_eq!(std::panic::catch_unwind(|| Mongod::start(&options)).is_ok(), starts, "mongod: {fault:?}");
        let checked = run_to_end(["check".to_owned()].into_iter().chain(flags(folder.path())));
        let report = String::from_utf8([checked.stdout, checked.stderr].concat()).unwrap();
        assert_eq!(checked.status.code(), Some(if starts { 0 } else { 2 }), "{fault:?}: {report}");
        if starts {
            assert!(report.contains(&format!("warning: {text}")), "{text}: {report}");
            let proxy = Proxy::start(flags(folder.path()));
            let status = admin::of(&proxy).get("/status");
            assert!(status["warnings"].to_string().contains(text), "{status}");
        } else {
            let why = if fault == Fault::OwnNotYet { "is not yet valid" } else { "has expired" };
            assert!(report.contains(why), "{report}");
            let mut run = vec!["run".to_owned()];
            run.extend(flags(folder.path()));
            assert_eq!(run_to_end(&run).status.code(), Some(2), "{fault:?}");
        }
    }
}

/// A required CRL or root that is missing is as bad as one that is out of date.
#[test]
fn good_files_do_not_make_room_for_those_without_a_list_or_a_root() {
    require_command!("openssl");
    let folder = Scratch::new("lacking");
    let file = |name: &str, text: &str| fs::write(folder.join(name), text).unwrap();
    let openssl = |line: &str| openssl::run(Some(folder.path()), &line.split_whitespace().collect::<Vec<_>>());
    let [root, second, other, twin] = ["root", "second", "other", "root"].map(|name| Authority::new(name).unwrap());
    let member = root.issue(&Request::member("db1").names(["localhost"])).unwrap();
    let [of_root, of_second, of_other, of_twin] =
        [&root, &second, &other, &twin].map(|ca| ca.revoke(&[], Validity::Now).unwrap());
    // An intermediate CA without its root.
    let ec = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    openssl(&format!("req -x509 {ec} -days 30 -subj /CN=above -keyout above.key -out above.pem"));
    openssl(&format!(
        "req -x509 {ec} -days 30 -subj /CN=sub -CA above.pem -CAkey above.key -keyout sub.key -out sub.pem"
    ));
    let sub = fs::read_to_string(folder.join("sub.pem")).unwrap();
    file("server.pem", &member.pem());
    file("cluster.pem", &member.pem());
    let both = [root.pem(), second.pem()].concat();
    let good = |cas: &str, lists: &str| {
        file("ca.pem", cas);
        file("crl.pem", lists);
    };
    good(&both, &[&*of_root, &of_second].concat());
    let proxy = Proxy::start(flags(folder.path()).into_iter().chain(["--watch", "off"].map(str::to_owned)));
    let admin = admin::of(&proxy);
    let none = "the file has revocation lists of CN=";
    let rows = [
        ("of another CA", both.clone(), of_other.clone(), none),
        ("of another key", both.clone(), of_twin, none),
        (
            "of one of two",
            both.clone(),
            of_second.clone(),
            "the revocation list of the CA CN=root, which the files in force contain, is missing",
        ),
        (
            "no root",
            sub,
            of_root.clone(),
            "the file contains no root (self-signed CA certificate): the CA CN=sub is an intermediate",
        ),
    ];
    for (number, (name, cas, lists, text)) in rows.into_iter().enumerate() {
        good(&cas, &lists);
        let generation = admin.get("/status")["generation"].clone();
        for door in DOORS {
            let refused = read_again(&proxy, door, false).unwrap_or_else(|| panic!("{door} has taken {name}"));
            assert!(
                refused.contains(text) && refused.contains("use force to load them anyway"),
                "{door}: {name}: {refused}"
            );
        }
        assert_eq!(admin.get("/status")["generation"], generation, "{name}");
        let critical = admin.get("/status")["critical"].to_string();
        assert!(
            critical.contains("TLS files on disk have been refused since") && critical.contains(text),
            "{critical}"
        );
        assert_eq!(read_again(&proxy, DOORS[number % 5], true), None, "{name}");
        let warnings = admin.get("/status")["warnings"].to_string();
        let lacking = match name {
            "no root" => text,
            "of one of two" => "the file has no revocation list of the CA CN=root",
            _ => "the file has no revocation lists of the CAs CN=root; CN=second",
        };
        assert!(warnings.contains(lacking), "{name}: {warnings}");
        good(&both, &[&*of_root, &of_second].concat());
        let rotated = admin.post("/rotate", &json!({}));
        assert_eq!(rotated.get("warnings"), None, "{name}: {rotated}");
    }
    // Accepted without force: a CA together with its CRL, and a new CA whose CRL comes later.
    let third = Authority::new("third").unwrap();
    for (cas, lists) in [(root.pem().to_owned(), of_root.clone()), ([root.pem(), third.pem()].concat(), of_root)] {
        good(&cas, &lists);
        assert_eq!(read_again(&proxy, "ctl rotate", false), None, "{cas}");
    }
}
