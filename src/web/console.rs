//! The page of the console: its parts as one document. It shows nothing by itself, so that it needs no token; the scripts fill it
//! in with what the token of the operator may see.

use std::sync::LazyLock;

use super::assets;

/// The parts in their order. `{problem}`, `{form}` and `{fields}` stand for parts that several pages have, `{room}` for one of
/// the page of a drop.
const PARTS: &[&str] = &[
    include_str!("app/console/page-head.html"),
    include_str!("app/console/page-live.html"),
    include_str!("app/console/page-drops.html"),
    include_str!("app/console/page-orders.html"),
    include_str!("app/console/page-auctions.html"),
    include_str!("app/console/page-server.html"),
    include_str!("app/console/page-rest.html"),
];
const FORM: &str = include_str!("app/console/page-form.html");
const ROOM: &str = include_str!("app/console/page-room.html");
const FIELDS: &str = include_str!("app/console/page-fields.html");
const PROBLEM: &str = include_str!("app/console/page-problem.html");

/// The document.
static PAGE: LazyLock<String> = LazyLock::new(|| {
    PARTS
        .concat()
        .replace("{form}", FORM.trim())
        .replace("{fields}", FIELDS.trim())
        .replace("{room}", ROOM.trim())
        .replace("{problem}", PROBLEM.trim())
        .replace("{icon}", &assets::path("icon.svg"))
        .replace("{style}", &assets::path("console.css"))
        .replace("{script}", &assets::path("console.js"))
});

/// Returns the document.
#[must_use]
pub fn page() -> &'static str {
    &PAGE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_its_files_and_nothing_inline() {
        assert!(page().contains("href=\"/assets/console.") && page().contains("src=\"/assets/console."));
        for placeholder in ["{form}", "{fields}", "{room}", "{problem}", "{icon}", "{style}", "{script}"] {
            assert!(!page().contains(placeholder), "{placeholder}");
        }
        for inline in ["<style", " style=", " onclick", "javascript:", "<script>"] {
            assert!(!page().contains(inline), "{inline}");
        }
    }

    #[test]
    fn expressions_of_the_page_need_no_eval() {
        // The parser of Alpine's build for strict policies has no such operators.
        for operator in ["?.", "??", "=>", "`"] {
            assert!(!page().contains(operator), "{operator}");
        }
    }
}
