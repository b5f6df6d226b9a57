//! The house in figures: rooms, circles, names and sentences, measured from the sources and held to bounds.
//!
//! `cargo test --test house -- --nocapture figures` prints the table; `FIRSTCOME_TREE=DIR` measures another checkout
//! (then nothing is asserted), so that two revisions can be compared.

#![allow(clippy::expect_used, reason = "a test ends where something is not as expected")]
#![allow(clippy::print_stdout, reason = "the table is what this is for")]

mod circles;
mod docs;
mod names;
mod phrases;
mod tree;

use docs::DocBlock;
use tree::Tree;

/// The largest share of `src` that one room may have, in percent.
const ROOM_SHARE_MAX: usize = 15;
/// The most files that may import each other in a circle.
const CIRCLE_FILES_MAX: usize = 3;
const README_LINES_MAX: usize = 200;
/// The fewest words of a doc comment on a field or a variant.
const FIELD_DOC_WORDS_MIN: usize = 4;

/// Percent of `part` in `whole`, rounded up.
fn percent(part: usize, whole: usize) -> usize {
    (part * 100).div_ceil(whole.max(1))
}

#[test]
fn figures() {
    let tree = Tree::of_variable_or_project();
    let src = tree.sources("src");
    let lines: usize = src.iter().map(|source| source.text.lines().count()).sum();
    println!("{:>7}  lines in src, {} files", lines, src.len());
    let rooms = tree.lines_by_room();
    for (room, count) in &rooms {
        println!("{count:>7}  {room} ({} %)", percent(*count, lines));
    }
    let circles = circles::find(&src);
    println!("{:>7}  circles of files", circles.len());
    for circle in &circles {
        println!("{:>7}    {}", circle.len(), circle.join(" "));
    }
    let again = names::defined_again(&src);
    println!("{:>7}  type names defined more than once: {}", again.len(), again.join(" "));
    let blocks: Vec<DocBlock> = src.iter().flat_map(docs::blocks).collect();
    let questions = blocks.iter().filter(|block| block.begins_with_a_question_word()).count();
    println!("{:>7}  doc blocks", blocks.len());
    println!("{questions:>7}  of them begin with a question word ({} %)", percent(questions, blocks.len()));
    println!("{:>7}  of them have at most three words", blocks.iter().filter(|block| block.words() <= 3).count());
    println!("{:>7}  lines of README.md", tree.text("README.md").lines().count());
    if tree.is_the_project() {
        let (largest, count) = rooms.first().expect("a room");
        assert!(percent(*count, lines) <= ROOM_SHARE_MAX, "{largest} has {} %", percent(*count, lines));
        assert!(again.is_empty(), "give each of them a name of its own: {again:?}");
        assert!(tree.text("README.md").lines().count() <= README_LINES_MAX, "detail belongs beside the code");
    }
}

#[test]
fn no_circle_of_files_is_larger_than_three_and_none_leaves_its_room() {
    for circle in circles::find(&Tree::of_variable_or_project().sources("src")) {
        let rooms: std::collections::BTreeSet<&str> = circle.iter().map(|file| tree::room(file)).collect();
        assert!(circle.len() <= CIRCLE_FILES_MAX && rooms.len() == 1, "files import each other: {circle:#?}");
    }
}

#[test]
fn docs_say_more_than_names_and_begin_with_a_subject() {
    let mut wrong = Vec::new();
    for source in Tree::of_variable_or_project().sources("src") {
        for block in docs::blocks(&source) {
            if block.begins_with_a_question_word() {
                wrong.push(format!("{}:{}: begins with a question word: {}", source.path, block.line, block.text));
            }
            if block.on_a_field && block.words() < FIELD_DOC_WORDS_MIN {
                wrong.push(format!("{}:{}: says too little, delete it: {}", source.path, block.line, block.text));
            }
        }
    }
    assert!(wrong.is_empty(), "{} docs:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn no_text_has_a_banned_phrase() {
    let tree = Tree::of_variable_or_project();
    let mut wrong = Vec::new();
    for source in tree.sources("src") {
        wrong.extend(phrases::banned(&source));
    }
    for page in tree.pages() {
        wrong.extend(phrases::banned(&page));
    }
    assert!(wrong.is_empty(), "{} places:\n{}", wrong.len(), wrong.join("\n"));
}
