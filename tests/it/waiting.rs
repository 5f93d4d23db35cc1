//! Clients that send little or nothing: they cause no CPU load, no wrong verdict and no delay for others.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::time::Duration;

use crate::support::{Proxy, cert};

const PATIENCE: Duration = Duration::from_secs(30);

/// A single worker, so that a busy loop in any connection would delay all timers.
#[test]
fn a_byte_and_silence_or_the_end_cost_no_cpu_and_starve_no_timer() {
    let proxy = proxy(&["--sniffTimeout", "20s", "--workers", "1"]);
    let silent: Vec<_> = (0..100).map(|_| say(&proxy, b"\x16", false)).collect();
    let ended: Vec<_> = (0..100).map(|_| say(&proxy, b"\x16", true)).collect();
    // Closed connections end at once, without waiting for a deadline.
    wait_for(&proxy, "sniff_truncated", 100);
    let before = proxy.cpu();
    std::thread::sleep(Duration::from_secs(2));
    let ticks = proxy.cpu() - before;
    assert!(ticks <= 10, "{ticks} clock ticks of CPU for 100 silent clients in two seconds");
    // The deadline expires on the same worker.
    wait_for(&proxy, "sniff_timeout", 100);
    drop((silent, ended));
}

/// The deadline counts from the first byte. Sending further bytes one at a time does not extend it.
#[test]
fn dribbling_ends_at_the_deadline() {
    let proxy = proxy(&["--sniffTimeout", "1s"]);
    let mut client = say(&proxy, b"\x16", false);
    client.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    // An opening that stays undecided: responseTo 0, one byte at a time, without the last one.
    let mut sent = 1;
    let ended = loop {
        let byte = if sent < 15 { [[3_u8, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0xdd, 7, 0][sent - 1]] } else { [0] };
        if sent < 15 && client.write_all(&byte).is_err() {
            break true;
        }
        sent += 1;
        match client.read(&mut [0; 16]) {
            Ok(0) => break true,
            Ok(_) => break false,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => break true,
        }
        assert!(sent < 40, "still open");
    };
    assert!(ended, "a dribbling client got an answer");
    let record = proxy.wait_record(crate::support::Mark::START, |line| line["outcome"] == "sniff_timeout", PATIENCE);
    assert!(record["reason"].as_str().unwrap().contains("bytes received"), "{record}");
}

#[test]
fn a_silent_client_may_wait_unless_told_otherwise() {
    let patient = proxy(&["--sniffTimeout", "500ms"]);
    let strict = proxy(&["--sniffTimeout", "500ms", "--onSilence", "close"]);
    let waiting = say(&patient, b"", false);
    let mut closed = say(&strict, b"", false);
    closed.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(closed.read(&mut [0]).unwrap(), 0);
    wait_for(&strict, "sniff_timeout", 1);
    // The deadline has passed by now, but the silent client is still served.
    echo(waiting, b"late but fine");
}

/// Connected in allowSSL, first bytes in requireSSL: the mode is read when the opening was classified.
#[test]
fn a_mode_changed_while_a_client_was_silent_applies_to_it() {
    let upstream = echo_server();
    let file = |mode: &str| {
        format!(
            "sslMode = {mode}\nport = 0\nupstream = {upstream}\nupstreamTLS = never\nsslPEMKeyFile = {}\nsslCAFile = {}\n",
            cert("server.pem"),
            cert("ca.pem")
        )
    };
    let proxy = Proxy::start_with_config(&file("preferSSL"), [] as [&str; 0]);
    let mut silent = TcpStream::connect(proxy.address("inbound")).unwrap();
    let established = TcpStream::connect(proxy.address("inbound")).unwrap();
    echo(established.try_clone().unwrap(), b"before");

    std::fs::write(proxy.config_file(), file("requireSSL")).unwrap();
    proxy.signal(crate::support::proxy::Signal::HUP);
    proxy.wait_log(|line| line["message"] == "reloaded", PATIENCE);

    silent.write_all(b"plaintext, whoever asks").unwrap();
    silent.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(silent.read(&mut [0; 16]).unwrap(), 0);
    let record = proxy.wait_log(|line| line["outcome"] == "refused_plaintext", PATIENCE);
    assert_eq!((&record["mode"], &record["generation"]), (&"requireSSL".into(), &2.into()));
    // As in mongod, an established connection keeps its verdict.
    echo(established, b"after");
}

fn proxy(args: &[&str]) -> Proxy {
    let upstream = echo_server();
    let (key, ca) = (cert("server.pem"), cert("ca.pem"));
    let base = ["--port", "0", "--upstream", &upstream, "--upstreamTLS", "never", "--sslMode", "allowSSL"];
    let tls = ["--sslPEMKeyFile", &key, "--sslCAFile", &ca];
    Proxy::start(base.iter().chain(&tls).chain(args))
}

fn say(proxy: &Proxy, bytes: &[u8], end: bool) -> TcpStream {
    let mut client = TcpStream::connect(proxy.address("inbound")).unwrap();
    client.write_all(bytes).unwrap();
    if end {
        client.shutdown(Shutdown::Write).unwrap();
    }
    client
}

fn echo(mut client: TcpStream, text: &[u8]) {
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client.write_all(text).unwrap();
    let mut back = vec![0; text.len()];
    client.read_exact(&mut back).unwrap();
    assert_eq!(back, text);
}

/// Waits until this number of connections has ended with this outcome, reported by single lines or by a summary.
fn wait_for(proxy: &Proxy, outcome: &str, wanted: u64) {
    let mut ended = 0;
    proxy.wait_log(
        |line| {
            if line["outcome"] == outcome {
                ended += line["connections"].as_u64().unwrap_or(1);
            }
            ended >= wanted
        },
        PATIENCE,
    );
}

/// Starts an echo server. Returns its address.
fn echo_server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for socket in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || {
                let mut writer = socket.try_clone().unwrap();
                let _ = std::io::copy(&mut &socket, &mut writer);
                let _ = writer.shutdown(Shutdown::Write);
            });
        }
    });
    address
}
