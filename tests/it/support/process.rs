//! Commands with a time limit, and children that cannot outlive the tests.
//!
//! A long-lived child is started by [`spawn`] from a [`tethered`] command: the kernel kills it when the test process
//! ends for whatever reason. A destructor would not do: statics are never dropped, and a killed test drops nothing.

use std::{
    ffi::OsStr,
    io::{self, Read, Write as _},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::{
        LazyLock,
        mpsc::{self, Sender},
    },
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal};

use super::{require, until};

/// A command whose process receives SIGKILL when the test process ends. It must be started by [`spawn`] or [`output`].
///
/// `setpriv` (util-linux) sets the flag and then executes the program, so the child's process id is the program's. If
/// `setpriv` is missing, the program is started directly.
pub(crate) fn tethered(program: impl AsRef<OsStr>) -> Command {
    match require::command("setpriv") {
        Ok(setpriv) => {
            let mut command = Command::new(setpriv);
            command.args(["--pdeathsig", "KILL", "--"]).arg(program);
            command
        }
        Err(_) => Command::new(program),
    }
}

/// Starts a child from a thread that lives as long as the process.
///
/// For the kernel, the parent is the *thread* that started the child: a tethered child that several tests share and
/// that was started on a test's own thread would be killed as soon as that test ends.
pub(crate) fn spawn(command: Command) -> io::Result<Child> {
    type Job = (Command, Sender<io::Result<Child>>);
    static STARTER: LazyLock<Sender<Job>> = LazyLock::new(|| {
        let (sender, jobs) = mpsc::channel::<Job>();
        thread::spawn(move || {
            for (mut command, answer) in jobs {
                let _ = answer.send(command.spawn());
            }
        });
        sender
    });
    let (answer, started) = mpsc::channel();
    STARTER.send((command, answer)).expect("the starter never ends");
    started.recv().expect("the starter answers")
}

/// Runs a command without input until it ends, and collects its output.
///
/// # Errors
///
/// A text: the command cannot be started, or it exceeded `limit` and was killed with all its children.
pub(crate) fn output(command: Command, limit: Duration) -> Result<Output, String> {
    output_with_input(command, Vec::new(), limit)
}

/// As [`output`], with `input` as its standard input, which is then closed.
pub(crate) fn output_with_input(mut command: Command, input: Vec<u8>, limit: Duration) -> Result<Output, String> {
    use std::os::unix::process::CommandExt as _;
    let shown = shown(&command);
    // In a process group of its own, so that its children can be killed with it.
    command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = spawn(command).map_err(|error| format!("cannot start {shown}: {error}"))?;
    let mut stdin = child.stdin.take().expect("piped");
    let stdout = read_all(child.stdout.take().expect("piped"));
    let stderr = read_all(child.stderr.take().expect("piped"));
    // A child that does not read its input is not an error.
    thread::spawn(move || stdin.write_all(&input));

    let status = wait(&mut child, limit).map_err(|error| format!("cannot wait for {shown}: {error}"))?;
    if status.is_none() {
        let _ = rustix::process::kill_process_group(pid(&child), Signal::KILL);
        let _ = child.wait();
    }
    let (stdout, stderr) = (stdout.join().unwrap_or_default(), stderr.join().unwrap_or_default());
    match status {
        Some(status) => Ok(Output { status, stdout, stderr }),
        None => Err(format!("{shown} ran over {limit:?}; stderr: {}", String::from_utf8_lossy(&stderr))),
    }
}

/// As [`output`], for a command that must succeed.
///
/// # Errors
///
/// A text with the end of its output.
pub(crate) fn succeed(command: Command, limit: Duration) -> Result<Output, String> {
    let shown = shown(&command);
    let output = output(command, limit)?;
    if output.status.success() {
        return Ok(output);
    }
    let said = [output.stderr.as_slice(), output.stdout.as_slice()].concat();
    let said = String::from_utf8_lossy(&said);
    let lines: Vec<&str> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let last = lines[lines.len().saturating_sub(4)..].join(" / ");
    Err(format!("{shown}: {}: {last}", output.status))
}

/// Waits for a child to end; `None` if it does not within `limit`.
pub(crate) fn wait(child: &mut Child, limit: Duration) -> io::Result<Option<ExitStatus>> {
    // The standard library has no wait with a time limit.
    let mut waited = Ok(None);
    until::wait_until(limit, || {
        waited = child.try_wait();
        !matches!(waited, Ok(None))
    });
    waited
}

/// A child's process id.
pub(crate) fn pid(child: &Child) -> Pid {
    Pid::from_child(child)
}

fn read_all(mut from: impl Read + Send + 'static) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = from.read_to_end(&mut bytes);
        bytes
    })
}

/// The command as typed in a shell, without the tether.
fn shown(command: &Command) -> String {
    let words: Vec<String> = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    let tether = words.iter().position(|word| word == "--").filter(|_| words[0].ends_with("setpriv"));
    words[tether.map_or(0, |at| at + 1)..].join(" ")
}
