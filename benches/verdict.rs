//! What every connection pays before a byte is relayed: the rule, the verdict, the read of the snapshot.

#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark")]

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use tlsramp::policy::{Acceptance, LinkRule, Mode, Opening, judge};
use tlsramp::snapshot::Writer;
use tlsramp::sniff::{Hello, classify};
use tlsramp::tls::{Material, TlsFiles};

fn sniffing(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("classify");
    let message = [0x16, 3, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0xdd, 7, 0, 0];
    let hello = [0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3, 1, 2, 3, 4, 5];
    for (name, opening) in [("plaintext", &b"\x3a\0\0\0"[..]), ("unlucky length", &message), ("ClientHello", &hello)] {
        group.bench_function(name, |bencher| bencher.iter(|| classify(black_box(opening))));
    }
    group.bench_function("Hello::read", |bencher| bencher.iter(|| Hello::read(black_box(&hello))));
}

fn verdict(criterion: &mut Criterion) {
    criterion.bench_function("judge", |bencher| {
        bencher
            .iter(|| judge(black_box(Mode::Prefer), Acceptance::Terminate, LinkRule::Policy, black_box(Opening::Tls)));
    });
}

fn snapshot(criterion: &mut Criterion) {
    let material = Arc::new(Material::load(&TlsFiles::default()).unwrap().0);
    let mut writer = Writer::new(Mode::Allow, Arc::clone(&material));
    let reader = writer.reader();
    let mut group = criterion.benchmark_group("snapshot");
    group.bench_function("load", |bencher| bencher.iter(|| reader.load().generation));
    group.bench_function("commit and load", |bencher| {
        bencher.iter(|| {
            writer.commit(Mode::Prefer, Arc::clone(&material));
            reader.load().generation
        });
    });
}

criterion_group!(benches, sniffing, verdict, snapshot);
criterion_main!(benches);
