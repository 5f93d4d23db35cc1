//! Tests the client against small servers that give a fixed answer.

use std::time::Duration;

use certs_gen::Set;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};
use tokio::task::JoinHandle;

use super::options::TlsOptions;
use super::{AdminClient, ClientError};
use crate::admin::replies::{BlockerKind, BlockerReply, ErrorReply, Ready, Status};
use crate::admin::requests::ModeRequest;
use crate::admin::requests::RecycleParameters;
use crate::policy::{Mode, Spelling};
use crate::tls::{self, Material, TlsFiles};

/// Reads a complete request, and sends these bytes as the answer.
async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, answer: String) -> String {
    let mut request = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&request).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let head = head.to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
            if body.len() >= length.unwrap_or(0_usize) {
                stream.write_all(answer.as_bytes()).await.unwrap();
                stream.shutdown().await.unwrap();
                return text;
            }
        }
        if stream.read_buf(&mut request).await.unwrap() == 0 {
            return text;
        }
    }
}

fn http(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// A client, and the request that the server will receive from it.
async fn answering(answer: String) -> (AdminClient, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = client(&listener.local_addr().unwrap().to_string());
    let asked = tokio::spawn(async move { serve(listener.accept().await.unwrap().0, answer).await });
    (client, asked)
}

fn client(address: &str) -> AdminClient {
    AdminClient::new(address.parse().unwrap(), None)
}

fn status() -> String {
    let status = Status { ssl_mode: "allowSSL".into(), generation: 7, ..Status::default() };
    serde_json::to_string(&status).unwrap()
}

#[tokio::test]
async fn each_question_goes_where_it_should() {
    async fn asked(answer: Value, question: impl AsyncFnOnce(&AdminClient)) -> String {
        let (client, asked) = answering(http("200 OK", &answer.to_string())).await;
        question(&client).await;
        let text = asked.await.unwrap();
        let host = format!("\r\nhost: {}\r\n", client.address());
        assert!(text.contains(&host) && text.contains("\r\ncontent-type: application/json\r\n"), "{text}");
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        format!("{} {body}", head.split(" HTTP/1.1").next().unwrap()).trim_end().to_owned()
    }
    let mode = ModeRequest { mode: "preferSSL".into(), guard: true, ..ModeRequest::default() };
    let recycle = RecycleParameters { force: true, wait_secs: Some(1), ..RecycleParameters::default() };
    let rows = json!({ "clients": [], "connections": [] });
    let changed = json!({ "was": "a", "mode": "b" });
    let ready = json!({ "ready": true, "blockers": [] });
    let second = Duration::from_secs(1);
    let questions = [
        (asked(serde_json::from_str(&status()).unwrap(), async |c| _ = c.status().await.unwrap()).await, "GET /status"),
        (asked(rows.clone(), async |c| _ = c.clients(false).await.unwrap()).await, "GET /clients"),
        (asked(rows.clone(), async |c| _ = c.clients(true).await.unwrap()).await, "GET /clients?plaintext"),
        (asked(rows.clone(), async |c| _ = c.connections(false).await.unwrap()).await, "GET /connections"),
        (asked(rows, async |c| _ = c.connections(true).await.unwrap()).await, "GET /connections?nonConforming"),
        (
            asked(ready, async |c| _ = c.ready(Mode::Require, Spelling::Tls).await.unwrap()).await,
            "GET /ready?to=requireTLS",
        ),
        (
            asked(changed.clone(), async |c| _ = c.set_mode(&mode).await.unwrap()).await,
            r#"PUT /mode {"mode":"preferSSL","force":false,"guard":true,"persist":false}"#,
        ),
        (asked(changed.clone(), async |c| _ = c.reload(false).await.unwrap()).await, "POST /reload {}"),
        (asked(changed, async |c| _ = c.reload(true).await.unwrap()).await, r#"POST /reload {"force":true}"#),
        (
            asked(json!({"key": "a", "accepted": true}), async |c| _ = c.accept("::1/a/-", true, false).await.unwrap())
                .await,
            r#"POST /accept {"key":"::1/a/-","accepted":true,"unseen":false}"#,
        ),
        (
            asked(json!({"generation": 1, "certificates": []}), async |c| _ = c.rotate(false).await.unwrap()).await,
            "POST /rotate {}",
        ),
        (
            asked(json!({"moved": 1, "waiting": 0}), async |c| _ = c.recycle(&recycle).await.unwrap()).await,
            r#"POST /recycle {"force":true,"graceSecs":null,"waitSecs":1}"#,
        ),
        (
            asked(json!({"lease": null}), async |c| _ = c.lease("ops", second, false).await.unwrap()).await,
            r#"POST /lease {"holder":"ops","ttlSecs":1,"force":false}"#,
        ),
        (asked(json!({"quitting": true}), async |c| _ = c.quit().await.unwrap()).await, "POST /quit {}"),
    ];
    for (asked, expected) in questions {
        assert_eq!(asked, expected);
    }
}

/// A process that is replaced while a change waits has not made it.
#[tokio::test]
async fn a_change_that_a_replaced_process_has_not_made_is_asked_of_the_next_one() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = client(&listener.local_addr().unwrap().to_string());
    let replaced = http("503 Service Unavailable", r#"{ "error": "send it again", "code": "Replaced" }"#);
    let answers = [replaced, http("200 OK", r#"{ "lease": null }"#)];
    let asked = tokio::spawn(async move {
        let mut asked = Vec::new();
        for answer in answers {
            asked.push(serve(listener.accept().await.unwrap().0, answer).await);
        }
        asked
    });
    client.lease("ops", Duration::ZERO, false).await.unwrap();
    let asked = asked.await.unwrap();
    assert!(asked[0] == asked[1] && asked[0].starts_with("POST /lease "), "{asked:?}");
}

#[tokio::test]
async fn an_answer_is_read_and_kept_as_it_came() {
    let json = r#"{ "sslMode":"allowSSL", "generation":7, "later": [1] }"#;
    let (client, _) = answering(http("200 OK", json)).await;
    let answer = client.status().await.unwrap();
    assert_eq!((answer.value.ssl_mode.as_str(), answer.value.generation), ("allowSSL", 7));
    assert_eq!(answer.json, json);
}

#[tokio::test]
async fn a_no_comes_with_its_reasons() {
    let blocker = BlockerReply { kind: BlockerKind::Upstream, text: "db2 is down".into(), ..BlockerReply::default() };
    let reply = ErrorReply { error: "would cut off".into(), code: "Unreachable".into(), blockers: vec![blocker] };
    let (client, _) = answering(http("409 Conflict", &serde_json::to_string(&reply).unwrap())).await;
    let error = client.set_mode(&ModeRequest::default()).await.unwrap_err();
    assert_eq!(
        (error.reply().is_some(), error.code(), error.to_string().as_str()),
        (true, "Unreachable", "would cut off")
    );
    let ClientError::Refused { status: 409, reply: read, .. } = error else { panic!("{error}") };
    assert_eq!(*read, reply);
}

#[tokio::test]
async fn what_is_not_tlsramp_is_said_so() {
    let mongod = "It looks like you are trying to access MongoDB over HTTP on the native driver port.\r\n";
    for (answer, part) in [
        (format!("HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\n{mongod}"), "It looks like you are trying"),
        (http("200 OK", "{}"), "its answer has status 200 and begins with \"{}\""),
        (http("200 OK", "[]"), "its answer has status 200"),
        (http("404 Not Found", "<html>\u{1b}[31m"), "its answer has status 404 and begins with \"<html>\\u{1b}[31m\""),
        ("SSH-2.0-OpenSSH_9.2\r\n".to_owned(), "not HTTP"),
        ("\u{15}\u{3}\u{3}\0\u{2}\u{2}\u{46}".to_owned(), "not HTTP"),
        (String::new(), "without an answer"),
    ] {
        let (client, _) = answering(answer.clone()).await;
        let error = client.status().await.unwrap_err();
        assert!(matches!(error, ClientError::NotTlsramp { .. }), "{answer:?}: {error:?}");
        assert!(error.to_string().contains(part), "{error}");
    }
    let (client, _) = answering("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{".to_owned()).await;
    let error = client.status().await.unwrap_err();
    assert!(matches!(error, ClientError::Broken { .. }), "{error:?}");
    let huge = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", 1_u64 << 40);
    let (client, _) = answering(huge).await;
    let error = client.status().await.unwrap_err();
    assert!(matches!(error, ClientError::TooLarge { .. } | ClientError::Broken { .. }), "{error:?}");
}

#[tokio::test]
async fn nobody_there() {
    // Bound but not listening: connections are refused, and no other test can take the port.
    let closed = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    closed.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let port = closed.local_addr().unwrap().as_socket().unwrap().port();
    let folder = TempDir::new().unwrap();
    let socket = folder.path().join("a.sock");
    let left_behind = folder.path().join("b.sock");
    drop(UnixListener::bind(&left_behind).unwrap());
    for address in
        [format!("127.0.0.1:{port}"), format!("unix:{}", socket.display()), format!("unix:{}", left_behind.display())]
    {
        let error = client(&address).status().await.unwrap_err();
        let expected = format!(
            "nothing listens on {address}: is tlsramp running there? Its log names its admin port \
             (listening, route=admin); give that address (ctl: --admin, rollout: --node)"
        );
        assert_eq!(error.to_string(), expected);
    }
    let error = client("no-such-host.invalid:1").status().await.unwrap_err();
    assert!(error.to_string().starts_with("cannot connect to no-such-host.invalid:1: "), "{error}");
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_waited_for_no_longer_than_so() {
    // The listener exists, so the client connects at once. Only the wait for the answer runs into its time limit.
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("a.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let client = client(&format!("unix:{}", path.display()));
    let recycle = RecycleParameters { wait_secs: Some(100), ..RecycleParameters::default() };
    let error = client.recycle(&recycle).await.unwrap_err();
    assert!(error.to_string().contains("no answer within 130 s; the request may have taken effect"), "{error}");
    drop(listener);
}

#[tokio::test]
async fn by_a_unix_socket() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("a.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let asked = tokio::spawn(async move { serve(listener.accept().await.unwrap().0, http("200 OK", &status())).await });
    client(&format!("unix:{}", path.display())).status().await.unwrap();
    assert!(asked.await.unwrap().contains("\r\nhost: localhost\r\n"));
}

/// Makes a request to an admin port that uses TLS with the certificate `serving`; the client presents `shown` and
/// trusts `ca`.
async fn by_tls(folder: &TempDir, host: &str, serving: &str, shown: &str, ca: &str) -> Result<Ready, ClientError> {
    let file = |name: &str| Some(folder.path().join(name));
    let files = TlsFiles { certificate_key: file(serving), ca: file("ca.pem"), ..TlsFiles::default() };
    let config = Material::load(&files).unwrap().0.admin_config().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("{host}:{}", listener.local_addr().unwrap().port()).parse().unwrap();
    tokio::spawn(async move {
        let (socket, _) = listener.accept().await.unwrap();
        if let Ok(accepted) = tls::accept(socket, config, Duration::from_secs(5)).await {
            serve(accepted.stream, http("200 OK", r#"{"ready":true,"blockers":[],"to":"x"}"#)).await;
        }
    });
    let options = TlsOptions { tls: true, ca: file(ca), certificate_key: file(shown), password: None };
    let material = options.load(&address).unwrap();
    let client = AdminClient::new(address, material);
    client.ready(Mode::Prefer, Spelling::Ssl).await.map(|answer| answer.value)
}

#[tokio::test]
async fn by_tls_both_are_verified() {
    let folder = TempDir::new().unwrap();
    Set::full().unwrap().write(folder.path()).unwrap();
    for host in ["127.0.0.1", "localhost"] {
        assert!(by_tls(&folder, host, "server.pem", "client.pem", "ca.pem").await.unwrap().ready);
    }
    for (serving, shown, ca, part) in [
        ("server.pem", "other-ca-client.pem", "ca.pem", "the peer sent the alert"),
        ("wrong-name.pem", "client.pem", "ca.pem", "not valid for name"),
        ("server.pem", "client.pem", "other-ca.pem", "not signed by a CA in the CA file"),
    ] {
        let error = by_tls(&folder, "127.0.0.1", serving, shown, ca).await.unwrap_err();
        assert!(matches!(error, ClientError::Handshake { .. }), "{error:?}");
        assert!(error.to_string().contains(part), "{error}");
    }
}

#[tokio::test]
async fn tls_to_what_has_none() {
    let folder = TempDir::new().unwrap();
    Set::full().unwrap().write(folder.path()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string().parse().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(http("400 Bad Request", "").as_bytes()).await.unwrap();
        let _ = stream.read_to_end(&mut Vec::new()).await;
    });
    let file = |name: &str| Some(folder.path().join(name));
    let options = TlsOptions { tls: true, ca: file("ca.pem"), certificate_key: file("client.pem"), password: None };
    let client = AdminClient::new(address, options.load(&"db1:1".parse().unwrap()).unwrap());
    let error = client.status().await.unwrap_err();
    assert!(error.to_string().ends_with("; if the admin port does not use TLS, omit --tls"), "{error}");
}
