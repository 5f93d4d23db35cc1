//! `setParameter` and `getParameter` for `sslMode` and `tlsMode`, with mongod's checks, order and error texts. The
//! fields `force`, `guard` and `persist` are tlsramp's.

use bson::raw::{CStr, RawArrayBuf, RawBson, RawBsonRef, RawDocumentBuf, cstr};
use bson::rawdoc;

use super::context::CommandContext;
use super::errors::{INVALID_OPTIONS, UNKNOWN_FIELD};
use super::fields::{flag, is_generic, wrong_type};
use super::values::{as_text, displayed, type_name};
use crate::control::{Change, Interface};
use crate::mongo::{CommandFailure, CommandResult, Request};
use crate::policy::{Mode, Spelling};

/// The parameters, in the order of their names.
const PARAMETERS: [(&CStr, Spelling); 2] = [(cstr!("sslMode"), Spelling::Ssl), (cstr!("tlsMode"), Spelling::Tls)];
/// Other fields of the command.
const OPTIONS: [&str; 4] = ["force", "guard", "help", "persist"];

/// As in mongod, all names are checked first; then the parameters are set in the order of their names. The first
/// failure ends the command, and parameters that were already set stay set.
pub(super) async fn set(context: CommandContext<'_>) -> CommandResult {
    let CommandContext { connection, request, .. } = context;
    if flag(request, "help").unwrap_or(false) {
        return Ok(help("setParameter set administrative option(s)\n{ setParameter:1, <param>:<value> }\n"));
    }
    if has(request, "writeConcern") {
        return Err(CommandFailure::new(INVALID_OPTIONS, "Command does not support writeConcern"));
    }
    let (force, guard, persist) = (flag(request, "force")?, flag(request, "guard")?, flag(request, "persist")?);
    let asked = asked(request)?;
    let (controller, caller) = (&connection.shared.controller, connection.caller(Interface::Mongodb));
    let (mut was, mut warnings) = (None, Vec::<String>::new());
    for (name, spelling, value) in asked {
        let to = mode(name, spelling, value)?;
        let change = Change { force, guard, persist, ..Change::to(to, spelling) };
        let changed = controller.change_mode(change, &caller).await.map_err(CommandFailure::from)?;
        was.get_or_insert_with(|| changed.was.name(spelling));
        warnings.extend(changed.warnings.into_iter().filter(|warning| !warnings.contains(warning)).collect::<Vec<_>>());
    }
    let mut answer = RawDocumentBuf::new();
    if let Some(was) = was {
        answer.append(cstr!("was"), was);
    }
    if !warnings.is_empty() {
        answer.append(cstr!("warnings"), warnings.into_iter().map(RawBson::String).collect::<RawArrayBuf>());
    }
    Ok(answer)
}

/// The parameters to set and their values, in the order of names.
fn asked(request: &Request) -> Result<Vec<(&'static CStr, Spelling, RawBsonRef<'_>)>, CommandFailure> {
    let mut asked = Vec::new();
    for (key, value) in fields(request) {
        let parameter = PARAMETERS.into_iter().find(|(name, _)| name.as_str() == key);
        match parameter {
            Some((name, spelling)) => asked.push((name, spelling, value)),
            None if OPTIONS.contains(&key) => {}
            None => {
                let text = format!("attempted to set unrecognized parameter [{key}], use help:true to see options ");
                return Err(CommandFailure::uncoded(text));
            }
        }
    }
    if asked.is_empty() {
        return Err(CommandFailure::uncoded("no option found to set, use help:true to see options "));
    }
    asked.sort_by_key(|(name, _, _)| name.as_str());
    Ok(asked)
}

