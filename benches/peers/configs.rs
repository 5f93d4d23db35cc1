//! The peers' configuration files: the same number of workers, TLS 1.2 and 1.3, session resumption, no log of connections unless the
//! peer is one that is measured with a log; otherwise defaults
//! (all peers set TCP_NODELAY by default). One port for TLS and one for plaintext, without a policy.

use std::path::Path;

use serde_json::{Value, json};

use super::support::Certs;

/// The ports, certificates and folder of a peer.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    pub(crate) tls: u16,
    pub(crate) plain: u16,
    pub(crate) upstream: u16,
    pub(crate) certs: &'a Certs,
    pub(crate) folder: &'a Path,
    pub(crate) workers: u8,
}

pub(crate) const NGINX_MODULE: &str = "/usr/lib/nginx/modules/ngx_stream_module.so";

/// With `log`, a line for each connection goes to the standard output, which is a file.
pub(crate) fn haproxy(place: &Place<'_>, log: bool) -> String {
    let Place { tls, plain, upstream, certs, workers, .. } = place;
    let certificate = certs.both.display();
    let (to, of) = if log { ("log stdout format raw local0 info", "log global\n    option tcplog") } else { ("", "") };
    format!(
        "global
    {to}
    nbthread {workers}
    maxconn 9000
    ssl-default-bind-options ssl-min-ver TLSv1.2
defaults
    {of}
    mode tcp
    timeout connect 5s
    timeout client 1h
    timeout server 1h
listen tls
    bind 127.0.0.1:{tls} ssl crt {certificate}
    server behind 127.0.0.1:{upstream}
listen plain
    bind 127.0.0.1:{plain}
    server behind 127.0.0.1:{upstream}
"
    )
}

/// With `log`, a line for each connection goes to a file, through the buffer that nginx recommends.
pub(crate) fn nginx(place: &Place<'_>, log: bool) -> String {
    let Place { tls, plain, upstream, certs, folder, workers } = place;
    let (certificate, key, folder) = (certs.certificate.display(), certs.key.display(), folder.display());
    let log = if log {
        format!(
            "log_format one '$time_iso8601 $remote_addr:$remote_port $upstream_addr $ssl_protocol $ssl_cipher \
             $bytes_received $bytes_sent $session_time $status';
    access_log {folder}/access.log one buffer=64k flush=1s;"
        )
    } else {
        String::new()
    };
    format!(
        "load_module {NGINX_MODULE};
worker_processes {workers};
daemon off;
pid {folder}/nginx.pid;
error_log stderr error;
events {{ worker_connections 9000; }}
stream {{
    {log}
    proxy_timeout 1h;
    server {{
        listen 127.0.0.1:{tls} ssl reuseport backlog=4096;
        ssl_certificate {certificate};
        ssl_certificate_key {key};
        ssl_protocols TLSv1.2 TLSv1.3;
        ssl_session_cache shared:tls:10m;
        ssl_session_tickets on;
        proxy_pass 127.0.0.1:{upstream};
    }}
    server {{
        listen 127.0.0.1:{plain} reuseport backlog=4096;
        proxy_pass 127.0.0.1:{upstream};
    }}
}}
"
    )
}

pub(crate) fn envoy(place: &Place<'_>) -> String {
    let Place { tls, plain, upstream, certs, .. } = place;
    let file = |path: &Path| json!({ "filename": path.display().to_string() });
    let context = json!({
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
        "common_tls_context": {
            // Without this list, Envoy uses X25519MLKEM768, which costs more, and which the other peers lack or do not
            // prefer.
            "tls_params": { "ecdh_curves": ["X25519", "P-256"], "tls_minimum_protocol_version": "TLSv1_2", "tls_maximum_protocol_version": "TLSv1_3" },
            "tls_certificates": [{ "certificate_chain": file(&certs.certificate), "private_key": file(&certs.key) }],
        },
    });
    let socket = json!({ "name": "envoy.transport_sockets.tls", "typed_config": context });
    let endpoint = json!({ "endpoint": { "address": address(*upstream) } });
    let config = json!({
        "static_resources": {
            "listeners": [listener("tls", *tls, &socket), listener("plain", *plain, &Value::Null)],
            "clusters": [{
                "name": "behind",
                "type": "STATIC",
                "connect_timeout": "5s",
                // The default is 1024 connections.
                "circuit_breakers": { "thresholds": [{ "max_connections": 20_000, "max_pending_requests": 20_000 }] },
                "load_assignment": { "cluster_name": "behind", "endpoints": [{ "lb_endpoints": [endpoint] }] },
            }],
        },
    });
    // JSON is valid YAML.
    config.to_string()
}

fn listener(name: &str, port: u16, socket: &Value) -> Value {
    let proxy = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
        "stat_prefix": name,
        "cluster": "behind",
    });
    let mut chain = json!({ "filters": [{ "name": "envoy.filters.network.tcp_proxy", "typed_config": proxy }] });
    if !socket.is_null() {
        chain["transport_socket"] = socket.clone();
    }
    json!({ "name": name, "address": address(port), "filter_chains": [chain] })
}

fn address(port: u16) -> Value {
    json!({ "socket_address": { "address": "127.0.0.1", "port_value": port } })
}

pub(crate) fn hitch(place: &Place<'_>) -> String {
    let Place { tls, upstream, certs, workers, .. } = place;
    // If hitch is started as root, it changes to this user.
    let user = if rustix::process::geteuid().is_root() { "user = \"nobody\"\ngroup = \"nogroup\"\n" } else { "" };
    format!(
        "frontend = {{ host = \"127.0.0.1\" port = \"{tls}\" }}
backend = \"[127.0.0.1]:{upstream}\"
pem-file = \"{}\"
workers = {workers}
backlog = 4096
tls-protos = TLSv1.2 TLSv1.3
daemon = off
ocsp-dir = \"\"
{user}",
        certs.both.display()
    )
}

pub(crate) fn stunnel(place: &Place<'_>) -> String {
    let Place { tls, upstream, certs, .. } = place;
    format!(
        "foreground = yes
pid =
debug = err
syslog = no
socket = l:TCP_NODELAY=1
socket = r:TCP_NODELAY=1
[tls]
accept = 127.0.0.1:{tls}
connect = 127.0.0.1:{upstream}
cert = {}
sslVersionMin = TLSv1.2
",
        certs.both.display()
    )
}
