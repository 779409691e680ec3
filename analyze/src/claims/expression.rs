//! The language of claims: metrics of selected runs, functions over several runs, and arithmetic.
//!
//! ```text
//! sum      = product { ("+" | "-") product }
//! product  = factor { ("*" | "/") factor }
//! factor   = "-" factor | "(" sum ")" | number | function "(" selection ")" | selection
//! selection = metric [ "@" window ] "{" [ label ("=" | "!=") "\"" pattern "\"" { "," ... } ] "}"
//! ```
//!
//! A pattern may hold `*` for anything. Selectors look like those of Prometheus, whose users will miss nothing but `=~`.

use super::evaluate;
use super::file::Rule;

/// A parsed expression.
#[derive(Debug, Clone, PartialEq)]
pub enum Tree {
    /// A constant.
    Number(f64),
    /// One figure of the selected runs; of several, the function's.
    Metric(Function, Selection),
    /// The same with the other sign.
    Negative(Box<Tree>),
    /// Two values made one.
    Binary(Box<Tree>, Operator, Box<Tree>),
}

impl Tree {
    /// Every selection in the expression.
    pub fn selections(&self) -> Vec<&Selection> {
        match self {
            Self::Number(_) => Vec::new(),
            Self::Metric(_, selection) => vec![selection],
            Self::Negative(inner) => inner.selections(),
            Self::Binary(left, _, right) => [left.selections(), right.selections()].concat(),
        }
    }
}

/// What makes one value of those of several runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Function {
    /// The middle one; what is meant when nothing is said.
    Median,
    /// The arithmetic mean.
    Mean,
    /// The least.
    Min,
    /// The greatest.
    Max,
    /// All together.
    Sum,
    /// How many runs have the metric.
    Count,
}

/// An arithmetic operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// `+`
    Plus,
    /// `-`
    Minus,
    /// `*`
    Times,
    /// `/`
    Over,
}

/// A metric of the runs that every matcher accepts.
#[derive(Debug, Clone, PartialEq)]
pub struct Selection {
    /// Name of the metric.
    pub metric: String,
    /// The window, where the expression insists on one.
    pub window: Option<Rule>,
    /// Conditions, all of which must hold.
    pub matchers: Vec<Matcher>,
}

/// A condition on one label of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Matcher {
    /// Which label.
    pub label: String,
    /// Whether the pattern must match, or must not.
    pub is_equal: bool,
    /// Text with `*` for anything.
    pub pattern: String,
}

impl Matcher {
    /// Whether a label's value is accepted.
    pub fn accepts(&self, value: &str) -> bool {
        matches(&self.pattern, value) == self.is_equal
    }
}

impl std::fmt::Display for Selection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let matchers = self.matchers.iter().map(|m| {
            let sign = if m.is_equal { "=" } else { "!=" };
            format!("{}{sign}{:?}", m.label, m.pattern)
        });
        write!(f, "{}{{{}}}", self.metric, matchers.collect::<Vec<_>>().join(", "))
    }
}

/// What is wrong with an expression, and at which byte of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// Byte offset.
    pub at: usize,
    /// What was expected there.
    pub message: String,
}

