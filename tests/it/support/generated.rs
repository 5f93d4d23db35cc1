//! Blocks of the documentation that tests generate, between `<!-- begin NAME -->` and `<!-- end NAME -->`.

use std::{fs, path::Path};

/// Compares a block with the text that it should have. With `TLSRAMP_BLESS=1` in the environment, the text is written
/// instead.
///
/// # Panics
///
/// If they differ, or the page has no such block.
#[track_caller]
pub(crate) fn check(page: &str, block: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/src/reference").join(page);
    let old = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let (begin, end) = (format!("<!-- begin {block} -->\n"), format!("<!-- end {block} -->"));
    let parts = old.split_once(&begin).and_then(|(before, rest)| Some((before, rest.split_once(&end)?)));
    let (before, (now, after)) = parts.unwrap_or_else(|| panic!("{page} has no block `{block}`"));
    let text = format!("\n{}\n\n", text.trim());
    if now == text {
        return;
    }
    if is_blessing() {
        fs::write(&path, format!("{before}{begin}{text}{end}{after}")).expect("the page can be written");
        return;
    }
    panic!(
        "the block `{block}` of {page} is out of date: run this test with TLSRAMP_BLESS=1 and commit the page.\n\
         It should be:\n{text}"
    );
}

/// Whether generated files are to be written instead of compared.
pub(crate) fn is_blessing() -> bool {
    std::env::var("TLSRAMP_BLESS").is_ok_and(|value| value == "1")
}
