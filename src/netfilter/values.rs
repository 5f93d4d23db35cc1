//! Whether a value is among those that a rule names: itself, a range, a set, a named set.

use serde_json::Value;

use super::ruleset::{Name, Ruleset};

/// What can be said of a match beforehand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    Yes,
    No,
    /// It depends on what is not known of the packet, or cannot be told.
    Open,
}

impl Answer {
    pub(super) fn of(yes: bool) -> Answer {
        if yes { Answer::Yes } else { Answer::No }
    }

    pub(super) fn not(self) -> Answer {
        match self {
            Answer::Yes => Answer::No,
            Answer::No => Answer::Yes,
            Answer::Open => Answer::Open,
        }
    }
}

/// A value that is known of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    Number(u16),
    Word(&'static str),
    /// Anything but this word.
    Not(&'static str),
}

/// Whether a value is what stands on the right of a match, in a rule of the table of `of`.
pub(super) fn among(known: Known, right: &Value, of: &Name, ruleset: &Ruleset) -> Answer {
    match right {
        Value::Number(number) => match known {
            Known::Number(value) => Answer::of(number.as_u64() == Some(value.into())),
            Known::Word("tcp") => Answer::of(number.as_u64() == Some(TCP)),
            Known::Word(_) | Known::Not(_) => Answer::Open,
        },
        Value::String(set) if set.starts_with('@') => match ruleset.elements(of, set) {
            Some(elements) => any(known, elements, of, ruleset),
            None => Answer::Open,
        },
        Value::String(text) => is_text(known, text),
        // Flags of which one is enough.
        Value::Array(values) => any(known, values, of, ruleset),
        Value::Object(fields) => match fields.iter().next().map(|(key, value)| (key.as_str(), value)) {
            Some(("set", Value::Array(values))) => any(known, values, of, ruleset),
            Some(("set", one)) => among(known, one, of, ruleset),
            Some(("elem", element)) => among(known, &element["val"], of, ruleset),
            Some(("range", bounds)) => within(known, bounds),
            _ => Answer::Open,
        },
        Value::Null | Value::Bool(_) => Answer::Open,
    }
}

fn any(known: Known, values: &[Value], of: &Name, ruleset: &Ruleset) -> Answer {
    let mut found = Answer::No;
    for value in values {
        match among(known, value, of, ruleset) {
            Answer::Yes => return Answer::Yes,
            Answer::Open => found = Answer::Open,
            Answer::No => {}
        }
    }
    found
}

fn is_text(known: Known, text: &str) -> Answer {
    let is = |word: &str| match text.strip_suffix('*') {
        Some(start) => word.starts_with(start),
        None => word == text,
    };
    match known {
        // What is no number is a service by its name, which depends on who lists the rules.
        Known::Number(value) => number(text).map_or(Answer::Open, |number| Answer::of(number == value)),
        Known::Word(word) => Answer::of(is(word)),
        Known::Not(word) if is(word) && !text.ends_with('*') => Answer::No,
        Known::Not(_) => Answer::Open,
    }
}

/// As nft 1.0 prints ports in a set of original ports, too: `0x6989 [invalid type]`.
fn number(text: &str) -> Option<u16> {
    let text = text.strip_suffix(" [invalid type]").unwrap_or(text);
    match text.strip_prefix("0x") {
        Some(digits) => u16::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

fn within(known: Known, bounds: &Value) -> Answer {
    match (known, bounds[0].as_u64(), bounds[1].as_u64()) {
        (Known::Number(value), Some(from), Some(to)) => Answer::of((from..=to).contains(&value.into())),
        _ => Answer::Open,
    }
}

/// A match by an operator, as nft names it.
pub(super) fn compare(op: &str, known: Known, right: &Value, of: &Name, ruleset: &Ruleset) -> Answer {
    match op {
        "==" | "in" => among(known, right, of, ruleset),
        "!=" | "!" => among(known, right, of, ruleset).not(),
        _ => {
            let (Known::Number(value), Some(bound)) = (known, right.as_u64()) else { return Answer::Open };
            let value = u64::from(value);
            match op {
                "<" => Answer::of(value < bound),
                "<=" => Answer::of(value <= bound),
                ">" => Answer::of(value > bound),
                ">=" => Answer::of(value >= bound),
                _ => Answer::Open,
            }
        }
    }
}

/// TCP's number among the protocols of IP.
const TCP: u64 = 6;
