//! Phrases that say less than the standard term.

use crate::tree::Source;

/// A phrase, as a whole word in lower case, and the word that says it better.
const BANNED: &[(&str, &str)] = &[
    ("is none", "say what is missing or out of range"),
    ("are none", "say what is missing or out of range"),
    ("no good", "invalid, malformed or expired"),
    ("that cannot be", "malformed, or impossible because…"),
    ("turned away", "rejected"),
    ("turns away", "rejects"),
    ("let in", "admitted"),
    ("desk", "query thread"),
    ("whoever", "the client, the operator, the caller"),
    ("whomever", "the client, the operator, the caller"),
    ("he", "they, or the noun"),
    ("him", "they, or the noun"),
    ("his", "their, or the noun"),
    ("nobody", "no client, no operator"),
    ("somebody", "a client, an operator"),
    ("everybody", "all clients, all buyers"),
    ("is told", "receives, is notified, is answered"),
    ("are told", "receive, are notified, are answered"),
    ("makes no sense", "cannot be parsed"),
    ("binary protocol", "wire protocol"),
];

/// The banned phrases of a text, one line each. Code may use a word as a name; comments, strings and pages may not.
pub(crate) fn banned(source: &Source) -> Vec<String> {
    let is_code = source.path.ends_with(".rs");
    let text = source.text.split("#[cfg(test)]\nmod tests").next().unwrap_or("");
    let mut found = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let said = if is_code { said(line) } else { line.to_owned() };
        let said = said.to_lowercase();
        for (phrase, better) in BANNED {
            if has_phrase(&said, phrase) {
                found.push(format!("{}:{}: \"{phrase}\" ({better}): {}", source.path, at + 1, line.trim()));
            }
        }
    }
    found
}

/// What a line of code says to a reader: its comment, or the insides of its strings.
fn said(line: &str) -> String {
    if let Some(comment) = line.trim_start().strip_prefix("//") {
        return comment.to_owned();
    }
    line.split('"').skip(1).step_by(2).collect::<Vec<_>>().join(" ")
}

fn has_phrase(text: &str, phrase: &str) -> bool {
    text.match_indices(phrase).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + phrase.len()..].chars().next();
        ![before, after].into_iter().flatten().any(|around| around.is_alphanumeric() || matches!(around, '_' | '-'))
    })
}

#[test]
fn phrases_are_found_as_whole_words_in_comments_and_strings() {
    let source = |text: &str| Source { path: "x.rs".into(), text: text.into() };
    assert_eq!(banned(&source("// He waits.\nlet desk = \"the desk\";\nlet he = 1; // ok\n")).len(), 2);
    assert_eq!(banned(&source("// The help is there.\n")).len(), 0);
}
