//! The report's fixed text: every sentence in English and in Chinese, side by side, so that none can lack one of them.
//!
//! What comes from data (names, reasons of gates, warnings) stays as it was written. [`crate::text!`] makes a sentence of two
//! format strings; the page holds both and shows one, Markdown and the charts' files take one.

use clap::ValueEnum;
use serde::Serialize;

/// A language of the report.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Lang {
    /// English
    #[default]
    En,
    /// 中文
    Zh,
}

impl Lang {
    /// Both.
    pub const ALL: [Self; 2] = [Self::En, Self::Zh];

    /// The language's tag, as HTML wants it.
    pub fn tag(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::Zh => "zh",
        }
    }
}

/// A text in both languages.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Text {
    /// English.
    #[serde(rename = "text")]
    pub en: String,
    /// Chinese.
    #[serde(rename = "text_zh")]
    pub zh: String,
}

impl Text {
    /// Data, which is the same in every language.
    pub fn same(text: impl Into<String>) -> Self {
        let text = text.into();
        Self { zh: text.clone(), en: text }
    }

    /// Both forms as they stand.
    pub fn pair(en: impl Into<String>, zh: impl Into<String>) -> Self {
        Self { en: en.into(), zh: zh.into() }
    }

    /// The text in one language.
    pub fn of(&self, lang: Lang) -> &str {
        match lang {
            Lang::En => &self.en,
            Lang::Zh => &self.zh,
        }
    }

    /// Whether there is nothing to say.
    pub fn is_empty(&self) -> bool {
        self.en.is_empty()
    }

    /// Several texts as one, with something in between.
    pub fn join(texts: &[Self], between: &Self) -> Self {
        let join = |lang| texts.iter().map(|text| text.of(lang)).collect::<Vec<_>>().join(between.of(lang));
        Self { en: join(Lang::En), zh: join(Lang::Zh) }
    }

    /// Several texts as a list inside a sentence.
    pub fn listed(texts: &[Self]) -> Self {
        Self::join(texts, &Self::pair("; ", "；"))
    }

    /// The English form with its first letter large.
    #[must_use]
    pub fn capitalised(mut self) -> Self {
        let mut characters = self.en.chars();
        self.en = characters.next().into_iter().flat_map(char::to_uppercase).chain(characters).collect();
        self
    }
}

/// A sentence in both languages: `text!("{n} of {m}", "{m} 中的 {n}")`. Variables are captured as by `format!`; those named
/// behind a semicolon are texts themselves, and each form gets theirs: `text!("see {what}", "见 {what}"; what)`.
#[macro_export]
macro_rules! text {
    ($en:literal, $zh:literal $(; $($inner:ident),+)?) => {
        $crate::report::text::Text {
            en: { $($(let $inner = &$inner.en;)+)? format!($en) },
            zh: { $($(let $inner = &$inner.zh;)+)? format!($zh) },
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_get_their_own_inner_text() {
        let n = 2;
        let what = text!("{n} points", "{n} 个点");
        assert_eq!(text!("failed: {what}", "失败：{what}"; what), Text::pair("failed: 2 points", "失败：2 个点"));
        let list = Text::listed(&[Text::same("x"), what]);
        assert_eq!((list.of(Lang::En), list.of(Lang::Zh)), ("x; 2 points", "x；2 个点"));
    }
}
