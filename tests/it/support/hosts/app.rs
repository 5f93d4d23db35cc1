//! The application: writers and readers by pymongo on a host of their own, see `tests/it/py/writer.py`.

use std::{collections::BTreeMap, io::Write as _, path::Path, time::Duration};

use serde::Deserialize;
use serde_json::json;

use super::{Set, running::Running, set::NAME};
use crate::support::{Mark, Scratch, parts};

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

/// What it has done so far.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Beat {
    /// Writes that were acknowledged by a majority.
    pub(crate) acknowledged: u64,
    /// Reads that were answered.
    pub(crate) reads: u64,
    /// Exceptions that reached the application, by what they say.
    pub(crate) errors: BTreeMap<String, u64>,
    /// The longest that one operation took, in seconds.
    pub(crate) longest: f64,
    /// How often each kind of operation beside these was done, see `tests/it/py/operations.py`.
    #[serde(default)]
    pub(crate) done: BTreeMap<String, u64>,
}

/// What it found when it had finished.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Summary {
    #[serde(flatten)]
    pub(crate) beat: Beat,
    /// Acknowledged writes that are not there.
    pub(crate) lost: Vec<String>,
    /// Increments that were acknowledged, and what they came to.
    pub(crate) increments: u64,
    pub(crate) counter: u64,
}

impl App {
    /// Starts one and waits until everybody in it works.
    pub(crate) fn start(set: &Set, marker: &str, kind: Kind) -> Self {
        Self::start_script(set, "writer.py", parts::pymongo(), marker, kind)
    }

    /// One that does every kind of operation, with a driver that talks to every release of mongod.
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

    /// Deploys it anew, by TLS or plaintext: nobody waits, and the old one is closed when the new one has taken over.
    #[track_caller]
    pub(crate) fn redeploy(&mut self, kind: Kind) {
        let from = self.say(kind.word());
        self.running.wait(from, PATIENCE, |line| line["event"] == "moved");
    }

    /// What it has done by now, once it has gone on for a while from now.
    #[track_caller]
    pub(crate) fn beat(&self) -> Beat {
        let from = self.running.log.mark();
        let line = self.running.wait(from, PATIENCE, |line| line["event"] == "beat");
        serde_json::from_value(line).expect("a beat")
    }

    /// Waits until so many more writes have been acknowledged.
    #[track_caller]
    pub(crate) fn wait_writes(&self, more: u64) {
        let wanted = self.beat().acknowledged + more;
        let from = self.running.log.mark();
        let enough = |line: &serde_json::Value| line["acknowledged"].as_u64().is_some_and(|count| count >= wanted);
        self.running.wait(from, PATIENCE, |line| line["event"] == "beat" && enough(line));
    }

    /// Ends it: it looks for all that was acknowledged.
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
    /// That nothing was lost, done twice, or reported to the application as an error.
    #[track_caller]
    pub(crate) fn assert_flawless(&self) {
        assert!(self.beat.errors.is_empty(), "errors reached the application: {:#?}", self.beat.errors);
        self.assert_nothing_lost();
    }

    /// That nothing acknowledged was lost or done twice; what had an error may have been done or not.
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

/// Server selection alone may take half a minute where there is an election.
const PATIENCE: Duration = Duration::from_secs(90);
