//! Measures the cost of a connection before a byte is relayed (classification, verdict, snapshot), and the cost of each
//! message afterwards (following message boundaries).

#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark")]

use std::hint::black_box;
use std::io::Read as _;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bson::rawdoc;
use criterion::{Criterion, criterion_group, criterion_main};
use rustls::pki_types::CertificateDer;
use tlsramp::testing::{
    Acceptance, ClientHello, ClientMetadata, Follower, LinkRule, Material, Mode, Observer, Opening, Outcome, RouteId,
    RouteRecord, SnapshotWriter, TlsFiles, classify, judge, msg_command,
};

fn sniffing(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("classify");
    let message = [0x16, 3, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0xdd, 7, 0, 0];
    let hello = [0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3, 1, 2, 3, 4, 5];
    for (name, opening) in [("plaintext", &b"\x3a\0\0\0"[..]), ("unlucky length", &message), ("ClientHello", &hello)] {
        group.bench_function(name, |bencher| bencher.iter(|| classify(black_box(opening))));
    }
    group.bench_function("Hello::read", |bencher| bencher.iter(|| ClientHello::read(black_box(&hello))));
}

fn verdict(criterion: &mut Criterion) {
    criterion.bench_function("judge", |bencher| {
        bencher
            .iter(|| judge(black_box(Mode::Prefer), Acceptance::Terminate, LinkRule::Policy, black_box(Opening::Tls)));
    });
}

fn snapshot(criterion: &mut Criterion) {
    let material = Arc::new(Material::load(&TlsFiles::default()).unwrap().0);
    let mut writer = SnapshotWriter::new(Mode::Allow, Arc::clone(&material));
    let reader = writer.reader();
    let mut group = criterion.benchmark_group("snapshot");
    group.bench_function("load", |bencher| bencher.iter(|| reader.load().generation));
    group.bench_function("commit and load", |bencher| {
        bencher.iter(|| {
            writer.commit(Mode::Prefer, Arc::clone(&material));
            reader.load().generation
        });
    });
    // Far more changes than in operation.
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let writing = std::thread::spawn(move || {
        while !stopped.load(Ordering::Relaxed) {
            writer.commit(Mode::Prefer, Arc::clone(&material));
        }
    });
    group.bench_function("load and judge beside a writer", |bencher| {
        bencher.iter(|| judge(reader.load().mode, Acceptance::Terminate, LinkRule::Policy, black_box(Opening::Tls)));
    });
    stop.store(true, Ordering::Relaxed);
    writing.join().unwrap();
}

/// Measures reading client metadata from the first message, and recording the connection without logs.
fn recording(criterion: &mut Criterion) {
    let hello = msg_command(
        1,
        "admin",
        &rawdoc! {
            "hello": 1,
            "client": {
                "application": { "name": "nightly-backup" },
                "driver": { "name": "PyMongo", "version": "4.20.0" },
                "os": { "type": "Linux", "name": "Linux", "architecture": "x86_64", "version": "6.18" },
                "platform": "CPython 3.11.2.final.0",
            },
            "compression": [],
            "saslSupportedMechs": "admin.app",
        },
    );
    criterion.bench_function("first hello", |bencher| bencher.iter(|| ClientMetadata::of(black_box(&hello))));
    let observer = Arc::new(Observer::default());
    let name = Arc::from("inbound");
    let route = Arc::new(RouteRecord { id: RouteId::Inbound, metrics: observer.metrics.route(&name), name });
    let peer = ([127, 0, 0, 1], 40_000).into();
    criterion.bench_function("record", |bencher| {
        bencher.iter(|| observer.open(black_box(peer), &route).close(Outcome::Completed, None));
    });
}

fn following(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("follow");
    let request = msg_command(7, "db", &rawdoc! { "find": "c", "filter": { "_id": 5 } });
    let mut reply = msg_command(9, "db", &rawdoc! { "ok": 1.0, "cursor": { "id": 0_i64, "ns": "db.c" } });
    reply[8..12].copy_from_slice(&7_i32.to_le_bytes());
    group.bench_function("a request and its answer", |bencher| {
        let mut follower = Follower::default();
        bencher.iter(|| {
            follower.sent(black_box(&request));
            follower.received(black_box(&reply));
            follower.at_boundary()
        });
    });
    for (name, compressor) in [("snappy", 1), ("zlib", 2), ("zstd", 3)] {
        let request = compressed(&request, compressor);
        group.bench_function(format!("a request by {name} and its answer"), |bencher| {
            let mut follower = Follower::default();
            bencher.iter(|| {
                follower.sent(black_box(&request));
                follower.received(black_box(&reply));
                follower.at_boundary()
            });
        });
    }
    let large = msg_command(7, "db", &rawdoc! { "insert": "c", "x": "x".repeat(1 << 20) });
    group.bench_function("a MiB in reads of 32 KiB", |bencher| {
        let mut follower = Follower::default();
        bencher.iter(|| large.chunks(32 * 1024).for_each(|read| follower.sent(black_box(read))));
    });
}

