//! The texts of pages in the reader's language. They are those of the pages' scripts: one file per language in `app/texts`.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use maud::{Markup, html};

use super::assets;
use crate::types::{Amount, Currency, money};

/// Texts by their key.
type Texts = BTreeMap<String, String>;

static TEXTS: LazyLock<Vec<(&'static str, Texts)>> = LazyLock::new(|| {
    let read = |json| serde_json::from_str(json).unwrap_or_default();
    assets::languages().iter().map(|(language, json)| (*language, read(json))).collect()
});

/// The language of a page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Language {
    index: usize,
    /// True if the reader chose it on the page: links keep it.
    pub is_chosen: bool,
}

impl Language {
    /// Returns the language for a query's `lang=` and an `Accept-Language`. English is the last resort.
    #[must_use]
    pub fn of(query: &str, accepted: &str) -> Language {
        let chosen = query.split('&').find_map(|pair| pair.strip_prefix("lang="));
        if let Some(index) = chosen.and_then(index_of) {
            return Language { index, is_chosen: true };
        }
        let weight = |item: &str| {
            let q = item.split(';').skip(1).find_map(|part| part.trim().strip_prefix("q="));
            q.map_or(1.0, |q| q.parse::<f32>().unwrap_or(0.0))
        };
        let mut wanted: Vec<_> = accepted
            .split(',')
            .take(20)
            .filter_map(|item| Some((index_of(item.split(';').next()?.trim())?, weight(item))))
            .filter(|(_, weight)| *weight > 0.0)
            .collect();
        // A stable sort: of two that are wanted alike, the first one is.
        wanted.sort_by(|(_, one), (_, other)| other.total_cmp(one));
        let english = index_of("en").unwrap_or(0);
        Language { index: wanted.first().map_or(english, |(index, _)| *index), is_chosen: false }
    }

    /// Returns its tag, such as `vi`.
    #[must_use]
    pub fn tag(self) -> &'static str {
        TEXTS.get(self.index).map_or("en", |(tag, _)| tag)
    }

    /// Returns every language's tag.
    pub fn tags() -> impl Iterator<Item = &'static str> {
        TEXTS.iter().map(|(tag, _)| *tag)
    }

    /// Returns a text. A key without one is shown itself, which the tests of the pages find.
    #[must_use]
    pub fn text(self, key: &'static str) -> &'static str {
        TEXTS.get(self.index).and_then(|(_, texts)| texts.get(key)).map_or(key, String::as_str)
    }

    /// Returns a text with its placeholders filled.
    #[must_use]
    pub fn filled(self, key: &'static str, values: &[(&str, &str)]) -> String {
        let value = |name: &str| values.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| value);
        parts(self.text(key)).map(|part| part.unwrap_or_else(value)).collect()
    }

    /// Returns a text with parts of pages in its placeholders.
    #[must_use]
    pub fn filled_with(self, key: &'static str, values: &[(&str, Markup)]) -> Markup {
        html! {
            @for part in parts(self.text(key)) {
                @match part {
                    Ok(text) => { (text) }
                    Err(name) => { @for (_, value) in values.iter().filter(|(known, _)| *known == name) { (value) } }
                }
            }
        }
    }

    /// Returns an amount as the language writes it, with the currency's code.
    #[must_use]
    pub fn amount(self, amount: Amount, currency: Currency) -> String {
        money::written(amount, currency, self.tag())
    }

    /// Returns a whole number as the language writes it.
    #[must_use]
    pub fn count(self, number: u32) -> String {
        money::grouped(&number.to_string(), self.tag())
    }

    /// Returns a path that keeps a chosen language.
    #[must_use]
    pub fn path(self, path: &str) -> String {
        if self.is_chosen { path_in(path, self.tag()) } else { path.into() }
    }
}

/// Returns the key of a text that depends on a number: languages without a form of their own for one have both alike.
pub(super) const fn counted(n: u32, one: &'static str, other: &'static str) -> &'static str {
    if n == 1 { one } else { other }
}

/// Returns a path that chooses a language.
pub(super) fn path_in(path: &str, tag: &str) -> String {
    let sign = if path.contains('?') { '&' } else { '?' };
    format!("{path}{sign}lang={tag}")
}

/// Returns the parts of a text: texts, and as errors the names of placeholders. One pass: a value that looks like a placeholder
/// is text.
fn parts(text: &'static str) -> impl Iterator<Item = Result<&'static str, &'static str>> {
    text.split('{').enumerate().flat_map(|(at, piece)| {
        let (name, rest) = piece.split_once('}').unwrap_or((piece, ""));
        if at == 0 { [Ok(piece), Ok("")] } else { [Err(name), Ok(rest)] }
    })
}

/// Returns the index of a language by a tag such as `vi` or `vi-VN`.
fn index_of(tag: &str) -> Option<usize> {
    let primary = tag.split('-').next().unwrap_or("");
    TEXTS.iter().position(|(known, _)| known.eq_ignore_ascii_case(primary))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_language_is_the_chosen_one_else_the_most_wanted_else_english() {
        for (query, accepted, tag) in [
            ("", "", "en"),
            ("", "vi-VN,vi;q=0.9,en;q=0.8", "vi"),
            ("", "en;q=0.5, vi", "vi"),
            ("", "vi;q=0, *", "en"),
            ("", "xx, de", "en"),
            ("utm=1&lang=vi", "en", "vi"),
            ("lang=xx", "vi", "vi"),
            ("", "vi;q=x", "en"),
        ] {
            assert_eq!(Language::of(query, accepted).tag(), tag, "{query} {accepted}");
        }
        assert_eq!(Language::of("lang=vi", "").path("/drops/1"), "/drops/1?lang=vi");
        assert_eq!(Language::of("lang=vi", "").path("/?state=live"), "/?state=live&lang=vi");
        assert_eq!(Language::of("", "vi").path("/drops/1"), "/drops/1");
    }

    #[test]
    fn placeholders_are_filled_in_one_pass() {
        let text = Language::of("", "en").filled("drop.of", &[("available", "{total}"), ("total", "9")]);
        assert_eq!(text, "{total} of 9 left");
        let part = html! { b { "<{total}" } };
        let page = Language::of("", "en").filled_with("drop.of", &[("available", part)]).into_string();
        assert_eq!(page, "<b>&lt;{total}</b> of  left");
    }
}
