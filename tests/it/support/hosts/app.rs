//! The application: writers and readers that use pymongo on a host of their own, see `tests/it/py/writer.py`.

use std::{collections::BTreeMap, io::Write as _, path::Path, time::Duration};

use serde::Deserialize;
use serde_json::json;

use super::{Set, running::Running, set::NAME};
use crate::support::{Mark, Scratch, parts, until};

/// How an application connects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Plaintext,
    Tls,
}

/// A running application, killed on drop.
#[derive(Debug)]
pub(crate) struct App {
    running: Running,
    _folder: Scratch,
}

/// The application's counts so far.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Beat {
    /// Number of writes that were acknowledged by a majority.
    pub(crate) acknowledged: u64,
    /// Number of reads that were answered.
    pub(crate) reads: u64,
    /// Exceptions that reached the application, counted by text.
    pub(crate) errors: BTreeMap<String, u64>,
    /// The longest duration of an operation, in seconds.
    pub(crate) longest: f64,
    /// Number of other operations, by kind; see `tests/it/py/operations.py`.
    #[serde(default)]
    pub(crate) done: BTreeMap<String, u64>,
}

/// The application's findings at its end.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Summary {
    #[serde(flatten)]
    pub(crate) beat: Beat,
    /// Acknowledged writes that were not found.
    pub(crate) lost: Vec<String>,
    /// The number of acknowledged increments, and the resulting counter.
    pub(crate) increments: u64,
    pub(crate) counter: u64,
}

impl App {
    /// Starts an application and waits until all of its writers and readers work.
    pub(crate) fn start(set: &Set, marker: &str, kind: Kind) -> Self {
        Self::start_script(set, "writer.py", parts::pymongo(), marker, kind)
    }

    /// Starts an application that uses every kind of operation, with a driver that supports every release of mongod.
    pub(crate) fn start_operations(set: &Set, marker: &str, kind: Kind) -> Self {
        Self::start_script(set, "operations.py", parts::pymongo_4_10(), marker, kind)
    }

    fn start_script(set: &Set, script: &str, python: parts::Part, marker: &str, kind: Kind) -> Self {
        let folder = Scratch::new("app");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/py").join(script);
        let mut command = set.network.app().command(python.expect("required first"));
        let hosts: Vec<String> = set.members.iter().map(|member| member.host.member()).collect();
        let config = json!({
            "hosts": hosts, "set": NAME, "marker": marker, "kind": kind.word(),
            "ca": set.identities.ca(), "certificate": set.identities.file("client"),
        });
        command.arg(script).arg(config.to_string());
        let running = Running::start("the application", command, &folder.join("log"));
        running.wait(Mark::START, PATIENCE, |line| line["event"] == "started");
        Self { running, _folder: folder }
    }

    /// Deploys the application again, with TLS or plaintext. There is no interruption: the old one is closed after the
    /// new one has taken over.
    #[track_caller]
    pub(crate) fn redeploy(&mut self, kind: Kind) {
        let from = self.say(kind.word());
        self.running.wait(from, PATIENCE, |line| line["event"] == "moved");
    }

    /// The counts so far. Waits for a line of the application that is newer than this call.
    #[track_caller]
    pub(crate) fn beat(&self) -> Beat {
        let from = self.running.log.mark();
        let line = self.running.wait(from, PATIENCE, |line| line["event"] == "beat");
        serde_json::from_value(line).expect("a beat")
    }

    /// Waits until `more` further writes were acknowledged.
    #[track_caller]
    pub(crate) fn wait_writes(&self, more: u64) {
        let wanted = self.beat().acknowledged + more;
        let from = self.running.log.mark();
        let enough = |line: &serde_json::Value| line["acknowledged"].as_u64().is_some_and(|count| count >= wanted);
        self.running.wait(from, PATIENCE, |line| line["event"] == "beat" && enough(line));
    }

    /// Ends the application, which then looks for every acknowledged write.
    #[track_caller]
    pub(crate) fn finish(mut self) -> Summary {
        let from = self.say("finish");
        let line = self.running.wait(from, PATIENCE, |line| line["event"] == "finished");
        serde_json::from_value(line).expect("a summary")
    }

    fn say(&mut self, word: &str) -> Mark {
        let from = self.running.log.mark();
        writeln!(self.running.stdin(), "{word}").expect("the application listens");
        from
    }
}

impl Summary {
    /// Asserts that nothing was lost or done twice, and that no error reached the application. On a busy machine, an
    /// operation that drivers do not repeat may fail if its connection is moved: the driver may be stopped between its
    /// check of the connection and the request.
    #[track_caller]
    pub(crate) fn assert_flawless(&self) {
        let excused = |text: &str| until::busy() && NOT_REPEATED.iter().any(|kind| text.starts_with(kind));
        let errors: Vec<_> = self.beat.errors.keys().filter(|text| !excused(text)).collect();
        assert!(errors.is_empty(), "errors reached the application: {errors:#?}");
        self.assert_nothing_lost();
    }

    /// Asserts that nothing acknowledged was lost or done twice. An operation that failed may or may not have been
    /// done.
    #[track_caller]
    pub(crate) fn assert_nothing_lost(&self) {
        assert!(self.lost.is_empty(), "{} writes lost: {:?}", self.lost.len(), self.lost);
        let errors: u64 = self.beat.errors.values().sum();
        let possible = self.increments..=self.increments + errors;
        assert!(possible.contains(&self.counter), "{} increments came to {}", self.increments, self.counter);
        assert!(self.beat.acknowledged > 0 && self.beat.reads > 0, "it did nothing: {self:?}");
    }
}

impl Kind {
    const fn word(self) -> &'static str {
        match self {
            Self::Plaintext => "plaintext",
            Self::Tls => "tls",
        }
    }
}

/// The operations of `tests/it/py/operations.py` that drivers do not repeat.
const NOT_REPEATED: [&str; 4] = ["getMore:", "exhaust:", "update_many:", "w:0:"];
/// Server selection alone may take half a minute during an election.
const PATIENCE: Duration = Duration::from_secs(240);
