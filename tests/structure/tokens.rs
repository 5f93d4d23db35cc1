//! Splits Rust source into tokens, as far as the rules need it.

/// The tokens of a source text: identifiers, `::`, and single characters. Comments and the contents of literals are
/// left out.
pub(crate) fn tokens(text: &str) -> Vec<String> {
    let letters: Vec<char> = text.chars().collect();
    let (mut tokens, mut at) = (Vec::new(), 0);
    while let Some(&letter) = letters.get(at) {
        let next = letters.get(at + 1).copied().unwrap_or_default();
        let start = at;
        match letter {
            '/' if next == '/' => at = line_end(&letters, at),
            '/' if next == '*' => at = comment_end(&letters, at),
            '"' => at = string_end(&letters, at),
            'r' | 'b' | 'c' if raw_string_end(&letters, at).is_some() => {
                at = raw_string_end(&letters, at).unwrap_or(at + 1);
            }
            '\'' => at = quote_end(&letters, at),
            ':' if next == ':' => {
                tokens.push("::".to_owned());
                at += 2;
            }
            letter if is_word(letter) => {
                while letters.get(at).copied().is_some_and(is_word) {
                    at += 1;
                }
                tokens.push(letters[start..at].iter().collect());
            }
            letter => {
                if !letter.is_whitespace() {
                    tokens.push(letter.to_string());
                }
                at += 1;
            }
        }
    }
    tokens
}

/// Returns the tokens without the items that `#[cfg(test)]` excludes, and the names of excluded modules in separate
/// files.
pub(crate) fn without_tests(tokens: &[String]) -> (Vec<String>, Vec<String>) {
    const TEST: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let (mut kept, mut modules, mut at) = (Vec::new(), Vec::new(), 0);
    while at < tokens.len() {
        if tokens[at..].iter().take(TEST.len()).eq(TEST.iter()) {
            let start = at + TEST.len();
            at = item_end(tokens, start);
            let item = &tokens[start..at];
            if let Some(place) = item.iter().position(|token| token == "mod")
                && item.get(place + 2).is_some_and(|token| token == ";")
            {
                modules.push(item[place + 1].clone());
            }
        } else {
            kept.push(tokens[at].clone());
            at += 1;
        }
    }
    (kept, modules)
}

/// The position after the item that starts here, that is, after its `;` or its block.
fn item_end(tokens: &[String], start: usize) -> usize {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate().skip(start) {
        match token.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" => depth = depth.saturating_sub(1),
            "}" => {
                depth = depth.saturating_sub(1);
                // A block ends an item, except the group of a `use`.
                if depth == 0 && tokens.get(at + 1).is_none_or(|next| next != ";") {
                    return at + 1;
                }
            }
            ";" if depth == 0 => return at + 1,
            _ => {}
        }
    }
    tokens.len()
}

fn is_word(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

fn line_end(letters: &[char], start: usize) -> usize {
    letters[start..].iter().position(|&letter| letter == '\n').map_or(letters.len(), |length| start + length)
}

fn comment_end(letters: &[char], start: usize) -> usize {
    let (mut depth, mut at) = (0, start);
    while at + 1 < letters.len() {
        match (letters[at], letters[at + 1]) {
            ('/', '*') => (depth, at) = (depth + 1, at + 2),
            ('*', '/') => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    letters.len()
}

fn string_end(letters: &[char], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(&letter) = letters.get(at) {
        match letter {
            '"' => return at + 1,
            '\\' => at += 2,
            _ => at += 1,
        }
    }
    at
}

/// The end of a raw string (`r"..."`, `br#"..."#` and so on), if one starts here.
fn raw_string_end(letters: &[char], start: usize) -> Option<usize> {
    let raw = start + usize::from(letters[start] != 'r');
    (letters.get(raw) == Some(&'r')).then_some(())?;
    let hashes = letters[raw + 1..].iter().take_while(|&&letter| letter == '#').count();
    let opening = raw + 1 + hashes;
    (letters.get(opening) == Some(&'"')).then_some(())?;
    let closes = |at: usize| {
        letters[at] == '"' && letters[at + 1..].iter().take(hashes).filter(|&&letter| letter == '#').count() == hashes
    };
    Some((opening + 1..letters.len()).find(|&at| closes(at)).map_or(letters.len(), |at| at + 1 + hashes))
}

/// The end of a character literal, or of the tick of a lifetime.
fn quote_end(letters: &[char], start: usize) -> usize {
    match (letters.get(start + 1), letters.get(start + 2)) {
        (Some('\\'), _) => {
            let rest = letters.get(start + 3..).unwrap_or_default();
            rest.iter().position(|&letter| letter == '\'').map_or(letters.len(), |length| start + 4 + length)
        }
        (_, Some('\'')) => start + 3,
        _ => start + 1,
    }
}

mod tests {
    use super::{tokens, without_tests};

    #[test]
    fn comments_and_literals_are_left_out() {
        let text = "a::b /* x /* y */ z */ \"use c;\" 'd' '\\'' r#\"e\"f\"# &'g h // i\n \"j\" k";
        assert_eq!(tokens(text), ["a", "::", "b", "&", "g", "h", "k"]);
    }

    #[test]
    fn what_is_for_tests_alone_is_left_out() {
        let text = "use a; #[cfg(test)] use b::{c, d}; #[cfg(test)] mod tests { fn f() {} } #[cfg(test)] \
                    #[path] pub(crate) mod more; #[cfg(test)] fn g(x: [u8; 3]) { {} } struct S;";
        let (kept, modules) = without_tests(&tokens(text));
        assert_eq!(kept.join(" "), "use a ; struct S ;");
        assert_eq!(modules, ["more"]);
    }
}
