//! Blocks of doc comments, and whether they say something.

use crate::tree::Source;

const QUESTION_WORDS: [&str; 14] = [
    "who",
    "whoever",
    "whose",
    "whom",
    "what",
    "whatever",
    "where",
    "wherever",
    "when",
    "which",
    "whichever",
    "whether",
    "how",
    "why",
];

/// A run of `///` or `//!` lines.
pub(crate) struct DocBlock {
    pub(crate) line: usize,
    pub(crate) text: String,
    /// It stands on a field of a struct or on a variant of an enum.
    pub(crate) on_a_field: bool,
}

impl DocBlock {
    pub(crate) fn words(&self) -> usize {
        self.text.split_whitespace().filter(|word| word.chars().any(char::is_alphanumeric)).count()
    }

    pub(crate) fn begins_with_a_question_word(&self) -> bool {
        let first: String = self.text.trim_start().chars().take_while(|c| c.is_alphabetic()).collect();
        QUESTION_WORDS.contains(&first.to_lowercase().as_str())
    }
}

/// The doc blocks of a source. Tests are left out; help texts of the command line, which are doc comments too, are not.
pub(crate) fn blocks(source: &Source) -> Vec<DocBlock> {
    let text = source.text.split("#[cfg(test)]\nmod tests").next().unwrap_or("");
    let lines: Vec<&str> = text.lines().collect();
    let mut blocks: Vec<DocBlock> = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        let begin = at;
        let mut told = Vec::new();
        while let Some(doc) = lines.get(at).and_then(|line| doc_line(line)) {
            told.push(doc);
            at += 1;
        }
        if begin == at {
            at += 1;
            continue;
        }
        let item = lines[at..].iter().map(|line| line.trim()).find(|line| !line.starts_with("#[") && !line.is_empty());
        let on_a_field = item.is_some_and(|item| lines[begin].starts_with(' ') && is_a_field(item));
        blocks.push(DocBlock { line: begin + 1, text: told.join(" ").trim().to_owned(), on_a_field });
    }
    blocks
}

fn doc_line(line: &str) -> Option<&str> {
    let line = line.trim_start();
    line.strip_prefix("///").or_else(|| line.strip_prefix("//!"))
}

/// Whether a line begins a field or a variant and no other item.
fn is_a_field(item: &str) -> bool {
    let item = item
        .strip_prefix("pub ")
        .or_else(|| item.split_once(") ").filter(|(start, _)| start.starts_with("pub(")).map(|(_, rest)| rest))
        .unwrap_or(item);
    let first: String = item.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    let keywords = [
        "fn",
        "const",
        "static",
        "struct",
        "enum",
        "type",
        "trait",
        "mod",
        "use",
        "async",
        "unsafe",
        "impl",
        "macro_rules",
    ];
    let next = item[first.len()..].chars().next();
    !first.is_empty() && !keywords.contains(&first.as_str()) && matches!(next, Some(':' | ',' | '(' | ' ') | None)
}

#[test]
fn fields_and_variants_are_told_from_functions() {
    let text = "/// How many.\n    pub fn x() {}\n\nstruct A {\n    /// Which drop.\n    pub(super) drop_id: DropId,\n    /// Returns a thing.\n    fn f() {}\n    /// Nothing.\n    None,\n}\n";
    let source = Source { path: "x".into(), text: text.into() };
    let told: Vec<_> =
        blocks(&source).iter().map(|b| (b.line, b.words(), b.on_a_field, b.begins_with_a_question_word())).collect();
    assert_eq!(told, [(1, 2, false, true), (5, 2, true, true), (7, 3, false, false), (9, 1, true, false)]);
}
