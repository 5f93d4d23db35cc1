//! Finds the blocks of a PEM file by OpenSSL's rules.
//!
//! Text outside of blocks is ignored, as in OpenSSL. A damaged block is an error, although OpenSSL skips it: skipping a
//! block would silently drop a trusted CA or a revocation.

/// One block, not yet decoded.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct PemBlock {
    /// The label of its BEGIN line, such as `CERTIFICATE`.
    pub(crate) label: String,
    /// The line number of its BEGIN line, starting at 1.
    pub(crate) line: usize,
    /// Whether it has the header `Proc-Type: 4,ENCRYPTED` (RFC 1421), which marks keys in OpenSSL's traditional
    /// encrypted format.
    pub(crate) encrypted: bool,
    /// The base64 text without white space.
    pub(crate) base64: String,
}

/// Finds all blocks.
///
/// # Errors
/// The number of the first invalid line and what is wrong with it.
pub(crate) fn blocks(text: &[u8]) -> Result<Vec<PemBlock>, String> {
    let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
    // Files in the classic Mac OS format contain no line feeds.
    let newline = if text.contains(&b'\n') { b'\n' } else { b'\r' };
    let text = text.strip_suffix(&[newline]).unwrap_or(text);
    let mut blocks = Vec::new();
    let mut open: Option<OpenBlock> = None;
    // Whether the previous line may belong to a block.
    let mut in_base64 = false;
    for (at, line) in text.split(|byte| *byte == newline).enumerate() {
        let (number, line) = (at + 1, trim_end(line));
        // When files are concatenated, each of them may begin with a byte order mark.
        let line = line.strip_prefix(BYTE_ORDER_MARK).filter(|rest| rest.starts_with(b"-----BEGIN ")).unwrap_or(line);
        match open.take() {
            None => {
                if in_base64 && line.starts_with(b"-----END ") {
                    return Err(format!("line {number}: an END line without a BEGIN line ({})", shown(line)));
                }
                in_base64 = !line.is_empty() && line.iter().all(is_base64);
                open = begin(number, line)?.map(OpenBlock::new);
            }
            Some(mut block) => {
                if block.take(number, line)? {
                    blocks.push(block.block);
                } else {
                    open = Some(block);
                }
            }
        }
    }
    match open {
        None => Ok(blocks),
        Some(OpenBlock { block, .. }) => Err(format!("{block} has no END line")),
    }
}

impl std::fmt::Display for PemBlock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {}: the block {}", self.line, self.label.escape_debug())
    }
}

/// A block whose END line has not been read yet.
struct OpenBlock {
    block: PemBlock,
    part: BlockPart,
}

/// The part of a block that the next line belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum BlockPart {
    /// The first line, which may be the first header.
    First,
    /// A header line; an empty line ends the headers.
    Header,
    Body,
}

impl OpenBlock {
    fn new(block: PemBlock) -> OpenBlock {
        OpenBlock { block, part: BlockPart::First }
    }

    /// Adds a line; returns `true` if it is the END line.
    fn take(&mut self, number: usize, line: &[u8]) -> Result<bool, String> {
        if let Some(rest) = line.strip_prefix(b"-----END ") {
            return match rest.strip_suffix(b"-----") {
                Some(label) if label == self.block.label.as_bytes() => Ok(true),
                _ if contains(rest, b"-----BEGIN ") => Err(format!("line {number}: END and BEGIN on the same line")),
                _ => Err(format!("{} ends with {} in line {number}", self.block, shown(line))),
            };
        }
        if contains(line, b"-----BEGIN ") {
            return Err(format!("{} has no END line before the BEGIN in line {number}", self.block));
        }
        match self.part {
            BlockPart::First if line.starts_with(b"Proc-Type:") => {
                self.part = BlockPart::Header;
                self.block.encrypted = contains(line, b"ENCRYPTED");
            }
            BlockPart::First | BlockPart::Header if line.is_empty() => self.part = BlockPart::Body,
            BlockPart::Header => {}
            BlockPart::Body if line.is_empty() => {
                return Err(format!("line {number}: an empty line in the block of line {}", self.block.line));
            }
            BlockPart::First | BlockPart::Body => {
                self.part = BlockPart::Body;
                self.body(number, line)?;
            }
        }
        Ok(false)
    }

