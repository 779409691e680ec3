//! A Rust file split into code, literals and comments, line by line.
//!
//! Not a parser: it knows strings (plain, raw, byte), characters, lifetimes, nested comments and the extent of
//! `#[cfg(test)]` modules, which is what the rules need in order not to fire on prose.

/// One line of a file.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Line {
    /// Code with the content of literals taken out and comments replaced by nothing.
    pub(super) code: String,
    /// String literals that begin on this line, without quotes; escapes are left as written.
    pub(super) literals: Vec<Literal>,
    /// Inside a module that only tests see.
    pub(super) in_test: bool,
}

/// A string literal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Literal {
    pub(super) text: String,
    /// `b"..."`.
    pub(super) is_bytes: bool,
}

/// Splits a file into lines.
pub(super) fn scan(source: &str) -> Vec<Line> {
    let mut lines = Scanner::new(source).run();
    mark_tests(&mut lines);
    lines
}

/// Whether the word (an identifier or a `::` path) stands in the code with no identifier character around it.
pub(super) fn has_word(code: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(word).any(|(at, _)| {
        let before = code[..at].chars().next_back().is_none_or(|c| !is_part(c));
        let after = code[at + word.len()..].chars().next().is_none_or(|c| !is_part(c));
        before && after
    })
}

struct Scanner<'a> {
    rest: std::iter::Peekable<std::str::Chars<'a>>,
    lines: Vec<Line>,
}

impl<'a> Scanner<'a> {
    fn new(source: &'a str) -> Self {
        Self { rest: source.chars().peekable(), lines: vec![Line::default()] }
    }

    fn run(mut self) -> Vec<Line> {
        while let Some(c) = self.next() {
            match c {
                '/' if self.rest.peek() == Some(&'/') => self.skip_line(),
                '/' if self.rest.peek() == Some(&'*') => self.skip_block(),
                '"' => self.string(),
                '\'' => self.quote(),
                _ => self.code(c),
            }
        }
        self.lines
    }

    /// The next character; a line break opens a new line.
    fn next(&mut self) -> Option<char> {
        let c = self.rest.next()?;
        if c == '\n' {
            self.lines.push(Line::default());
        }
        Some(c)
    }

    fn current(&mut self) -> &mut Line {
        self.lines.last_mut().expect("a file has at least one line")
    }

    /// A character of code; `r"`, `r#"`, `br#"` open a raw string.
    fn code(&mut self, c: char) {
        if c == '\n' {
            return;
        }
        let starts_word = !self.current().code.ends_with(|p: char| p.is_alphanumeric() || p == '_');
        let after_b = self.current().code.ends_with('b') && {
            let code = &self.current().code;
            !code[..code.len() - 1].ends_with(|p: char| p.is_alphanumeric() || p == '_')
        };
        self.current().code.push(c);
        if c == 'r' && (starts_word || after_b) {
            let mut ahead = self.rest.clone();
            let hashes = std::iter::from_fn(|| ahead.next_if_eq(&'#')).count();
            if ahead.peek() == Some(&'"') {
                for _ in 0..=hashes {
                    self.next();
                }
                self.raw_string(hashes);
            }
        }
    }

    fn skip_line(&mut self) {
        while self.rest.peek().is_some_and(|c| *c != '\n') {
            self.next();
        }
    }

    fn skip_block(&mut self) {
        let mut depth = 0_usize;
        let mut last = '/';
        while let Some(c) = self.next() {
            match (last, c) {
                ('/', '*') => depth += 1,
                ('*', '/') => depth -= 1,
                _ => {
                    last = c;
                    continue;
                }
            }
            if depth == 0 {
                return;
            }
            last = ' ';
        }
    }

    fn string(&mut self) {
        let mut text = String::new();
        let at = self.lines.len() - 1;
        while let Some(c) = self.next() {
            match c {
                '"' => break,
                '\\' => {
                    text.push(c);
                    text.extend(self.next());
                }
                _ => text.push(c),
            }
        }
        self.literal(at, text);
    }

    fn raw_string(&mut self, hashes: usize) {
        let mut text = String::new();
        let at = self.lines.len() - 1;
        let end: String = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
        while let Some(c) = self.next() {
            text.push(c);
            if text.ends_with(&end) {
                text.truncate(text.len() - end.len());
                break;
            }
        }
        self.literal(at, text);
    }

