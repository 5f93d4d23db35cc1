//! The packages: what `--version`, the completions and the files of the Debian package are. `tests/package.sh` installs
//! the package in an empty Debian.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use serde_json::Value;

use crate::support::{Scratch, process, require_command, require_root, run_to_end};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const LIMIT: Duration = Duration::from_secs(240);

/// One line for programs, and with `--version` the TLS libraries, as in the lock file.
#[test]
fn the_version_names_the_build_and_the_tls_libraries() {
    let said = |flag: &str| String::from_utf8(run_to_end([flag]).stdout).unwrap();
    let first = concat!("tlsramp ", env!("CARGO_PKG_VERSION"), " (");
    let short = said("-V");
    assert!(short.starts_with(first) && short.ends_with(")\n") && short.lines().count() == 1, "{short}");
    let long = said("--version");
    let stack = long.strip_prefix(&short).unwrap_or_else(|| panic!("{long} does not begin with {short}"));
    let lock = fs::read_to_string(at("Cargo.lock")).unwrap();
    let libraries = stack.trim_end().strip_prefix("TLS by ").unwrap_or_else(|| panic!("{stack}"));
    let libraries: Vec<_> = libraries.split(", ").map(|library| library.split_once(' ').unwrap()).collect();
    assert_eq!(libraries.iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["rustls", "aws-lc-rs", "aws-lc-sys"]);
    for (name, version) in libraries {
        assert!(lock.contains(&format!("name = \"{name}\"\nversion = \"{version}\"\n")), "{name} {version}");
    }
}

/// `build.rs`, run in a clone, in a clone with a change, in an archive within another clone, with the variable of packagers,
/// and for a debug build.
#[test]
fn the_commit_is_that_of_the_clone_or_of_the_packager() {
    let (rustc, git) = (require_command!("rustc"), require_command!("git"));
    let folder = Scratch::new("commit");
    let script = folder.join("script");
    let mut compile = process::tethered(rustc);
    compile.args(["--edition=2024", "-o"]).arg(&script).arg(at("build.rs"));
    process::succeed(compile, LIMIT).unwrap();
    let version = |within: &Path, profile: &str, commit: Option<&str>| {
        let mut run = process::tethered(&script);
        run.env("CARGO_MANIFEST_DIR", within).env("CARGO_PKG_VERSION", "1.2.3").env("PROFILE", profile);
        run.env_remove("TLSRAMP_COMMIT").envs(commit.map(|commit| ("TLSRAMP_COMMIT", commit)));
        let lines = lines(run);
        // What does not exist would run it again at every build.
        for path in lines.iter().filter_map(|line| line.strip_prefix("cargo::rerun-if-changed=/")) {
            assert!(Path::new("/").join(path).exists(), "{path}");
        }
        lines.iter().find_map(|line| line.strip_prefix("cargo::rustc-env=TLSRAMP_VERSION=")).unwrap().to_owned()
    };

    let clone = folder.join("clone");
    fs::create_dir_all(clone.join("archive")).unwrap();
    fs::write(clone.join("file"), "one").unwrap();
    let git = |words: &[&str]| {
        let mut command = process::tethered(&git);
        command.arg("-C").arg(&clone).args(["-c", "user.name=a", "-c", "user.email=a@example.net"]).args(words);
        command.env("GIT_COMMITTER_DATE", "2026-11-29T12:00:00Z");
        lines(command)
    };
    git(&["init", "-q"]);
    git(&["add", "file"]);
    git(&["commit", "-q", "-m", "one"]);
    let commit = git(&["rev-parse", "--short=12", "HEAD"]).remove(0);
    assert_eq!(version(&clone, "release", None), format!("1.2.3 ({commit} 2026-11-29)"));
    assert_eq!(version(&clone.join("archive"), "release", None), "1.2.3");
    assert_eq!(version(&clone.join("archive"), "release", Some("")), "1.2.3");
    fs::write(clone.join("file"), "two").unwrap();
    assert_eq!(version(&clone, "release", None), format!("1.2.3 ({commit} 2026-11-29, modified)"));
    assert_eq!(version(&clone, "release", Some("abc")), "1.2.3 (abc)");
    assert_eq!(version(&clone, "debug", None), "1.2.3 (debug build)");
}