    /// Adds a line of the body. The error shows only the byte that is wrong, since the line may be part of a private key.
    fn body(&mut self, number: usize, line: &[u8]) -> Result<(), String> {
        for byte in line.iter().filter(|byte| !byte.is_ascii_whitespace()) {
            if !is_base64(byte) {
                let (wrong, begun) = (byte.escape_ascii(), self.block.line);
                return Err(format!("line {number}: '{wrong}' is not base64, in the block of line {begun}"));
            }
            self.block.base64.push(char::from(*byte));
        }
        Ok(())
    }
}

/// Starts a block if this is a BEGIN line; `None` if it is text.
fn begin(number: usize, line: &[u8]) -> Result<Option<PemBlock>, String> {
    let trimmed = line.trim_ascii_start();
    let Some(rest) = trimmed.strip_prefix(b"-----BEGIN ") else {
        if trimmed.len() >= LOST_BYTES && trimmed.starts_with(b"MI") && trimmed.iter().all(is_base64) {
            return Err(format!("line {number}: base64 without a BEGIN line"));
        }
        return Ok(None);
    };
    if trimmed.len() != line.len() {
        return Err(format!("line {number}: an indented BEGIN line"));
    }
    match rest.strip_suffix(b"-----").map(std::str::from_utf8) {
        Some(Ok(label)) if !label.is_empty() && !label.contains("-----") => {
            Ok(Some(PemBlock { label: label.to_owned(), line: number, encrypted: false, base64: String::new() }))
        }
        _ => Err(format!("line {number}: an incomplete BEGIN line ({})", shown(line))),
    }
}

fn is_base64(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || b"+/=".contains(byte)
}

/// OpenSSL ignores blanks and control characters at the end of a line.
fn trim_end(line: &[u8]) -> &[u8] {
    let end = line.iter().rposition(|byte| *byte > b' ').map_or(0, |last| last + 1);
    &line[..end]
}

fn contains(line: &[u8], part: &[u8]) -> bool {
    line.windows(part.len()).any(|window| window == part)
}

/// A BEGIN or END line for an error message, without what follows its label: that may be part of a private key.
fn shown(line: &[u8]) -> String {
    let label = line.windows(DASHES.len()).skip(DASHES.len()).position(|window| window == DASHES);
    let end = label.map_or(SHOWN_BYTES, |at| at + 2 * DASHES.len());
    let cut = &line[..line.len().min(end)];
    format!("'{}{}'", String::from_utf8_lossy(cut).escape_debug(), if cut.len() < line.len() { "..." } else { "" })
}

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";
const DASHES: &[u8] = b"-----";
/// Bytes shown of a BEGIN or END line whose label has no end.
const SHOWN_BYTES: usize = 24;
/// Minimum length at which text that is all base64 and begins like a DER sequence is taken for a part of a block rather
/// than for a comment.
const LOST_BYTES: usize = 48;

#[cfg(test)]
mod tests {
    use super::blocks;
    use proptest::prelude::proptest;

