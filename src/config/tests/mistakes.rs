//! Tests of mistakes: the message names the flag or key, the value and the remedy, and each mistake is reported once.

use super::{judged, loaded};

/// Arguments, the text of the file, and parts of the one message.
type MistakeCase<'a> = (&'a [&'a str], &'a str, &'a [&'a str]);

#[track_caller]
fn each_is_one(rows: &[MistakeCase<'_>]) {
    for (args, text, parts) in rows {
        let (_, _, mistakes) = judged(args, text);
        assert_eq!(mistakes.len(), 1, "{args:?} {text}: {mistakes:#?}");
        let shown = mistakes[0].to_string();
        assert_eq!(shown.lines().count(), 2, "{shown}");
        for part in *parts {
            assert!(shown.contains(part), "{part:?} is not in: {shown}");
        }
    }
}

#[test]
fn single_values() {
    each_is_one(&[
        (
            &["--upstream=db1:1", "--port=70000"],
            "",
            &["--port '70000'", "0 to 65535", "remove the option to use the default, 27017"],
        ),
        (
            &["--upstream=db1:1", "--sslMode=on"],
            "",
            &["--sslMode 'on'", "'disabled', 'allowSSL', 'preferSSL', or 'requireSSL'"],
        ),
        (
            &["--upstream=db1:1", "--tlsMode=requireSSL"],
            "",
            &["--tlsMode 'requireSSL'", "'requireTLS'", "default, disabled"],
        ),
        (&["--upstream=db1"], "", &["--upstream 'db1'", "HOST:PORT", "correct the value"]),
        (&["--upstream=unix:m.sock"], "", &["--upstream 'unix:m.sock'", "absolute path"]),
        (&["--upstream=db1:1", "--upstreamTLS=yes"], "", &["--upstreamTLS 'yes'", "policy, never or always"]),
        (&["--upstream=db1:1", "--inboundTLS=pass"], "", &["--inboundTLS 'pass'", "terminate or passthrough"]),
        (
            &["--upstream=db1:1", "--upstreamBind=db1"],
            "",
            &["--upstreamBind 'db1'", "an IP address", "remove the option"],
        ),
        (&["--upstream=db1:1", "--workers=0"], "", &["--workers '0'", "1 to 256", "one for each core"]),
        (&["--upstream=db1:1", "--maxConnectionsPerIp=0"], "", &["--maxConnectionsPerIp '0'", "1 to 1000000"]),
        (&["--upstream=db1:1", "--maxIncomingConnections=-1"], "", &["--maxIncomingConnections '-1'", "1 to 1000000"]),
        (&["--upstream=db1:1", "--sniffTimeout=0"], "", &["--sniffTimeout '0'", "from 1ms to 86400s", "10s"]),
        (&["--upstream=db1:1", "--handshakeTimeout=1d"], "", &["--handshakeTimeout '1d'", "500ms"]),
        (&["--upstream=db1:1", "--connectTimeout=90000"], "", &["--connectTimeout '90000'", "86400s"]),
        (&["--upstream=db1:1", "--drainTimeout=soon"], "", &["--drainTimeout 'soon'", "from 0 to"]),
        (&["--upstream=db1:1", "--onSilence=drop"], "", &["--onSilence 'drop'", "wait or close"]),
        (&["--upstream=db1:1", "--refusal=no"], "", &["--refusal 'no'", "reply or close"]),
        (&["--upstream=db1:1", "--logFormat=xml"], "", &["--logFormat 'xml'", "text or json"]),
        (&["--upstream=db1:1", "--logLevel=INFO"], "", &["--logLevel 'INFO'", "error, warn, info, debug or trace"]),
        (
            &["--upstream=db1:1", "--sslAllowInvalidHostnames=maybe"],
            "",
            &["'maybe'", "true or false", "default, false"],
        ),
        (
            &["--upstream=db1:1", "--sslDisabledProtocols=SSLv3"],
            "",
            &["--sslDisabledProtocols", "'SSLv3'", "TLS1_0, TLS1_1"],
        ),
        (
            &["--upstream=db1:1", "--tlsDisabledProtocols=TLS1_2,TLS1_3"],
            "",
            &["All valid TLS modes disabled", "remove one"],
        ),
        (
            &["--upstream=db1:1", "--bind_ip=127.0.0.1,nowhere"],
            "",
            &["--bind_ip '127.0.0.1,nowhere'", "'nowhere'", "0.0.0.0"],
        ),
        (&["--upstream=db1:1", "--bind_ip=10"], "", &["--bind_ip '10'", "neither an IP address"]),
        (&["--upstream=db1:1", "--bind_ip=,"], "", &["--bind_ip ','", "the list is empty"]),
    ]);
}

/// A listener on the wildcard address accepts connections to every address of the host, not only to loopback.
#[test]
fn an_upstream_at_an_address_of_this_host() {
    // Finds the source address of packets to TEST-NET-3 (RFC 5737); no packet is sent.
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
    let own = match socket.connect("203.0.113.1:9").and_then(|()| socket.local_addr()) {
        Ok(local) => local.ip().to_string(),
        // A host without a route has no other address than loopback.
        Err(_) => "127.0.0.9".to_owned(),
    };
    let upstream = format!("--upstream={own}:27017");
    each_is_one(&[(&[&upstream, "--bind_ip=0.0.0.0"], "", &["our own inbound listener", "--port"])]);
    let (_, _, mistakes) = judged(&[&upstream, "--bind_ip=::", "--upstreamTLS=never"], "");
    assert_eq!(mistakes, [], "an IPv6 listener takes no IPv4 connections");
}

#[test]
fn routes() {
    each_is_one(&[
        (&[], "", &["--upstream: there is no route", "--outbound"]),
        (&[], "port = 1\n", &["upstream: there is no route", "give upstream the server"]),
        (&[], "net: {port: 1}", &["proxy.upstream: there is no route", "proxy.outbound"]),
        (&["--outbound=0.0.0.0:5=db1:1"], "", &["--outbound '0.0.0.0:5=db1:1'", "not on a loopback address"]),
        (&["--outbound=localhost:5=db1:1"], "", &["--outbound 'localhost:5=db1:1'", "127.0.0.1:27018"]),
        (
            &["--outbound=127.0.0.1:5=db1:1", "--outbound=127.0.0.1:5=six:1"],
            "",
            &["127.0.0.1:5=six:1", "listens there too"],
        ),
        (
            &["--upstream=db1:1", "--bind_ip=0.0.0.0", "--outbound=127.0.0.2:27017=db1:1"],
            "",
            &["inbound route listens there"],
        ),
        (
            &["--outbound=127.0.0.1:5=127.0.0.1:5"],
            "",
            &["--outbound '127.0.0.1:5=127.0.0.1:5'", "would loop", "name the other"],
        ),
        (&["--outbound=127.0.0.2:5=db2:5"], "", &["--outbound '127.0.0.2:5=db2:5'", "outbound listeners"]),
        (&["--outbound=[::1]:5=localhost:5"], "", &["localhost:5", "outbound listeners"]),
        (&["--outbound=127.0.0.1:5=0.0.0.0:5"], "", &["outbound listeners"]),
        (&["--outbound=127.0.0.1:5=127.0.0.1:6", "--outbound=127.0.0.1:6=db1:1"], "", &["127.0.0.1:5=127.0.0.1:6"]),
        (&["--upstream=127.0.0.1:27017"], "", &["--upstream '127.0.0.1:27017'", "our own inbound listener", "--port"]),
        (&["--upstream=localhost:27017", "--bind_ip=0.0.0.0"], "", &["our own inbound listener"]),
        (&["--upstream=127.0.0.1:28017"], "", &["--upstream '127.0.0.1:28017'", "our own listener of --adminBind"]),
        (&["--upstream=localhost:9", "--probeBind=0.0.0.0:9"], "", &["our own listener of --probeBind"]),
        (&["--upstream=127.0.0.1:9", "--outboundTransparent=9"], "", &["our own listener of --outboundTransparent"]),
        (
            &["--upstream=127.0.0.1:5", "--outbound=127.0.0.1:5=db1:1"],
            "",
            &["--upstream '127.0.0.1:5'", "outbound listeners"],
        ),
        (
            &["--upstream=unix:/m", "--upstreamTLS=never", "--upstreamBind=10.0.0.1"],
            "",
            &["--upstreamBind '10.0.0.1'", "unix socket", "remove it"],
        ),
        (
            &["--upstream=[2001:db8::1]:1", "--upstreamBind=10.0.0.1"],
            "",
            &["--upstreamBind", "2001:db8::1", "same family"],
        ),
        (&["--upstream=unix:/m", "--upstreamTLS=always", "--sslCAFile=c"], "", &["--upstreamTLS 'always'", "never"]),
        (&["--upstream=unix:/m"], "", &["--upstream 'unix:/m'", "--upstreamTLS to never"]),
        (&["--upstream=db1:1", "--inboundTLS=passthrough"], "", &["cannot be combined with upstreamTLS policy"]),
        (
            &["--upstream=db1:1"],
            "proxy: {inboundTLS: passthrough, upstreamTLS: policy}",
            &["proxy.inboundTLS 'passthrough' in /etc/tlsramp.conf", "set proxy.upstreamTLS to always"],
        ),
    ]);
}

#[test]
fn encryption() {
    each_is_one(&[
        (
            &["--upstream=db1:1", "--sslMode=allowSSL"],
            "",
            &["--sslMode 'allowSSL': need sslPEMKeyFile when SSL is enabled", "give --sslPEMKeyFile"],
        ),
        (
            &["--upstream=db1:1", "--upstreamTLS=never"],
            "net: {tls: {mode: requireTLS}}",
            &[
                "net.tls.mode 'requireTLS' in /etc/tlsramp.conf: need tlsCertificateKeyFile",
                "give net.tls.certificateKeyFile",
            ],
        ),
        (
            &["--upstream=db1:1", "--sslMode=preferSSL", "--sslPEMKeyFile=k"],
            "",
            &["--sslMode 'preferSSL'", "no CA file", "give --sslCAFile", "--upstreamTLS to never"],
        ),
        (&["--outbound=127.0.0.1:5=db1:1", "--tlsMode=requireTLS"], "", &["--tlsMode 'requireTLS'", "--tlsCAFile"]),
        (&["--upstream=db1:1", "--upstreamTLS=always"], "", &["--upstreamTLS 'always'", "no CA file", "--sslCAFile"]),
        (&["--upstream=db1:1", "--sslCRLFile=r"], "", &["--sslCRLFile 'r': need --sslCAFile", "give --sslCAFile"]),
        (
            &["--upstream=db1:1", "--tlsClusterCAFile=r"],
            "",
            &["--tlsClusterCAFile 'r': need --tlsCAFile", "or remove this option"],
        ),
        (&["--upstream=db1:1", "--sslPEMKeyPassword=hunter2"], "", &["--sslPEMKeyPassword: need --sslPEMKeyFile"]),
        (&["--upstream=db1:1"], "tlsClusterPassword = x\n", &["tlsClusterPassword in", "need tlsClusterFile"]),
    ]);
}

#[test]
fn given_twice() {
    each_is_one(&[
        (
            &["--upstream=db1:1", "--sslCAFile=a", "--tlsCAFile=b"],
            "",
            &["--sslCAFile 'a'", "the same option as --tlsCAFile 'b'", "keep one"],
        ),
        (
            &["--upstream=db1:1", "--sslMode=disabled", "--tlsMode=allowTLS"],
            "",
            &["--sslMode 'disabled'", "--tlsMode 'allowTLS'"],
        ),
        (
            &["--upstream=db1:1", "--upstream=db1:1"],
            "",
            &["--upstream 'db1:1': the option is given more than once", "keep one of them"],
        ),
        (
            &[],
            "upstream = db1:1\nsslMode = disabled\nsslMode = allowSSL\n",
            &["sslMode 'allowSSL' in /etc/tlsramp.conf: the option is given more than once"],
        ),
        (
            &["--upstream=db1:1"],
            "net:\n  ssl: {CAFile: a}\n  tls: {CAFile: b}\n",
            &["net.ssl.CAFile 'a' in /etc/tlsramp.conf", "net.tls.CAFile 'b'"],
        ),
        (&["--upstream=db1:1"], "net:\n  port: 5\nnet.port: 6\n", &["net.port '6' in", "more than once"]),
    ]);
    let args = [
        "--upstream=db1:1",
        "--sslPEMKeyFile=k",
        "--sslPEMKeyPassword=hunter2",
        "--tlsCertificateKeyFilePassword=swordfish",
    ];
    let (_, _, mistakes) = judged(&args, "");
    assert_eq!(mistakes.len(), 1);
    let shown = mistakes[0].to_string();
    assert!(
        shown.contains("--sslPEMKeyPassword") && !shown.contains("hunter2") && !shown.contains("swordfish"),
        "{shown}"
    );
    let (_, _, mistakes) = judged(&["--upstream=db1:1", "--sslCAFile=a", "--tlsCAFile=a"], "");
    assert_eq!(mistakes, [], "both spellings with one value are fine");
}

#[test]
fn everything_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("t.yaml");
    let text = "storage: {dbPath: /data}\nnet:\n  port: 70000\n  tls: {mode: requireTLS, certificateKeyFile: /absent/key.pem}\n\
                proxy:\n  upstreem: db1:1\n  outbound: ['0.0.0.0:1=db1:1', '127.0.0.1:2=db1:1']\n  sniffTimeout: soon\n";
    std::fs::write(&file, text).unwrap();
    let args = ["--config", file.to_str().unwrap(), "--upstream=db1", "--sslCRLFile=/absent/crl.pem", "--workers=0"];
    let mistakes = loaded(&args).err().unwrap();
    let shown = mistakes.iter().map(|mistake| format!("{mistake}\n")).collect::<String>();
    let parts = [
        "storage in ",
        "proxy.upstreem in ",
        "did you mean proxy.upstream?",
        "--upstream 'db1'",
        "net.port '70000' in ",
        "'0.0.0.0:1=db1:1'",
        "--sslCRLFile '/absent/crl.pem': need net.tls.CAFile",
        "proxy.sniffTimeout 'soon' in ",
        "--workers '0'",
        "net.tls.certificateKeyFile '/absent/key.pem' in ",
    ];
    for part in parts {
        assert!(shown.contains(part), "{part:?} is not in:\n{shown}");
    }
}
