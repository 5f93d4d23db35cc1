//! The texts that the page on troubleshooting quotes.

use std::fs;

use super::pages;

/// In the first part, for clients, those of tlsramp are headings that name it; the others are of drivers and of OpenSSL.
#[test]
fn quoted_texts_are_in_the_sources() {
    let mut sources = String::new();
    for file in pages::files("src", "rs") {
        // A literal over several lines is one text.
        let text = fs::read_to_string(pages::root().join(file)).unwrap();
        sources.extend(text.replace("\\\"", "\"").split("\\\n").map(str::trim_start));
    }
    let page = pages::read("docs/src/troubleshooting.md").text;
    let (clients, ours) = page.split_once("## In the log: outcomes").unwrap();
    let headings = clients.lines().filter(|line| line.starts_with("### `tlsramp "));
    let cells = ours.lines().filter(|line| line.starts_with("| `")).filter_map(|line| line.split_once(" | "));
    let texts = headings.chain(cells.map(|(cell, _)| cell));
    let quoted = texts.flat_map(|text| text.split('`').skip(1).step_by(2));
    let (mut count, mut missing) = (0, Vec::new());
    for text in quoted.filter(|text| !COMPOSED.iter().any(|composed| text.starts_with(composed))) {
        count += 1;
        let parts = text.split("...").map(|part| part.trim_matches([' ', ';', ':', ',', '\'']));
        missing.extend(
            parts.filter(|part| !sources.contains(part) && !sources.contains(&variant(part))).map(str::to_owned),
        );
    }
    assert!(missing.is_empty(), "no text of tlsramp has {missing:#?}");
    assert!(count > 100, "{count}");
}

/// Texts that are put together of parts: alerts by their names, errors of the system, names of parameters.
const COMPOSED: [&str; 4] = ["the peer sent the alert", "bad_certificate", "cannot listen:", "Invalid tlsMode"];

/// The name of the enum's variant that JSON has in camel case.
fn variant(id: &str) -> String {
    id.get(..1).unwrap_or_default().to_uppercase() + id.get(1..).unwrap_or_default()
}