/// Compresses the message into an OP_COMPRESSED.
fn compressed(original: &[u8], compressor: u8) -> Vec<u8> {
    let plain = &original[16..];
    let payload = match compressor {
        1 => snap::raw::Encoder::new().compress_vec(plain).unwrap(),
        2 => {
            let mut encoder = flate2::read::ZlibEncoder::new(plain, flate2::Compression::default());
            let mut payload = Vec::new();
            encoder.read_to_end(&mut payload).unwrap();
            payload
        }
        _ => ruzstd::encoding::compress_to_vec(plain, ruzstd::encoding::CompressionLevel::Fastest),
    };
    let length = i32::try_from(25 + payload.len()).unwrap();
    let size = i32::try_from(plain.len()).unwrap();
    let header = [length.to_le_bytes(), 7_i32.to_le_bytes(), [0; 4], 2012_i32.to_le_bytes()];
    [header.as_flattened(), &original[12..16], &size.to_le_bytes(), &[compressor], &payload].concat()
}

/// Measures the chain that is most expensive to refuse: a leaf and the largest number of intermediates, all with the
/// name of the trusted CA, which did not sign them. Path building tries every order of them, and each path ends at the
/// CA, so the cost depends on the kind of its key. An RSA key of 8192 bits takes half a minute to make, and is measured
/// only if `BENCH_RSA_8192` is set.
fn strangers(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("a stranger's chain");
    let ec = |curve: &str| format!("ec -pkeyopt ec_paramgen_curve:{curve}");
    let mut keys = vec![("RSA 2048", "rsa:2048".to_owned()), ("RSA 4096", "rsa:4096".to_owned())];
    keys.extend([
        ("P-256", ec("P-256")),
        ("P-384", ec("P-384")),
        ("P-521", ec("P-521")),
        ("Ed25519", "ed25519".into()),
    ]);
    keys.extend(std::env::var_os("BENCH_RSA_8192").map(|_| ("RSA 8192", "rsa:8192".to_owned())));
    for (name, key) in keys {
        // Several CAs with the same name, as when a renewed CA is in the file beside the old one.
        for cas in if name == "RSA 8192" { &[1][..] } else { &[1, 4] } {
            let (material, chain) = strangers_chain(&key, *cas);
            assert!(material.admits(None, Some(&chain)).is_err());
            group.bench_function(format!("{name}, {cas} CAs of one name"), |bencher| {
                bencher.iter(|| material.admits(None, Some(black_box(&chain))));
            });
        }
    }
}

fn strangers_chain(key: &str, cas: usize) -> (Material, Vec<CertificateDer<'static>>) {
    let folder = tempfile::tempdir().unwrap();
    let openssl = |command: &str| {
        let made = Command::new("openssl").current_dir(&folder).args(command.split(' ')).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        made.stdout
    };
    std::fs::write(folder.path().join("ca"), "basicConstraints=critical,CA:TRUE").unwrap();
    std::fs::write(folder.path().join("leaf"), "extendedKeyUsage=clientAuth").unwrap();
    let mut roots = String::new();
    for _ in 0..cas {
        openssl(&format!("req -x509 -nodes -days 9 -subj /CN=CA -keyout key.pem -out ca.pem -newkey {key}"));
        roots.push_str(&std::fs::read_to_string(folder.path().join("ca.pem")).unwrap());
    }
    std::fs::write(folder.path().join("cas.pem"), roots).unwrap();
    let mut chain = Vec::new();
    for kind in ["leaf", "ca", "ca", "ca", "ca"] {
        openssl("req -new -nodes -subj /CN=CA -keyout k -out request -newkey ec -pkeyopt ec_paramgen_curve:P-256");
        let sign = format!("x509 -req -in request -CA ca.pem -CAkey key.pem -days 9 -outform DER -extfile {kind}");
        let mut der = openssl(&sign);
        // Makes the signature invalid.
        *der.last_mut().unwrap() ^= 1;
        chain.push(CertificateDer::from(der));
    }
    let files = TlsFiles { ca: Some(folder.path().join("cas.pem")), ..TlsFiles::default() };
    (Material::load(&files).unwrap().0, chain)
}

criterion_group!(benches, sniffing, verdict, snapshot, recording, following, strangers);
criterion_main!(benches);