/// Whether `text` is `pattern`, in which each `*` stands for any characters.
pub fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// Parses an expression.
///
/// # Errors
/// The first place that does not fit the grammar, or names an unknown metric, window, label or function.
pub fn parse(text: &str) -> Result<Tree, Mistake> {
    let mut parser = Parser { text, at: 0, depth: 0 };
    let tree = parser.sum()?;
    parser.space();
    if parser.at < text.len() {
        return Err(parser.mistake("an operator or the end of the expression"));
    }
    Ok(tree)
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

impl<'a> Parser<'a> {
    fn sum(&mut self) -> Result<Tree, Mistake> {
        let mut left = self.product()?;
        while let Some(sign) = self.take_any(&['+', '-']) {
            let operator = if sign == '+' { Operator::Plus } else { Operator::Minus };
            left = Tree::Binary(Box::new(left), operator, Box::new(self.product()?));
        }
        Ok(left)
    }

    fn product(&mut self) -> Result<Tree, Mistake> {
        let mut left = self.factor()?;
        while let Some(sign) = self.take_any(&['*', '/']) {
            let operator = if sign == '*' { Operator::Times } else { Operator::Over };
            left = Tree::Binary(Box::new(left), operator, Box::new(self.factor()?));
        }
        Ok(left)
    }

    fn factor(&mut self) -> Result<Tree, Mistake> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(Mistake { at: self.at, message: format!("more than {DEPTH_MAX} levels of nesting") });
        }
        let factor = self.factor_at_depth();
        self.depth -= 1;
        factor
    }

    fn factor_at_depth(&mut self) -> Result<Tree, Mistake> {
        if self.take('-') {
            return Ok(Tree::Negative(Box::new(self.factor()?)));
        }
        if self.take('(') {
            let inner = self.sum()?;
            self.expect(')')?;
            return Ok(inner);
        }
        self.space();
        let begin = self.at;
        if self.rest().starts_with(|c: char| c.is_ascii_digit()) {
            let number = self.word(|c| c.is_ascii_digit() || c == '.' || c == '_');
            let value = number.replace('_', "").parse();
            return value
                .map(Tree::Number)
                .map_err(|_| Mistake { at: begin, message: format!("{number:?} is no number") });
        }
        let name = self.name("a number, a metric, a function or (")?;
        if self.take('(') {
            let function = Function::named(name).ok_or_else(|| Mistake {
                at: begin,
                message: format!("unknown function {name:?}; known are {}", Function::NAMES.map(|(n, _)| n).join(", ")),
            })?;
            let selection_begin = self.begin();
            let metric = self.name("a metric")?;
            let selection = self.selection(selection_begin, metric)?;
            self.expect(')')?;
            return Ok(Tree::Metric(function, selection));
        }
        Ok(Tree::Metric(Function::Median, self.selection(begin, name)?))
    }

    fn selection(&mut self, begin: usize, metric: &str) -> Result<Selection, Mistake> {
        if !evaluate::is_metric(metric) {
            let message = format!("unknown metric {metric:?}; known are {}", evaluate::metrics().join(", "));
            return Err(Mistake { at: begin, message });
        }
        let mut window = None;
        if self.take('@') {
            let at = self.begin();
            let name = self.word(|c| c.is_ascii_alphanumeric() || c == '-');
            let unknown = || format!("unknown window {name:?}; known are {}", Rule::ALL.map(Rule::name).join(", "));
            window = Some(Rule::named(name).ok_or_else(|| Mistake { at, message: unknown() })?);
        }
        let mut matchers = Vec::new();
        self.expect('{')?;
        while !self.take('}') {
            if !matchers.is_empty() {
                self.expect(',')?;
            }
            matchers.push(self.matcher()?);
        }
        Ok(Selection { metric: metric.to_owned(), window, matchers })
    }

    fn matcher(&mut self) -> Result<Matcher, Mistake> {
        let at = self.begin();
        let label = self.name("a label")?.to_owned();
        if !evaluate::LABELS.contains(&label.as_str()) {
            let message = format!("unknown label {label:?}; known are {}", evaluate::LABELS.join(", "));
            return Err(Mistake { at, message });
        }
        let is_equal = !self.take('!');
        self.expect('=')?;
        self.expect('"')?;
        let pattern = self.word(|c| c != '"').to_owned();
        if !self.rest().starts_with('"') {
            return Err(self.mistake("the closing \""));
        }
        self.at += 1;
        Ok(Matcher { label, is_equal, pattern })
    }

    fn name(&mut self, expected: &str) -> Result<&'a str, Mistake> {
        self.space();
        let name = self.word(|c| c.is_ascii_alphanumeric() || c == '_');
        if name.is_empty() { Err(self.mistake(expected)) } else { Ok(name) }
    }

    fn word(&mut self, belongs: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let word = &rest[..rest.find(|c| !belongs(c)).unwrap_or(rest.len())];
        self.at += word.len();
        word
    }

    fn expect(&mut self, sign: char) -> Result<(), Mistake> {
        if self.take(sign) { Ok(()) } else { Err(self.mistake(&format!("{sign:?}"))) }
    }

    fn take(&mut self, sign: char) -> bool {
        self.take_any(&[sign]).is_some()
    }

    fn take_any(&mut self, signs: &[char]) -> Option<char> {
        self.space();
        let sign = self.rest().chars().next().filter(|sign| signs.contains(sign))?;
        self.at += sign.len_utf8();
        Some(sign)
    }

    fn begin(&mut self) -> usize {
        self.space();
        self.at
    }

    fn space(&mut self) {
        self.at = self.text.len() - self.rest().trim_start().len();
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn mistake(&self, expected: &str) -> Mistake {
        let found = match self.rest().chars().next() {
            Some(sign) => format!("found {sign:?}"),
            None => "the expression ends".to_owned(),
        };
        Mistake { at: self.at, message: format!("expected {expected}, {found}") }
    }
}