    #[test]
    fn reads_what_openssl_reads_and_names_what_it_does_not() {
        let one = "-----BEGIN A-----\nAAAA\n-----END A-----\n";
        type Blocks<'a> = Result<&'a [(&'a str, usize, &'a str)], &'a str>;
        let rows: [(&str, Blocks<'_>); 24] = [
            ("", Ok(&[])),
            ("text\n", Ok(&[])),
            (one, Ok(&[("A", 1, "AAAA")])),
            (&format!("\u{feff}{one}"), Ok(&[("A", 1, "AAAA")])),
            (&format!("\u{feff}{one}\u{feff}{one}"), Ok(&[("A", 1, "AAAA"), ("A", 4, "AAAA")])),
            (&format!("text\n{one}text\n{one}text"), Ok(&[("A", 2, "AAAA"), ("A", 6, "AAAA")])),
            (&one.replace('\n', "\r\n"), Ok(&[("A", 1, "AAAA")])),
            (&one.replace('\n', "\r"), Ok(&[("A", 1, "AAAA")])),
            (&one.replace('\n', " \t\n"), Ok(&[("A", 1, "AAAA")])),
            ("-----BEGIN A-----\nProc-Type: 4,X\nY: 1\n\nAAAA\n-----END A-----", Ok(&[("A", 1, "AAAA")])),
            ("-----BEGIN A-----\nX: 1\n\nAAAA\n-----END A-----", Err("line 2: ':' is not base64")),
            (&one.replace("AAAA", "AAAA\n\nAAAA"), Err("line 3: an empty line in the block of line 1")),
            ("-----BEGIN A-----\n-----END A-----\n", Ok(&[("A", 1, "")])),
            (one.trim_end().strip_suffix("-----END A-----").unwrap(), Err("line 1: the block A has no END line")),
            (&one[4..], Err("line 3: an END line without a BEGIN line")),
            (&one[4..].replace("AAAA", &"MIIA".repeat(16)), Err("line 2: base64 without a BEGIN line")),
            ("# -----BEGIN A----- is how it begins\n-----END A-----\n-----BEGIN\n", Ok(&[])),
            (&format!(" {one}"), Err("line 1: an indented BEGIN line")),
            (&one.replace("BEGIN A-----", "BEGIN A----"), Err("line 1: an incomplete BEGIN line")),
            (&one.replace('\n', "\\n"), Err("line 1: an incomplete BEGIN line")),
            (&one.replace("END A", "END B"), Err("line 1: the block A ends with '-----END B-----' in line 3")),
            (&format!("{}{one}", one.trim_end()), Err("line 3: END and BEGIN on the same line")),
            (&format!("{}{one}", &one[..18]), Err("the block A has no END line before the BEGIN in line 2")),
            (&one.replace("AAAA", "AAAA\nA*AA"), Err("line 3: '*' is not base64, in the block of line 1")),
        ];
        for (text, expected) in rows {
            match (blocks(text.as_bytes()), expected) {
                (Ok(found), Ok(expected)) => {
                    let found: Vec<_> = found.iter().map(|b| (b.label.as_str(), b.line, b.base64.as_str())).collect();
                    assert_eq!(found, expected, "{text:?}");
                }
                (Err(problem), Err(expected)) => assert!(problem.contains(expected), "{text:?}: {problem}"),
                (found, _) => panic!("{text:?}: {found:?}"),
            }
        }
    }

    /// Whatever is wrong with a file that has a private key, the error has nothing of the key.
    #[test]
    fn errors_show_nothing_of_a_key() {
        let key = "MIISecretSecret".repeat(5);
        let begin = "-----BEGIN EC PRIVATE KEY-----";
        let whole = format!("{begin}\n{key}\n-----END EC PRIVATE KEY-----\n");
        let rows = [
            whole.replace(&key, &format!("{key}*")),
            whole.replace(&key, &format!("*{key}")),
            whole.replace(&key, &format!("{key}\u{e9}")),
            whole.replace(&key, &format!("{key}\n\n{key}")),
            whole.replace('\n', "\\n"),
            whole.replace('\n', ""),
            whole.replace("-----\n", "----"),
            whole.replace("-----\n", ""),
            whole.replace("KEY-----\n", "KEY\n"),
            whole.replace(begin, ""),
            whole.replace(begin, "EC PRIVATE KEY-----"),
            whole.replace("END EC", "END"),
            whole.replace("-----END EC PRIVATE KEY-----\n", "-----END EC PRIVATE KEY-----").repeat(2),
            format!("AAAA\n-----END EC PRIVATE KEY-----{key}\n{whole}"),
            format!("{begin}\n{key}"),
            format!("{begin}{key}"),
            format!("{key}\n{whole}"),
        ];
        for text in rows {
            let problem = blocks(text.as_bytes()).unwrap_err();
            assert!(!problem.contains("Sec"), "{text:?}: {problem}");
        }
    }

    #[test]
    fn a_header_encrypts_and_a_comment_does_not() {
        let header = "-----BEGIN A-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: X\n\nAAAA\n-----END A-----\n";
        assert!(blocks(header.as_bytes()).unwrap()[0].encrypted);
        let comment = "Proc-Type: 4,ENCRYPTED\n-----BEGIN A-----\nAAAA\n-----END A-----\n";
        assert!(!blocks(comment.as_bytes()).unwrap()[0].encrypted);
    }

    proptest! {
        #[test]
        fn never_panics(bytes: Vec<u8>) {
            let _ = blocks(&bytes);
            let _ = blocks(&[b"-----BEGIN A-----\n", bytes.as_slice()].concat());
        }
    }
}
