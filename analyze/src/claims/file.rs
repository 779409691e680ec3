//! A claims file: what may stand in it, and what it means.
//!
//! TOML. Unknown keys are errors, and every error names line and column, since a claim that is silently not tested looks like
//! one that holds. The expression of a claim is parsed with the file.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use toml::Spanned;

use super::expression::{self, Tree};
use crate::stats;
use crate::summary::{PLATEAU, Window, Windows};

/// Claims of one document.
#[derive(Debug, Clone, PartialEq)]
pub struct ClaimsFile {
    /// Headline.
    pub title: String,
    /// The document that the claims stand in, with version or date.
    pub document: String,
    /// Where to find it.
    pub url: Option<String>,
    /// What the document says of how its runs were made.
    pub declared: Vec<Declared>,
    /// The claims, in the order of the file.
    pub claims: Vec<Claim>,
}

/// What a document says of how some of its runs were made; the audit compares it with what the runs show.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Declared {
    /// Tags of the runs that it is about; `*` stands for anything.
    pub tags: Vec<String>,
    /// Where the document says so.
    pub section: String,
    /// Kernel settings.
    #[serde(default)]
    pub sysctls: BTreeMap<String, String>,
    /// Distance of samples, s.
    pub interval_s: Option<f64>,
    /// Connections that should be there under load.
    pub connections: Option<u64>,
    /// Messages that all publishers together should send, per second.
    pub offered_per_s: Option<f64>,
    /// Bytes of the payload.
    pub payload_bytes: Option<u64>,
    /// The broker's own limit of its memory, bytes.
    pub memory_limit_bytes: Option<f64>,
}

impl Declared {
    /// Whether a run of this tag is meant.
    pub fn is_about(&self, tag: &str) -> bool {
        self.tags.iter().any(|pattern| expression::matches(pattern, tag))
    }
}

/// A figure that somebody published.
#[derive(Debug, Clone, PartialEq)]
pub struct Claim {
    /// Its name; unique in the file.
    pub id: String,
    /// What is claimed, in words.
    pub text: String,
    /// Section of the document.
    pub section: String,
    /// How the figure follows from runs; absent where it cannot.
    pub expression: Option<Expression>,
    /// Why not.
    pub untestable: Option<String>,
    /// The window by which the publisher's figure is computed.
    pub rule: Rule,
    /// The window that the document states, where that is another one.
    pub stated_rule: Option<Rule>,
    /// The published value.
    pub value: f64,
    /// Its decimals as printed.
    pub decimals: usize,
    /// Its unit.
    pub unit: String,
    /// How the found value is compared with it.
    pub relation: Relation,
    /// Percent of the value by which a found one may be off.
    pub tolerance_percent: f64,
}

/// An expression with the text that it was parsed from.
#[derive(Debug, Clone, PartialEq)]
pub struct Expression {
    /// As it stands in the file.
    pub text: String,
    /// What it means.
    pub tree: Tree,
}

/// How a found value is compared with the published one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Relation {
    /// It should be the same.
    #[default]
    Equals,
    /// It should not be less.
    AtLeast,
    /// It should not be more.
    AtMost,
}

/// A window of a run: a published rule, or ours.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Rule {
    /// Median of the rates of the last 60 s.
    #[serde(rename = "tail60")]
    Tail60,
    /// Median of the last 60 rates.
    #[serde(rename = "rows60")]
    Rows60,
    /// Mean of the rates from 20 % to 90 %.
    #[serde(rename = "trim20-90")]
    Trim20To90,
    /// Ours: the measured phase or the part with load.
    #[default]
    #[serde(rename = "plateau")]
    Plateau,
}

impl Rule {
    /// All windows.
    pub const ALL: [Self; 4] = [Self::Tail60, Self::Rows60, Self::Trim20To90, Self::Plateau];

