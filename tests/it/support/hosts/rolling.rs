//! `tlsramp rollout` over the set's sidecars, from the application's host, which knows the members by their names.

use std::{path::Path, time::Duration};

use super::{Host, running::Running};
use crate::support::{Mark, Scratch, service::wait_until};

/// A rollout under way, killed on drop.
#[derive(Debug)]
pub(crate) struct Rollout {
    running: Running,
    _folder: Scratch,
}

/// How it ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) said: String,
}

impl Rollout {
    /// Starts one over these admin ports; its change record is in `log`.
    pub(crate) fn start(from: &Host, nodes: &[String], log: &Path, args: &[&str]) -> Self {
        let folder = Scratch::new("rollout");
        let mut command = from.command(env!("CARGO_BIN_EXE_tlsramp"));
        command.arg("rollout").args(args).arg("--log").arg(log);
        command.args(nodes.iter().flat_map(|node| ["--node", node]));
        let running = Running::start("the rollout", command, &folder.join("log"));
        Self { running, _folder: folder }
    }

    /// Waits until it has said this.
    #[track_caller]
    pub(crate) fn wait_said(&mut self, text: &str) {
        let said = |rollout: &Self| rollout.said().contains(text);
        let ended = |rollout: &mut Self| rollout.running.has_ended();
        let found = wait_until(LIMIT, || said(self) || ended(self));
        assert!(found && said(self), "the rollout does not say {text:?}:\n{}", self.said());
    }

    /// Waits for its end.
    #[track_caller]
    pub(crate) fn end(mut self) -> Ended {
        let status = self.running.wait_end(LIMIT);
        let code = status.unwrap_or_else(|| panic!("the rollout does not end:\n{}", self.said())).code();
        Ended { code, said: self.said() }
    }

    /// Whether it has come to its end.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.running.has_ended()
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.running.pid()
    }

    /// All that it has said.
    pub(crate) fn said(&self) -> String {
        self.running.log.lines(Mark::START).join("\n")
    }
}

impl Ended {
    /// That every node is at the mode, as its flags say.
    #[track_caller]
    pub(crate) fn assert_done(&self) {
        assert_eq!(self.code, Some(0), "{}", self.said);
    }

    /// That every node is at the mode, and the flags, which say another, are named.
    #[track_caller]
    pub(crate) fn assert_done_but_for_flags(&self) {
        assert_eq!(self.code, Some(3), "{}", self.said);
    }

    /// That it stopped, and named this.
    #[track_caller]
    pub(crate) fn assert_stopped(&self, reason: &str) {
        assert_eq!(self.code, Some(1), "{}", self.said);
        assert!(self.said.contains(reason), "it does not say {reason:?}:\n{}", self.said);
    }
}

/// Members may be waited for, and old connections; a step takes a second.
const LIMIT: Duration = Duration::from_secs(150);