fn mode(name: &CStr, spelling: Spelling, value: RawBsonRef<'_>) -> Result<Mode, CommandFailure> {
    let Some(text) = as_text(value) else {
        let (kind, value) = (type_name(value), displayed(value));
        let text = format!("Unsupported type {kind} (value: '{name}: {value}') for setParameter: {name}");
        return Err(CommandFailure::bad_value(text));
    };
    Mode::parse(&text, spelling).map_err(|error| CommandFailure::bad_value(error.to_string()))
}

/// Unknown names are ignored if at least one known name is given.
pub(super) fn get(context: &CommandContext<'_>) -> CommandResult {
    let CommandContext { connection, request, .. } = *context;
    if flag(request, "help").unwrap_or(false) {
        return Ok(help(HELP_GET));
    }
    let first = request.command.iter().next().and_then(Result::ok).map(|(_, value)| value);
    let GetOptions { all, details } = GetOptions::of(first)?;
    let (mode, _) = connection.shared.controller.view().mode();
    let mut answer = RawDocumentBuf::new();
    for (name, spelling) in PARAMETERS {
        if all || has(request, name.as_str()) {
            let value = mode.name(spelling);
            match details {
                true => answer
                    .append(name, rawdoc! { "value": value, "settableAtRuntime": true, "settableAtStartup": false }),
                false => answer.append(name, value),
            }
        }
    }
    if answer.is_empty() {
        return Err(CommandFailure::uncoded("no option found to get"));
    }
    Ok(answer)
}

/// The options in the command's own value.
#[derive(Debug, Default, PartialEq)]
struct GetOptions {
    all: bool,
    details: bool,
}

impl GetOptions {
    fn of(value: Option<RawBsonRef<'_>>) -> Result<GetOptions, CommandFailure> {
        let mut wanted = GetOptions::default();
        match value {
            Some(RawBsonRef::String("*")) => wanted.all = true,
            Some(RawBsonRef::Document(options)) => {
                for (key, value) in options.iter().flatten() {
                    match key.as_str() {
                        "showDetails" => wanted.details = truth("showDetails", value)?,
                        "allParameters" => wanted.all = truth("allParameters", value)?,
                        _ => {
                            let text = format!("BSON field 'getParameter.{key}' is an unknown field.");
                            return Err(CommandFailure::new(UNKNOWN_FIELD, text));
                        }
                    }
                }
            }
            _ => {}
        }
        Ok(wanted)
    }
}

/// mongod's "safe bool": a boolean or a number.
fn truth(field: &str, value: RawBsonRef<'_>) -> Result<bool, CommandFailure> {
    #[expect(clippy::wildcard_enum_match_arm, reason = "every other type is an error")]
    match value {
        RawBsonRef::Boolean(value) => Ok(value),
        RawBsonRef::Int32(number) => Ok(number != 0),
        RawBsonRef::Int64(number) => Ok(number != 0),
        RawBsonRef::Double(number) => Ok(number != 0.0),
        // mongod's text has the quote and the bracket in this order too.
        other => Err(wrong_type("getParameter", field, other, "expected types '[bool, long, int, decimal, double']")),
    }
}

/// The fields after the command's name, without the generic ones.
fn fields(request: &Request) -> impl Iterator<Item = (&str, RawBsonRef<'_>)> {
    let fields = request.command.iter().flatten().skip(1).map(|(key, value)| (key.as_str(), value));
    fields.filter(|(key, _)| !is_generic(key))
}

fn has(request: &Request, field: &str) -> bool {
    request.command.iter().flatten().skip(1).any(|(key, _)| key.as_str() == field)
}

fn help(text: &str) -> RawDocumentBuf {
    let names: String = PARAMETERS.iter().map(|(name, _)| format!("  {name}\n")).collect();
    rawdoc! { "help": format!("help for: {text}supported:\n{names}") }
}

const HELP_GET: &str = "getParameter get administrative option(s)\nexample:\n{ getParameter:1, notablescan:1 }\n\
     pass a document as the value for getParameter to request options\nexample:\n\
     { getParameter:{showDetails: true}, notablescan:1}\n";