impl Function {
    const NAMES: [(&'static str, Self); 6] = [
        ("median", Self::Median),
        ("mean", Self::Mean),
        ("min", Self::Min),
        ("max", Self::Max),
        ("sum", Self::Sum),
        ("count", Self::Count),
    ];

    fn named(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(known, _)| *known == name).map(|(_, function)| *function)
    }
}

/// Deeper nesting is a mistake or malice.
const DEPTH_MAX: usize = 50;

#[cfg(test)]
mod tests {
    use super::*;

    fn metric(name: &str) -> Tree {
        let selection = Selection { metric: name.to_owned(), window: None, matchers: Vec::new() };
        Tree::Metric(Function::Median, selection)
    }

    #[test]
    fn products_bind_tighter_than_sums_and_both_to_the_left() {
        let binary = |l: Tree, o, r: Tree| Tree::Binary(Box::new(l), o, Box::new(r));
        let tree = parse("1 + 2 * rss_mib{} - 3").unwrap();
        let product = binary(Tree::Number(2.0), Operator::Times, metric("rss_mib"));
        let sum = binary(Tree::Number(1.0), Operator::Plus, product);
        assert_eq!(tree, binary(sum, Operator::Minus, Tree::Number(3.0)));
        assert_eq!(parse("-(1_000)").unwrap(), Tree::Negative(Box::new(Tree::Number(1000.0))));
    }

    #[test]
    fn a_selection_has_window_function_and_matchers() {
        let Tree::Metric(function, selection) =
            parse("max(rss_mib@trim20-90{ tag = \"A-*\", target != \"emqx\" })").unwrap()
        else {
            panic!("not a metric")
        };
        assert_eq!((function, selection.window), (Function::Max, Some(Rule::Trim20To90)));
        assert_eq!(selection.to_string(), "rss_mib{tag=\"A-*\", target!=\"emqx\"}");
    }

    #[test]
    fn mistakes_have_a_place_and_say_what_would_be_right() {
        for (text, at, message) in [
            ("", 0, "a number, a metric"),
            ("1 +", 3, "the expression ends"),
            ("1 1", 2, "an operator or the end"),
            ("colour{}", 0, "unknown metric \"colour\"; known are rx_mib_s"),
            ("sqrt(rss_mib{})", 0, "unknown function \"sqrt\"; known are median"),
            ("rss_mib", 7, "expected '{'"),
            ("rss_mib{hue=\"x\"}", 8, "unknown label \"hue\"; known are tag"),
            ("rss_mib{tag=x}", 12, "expected '\"', found 'x'"),
            ("rss_mib{tag=\"x}", 15, "the closing"),
            ("rss_mib@noon{}", 8, "unknown window \"noon\"; known are tail60"),
            ("(1", 2, "expected ')'"),
            ("1.2.3", 0, "is no number"),
            ("ä", 0, "found 'ä'"),
        ] {
            let mistake = parse(text).unwrap_err();
            assert!(mistake.at == at && mistake.message.contains(message), "{text}: {mistake:?}");
        }
        assert!(parse(&"(".repeat(100_000)).unwrap_err().message.contains("levels of nesting"));
        assert!(parse(&"-".repeat(100_000)).is_err());
    }

    #[test]
    fn a_star_stands_for_anything() {
        for (pattern, text, is_match) in [
            ("abc", "abc", true),
            ("abc", "abcd", false),
            ("a*", "abc", true),
            ("*c", "abc", true),
            ("a*b*c", "a--b--c", true),
            ("a*b*c", "acb", false),
            ("*", "", true),
            ("a*a", "a", false),
        ] {
            assert_eq!(matches(pattern, text), is_match, "{pattern} {text}");
        }
    }
}
