//! The output of a subcommand.

use serde_json::json;

use crate::admin_client::Answer;
use crate::screen::Page;

/// The output of a subcommand, as text and as JSON.
#[derive(Debug)]
pub(super) struct CtlOutput {
    pub(super) page: Page,
    pub(super) json: String,
    pub(super) exit: u8,
    /// A message for standard error.
    pub(super) notice: Option<String>,
}

impl CtlOutput {
    pub(super) fn new<T>(answer: Answer<T>, page: impl FnOnce(&T) -> Page) -> CtlOutput {
        CtlOutput { page: page(&answer.value), json: answer.json, exit: DONE, notice: None }
    }

    /// The output for an unknown client, which `ctl` detects, not the admin port.
    pub(super) fn unknown_client(why: String) -> CtlOutput {
        let json = json!({ "error": why, "code": "UnknownClient" }).to_string();
        CtlOutput { page: Page::default(), json, exit: NO, notice: Some(why) }
    }

    pub(super) fn no_if(self, no: bool) -> CtlOutput {
        CtlOutput { exit: if no { NO } else { self.exit }, ..self }
    }
}

pub(super) const DONE: u8 = 0;
pub(super) const NO: u8 = 1;
pub(super) const USAGE: u8 = 2;
/// The guard refused a change of mode.
pub(super) const GUARDED: u8 = 3;
/// No tlsramp answers at the admin address.
pub(super) const UNREACHED: u8 = 4;
