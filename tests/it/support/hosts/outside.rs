//! Sends one command from the application's host with pymongo, and returns the client's result.

use std::{path::Path, time::Duration};

use serde_json::Value;

use super::Host;
use crate::support::process;

/// The answer of a member's mongod to the pymongo of this interpreter, with these URI options.
///
/// # Errors
///
/// The driver's error.
pub(crate) fn ask(python: &Path, from: &Host, to: &Host, options: &str, command: &Value) -> Result<Value, String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/py/ping.py");
    let bound = "serverSelectionTimeoutMS=8000&connectTimeoutMS=8000";
    let uri = format!("mongodb://{}/?directConnection=true&{bound}&{options}", to.member());
    let mut command_line = from.command(python);
    command_line.arg(script).arg(uri).arg(command.to_string());
    let output = process::succeed(command_line, Duration::from_secs(120))?;
    let mut said: Value = serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())?;
    match said["error"].as_str() {
        None => Ok(said["answer"].take()),
        Some(error) => Err(error.to_owned()),
    }
}
