//! The README and the book in `docs/`: the commands of each page are run in order, and print what the page shows; links lead
//! to pages and headings; configurations pass `check`; quoted texts are in the sources.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "in a test, the panic is the report")]

mod pages;
mod texts;

use std::{env, fs, os::unix::fs::PermissionsExt as _, path::Path, process::Output, time::Duration};

use crate::support::{
    Scratch,
    parts::{self, Release},
    process,
    require::{require, require_command, require_root},
    turn::Turn,
};

/// The longest page takes a minute and a half alone.
const LIMIT: Duration = Duration::from_secs(1500);

macro_rules! pages_run {
    ($($name:ident: $([$($turn:ident)?])? $($page:literal)+,)*) => {
        $(
            #[test]
            fn $name() {
                // Pages use default ports, so each has a network namespace of its own.
                require_root!();
                for command in ["openssl", "curl", "unshare", "ip", "nft", "ss", "python3"] {
                    require_command!(command);
                }
                let mongod = require!(Release::V4_4.mongod());
                let mongosh = require!(parts::mongosh());
                $($(let _turn = $turn::take();)?)?
                let output = run(&[$($page),+], [mongod, mongosh]);
                let said = String::from_utf8_lossy(&output.stdout);
                assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
            }
        )*

        #[test]
        fn every_page_with_commands_is_run() {
            let listed = [$($($page),+),*].map(|page| page.split('#').next().unwrap());
            for page in pages::all() {
                let runs = pages::blocks(&page.text).iter().any(pages::Block::is_run);
                assert_eq!(runs, listed.contains(&page.name.as_str()), "{}: `pages_run!` lists the pages with commands that are run", page.name);
            }
        }
    };
}

pages_run! {
    readme: "tests/it/book/mongod.md" "README.md",
    tutorial: [Turn] "docs/src/tutorial.md",
    tutorial_explicit: [Turn] "docs/src/tutorial.md#The transparent way" "docs/src/tutorial-explicit.md",
    install: "docs/src/how-to/install.md",
    legacy_mongod: "docs/src/how-to/legacy-mongod.md",
    load_balancer: "docs/src/how-to/load-balancer.md",
    passthrough: "docs/src/how-to/passthrough.md",
    find_plaintext_clients: "docs/src/how-to/find-plaintext-clients.md",
    roll_back: "docs/src/how-to/roll-back.md",
    rotate_certificates: "docs/src/how-to/rotate-certificates.md",
    load_test: "docs/src/how-to/load-test.md",
    other_protocols: "docs/src/how-to/other-protocols.md",
}

/// Blocks that are not run: page, number of blocks, and the reason, which the page gives too.
const NOT_RUN: [(&str, usize, &str); 10] = [
    ("README.md", 2, "they change the host, as tests/package.sh does; and the command that runs this test"),
    ("docs/src/how-to/cockpit.md", 1, "it needs an SSH server"),
    (
        "docs/src/how-to/install.md",
        5,
        "they change the host, as tests/package.sh does, build for minutes, or need Docker",
    ),
    ("docs/src/how-to/kubernetes.md", 5, "they need a cluster; deploy.rs checks the manifests"),
    ("docs/src/how-to/other-protocols.md", 1, "the machine has no Redis"),
    ("docs/src/how-to/roll-back.md", 1, "it needs a cluster; the tutorial runs it"),
    ("docs/src/how-to/rollout.md", 2, "they need a cluster; the tutorial runs them"),
    ("docs/src/how-to/sidecar.md", 2, "they change the host's users and services; deploy.rs checks the units"),
    ("docs/src/how-to/upgrade-tlsramp.md", 1, "they need a service of systemd; takeover.rs tests the upgrade"),
    ("docs/src/troubleshooting.md", 1, "it needs a running service"),
];

#[test]
fn blocks_that_are_not_run_are_few_and_the_page_gives_the_reason() {
    let mut found = Vec::new();
    for page in pages::all() {
        let blocks = pages::blocks(&page.text);
        let count = blocks.iter().filter(|block| block.is_console() && !block.is_run()).count();
        if count > 0 {
            found.push((page.name.clone(), count));
            assert!(
                page.text.contains("no test") || page.name == "README.md",
                "{} does not give the reason",
                page.name
            );
        }
    }
    assert_eq!(found, NOT_RUN.map(|(page, count, _)| (page.to_owned(), count)));
}