    fn literal(&mut self, at: usize, text: String) {
        let line = &mut self.lines[at];
        let is_bytes = line.code.ends_with('b') || line.code.ends_with("br");
        line.literals.push(Literal { text, is_bytes });
        self.current().code.push_str("\"\"");
    }

    /// A character literal or a lifetime.
    fn quote(&mut self) {
        let mut ahead = self.rest.clone();
        let is_char = match ahead.next() {
            Some('\\') => true,
            Some(_) => ahead.next() == Some('\''),
            None => false,
        };
        if !is_char {
            return self.code('\'');
        }
        while let Some(c) = self.next() {
            match c {
                '\\' => drop(self.next()),
                '\'' => break,
                _ => {}
            }
        }
        self.current().code.push_str("' '");
    }
}

/// Marks the lines of `#[cfg(test)] mod name { ... }` and of a single item after `#[cfg(test)]`.
fn mark_tests(lines: &mut [Line]) {
    let mut at = 0;
    while at < lines.len() {
        if lines[at].code.contains("#[cfg(test)]") {
            let end = end_of_item(lines, at);
            for line in &mut lines[at..=end] {
                line.in_test = true;
            }
            at = end;
        }
        at += 1;
    }
}

/// The last line of the item that begins with the attribute on line `start`.
fn end_of_item(lines: &[Line], start: usize) -> usize {
    let mut depth = 0_i32;
    let mut opened = false;
    for (at, line) in lines.iter().enumerate().skip(start) {
        let code = if at == start { line.code.split("#[cfg(test)]").last().unwrap_or_default() } else { &line.code };
        for c in code.chars() {
            match c {
                '{' => {
                    depth += 1;
                    opened = true;
                }
                '}' => depth -= 1,
                ';' if depth == 0 => return at,
                _ => {}
            }
        }
        if opened && depth <= 0 {
            return at;
        }
    }
    lines.len() - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code_of(source: &str) -> Vec<String> {
        scan(source).into_iter().map(|line| line.code).collect()
    }

    #[test]
    fn comments_leave_no_code() {
        assert_eq!(code_of("a // tokio\nb /* x /* y */ z\n tokio */ c"), ["a ", "b ", " c"]);
    }

    #[test]
    fn literals_are_taken_out_of_the_code() {
        let lines = scan("let a = \"raw // csv\"; let b = b\"MQTT\"; let c = br#\"q\"uote\"#;");
        let literal = |text: &str, is_bytes| Literal { text: text.into(), is_bytes };
        assert_eq!(lines[0].literals, [literal("raw // csv", false), literal("MQTT", true), literal("q\"uote", true)]);
        assert!(!lines[0].code.contains("csv"));
    }

    #[test]
    fn escapes_and_line_breaks_stay_in_the_literal() {
        let lines = scan("\"a\\\"b\nc\" d");
        assert_eq!(lines[0].literals[0].text, "a\\\"b\nc");
        assert_eq!(lines[1].code, "\"\" d");
    }

    #[test]
    fn lifetimes_are_not_characters() {
        assert_eq!(code_of("fn f<'a>(x: &'a str) { let c = 'x'; let q = '\\''; let s = \"t\"; }").len(), 1);
        let line = &scan("fn f<'a>(x: &'a str) { let q = '\"'; tokio }")[0];
        assert!(line.code.contains("tokio") && line.literals.is_empty(), "{line:?}");
    }

    #[test]
    fn test_modules_are_marked_to_their_closing_brace() {
        let lines =
            scan("fn a() {}\n#[cfg(test)]\nmod tests {\n  fn b() { }\n}\nfn c() {}\n#[cfg(test)]\nuse x;\nfn d() {}");
        let marks: Vec<bool> = lines.iter().map(|line| line.in_test).collect();
        assert_eq!(marks, [false, true, true, true, true, false, true, true, false]);
    }

    #[test]
    fn words_have_borders() {
        assert!(has_word("use tokio::net;", "tokio"));
        assert!(has_word("std::time::Instant::now()", "Instant::now"));
        assert!(!has_word("my_tokio", "tokio"));
        assert!(!has_word("tokio_like()", "tokio"));
    }
}