/// In a real bash: the words that it offers for the last one of a command line.
#[test]
fn bash_completes_commands_options_and_values() {
    let folder = Scratch::new("completions");
    let script = folder.join("tlsramp");
    fs::write(&script, run_to_end(["completions", "bash"]).stdout).unwrap();
    for (line, expected) in [
        ("tlsramp c", &["check", "completions", "ctl"][..]),
        ("tlsramp ctl re", &["ready", "recycle", "reload"]),
        ("tlsramp ctl mode --p", &["--persist"]),
        ("tlsramp ctl mode --no", &["--no-guard"]),
        (
            "tlsramp run --sslC",
            &[
                "--sslCAFile",
                "--sslCRLFile",
                "--sslClusterCAFile",
                "--sslClusterFile",
                "--sslClusterPassword",
                "--sslClusterPasswordFile",
            ],
        ),
        ("tlsramp run --tlsMode pre", &["preferTLS"]),
        ("tlsramp run --sslMode pre", &["preferSSL"]),
        ("tlsramp check --onSilence ", &["close", "wait"]),
        ("tlsramp check --net", &["--network"]),
        ("tlsramp load --mix", &["--mix"]),
        ("tlsramp load ", &["bulk", "connect", "echo", "idle", "mixed", "ping"]),
        ("tlsramp load --tlsVersion ", &["1.2", "1.3"]),
        ("tlsramp netfilter --k", &["--keep"]),
        ("tlsramp rollout --ro", &["--rollback"]),
        ("tlsramp completions ", &["bash", "fish", "zsh"]),
    ] {
        let mut bash = process::tethered("bash");
        let ask = "source \"$1\"; read -ra COMP_WORDS <<< \"$2\"; [[ $2 == *' ' ]] && COMP_WORDS+=(''); \
                   COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); \
                   _tlsramp tlsramp \"${COMP_WORDS[-1]}\" \"${COMP_WORDS[-2]}\"; printf '%s\\n' \"${COMPREPLY[@]}\"";
        bash.args(["--norc", "-c", ask, "bash", &script.to_string_lossy(), line]);
        let mut offered = lines(bash);
        // An operand may be an option too.
        offered.retain(|word| !word.starts_with('-') || line.contains('-'));
        offered.sort();
        offered.dedup();
        assert_eq!(offered, expected, "{line}");
    }
}

#[test]
fn fish_completes_commands_options_and_values() {
    let fish = require_command!("fish");
    let folder = Scratch::new("completions");
    fs::write(folder.join("tlsramp.fish"), run_to_end(["completions", "fish"]).stdout).unwrap();
    for (line, expected) in [
        ("tlsramp ctl re", &["ready", "recycle", "reload"][..]),
        ("tlsramp ctl mode --per", &["--persist"]),
        ("tlsramp run --tlsMode pre", &["preferTLS"]),
    ] {
        let mut command = process::tethered(&fish);
        let ask = format!("source {}; complete -C '{line}'", folder.join("tlsramp.fish").display());
        command.args(["--no-config", "-c", &ask]);
        let words: Vec<_> = lines(command).iter().map(|line| line.split('\t').next().unwrap().to_owned()).collect();
        assert_eq!(words, expected, "{line}");
    }
}

#[test]
fn zsh_takes_the_completions() {
    let zsh = require_command!("zsh");
    let folder = Scratch::new("completions");
    fs::write(folder.join("_tlsramp"), run_to_end(["completions", "zsh"]).stdout).unwrap();
    let mut command = process::tethered(&zsh);
    let ask = "fpath=($1 $fpath); autoload -Uz compinit; compinit -D -u; print $_comps[tlsramp]; \
               autoload +X _tlsramp && print loaded";
    command.args(["-f", "-c", ask, "zsh", &folder.path().to_string_lossy()]);
    assert_eq!(lines(command), ["_tlsramp", "loaded"]);
}

/// What the package is made of exists, except for what its build makes; units, users and folders are in it.
#[test]
fn the_parts_of_the_debian_package_exist() {
    let deb = deb_table();
    let assets: Vec<_> = deb["assets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|asset| {
            let [source, target] = [0, 1].map(|index| asset[index].as_str().unwrap().to_owned());
            (source, target)
        })
        .collect();
    for (source, _) in assets.iter().filter(|(source, _)| !source.starts_with("target/")) {
        assert!(!matching(source).is_empty(), "there is no {source}");
    }
    let packaged: Vec<PathBuf> = assets.iter().flat_map(|(source, _)| matching(source)).collect();
    for entry in fs::read_dir(at("deploy/systemd")).unwrap().map(|entry| entry.unwrap().path()) {
        // A configuration like an example's, and a drop-in for newer versions of systemd.
        let left_out = ["tlsramp.conf", "tlsramp.service.d"].map(|name| at("deploy/systemd").join(name));
        assert!(packaged.contains(&entry) != left_out.contains(&entry), "{} in the package?", entry.display());
    }
    // The shells and the build look for them by these names.
    let written = fs::read_to_string(at("packaging/src/main.rs")).unwrap();
    for (source, target) in assets.iter().filter(|(source, _)| source.starts_with("target/packaging/completions/")) {
        let name = source.rsplit('/').next().unwrap();
        assert!(written.contains(&format!("(\"{name}\", Shell::")) && target.ends_with('/'), "{source} {target}");
    }
    let changelog = fs::read_to_string(at(deb["changelog"].as_str().unwrap())).unwrap();
    assert!(changelog.starts_with(concat!("tlsramp (", env!("CARGO_PKG_VERSION"), "-1) ")), "{changelog}");
    let page = fs::read_to_string(at("docs/src/how-to/install.md")).unwrap();
    assert!(page.contains(concat!("apt install ./tlsramp_", env!("CARGO_PKG_VERSION"), "-1_amd64.deb")), "{page}");
}

