//! Rust source with the text of comments and literals blanked, so that a search finds only code.

/// The source with every character of a comment, string or character literal replaced by a space;
/// lines stay where they are.
pub(super) fn code_of(source: &str) -> String {
    let mut masker = Masker {
        rest: source,
        code: String::with_capacity(source.len()),
    };
    while masker.step() {}
    masker.code
}

struct Masker<'a> {
    rest: &'a str,
    code: String,
}

impl Masker<'_> {
    fn step(&mut self) -> bool {
        let rest = self.rest;
        let Some(first) = rest.chars().next() else {
            return false;
        };
        if rest.starts_with("//") {
            self.blank(rest.find('\n').unwrap_or(rest.len()));
        } else if rest.starts_with("/*") {
            self.blank(block_comment(rest));
        } else if first.is_alphanumeric() || first == '_' {
            let word = rest.find(|c: char| !c.is_alphanumeric() && c != '_');
            let word = word.unwrap_or(rest.len());
            match raw_string(&rest[..word], &rest[word..]) {
                Some(length) => self.blank(word + length),
                None => self.keep(word),
            }
        } else if first == '"' {
            self.blank(quoted(rest, '"'));
        } else if first == '\'' && is_character(rest) {
            self.blank(quoted(rest, '\''));
        } else {
            self.keep(first.len_utf8());
        }
        true
    }

    fn keep(&mut self, length: usize) {
        let (kept, rest) = self.rest.split_at(length);
        self.code.push_str(kept);
        self.rest = rest;
    }

    fn blank(&mut self, length: usize) {
        let (blanked, rest) = self.rest.split_at(length);
        let blank = |c| if c == '\n' { '\n' } else { ' ' };
        self.code.extend(blanked.chars().map(blank));
        self.rest = rest;
    }
}

/// Length of the block comment, nested ones included.
fn block_comment(text: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < text.len() {
        let rest = &text.as_bytes()[at..];
        if rest.starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    text.len()
}

/// Length of a raw string without its prefix, if `prefix` and what follows begin one.
fn raw_string(prefix: &str, text: &str) -> Option<usize> {
    if !["r", "br", "cr"].contains(&prefix) {
        return None;
    }
    let hashes = text.len() - text.trim_start_matches('#').len();
    let body = text[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let length = body.find(&end).map_or(body.len(), |at| at + end.len());
    Some(hashes + 1 + length)
}

/// Length of a literal between two `mark`s, with backslash escapes.
fn quoted(text: &str, mark: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        if escaped {
            escaped = false;
        } else if c == '\\' {
            escaped = true;
        } else if c == mark {
            return at + c.len_utf8();
        }
    }
    text.len()
}

/// Whether the quote begins a character and not a lifetime.
fn is_character(text: &str) -> bool {
    let mut following = text.chars().skip(1);
    let first = following.next();
    first == Some('\\') || following.next() == Some('\'')
}

#[cfg(test)]
mod tests;
