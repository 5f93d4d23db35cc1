# Recipes for `just`. Each is one or two commands that can also be typed.

# The recipes.
default:
    @just --list

# Format, lints, dependencies and documentation: what CI checks before the tests.
check:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets --locked -- -D warnings
    .ci/dependencies.py
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items --locked

# Unit tests, and the black-box tests that take no more than a few seconds: under two minutes once built.
fast:
    cargo test --workspace --lib --locked
    cargo test --test it --locked -- {{ slow }}

# All tests; as root, so that none is skipped.
test:
    cargo test --workspace --locked

# All that CI runs, from the format to the last test.
ci:
    .ci/run

# A benchmark by its name and with its options: just bench peers --rounds 1 --seconds 0.5
bench name *options:
    cargo bench --bench {{ name }} -- {{ options }}

# A fuzz target, for so many seconds; needs a nightly compiler and cargo-fuzz. The targets: cargo +nightly fuzz list
# tls_stream runs without debug assertions, because of the one in rustls that Cargo.toml describes.
fuzz target seconds="60":
    mkdir -p fuzz/corpus/{{ target }} fuzz/seeds/{{ target }}
    {{ if target == "pem" { "cargo run --quiet -p certs-gen -- --wrong --force --out fuzz/corpus/pem" } else { "" } }}
    cargo +nightly fuzz run {{ if target == "tls_stream" { "-O" } else { "" } }} --sanitizer none {{ target }} fuzz/corpus/{{ target }} fuzz/seeds/{{ target }} -- -max_total_time={{ seconds }} -timeout=20

# The user's guide as HTML: target/book/index.html
book:
    command -v mdbook >/dev/null || cargo install --locked mdbook
    mdbook build docs

# The software bill of materials: a CycloneDX file beside each Cargo.toml
sbom:
    command -v cargo-cyclonedx >/dev/null || cargo install --locked cargo-cyclonedx
    cargo cyclonedx --format json --target x86_64-unknown-linux-gnu

# The program for packages, with link-time optimization: target/dist/tlsramp
dist:
    cargo build --profile dist --locked

# The Debian package: target/debian/tlsramp_VERSION_ARCHITECTURE.deb
package:
    command -v cargo-deb >/dev/null || cargo install --locked cargo-deb
    deploy/debian/build

# Installs, upgrades and purges the package in an empty Debian with systemd; as root, with debootstrap.
package-test *package:
    tests/package.sh {{ package }}

# The tests that `fast` leaves out: whole replica sets, network namespaces, gigabytes, long waits.
slow := "--skip book:: --skip chaos:: --skip cluster:: --skip controller:: --skip crls:: --skip dawdling:: --skip dead_peers:: --skip demo:: --skip four_doors:: \
    --skip load:: --skip matrix:: --skip moving:: --skip netfilter:: --skip recycling:: --skip refused_certificates:: \
    --skip resumption:: --skip rollout:: --skip silent:: --skip still_on_plaintext:: --skip tproxy:: \
    --skip transparent:: --skip verification::"
