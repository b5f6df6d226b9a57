//! Circles of files: files of which each imports another one, directly or through others.

use std::collections::{BTreeMap, BTreeSet};

use crate::tree::{Source, code};

type Module = Vec<String>;

struct File {
    path: String,
    code: String,
    /// Names that the file hands on (`pub use child::Name`), and the path that they come from.
    handed_on: BTreeMap<String, Module>,
}

/// The circles of a crate. A parent that declares its children does not import them by that, and a name that a parent only
/// hands on (`pub use`) is imported from the file that defines it.
pub(crate) fn find(sources: &[Source]) -> Vec<Vec<String>> {
    let mut files: BTreeMap<Module, File> = BTreeMap::new();
    for source in sources.iter().filter(|source| !source.path.ends_with("/tests.rs")) {
        let module = module_of(&source.path);
        let code = code(&source.text);
        files.insert(module, File { path: source.path.clone(), code, handed_on: BTreeMap::new() });
    }
    let modules: BTreeSet<Module> = files.keys().cloned().collect();
    for (module, file) in &mut files {
        for path in uses(&file.code).into_iter().filter(|path| path.is_public) {
            let absolute = absolute(module, &path.segments, &modules);
            if let Some(name) = path.name() {
                file.handed_on.insert(name, absolute);
            }
        }
    }
    let mut arrows: BTreeMap<Module, BTreeSet<Module>> = BTreeMap::new();
    for (module, file) in &files {
        let targets = arrows.entry(module.clone()).or_default();
        for path in uses(&file.code)
            .into_iter()
            .filter(|path| !path.is_public)
            .map(|path| path.segments)
            .chain(inline(&file.code))
        {
            let target = resolve(&absolute(module, &path, &modules), &files, 0);
            if let Some(target) = target.filter(|target| target != module) {
                targets.insert(target);
            }
        }
    }
    let circles = components(&arrows);
    circles.into_iter().map(|circle| circle.iter().map(|module| files[module].path.clone()).collect()).collect()
}

fn module_of(path: &str) -> Module {
    let path = path.strip_prefix("src/").unwrap_or(path).strip_suffix(".rs").unwrap_or(path);
    match path {
        "lib" | "main" => vec![path.to_owned()],
        path => path.split('/').filter(|part| *part != "mod").map(str::to_owned).collect(),
    }
}

struct Use {
    segments: Module,
    alias: Option<String>,
    is_public: bool,
}

impl Use {
    fn name(&self) -> Option<String> {
        self.alias.clone().or_else(|| self.segments.last().cloned())
    }
}

/// The paths of the `use` items of a file, lists taken apart.
fn uses(code: &str) -> Vec<Use> {
    let mut found = Vec::new();
    for item in code.split(';') {
        let Some((before, tree)) =
            item.rsplit_once("use ").filter(|(before, _)| before.is_empty() || before.ends_with(char::is_whitespace))
        else {
            continue;
        };
        let line = before.rsplit('\n').next().unwrap_or("");
        if !(line.trim().is_empty() || line.trim_start().starts_with("pub")) || tree.contains('=') {
            continue;
        }
        let is_public = line.trim_start().starts_with("pub");
        let tree: String = tree.split_whitespace().collect::<Vec<_>>().join(" ");
        expand(&tree, &mut Vec::new(), is_public, &mut found);
    }
    found
}

fn expand(tree: &str, before: &mut Module, is_public: bool, found: &mut Vec<Use>) {
    let tree = tree.trim();
    if let Some((head, list)) = tree.split_once('{') {
        let depth = before.len();
        before.extend(head.split("::").map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned));
        let list = list.strip_suffix('}').unwrap_or(list);
        let (mut depth_of_braces, mut start) = (0usize, 0);
        for (at, c) in list.char_indices() {
            match c {
                '{' => depth_of_braces += 1,
                '}' => depth_of_braces = depth_of_braces.saturating_sub(1),
                ',' if depth_of_braces == 0 => {
                    expand(&list[start..at], before, is_public, found);
                    start = at + 1;
                }
                _ => {}
            }
        }
        expand(&list[start..], before, is_public, found);
        before.truncate(depth);
        return;
    }
    if tree.is_empty() {
        return;
    }
    let (path, alias) =
        tree.split_once(" as ").map_or((tree, None), |(path, alias)| (path, Some(alias.trim().to_owned())));
    let mut segments = before.clone();
    segments.extend(
        path.split("::")
            .map(str::trim)
            .filter(|part| !matches!(*part, "" | "self" | "*") || before.is_empty())
            .map(str::to_owned),
    );
    found.push(Use { segments, alias, is_public });
}

