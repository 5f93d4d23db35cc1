//! `setParameter` and `getParameter` at the admin port are those of mongod: the same script gives the same answers,
//! byte for byte, from a real mongod 6.0 and from the admin port. The handshake is the same as far as drivers look at
//! it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "in a test, the panic is the report")]

use bson::raw::{CStr, RawBson, RawDocumentBuf, cstr};
use bson::{Binary, DateTime, Regex, Timestamp, rawdoc, spec::BinarySubtype};
use tlsramp::testing::query_command;

use crate::support::raw::{Wire, connect};
use crate::support::{Mongod, Proxy, cert, mongod, parts, require};

#[test]
fn the_same_script_gets_the_same_answers() {
    require!(parts::mongod());
    let (reference, upstream) = (reference(), Mongod::start(&mongod::Options::default()));
    let proxy = proxy(&upstream);
    let (mut theirs, mut ours) = (wire(&reference), connect(proxy.address("admin")));
    let mut wrong = Vec::new();
    for (database, command) in script() {
        let (expected, seen) = (theirs.command(database, &command), ours.command(database, &command));
        if expected != seen {
            wrong.push(format!("{command:?}\n   mongod:  {expected:?}\n   tlsramp: {seen:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} answers differ:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn the_handshake_has_mongods_fields_and_legacy_messages_its_errors() {
    require!(parts::mongod());
    let (reference, upstream) = (reference(), Mongod::start(&mongod::Options::default()));
    let proxy = proxy(&upstream);
    let (mut theirs, mut ours) = (wire(&reference), connect(proxy.address("admin")));
    let client = rawdoc! { "driver": { "name": "test", "version": "1" }, "os": { "type": "Linux" } };
    for command in [
        // The first message may contain the client's metadata.
        rawdoc! { "hello": 1, "helloOk": true, "client": client },
        rawdoc! { "hello": 1 },
        rawdoc! { "isMaster": 1, "helloOk": true },
        rawdoc! { "ismaster": 1, "helloOk": false },
        rawdoc! { "hello": 1, "unknown": 1 },
        rawdoc! { "hello": 1, "compression": ["snappy", "zlib"] },
        // A client that waits for a change of another process's topology version is answered at once.
        rawdoc! { "hello": 1, "topologyVersion": { "processId": other(), "counter": 0_i64 }, "maxAwaitTimeMS": 10_000 },
    ] {
        let (expected, seen) = (theirs.command("admin", &command), ours.command("admin", &command));
        assert_eq!(shape(&seen), shape(&expected), "{command:?}");
    }
    for (database, command) in [
        ("admin", rawdoc! { "isMaster": 1, "helloOk": true }),
        ("test", rawdoc! { "ismaster": 1 }),
        ("admin", rawdoc! { "$query": { "isMaster": 1 }, "$readPreference": { "mode": "primary" } }),
        ("admin", rawdoc! { "hello": 1 }),
    ] {
        let message = query_command(7, database, &command);
        let (expected, seen) = (theirs.message(&message), ours.message(&message));
        assert_eq!(shape(&seen.document), shape(&expected.document), "{command:?}");
        assert_eq!((seen.header.op_code, seen.header.response_to), (1, 7));
    }
    for command in [rawdoc! { "getParameter": 1, "sslMode": 1 }, rawdoc! { "ping": 1 }, rawdoc! { "nosuch": 1 }] {
        let message = query_command(7, "admin", &command);
        assert_eq!(ours.message(&message).document, theirs.message(&message).document, "{command:?}");
    }
}

/// `force`, `guard` and `persist` are options of tlsramp, not parameters.
#[test]
fn options_of_ours_are_no_parameters() {
    require!(parts::mongod());
    let upstream = Mongod::start(&mongod::Options::default());
    let proxy = proxy(&upstream);
    let mut ours = connect(proxy.address("admin"));
    let mut set = |more: RawDocumentBuf| {
        let mut command = rawdoc! { "setParameter": 1 };
        more.iter().flatten().for_each(|(key, value)| command.append(key, value));
        ours.command("admin", &command)
    };
    assert_eq!(set(rawdoc! { "sslMode": "requireSSL", "force": true }), rawdoc! { "was": "allowSSL", "ok": 1.0 });
    assert_eq!(set(rawdoc! { "tlsMode": "allowTLS", "force": true }), rawdoc! { "was": "requireTLS", "ok": 1.0 });
    let refused = set(rawdoc! { "sslMode": "preferSSL", "force": 1 });
    let text = "BSON field 'setParameter.force' is the wrong type 'int', expected type 'bool'";
    assert_eq!((refused.get_str("errmsg").unwrap(), refused.get_i32("code").unwrap()), (text, 14));
    let nothing = set(rawdoc! { "force": true, "guard": true });
    assert_eq!(nothing.get_str("errmsg").unwrap(), "no option found to set, use help:true to see options ");
    let persist = set(rawdoc! { "sslMode": "preferSSL", "persist": true });
    assert_eq!((persist.get_f64("ok").unwrap(), persist.get_i32("code").unwrap()), (0.0, 72), "{persist:?}");
    let read = ours.command("admin", &rawdoc! { "getParameter": "*" });
    assert_eq!(read, rawdoc! { "sslMode": "allowSSL", "tlsMode": "allowTLS", "ok": 1.0 });
}

fn proxy(upstream: &Mongod) -> Proxy {
    let (upstream, server, ca) = (upstream.address(), cert("server.pem"), cert("ca.pem"));
    let route = ["--port", "0", "--upstream", &upstream, "--upstreamTLS", "never"];
    let tls = ["--sslMode", "allowSSL", "--sslPEMKeyFile", &server, "--sslCAFile", &ca];
    Proxy::start([route, tls].concat())
}

/// A mongod in the same mode.
fn reference() -> Mongod {
    let tls = mongod::Tls { mode: "allowTLS", certificate_key_file: cert("server.pem"), ca_file: Some(cert("ca.pem")) };
    Mongod::start(&mongod::Options { tls: Some(tls), ..mongod::Options::default() })
}

fn wire(mongod: &Mongod) -> Wire<std::net::TcpStream> {
    connect(mongod.address().parse().unwrap())
}

/// Names, types, and the values that do not differ between processes; without `topologyVersion`, which tlsramp does not
/// have.
fn shape(document: &RawDocumentBuf) -> Vec<String> {
    let own = ["localTime", "connectionId"];
    // tlsramp does not offer compression, because commands are small.
    let left_out = ["topologyVersion", "compression"];
    let fields = document.iter().flatten().filter(|(key, _)| !left_out.contains(&key.as_str()));
    fields
        .map(|(key, value)| match own.contains(&key.as_str()) {
            true => format!("{key}: {:?}", value.element_type()),
            false => format!("{key}: {value:?}"),
        })
        .collect()
}

fn other() -> bson::oid::ObjectId {
    bson::oid::ObjectId::new()
}

/// The commands in order, starting in `allowSSL`: every legal and illegal change in both spellings, and invalid
/// commands.
fn script() -> Vec<(&'static str, RawDocumentBuf)> {
    let mut script = Vec::new();
    let mut admin = |commands: Vec<RawDocumentBuf>| {
        script.extend(commands.into_iter().map(|command| ("admin", command)));
    };
    admin(reads());
    admin(wrong_values());
    admin(wrong_names());
    admin(moves());
    admin(vec![
        // Both parameters are set in the order of their names. The first failure ends the command, and an earlier one
        // stays set.
        rawdoc! { "setParameter": 1, "tlsMode": "x", "sslMode": "y" },
        rawdoc! { "setParameter": 1, "tlsMode": "nope", "sslMode": "preferSSL" },
    ]);
    admin(moves());
    admin(vec![
        rawdoc! { "setParameter": "x", "tlsMode": "requireTLS", "comment": "c", "lsid": { "id": uuid() } },
        rawdoc! { "setParameter": 1, "tlsMode": "disabled", "sslMode": "requireSSL" },
    ]);
    admin(moves());
    admin(reads());
    for command in [
        rawdoc! { "getParameter": 1, "sslMode": 1 },
        rawdoc! { "setParameter": 1, "sslMode": "requireSSL" },
        rawdoc! { "rotateCertificates": 1 },
        rawdoc! { "getCmdLineOpts": 1 },
        rawdoc! { "listDatabases": 1 },
        rawdoc! { "replSetGetStatus": 1 },
        rawdoc! { "getFreeMonitoringStatus": 1 },
        rawdoc! { "getLog": "*" },
        rawdoc! { "ping": 1 },
        rawdoc! { "nosuch": 1 },
        rawdoc! { "connectionStatus": 1 },
        rawdoc! { "endSessions": [] },
    ] {
        script.push(("test", command));
    }
    script
}

/// Every change from the current mode that is illegal: of the four modes, only the next one up is left out.
fn moves() -> Vec<RawDocumentBuf> {
    let mut moves = Vec::new();
    for (parameter, values) in [
        (cstr!("sslMode"), ["disabled", "allowSSL", "preferTLS", "SSL"]),
        (cstr!("tlsMode"), ["disabled", "allowTLS", "requireSSL", ""]),
    ] {
        moves.extend(values.map(|value| set(parameter, value)));
    }
    moves
}

fn reads() -> Vec<RawDocumentBuf> {
    vec![
        rawdoc! { "getParameter": 1 },
        rawdoc! { "getParameter": 1, "sslMode": 1 },
        rawdoc! { "getParameter": 1, "tlsMode": 1, "sslMode": 1 },
        rawdoc! { "getParameter": 1, "tlsMode": 0, "nope": 1 },
        rawdoc! { "getParameter": 1, "nope": 1 },
        rawdoc! { "getParameter": 1, "TLSMODE": 1 },
        rawdoc! { "getParameter": 1, "comment": 1 },
        rawdoc! { "getParameter": "x", "tlsMode": 1 },
        rawdoc! { "getParameter": null, "tlsMode": 1, "maxTimeMS": 100 },
        rawdoc! { "getParameter": [], "tlsMode": 1 },
        rawdoc! { "getParameter": {}, "tlsMode": 1 },
        rawdoc! { "getParameter": {} },
        rawdoc! { "getParameter": { "showDetails": true }, "sslMode": 1, "tlsMode": 1 },
        rawdoc! { "getParameter": { "showDetails": 1 }, "tlsMode": 1 },
        rawdoc! { "getParameter": { "showDetails": 0.0 }, "tlsMode": 1 },
        rawdoc! { "getParameter": { "showDetails": "x" }, "tlsMode": 1 },
        rawdoc! { "getParameter": { "allParameters": "x" }, "tlsMode": 1 },
        rawdoc! { "getParameter": { "nope": 1 }, "tlsMode": 1 },
        twice(rawdoc! { "getParameter": 1 }, cstr!("tlsMode"), 1, 1),
        rawdoc! { "ping": 1 },
        rawdoc! { "nosuch": 1 },
        rawdoc! { "SETPARAMETER": 1, "sslMode": "preferSSL" },
        rawdoc! { "atlasVersion": 1 },
        rawdoc! { "connectionStatus": 1 },
        rawdoc! { "connectionStatus": 1, "showPrivileges": true },
        rawdoc! { "replSetGetStatus": 1 },
        rawdoc! { "getLog": "*" },
        rawdoc! { "getLog": "x" },
        rawdoc! { "getLog": 1 },
        rawdoc! { "endSessions": [{ "id": uuid() }] },
        rawdoc! { "logout": 1 },
        rawdoc! { "hello": 1, "maxAwaitTimeMS": 10 },
        rawdoc! { "hello": 1, "topologyVersion": { "processId": other(), "counter": 0_i64 } },
        rawdoc! { "rotateCertificates": 1, "nope": 1 },
        rawdoc! { "rotateCertificates": 1, "message": 1 },
        twice(rawdoc! { "ping": 1 }, cstr!("comment"), 1, 2),
    ]
}

fn wrong_names() -> Vec<RawDocumentBuf> {
    vec![
        rawdoc! { "setParameter": 1 },
        rawdoc! { "setParameter": 1, "comment": "c" },
        rawdoc! { "setParameter": 1, "nope": 1 },
        rawdoc! { "setParameter": 1, "tlsMode": "preferTLS", "nope": 1, "a": 2 },
        rawdoc! { "setParameter": 1, "$unknown": 1, "sslMode": "preferSSL" },
        rawdoc! { "setParameter": 1, "sslMode": "preferSSL", "writeConcern": { "w": 1 } },
        rawdoc! { "setParameter": 1, "sslMode": "preferSSL", "maxTimeMS": -1 },
        rawdoc! { "setParameter": 1, "sslMode": "preferSSL", "maxTimeMS": "x" },
        rawdoc! { "setParameter": 1, "sslMode": "x", "maxTimeMS": 1.0 },
        rawdoc! { "setParameter": 1, "sslMode": "x", "$clusterTime": 1, "apiVersion": "1" },
        rawdoc! { "setParameter": 1, "sslMode": "x", "readConcern": { "level": "local" } },
        rawdoc! { "setParameter": 1, "sslMode": "x", "$readPreference": { "mode": "primary" } },
        twice(rawdoc! { "setParameter": 1 }, cstr!("sslMode"), "preferSSL", "preferSSL"),
        twice(rawdoc! { "setParameter": 1 }, cstr!("setParameter"), 1, 1),
    ]
}

/// Values that are not the name of a mode, of every BSON type.
fn wrong_values() -> Vec<RawDocumentBuf> {
    let texts = ["", "x'y", "PREFERSSL", "preferSSL ", "a\nb\"c\u{1}d", "größe"].map(RawBson::from).to_vec();
    let numbers = [1.0, 1.5, -0.0, 1e21, 123_456.789, f64::NAN, f64::INFINITY, 0.1].map(RawBson::from).to_vec();
    let mut deep = rawdoc! { "a": 1 };
    for _ in 0..150 {
        deep = rawdoc! { "a": deep };
    }
    let others: Vec<RawBson> = vec![
        1.into(),
        (-5_i64).into(),
        (1_i64 << 40).into(),
        true.into(),
        false.into(),
        RawBson::Null,
        rawdoc! {}.into(),
        rawdoc! { "a": [1, 2.5, "x", null, true, {}], "b": { "c": 5_i64 } }.into(),
        deep.into(),
        bson::rawbson!([]),
        bson::rawbson!(["preferSSL"]),
        DateTime::from_millis(1_704_164_645_678).into(),
        DateTime::from_millis(0).into(),
        other_id().into(),
        Binary { subtype: BinarySubtype::Generic, bytes: b"abc".to_vec() }.into(),
        uuid().into(),
        Regex { pattern: cstr!("a").into(), options: cstr!("i").into() }.into(),
        Timestamp { time: 5, increment: 6 }.into(),
        RawBson::MinKey,
        RawBson::MaxKey,
        RawBson::JavaScriptCode("x".into()),
        "1.5".parse::<bson::Decimal128>().unwrap().into(),
    ];
    let values = [texts, numbers, others].concat();
    values.into_iter().map(|value| set(cstr!("sslMode"), value)).collect()
}

fn set(name: &CStr, value: impl Into<RawBson>) -> RawDocumentBuf {
    let mut command = rawdoc! { "setParameter": 1 };
    command.append(name, value.into());
    command
}

fn twice(mut command: RawDocumentBuf, name: &CStr, one: impl Into<RawBson>, two: impl Into<RawBson>) -> RawDocumentBuf {
    command.append(name, one.into());
    command.append(name, two.into());
    command
}

fn other_id() -> bson::oid::ObjectId {
    "507f1f77bcf86cd799439011".parse().unwrap()
}

fn uuid() -> Binary {
    Binary { subtype: BinarySubtype::Uuid, bytes: vec![0x30; 16] }
}
