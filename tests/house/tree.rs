//! The files of a checkout.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// One text file; `path` is relative to the root of the checkout.
pub(crate) struct Source {
    pub(crate) path: String,
    pub(crate) text: String,
}

/// A checkout: this project, or the one that `FIRSTCOME_TREE` names.
pub(crate) struct Tree {
    root: PathBuf,
}

impl Tree {
    pub(crate) fn project() -> Tree {
        Tree { root: PathBuf::from(env!("CARGO_MANIFEST_DIR")) }
    }

    pub(crate) fn of_variable_or_project() -> Tree {
        std::env::var_os("FIRSTCOME_TREE").map_or_else(Tree::project, |root| Tree { root: root.into() })
    }

    pub(crate) fn is_the_project(&self) -> bool {
        self.root == Path::new(env!("CARGO_MANIFEST_DIR"))
    }

    pub(crate) fn text(&self, path: &str) -> String {
        fs::read_to_string(self.root.join(path)).expect("a text file of the checkout")
    }

    /// The Rust sources below a folder, in the order of their paths.
    pub(crate) fn sources(&self, below: &str) -> Vec<Source> {
        self.files(below, "rs")
    }

    /// The pages of documentation: those at the top and those beside the code.
    pub(crate) fn pages(&self) -> Vec<Source> {
        let mut pages = vec![Source { path: "README.md".into(), text: self.text("README.md") }];
        for folder in ["src", "benches", "dashboards", "scripts"] {
            pages.extend(self.files(folder, "md").into_iter().filter(|page| !page.path.contains("node_modules")));
        }
        pages
    }

    fn files(&self, below: &str, extension: &str) -> Vec<Source> {
        let (mut found, mut folders) = (Vec::new(), vec![self.root.join(below)]);
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).expect("a folder of the checkout") {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|found| found == extension) {
                    let relative =
                        path.strip_prefix(&self.root).expect("below the root").to_string_lossy().into_owned();
                    found.push(Source { path: relative, text: fs::read_to_string(&path).expect("a text file") });
                }
            }
        }
        found.sort_by(|one, other| one.path.cmp(&other.path));
        found
    }

    /// Lines of each room of `src`, the largest first.
    pub(crate) fn lines_by_room(&self) -> Vec<(String, usize)> {
        let mut rooms: BTreeMap<String, usize> = BTreeMap::new();
        for source in self.sources("src") {
            *rooms.entry(room(&source.path).to_owned()).or_default() += source.text.lines().count();
        }
        let mut rooms: Vec<_> = rooms.into_iter().collect();
        rooms.sort_by_key(|(_, lines)| std::cmp::Reverse(*lines));
        rooms
    }
}

/// The room of a file below `src`: its folder, or its own name.
pub(crate) fn room(path: &str) -> &str {
    let part = path.split('/').nth(1).unwrap_or(path);
    part.strip_suffix(".rs").unwrap_or(part)
}

/// The code of a source without its unit tests and comments.
pub(crate) fn code(text: &str) -> String {
    let before_tests = text.split("#[cfg(test)]\nmod tests").next().unwrap_or("");
    before_tests.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}
