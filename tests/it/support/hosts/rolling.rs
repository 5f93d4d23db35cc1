//! Runs `tlsramp rollout` over the set's sidecars from the application's host, which resolves the members' names.

use std::{path::Path, time::Duration};

use super::{Host, running::Running};
use crate::support::{Mark, Scratch, service::wait_until};

/// A rollout in progress, killed on drop.
#[derive(Debug)]
pub(crate) struct Rollout {
    running: Running,
    _folder: Scratch,
}

/// The result of a rollout.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) said: String,
}

impl Rollout {
    /// Starts a rollout over these admin ports, with its change record in `log`.
    pub(crate) fn start(from: &Host, nodes: &[String], log: &Path, args: &[&str]) -> Self {
        let folder = Scratch::new("rollout");
        let mut command = from.command(env!("CARGO_BIN_EXE_tlsramp"));
        command.arg("rollout").args(args).arg("--log").arg(log);
        command.args(nodes.iter().flat_map(|node| ["--node", node]));
        let running = Running::start("the rollout", command, &folder.join("log"));
        Self { running, _folder: folder }
    }

    /// Waits until the rollout has printed this text.
    #[track_caller]
    pub(crate) fn wait_said(&mut self, text: &str) {
        let said = |rollout: &Self| rollout.said().contains(text);
        let ended = |rollout: &mut Self| rollout.running.has_ended();
        let found = wait_until(LIMIT, || said(self) || ended(self));
        assert!(found && said(self), "the rollout does not say {text:?}:\n{}", self.said());
    }

    /// Waits until the rollout ends.
    #[track_caller]
    pub(crate) fn end(mut self) -> Ended {
        let status = self.running.wait_end(LIMIT);
        let code = status.unwrap_or_else(|| panic!("the rollout does not end:\n{}", self.said())).code();
        Ended { code, said: self.said() }
    }

    /// Whether the rollout has ended.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.running.has_ended()
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.running.pid()
    }

    /// Everything that the rollout has printed.
    pub(crate) fn said(&self) -> String {
        self.running.log.lines(Mark::START).join("\n")
    }
}

impl Ended {
    /// Asserts that every node is in the requested mode, which its flags name too.
    #[track_caller]
    pub(crate) fn assert_done(&self) {
        assert_eq!(self.code, Some(0), "{}", self.said);
    }

    /// Asserts that every node is in the requested mode, and that the nodes whose flags name another mode were
    /// reported.
    #[track_caller]
    pub(crate) fn assert_done_but_for_flags(&self) {
        assert_eq!(self.code, Some(3), "{}", self.said);
    }

    /// Asserts that the rollout stopped and printed this reason.
    #[track_caller]
    pub(crate) fn assert_stopped(&self, reason: &str) {
        assert_eq!(self.code, Some(1), "{}", self.said);
        assert!(self.said.contains(reason), "it does not say {reason:?}:\n{}", self.said);
    }
}

/// A rollout may wait for members and old connections; a step takes a second.
const LIMIT: Duration = Duration::from_secs(400);