/// In an empty root: the user, and folders that it alone can use.
#[test]
fn the_user_and_the_folders_are_made() {
    require_root!();
    let (sysusers, tmpfiles) = (require_command!("systemd-sysusers"), require_command!("systemd-tmpfiles"));
    let root = Scratch::new("root");
    fs::create_dir(root.join("etc")).unwrap();
    for (program, file) in [(sysusers, "tlsramp.sysusers"), (tmpfiles, "tlsramp.tmpfiles")] {
        let mut command = process::tethered(&program);
        if file.ends_with("tmpfiles") {
            command.arg("--create");
        }
        command.arg("--root").arg(root.path()).arg(at("deploy/systemd").join(file));
        process::succeed(command, LIMIT).unwrap_or_else(|why| panic!("{file}: {why}"));
    }
    let users = fs::read_to_string(root.join("etc/passwd")).unwrap();
    let user: Vec<_> = users.lines().find(|line| line.starts_with("tlsramp:")).unwrap().split(':').collect();
    assert!(user[2] != "0" && user[6].ends_with("/nologin"), "{user:?}");
    for folder in ["run/tlsramp", "var/lib/tlsramp"] {
        let mut stat = process::tethered("stat");
        stat.args(["-c", "%a %u %g"]).arg(root.join(folder));
        assert_eq!(lines(stat), [format!("750 {} {}", user[2], user[3])], "{folder}");
    }
}

/// `sh` takes the scripts, and shellcheck has nothing to say.
#[test]
fn shellcheck_takes_the_scripts() {
    let shellcheck = require_command!("shellcheck");
    let scripts = [
        "deploy/debian/build",
        "deploy/debian/postinst",
        "deploy/debian/prerm",
        "deploy/debian/postrm",
        "tests/package-init.sh",
        "tests/package.sh",
    ];
    for script in scripts {
        let text = fs::read_to_string(at(script)).unwrap();
        // As cargo-deb replaces it.
        let scratch = Scratch::new("script");
        let copy = scratch.join("script");
        fs::write(&copy, text.replace("#DEBHELPER#", ":")).unwrap();
        let mut command = process::tethered(&shellcheck);
        command.arg(&copy);
        process::succeed(command, LIMIT).unwrap_or_else(|why| panic!("{script}: {why}"));
    }
}

/// With the folders that the Dockerfile copies, cargo finds every member of the workspace and every source.
#[test]
fn the_image_is_built_from_all_that_cargo_needs() {
    let recipe = fs::read_to_string(at("deploy/Dockerfile")).unwrap();
    let ignored = fs::read_to_string(at("deploy/Dockerfile.dockerignore")).unwrap();
    let context = Scratch::new("context");
    for line in recipe.lines().filter_map(|line| line.strip_prefix("COPY ")).filter(|line| !line.starts_with("--from"))
    {
        let words: Vec<_> = line.split(' ').collect();
        let (target, sources) = words.split_last().unwrap();
        for source in sources {
            assert!(ignored.lines().any(|line| line == format!("!{source}")), ".dockerignore leaves {source} out");
            let target = if *target == "./" { context.join(source) } else { context.join(target) };
            fs::create_dir_all(target.parent().unwrap()).unwrap();
            let mut copy = process::tethered("cp");
            copy.arg("-r").arg(at(source)).arg(target);
            process::succeed(copy, LIMIT).unwrap();
        }
    }
    let metadata = metadata(context.path());
    let names: Vec<_> = metadata["packages"].as_array().unwrap().iter().map(|package| &package["name"]).collect();
    assert_eq!(names.len(), 4, "{names:?}");
    assert!(context.join("build.rs").exists() && context.join("src/main.rs").exists());
}

/// The table of cargo-deb in `Cargo.toml`.
fn deb_table() -> Value {
    let metadata = metadata(Path::new(ROOT));
    let packages = metadata["packages"].as_array().unwrap();
    packages.iter().find(|package| package["name"] == "tlsramp").unwrap()["metadata"]["deb"].clone()
}

fn metadata(folder: &Path) -> Value {
    let mut cargo = process::tethered(env!("CARGO"));
    cargo.args(["metadata", "--format-version=1", "--no-deps", "--offline", "--locked"]).current_dir(folder);
    serde_json::from_slice(&process::succeed(cargo, LIMIT).unwrap().stdout).unwrap()
}

/// The files of a pattern with at most one `*`, in its last part.
fn matching(source: &str) -> Vec<PathBuf> {
    let path = at(source);
    let Some((before, after)) = path.file_name().unwrap().to_str().unwrap().split_once('*') else {
        return path.exists().then_some(path).into_iter().collect();
    };
    let entries = fs::read_dir(path.parent().unwrap()).into_iter().flatten().map(|entry| entry.unwrap());
    let fits = |name: &str| name.starts_with(before) && name.ends_with(after);
    entries.filter(|entry| fits(&entry.file_name().to_string_lossy())).map(|entry| entry.path()).collect()
}

#[track_caller]
fn lines(command: Command) -> Vec<String> {
    let output = process::succeed(command, LIMIT).unwrap_or_else(|why| panic!("{why}"));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

fn at(name: &str) -> PathBuf {
    Path::new(ROOT).join(name)
}