/// Paths that begin with `crate::` or `super::` in the middle of code.
fn inline(code: &str) -> Vec<Module> {
    let mut found = Vec::new();
    for start in ["crate::", "super::"] {
        for (at, _) in code.match_indices(start) {
            if code[..at].ends_with("::") {
                continue;
            }
            let path: String =
                code[at..].chars().take_while(|c| c.is_alphanumeric() || matches!(c, '_' | ':')).collect();
            found.push(path.split("::").filter(|part| !part.is_empty()).map(str::to_owned).collect());
        }
    }
    found
}

fn absolute(module: &Module, path: &[String], modules: &BTreeSet<Module>) -> Module {
    let mut base: Module = Vec::new();
    let mut rest = path;
    match path.first().map(String::as_str) {
        Some("crate") => rest = &path[1..],
        Some("self") => {
            base.clone_from(module);
            rest = &path[1..];
        }
        Some("super") => {
            base.clone_from(module);
            while rest.first().is_some_and(|part| part == "super") {
                base.pop();
                rest = &rest[1..];
            }
        }
        Some(first) => {
            let mut child = module.clone();
            child.push(first.to_owned());
            if modules.contains(&child) {
                base.clone_from(module);
            } else {
                return vec!["(another crate)".into()];
            }
        }
        None => {}
    }
    base.extend(rest.iter().cloned());
    base
}

/// The file that an absolute path leads to: the longest module on the way, followed through names that it only hands on.
fn resolve(path: &[String], files: &BTreeMap<Module, File>, depth: usize) -> Option<Module> {
    let longest = (1..=path.len()).rev().map(|length| &path[..length]).find(|prefix| files.contains_key(*prefix))?;
    if let Some(next) = path.get(longest.len())
        && let Some(origin) = files[longest].handed_on.get(next).filter(|origin| depth < 8 && origin.as_slice() != path)
    {
        let mut on = origin.clone();
        on.extend(path[longest.len() + 1..].iter().cloned());
        if let Some(found) = resolve(&on, files, depth + 1) {
            return Some(found);
        }
    }
    Some(longest.to_vec())
}

/// Strongly connected components of more than one file: a file and all that it reaches and that reach it.
fn components(arrows: &BTreeMap<Module, BTreeSet<Module>>) -> Vec<Vec<Module>> {
    let reached: BTreeMap<&Module, BTreeSet<&Module>> = arrows.keys().map(|from| (from, reach(from, arrows))).collect();
    let mut done: BTreeSet<&Module> = BTreeSet::new();
    let mut found = Vec::new();
    for from in arrows.keys() {
        let circle: Vec<&Module> = reached[from]
            .iter()
            .copied()
            .filter(|to| reached.get(to).is_some_and(|back| back.contains(from)))
            .collect();
        if circle.len() > 1 && !done.contains(from) {
            done.extend(circle.iter().copied());
            found.push(circle.into_iter().cloned().collect());
        }
    }
    found
}

fn reach<'a>(from: &'a Module, arrows: &'a BTreeMap<Module, BTreeSet<Module>>) -> BTreeSet<&'a Module> {
    let mut seen = BTreeSet::new();
    let mut open = vec![from];
    while let Some(module) = open.pop() {
        for next in arrows.get(module).into_iter().flatten() {
            if seen.insert(next) {
                open.push(next);
            }
        }
    }
    seen
}

#[test]
fn a_circle_is_found_through_lists_parents_and_names_that_are_handed_on() {
    let source = |path: &str, text: &str| Source { path: path.into(), text: text.into() };
    let sources = [
        source("src/a.rs", "mod one;\nmod two;\npub use one::One;\nfn f() {}\n"),
        source("src/a/one.rs", "use super::two::{self, Two};\nuse crate::b::B;\n"),
        source("src/a/two.rs", "fn f() -> super::One { todo() }\n"),
        source("src/b.rs", "use std::fmt;\n"),
    ];
    assert_eq!(find(&sources), [["src/a/one.rs", "src/a/two.rs"]]);
}