    /// Its name in files and tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tail60 => stats::Rule::Tail60.name(),
            Self::Rows60 => stats::Rule::Rows60.name(),
            Self::Trim20To90 => stats::Rule::Trim20To90.name(),
            Self::Plateau => PLATEAU,
        }
    }

    /// The window of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|rule| rule.name() == name)
    }

    /// Its figures.
    pub fn of(self, windows: &Windows) -> &Window {
        match self {
            Self::Tail60 => &windows.tail60,
            Self::Rows60 => &windows.rows60,
            Self::Trim20To90 => &windows.trim20_90,
            Self::Plateau => &windows.plateau,
        }
    }
}

impl ClaimsFile {
    /// The published figures that this program carries (`results/published/`).
    pub fn shipped() -> Vec<Self> {
        let parse = |(name, text): (&str, &str)| Self::parse(name, text).expect("a test parses what is shipped");
        SHIPPED.into_iter().map(parse).collect()
    }

    /// Reads a claims file.
    ///
    /// # Errors
    /// It cannot be read, or something in it is not as `docs/claims.md` says: with line and column.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read {}: give a claims file, see docs/claims.md", path.display()))?;
        Self::parse(&path.display().to_string(), &text)
    }

    /// Parses the text of a claims file; `name` stands in errors.
    ///
    /// # Errors
    /// As [`ClaimsFile::read`].
    pub fn parse(name: &str, text: &str) -> Result<Self> {
        let place = Place { name, text };
        let mut typed: Typed = match toml::from_str(text) {
            Ok(typed) => typed,
            Err(error) => return place.fail(error.span().unwrap_or(0..0).start, error.message()),
        };
        let mut ids = BTreeSet::new();
        let mut claims = Vec::with_capacity(typed.claim.len());
        for claim in std::mem::take(&mut typed.claim) {
            if !ids.insert(claim.id.get_ref().clone()) {
                return place
                    .fail(claim.id.span().start, &format!("a second claim of the name {:?}", claim.id.get_ref()));
            }
            claims.push(claim.understood(&place)?);
        }
        let Typed { title, document, url, declared, .. } = typed;
        Ok(Self { title, document, url, declared, claims })
    }
}

/// What was typed.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Typed {
    title: String,
    document: String,
    url: Option<String>,
    #[serde(default)]
    declared: Vec<Declared>,
    #[serde(default)]
    claim: Vec<TypedClaim>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TypedClaim {
    id: Spanned<String>,
    text: String,
    section: String,
    expression: Option<Spanned<String>>,
    untestable: Option<String>,
    #[serde(default)]
    rule: Rule,
    stated_rule: Option<Rule>,
    value: Spanned<f64>,
    unit: String,
    #[serde(default)]
    relation: Relation,
    tolerance_percent: Option<Spanned<f64>>,
}

impl TypedClaim {
    fn understood(self, place: &Place) -> Result<Claim> {
        let expression = match &self.expression {
            Some(typed) => Some(place.expression(typed)?),
            None => None,
        };
        if expression.is_some() == self.untestable.is_some() {
            let message = "a claim has either an expression, or untestable = \"why it has none\"";
            return place.fail(self.id.span().start, message);
        }
        let value = *self.value.get_ref();
        if !value.is_finite() {
            return place.fail(self.value.span().start, "the published value must be a number");
        }
        let tolerance_percent = match &self.tolerance_percent {
            Some(typed) if !(0.0..=100.0).contains(typed.get_ref()) => {
                return place.fail(typed.span().start, "a tolerance lies between 0 and 100 percent");
            }
            Some(typed) => *typed.get_ref(),
            None => TOLERANCE_PERCENT,
        };
        Ok(Claim {
            id: self.id.into_inner(),
            text: self.text,
            section: self.section,
            expression,
            untestable: self.untestable,
            rule: self.rule,
            stated_rule: self.stated_rule,
            value,
            decimals: place.decimals(self.value.span()),
            unit: self.unit,
            relation: self.relation,
            tolerance_percent,
        })
    }
}

/// The text of a file, for errors that say where.
struct Place<'a> {
    name: &'a str,
    text: &'a str,
}

