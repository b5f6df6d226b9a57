//! The build script: tells the program the revision that it is built from, as the variable `FIRSTCOME_REVISION`.
//!
//! The revision is the first twelve digits of the commit, and `+dirty` if a file that goes into the program differs from it. A
//! crate that `cargo package` made knows its commit. Elsewhere without a repository the variable `FIRSTCOME_REVISION` of the
//! build tells it, otherwise it is `unknown`. Debug builds say `debug`: with a commit in them, each commit would compile the library and
//! link every test again.

#![allow(clippy::print_stdout, reason = "cargo reads a build script's standard output")]

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// Everything that goes into the program, relative to the root. Pages (`.md`) do not.
const SOURCES: &[&str] = &[
    "src",
    "schema.sql",
    "dashboards/alerts.yml",
    "Cargo.toml",
    "Cargo.lock",
    ".cargo/config.toml",
    "scripts/revision.rs",
];

/// Hexadecimal digits of a commit that are shown.
const DIGITS: usize = 12;

/// A revision, and the files whose change can change it. All of them exist: cargo runs a script whose file is missing each time.
pub(crate) struct Revision {
    pub(crate) shown: String,
    pub(crate) watched: Vec<PathBuf>,
}

fn main() -> ExitCode {
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    let given = variable("FIRSTCOME_REVISION");
    let found = find(Path::new(&variable("CARGO_MANIFEST_DIR")), &given, variable("PROFILE") == "debug");
    println!("cargo::rerun-if-env-changed=FIRSTCOME_REVISION");
    let Some(found) = found else {
        println!("cargo::error=FIRSTCOME_REVISION={given}: 1 to 64 letters, digits and . + _ - are a revision");
        return ExitCode::FAILURE;
    };
    for path in found.watched {
        println!("cargo::rerun-if-changed={}", path.display());
    }
    println!("cargo::rustc-env=FIRSTCOME_REVISION={}", found.shown);
    ExitCode::SUCCESS
}

/// Returns the revision of the sources in a directory, or `None` if the given one is not valid. An empty one is not given.
pub(crate) fn find(root: &Path, given: &str, is_debug: bool) -> Option<Revision> {
    let fixed = |shown: &str| Revision { shown: shown.into(), watched: vec![] };
    if !given.is_empty() {
        let valid = |byte: u8| byte.is_ascii_alphanumeric() || b".+_-".contains(&byte);
        return (given.len() <= 64 && given.bytes().all(valid)).then(|| fixed(given));
    }
    if is_debug {
        return Some(fixed("debug"));
    }
    Some(of_repository(root).or_else(|| of_package(root)).unwrap_or_else(|| fixed("unknown")))
}

/// Returns the commit of a repository whose root this directory is: a source archive may lie below another project's.
fn of_repository(root: &Path) -> Option<Revision> {
    let top = PathBuf::from(git(root, &["rev-parse", "--show-toplevel"])?);
    if top.canonicalize().ok()? != root.canonicalize().ok()? {
        return None;
    }
    let commit = git(root, &["rev-parse", &format!("--short={DIGITS}"), "HEAD"])?;
    let changed = ["status", "--porcelain", "--untracked-files=all", "--", ":(exclude)*.md"];
    let changed = git(root, &[&changed[..], SOURCES].concat())?;
    let listed = ["ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", ":(exclude)*.md"];
    let listed = git(root, &[&listed[..], SOURCES].concat())?;
    let mut watched: Vec<PathBuf> = listed
        .split('\0')
        .filter(|file| !file.is_empty())
        .map(|file| root.join(file))
        .filter(|path| path.is_file())
        .collect();
    // The log of HEAD has a new line after every commit and checkout, also if the branch was only in `packed-refs` before.
    let branch = git(root, &["symbolic-ref", "--quiet", "HEAD"]).unwrap_or_default();
    for name in ["HEAD", "logs/HEAD", "packed-refs", &branch] {
        let path = git(root, &["rev-parse", "--git-path", name]).unwrap_or_default();
        watched.extend(Some(root.join(path)).filter(|path| path.is_file()));
    }
    Some(Revision { shown: marked(&commit, !changed.is_empty()), watched })
}

/// Returns the commit that `cargo package` wrote down.
fn of_package(root: &Path) -> Option<Revision> {
    let file = root.join(".cargo_vcs_info.json");
    let text = std::fs::read_to_string(&file).ok()?;
    let (_, rest) = text.split_once("\"sha1\"")?;
    let commit = rest.split('"').nth(1)?.get(..DIGITS)?;
    let is_dirty = text.split_whitespace().collect::<String>().contains("\"dirty\":true");
    commit
        .bytes()
        .all(|byte| byte.is_ascii_hexdigit())
        .then(|| Revision { shown: marked(commit, is_dirty), watched: vec![file] })
}

fn marked(commit: &str, is_dirty: bool) -> String {
    format!("{commit}{}", if is_dirty { "+dirty" } else { "" })
}

/// Runs git on this directory, whatever repository a hook that runs cargo has in its environment.
fn git(root: &Path, arguments: &[&str]) -> Option<String> {
    let mut command = Command::new("git");
    for variable in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_COMMON_DIR"] {
        command.env_remove(variable);
    }
    let output = command.arg("--no-optional-locks").args(arguments).current_dir(root).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim_end().to_owned())
}