/// The README's commands for a service are those of the page on installation, which tests/package.sh runs.
#[test]
fn the_readme_installs_as_the_guide_does() {
    let service = |name: &str| {
        let blocks = pages::blocks(&pages::read(name).text);
        blocks.into_iter().find(|block| block.text.starts_with("$ apt install ")).unwrap().text
    };
    assert_eq!(service("README.md"), service("docs/src/how-to/install.md"));
}

/// Runs pages in a network namespace, as root of it, in an empty folder.
fn run(pages: &[&str], parts: [&Path; 2]) -> Output {
    let (folder, home) = (Scratch::new("book"), Scratch::new("book-home"));
    let tlsramp = Path::new(env!("CARGO_BIN_EXE_tlsramp"));
    fs::create_dir(home.join("bin")).unwrap();
    let cargo = home.join("bin/cargo");
    fs::write(&cargo, format!("{CARGO}exec '{}' \"$@\"\n", tlsramp.display())).unwrap();
    fs::set_permissions(&cargo, fs::Permissions::from_mode(0o755)).unwrap();
    let folders = [&cargo, tlsramp, parts[0], parts[1]].map(|program| program.parent().unwrap().display().to_string());

    let mut shell = process::tethered("unshare");
    shell.args(["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "bash", "-c", NAMESPACE]);
    shell.arg(pages::root().join("tests/it/py/page.py")).args(pages.iter().map(|page| pages::root().join(page)));
    shell.current_dir(folder.path());
    shell.env("PATH", format!("{}:{}", folders.join(":"), env::var("PATH").unwrap()));
    // mongosh keeps its history and settings there.
    shell.env("HOME", home.path());
    process::output(shell, LIMIT).unwrap_or_else(|why| panic!("{pages:?}: {why}"))
}

/// The first process of the namespace: not replaced by the page's shell, so that it reaps daemons that end.
const NAMESPACE: &str = "ip link set lo up; mkdir -p /run/netns /etc/netns
    mount -t tmpfs none /run/netns; mount -t tmpfs none /etc/netns
    python3 \"$0\" \"$@\"; exit $?";

/// In place of cargo, which would build the program once more.
const CARGO: &str = "#!/bin/sh\n[ \"$1 $2 $3\" = 'run --release --' ] || exit 1\nshift 3\n";

/// A page that is wrong fails: what would go unnoticed otherwise.
#[test]
fn a_page_that_is_wrong_fails() {
    require_root!();
    for command in ["unshare", "ip", "python3"] {
        require_command!(command);
    }
    let none = Path::new("/nonexistent/bin/x");
    let folder = Scratch::new("book-wrong");
    let page = |commands: &str, info: &str| {
        let path = folder.join("page.md");
        fs::write(&path, format!("# Page\n\n```{info}\n{commands}\n```\n")).unwrap();
        let output = run(&[path.to_str().unwrap()], [none, none]);
        (output.status.code() == Some(0), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let check = "tlsramp check --upstream 127.0.0.1:27018 --upstreamTLS never";
    for (commands, info, fits) in [
        (format!("$ {check} > out\n$ echo a b\na b"), "console", true),
        (format!("$ {check} --upstreamProof off > out"), "console", false),
        (format!("$ {check} \\\n      --sslMode requireSSL > out"), "console", false),
        ("$ tlsramp ctl --admin 127.0.0.1:1 status".to_owned(), "console", false),
        (
            "$ tlsramp ctl --admin 127.0.0.1:1 status || test $? = 4\n...is tlsramp running there?...\n...".to_owned(),
            "console",
            true,
        ),
        ("$ false | cat".to_owned(), "console", false),
        ("$ printf 'a\\nb\\n'\na\nc".to_owned(), "console", false),
        ("$ printf 'a\\nb\\n'\na".to_owned(), "console", false),
        ("$ printf 'a\\nb\\n'\na\n...".to_owned(), "console", true),
        ("$ echo 12 of 13".to_owned() + "\n1 of 1", "console", false),
        ("$ echo 12 of 13".to_owned() + "\n1 of 1", "console,sample", true),
        ("$ echo 12 of 13".to_owned() + "\n1 or 1", "console,sample", false),
    ] {
        let (fitted, said) = page(&commands, info);
        assert_eq!(fitted, fits, "{commands}: {said}");
    }
}