impl Place<'_> {
    fn fail<T>(&self, offset: usize, message: &str) -> Result<T> {
        let before = self.text.get(..offset.min(self.text.len())).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        bail!("{}:{line}:{column}: {}", self.name, message.trim_end())
    }

    fn expression(&self, typed: &Spanned<String>) -> Result<Expression> {
        let text = typed.get_ref();
        match expression::parse(text) {
            Ok(tree) => Ok(Expression { text: text.clone(), tree }),
            Err(mistake) => {
                // Between single quotes, as the manual advises, the file's bytes are the expression's.
                let quote = self.text[typed.span()].find(text.as_str()).unwrap_or(0);
                self.fail(typed.span().start + quote + mistake.at, &mistake.message)
            }
        }
    }

    /// Decimals of a number as typed: 0.00 has two, 4_010 has none.
    fn decimals(&self, span: Range<usize>) -> usize {
        let number = &self.text[span];
        number.split_once('.').map_or(0, |(_, decimals)| decimals.chars().take_while(char::is_ascii_digit).count())
    }
}

const SHIPPED: [(&str, &str); 2] = [
    ("results/published/axmq-guide.toml", include_str!("../../../results/published/axmq-guide.toml")),
    ("results/published/mqttx-readme.toml", include_str!("../../../results/published/mqttx-readme.toml")),
];
/// What equal runs of the published benchmark differ by is 2 to 4 %; more than this is more than noise.
const TOLERANCE_PERCENT: f64 = 5.0;

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "title = \"t\"\ndocument = \"d\"\n";

    fn claim(rest: &str) -> String {
        format!("{HEAD}[[claim]]\nid = \"a\"\ntext = \"x\"\nsection = \"1\"\nunit = \"MiB\"\n{rest}")
    }

    #[test]
    fn a_claim_with_its_defaults() {
        let file = ClaimsFile::parse("f", &claim("expression = 'rss_mib{tag=\"A-*\"}'\nvalue = 12.50\n")).unwrap();
        let claim = &file.claims[0];
        assert_eq!((claim.value, claim.decimals, claim.tolerance_percent), (12.5, 2, 5.0));
        assert_eq!((claim.rule, claim.relation, claim.stated_rule), (Rule::Plateau, Relation::Equals, None));
    }

    #[test]
    fn what_is_shipped_parses_and_every_claim_has_words() {
        let shipped = ClaimsFile::shipped();
        assert_eq!(shipped.len(), SHIPPED.len());
        let claims = || shipped.iter().flat_map(|file| &file.claims);
        assert!(claims().all(|claim| !claim.text.is_empty() && !claim.section.is_empty()));
    }

    #[test]
    fn errors_name_line_and_column() {
        for (text, message) in [
            (claim("value = 1\nexpression = '1 + colour{}'\n"), "f:9:19: unknown metric \"colour\""),
            (claim("value = 1\nexpression = '1'\ncolour = 3\n"), "f:10:1: unknown field `colour`"),
            (claim("value = 1\nexpression = '1'\nrule = \"noon\"\n"), "f:10:8: unknown variant `noon`"),
            (claim("value = 1\n"), "f:4:6: a claim has either"),
            (claim("value = 1\nexpression = '1'\nuntestable = 'x'\n"), "f:4:6: a claim has either"),
            (claim("expression = '1'\nvalue = nan\n"), "f:9:9: the published value must be a number"),
            (claim("expression = '1'\nvalue = 1\ntolerance_percent = -1\n"), "f:10:21: a tolerance lies"),
            (format!("{}[[claim]]\nid = \"a\"\n", claim("expression = '1'\nvalue = 1\n")), "missing field `text`"),
            (
                format!(
                    "{}{}",
                    claim("expression = '1'\nvalue = 1\n"),
                    &claim("expression = '1'\nvalue = 1\n")[HEAD.len()..]
                ),
                "f:11:6: a second claim of the name \"a\"",
            ),
            (format!("{HEAD}[[declared]]\ntags = []\nsection = \"1\"\ncolour = 1\n"), "unknown field `colour`"),
            ("title = ".to_owned(), "f:1:"),
        ] {
            let error = ClaimsFile::parse("f", &text).unwrap_err().to_string();
            assert!(error.contains(message), "{error}\nnot: {message}");
        }
    }
}
