//! The revision that a build shows: the build script on real repositories, and the program's own `--version`.

#![allow(clippy::expect_used, reason = "a test ends where something is not as expected")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

#[path = "../scripts/revision.rs"]
#[allow(dead_code, reason = "its `main` is for cargo")]
mod script;

/// Sources in a directory of their own.
struct Sources {
    _scratch: tempfile::TempDir,
    root: PathBuf,
}

impl Sources {
    fn new() -> Sources {
        let scratch = tempfile::tempdir().expect("scratch");
        let root = scratch.path().join("sources");
        fs::create_dir_all(root.join("src")).expect("made");
        for (file, text) in [("src/main.rs", "fn main() {}"), ("src/README.md", "# Pages"), ("schema.sql", "")] {
            fs::write(root.join(file), text).expect("written");
        }
        Sources { _scratch: scratch, root }
    }

    /// Makes a repository of them, with one commit.
    fn committed() -> Sources {
        let sources = Sources::new();
        sources.git(&["init", "--quiet"]);
        sources.commit();
        sources
    }

    fn git(&self, arguments: &[&str]) -> String {
        git_in(&self.root, arguments)
    }

    /// Commits everything, and returns the digits of the commit.
    fn commit(&self) -> String {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--allow-empty", "--message", "A change"]);
        self.git(&["rev-parse", "--short=12", "HEAD"])
    }

    fn write(&self, file: &str, text: &str) {
        fs::write(self.root.join(file), text).expect("written");
    }

    fn shown(&self) -> String {
        release(&self.root)
    }
}

fn git_in(root: &Path, arguments: &[&str]) -> String {
    let identity = ["-c", "user.name=A test", "-c", "user.email=test@example.org", "-c", "commit.gpgsign=false"];
    let output = Command::new("git").args(identity).args(arguments).current_dir(root).output().expect("git runs");
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text").trim_end().into()
}

fn release(root: &Path) -> String {
    script::find(root, "", false).expect("a revision").shown
}

/// The files that make cargo run the script again, each of which must exist; with their bytes.
fn watched(root: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let files = script::find(root, "", false).expect("a revision").watched;
    files.into_iter().map(|file| (file.clone(), fs::read(&file).expect("it exists"))).collect()
}

#[test]
fn a_release_shows_the_commit_and_whether_its_sources_differ() {
    let sources = Sources::committed();
    let commit = sources.commit();
    assert_eq!(commit.len(), 12);
    assert_eq!(sources.shown(), commit);
    sources.write("src/README.md", "# Other pages");
    sources.write("notes.txt", "no source");
    assert_eq!(sources.shown(), commit, "pages and other files do not go into the program");
    sources.write("src/main.rs", "fn main() { loop {} }");
    assert_eq!(sources.shown(), format!("{commit}+dirty"));
    sources.git(&["add", "src/main.rs"]);
    assert_eq!(sources.shown(), format!("{commit}+dirty"), "staged is not committed");
    let next = sources.commit();
    assert_eq!(sources.shown(), next);
    sources.write("src/new.rs", "");
    assert_eq!(sources.shown(), format!("{next}+dirty"), "a new file may be a module");
}

#[test]
fn every_commit_and_every_edit_runs_the_script_again_and_nothing_else_does() {
    let sources = Sources::committed();
    let first = watched(&sources.root);
    assert!(first.iter().any(|(file, _)| file.ends_with("src/main.rs")), "{first:?}");
    assert!(!first.iter().any(|(file, _)| file.ends_with("src/README.md")), "{first:?}");
    assert_eq!(watched(&sources.root), first, "looking changes nothing");
    // Also if the branch is in `packed-refs` only, whose next commit makes a new file.
    for packed in [false, true] {
        if packed {
            sources.git(&["pack-refs", "--all"]);
        }
        let before = watched(&sources.root);
        sources.commit();
        let changed = before.iter().any(|(file, bytes)| fs::read(file).expect("it exists") != *bytes);
        assert!(changed, "packed: {packed}");
    }
}

#[test]
fn worktrees_and_commits_without_a_branch_have_their_own_revision() {
    let sources = Sources::committed();
    let tree = sources.root.with_file_name("tree");
    let place = tree.to_str().expect("a path");
    sources.git(&["worktree", "add", "--quiet", "--detach", place]);
    let first = release(&tree);
    git_in(&tree, &["commit", "--quiet", "--allow-empty", "--message", "Another"]);
    assert_ne!(release(&tree), first);
    assert_eq!(sources.shown(), first);
    assert!(watched(&tree).iter().any(|(file, _)| file.ends_with("HEAD")));
}

#[test]
fn sources_without_a_repository_are_unknown_unless_the_build_is_told() {
    let sources = Sources::new();
    assert_eq!(sources.shown(), "unknown");
    let told = |given: &str| script::find(&sources.root, given, false).map(|revision| revision.shown);
    assert_eq!(told("v1.2-3+deb12").as_deref(), Some("v1.2-3+deb12"));
    for wrong in ["a b", "a\nb", "ä", &"a".repeat(65)] {
        assert!(told(wrong).is_none(), "{wrong}");
    }
    // A repository around them is another project's.
    let outer = sources.root.parent().expect("scratch");
    git_in(outer, &["init", "--quiet"]);
    git_in(outer, &["commit", "--quiet", "--allow-empty", "--message", "Another project"]);
    assert_eq!(sources.shown(), "unknown");
    let commit = "0123456789abcdef0123456789abcdef01234567";
    sources.write(".cargo_vcs_info.json", &format!("{{\n  \"git\": {{\n    \"sha1\": \"{commit}\"\n  }}\n}}"));
    assert_eq!(sources.shown(), "0123456789ab", "a crate that `cargo package` made");
    let dirty = format!("{{\n  \"git\": {{\n    \"sha1\": \"{commit}\",\n    \"dirty\": true\n  }}\n}}");
    sources.write(".cargo_vcs_info.json", &dirty);
    assert_eq!(sources.shown(), "0123456789ab+dirty");
    sources.write(".cargo_vcs_info.json", "{\"git\":{\"sha1\":\"\"}}");
    assert_eq!(sources.shown(), "unknown");
}

#[test]
fn a_debug_build_shows_no_commit() {
    let sources = Sources::committed();
    let found = script::find(&sources.root, "", true).expect("a revision");
    assert_eq!((found.shown.as_str(), found.watched.len()), ("debug", 0));
}

#[test]
fn the_program_shows_its_version_and_its_revision() {
    let output = Command::new(env!("CARGO_BIN_EXE_firstcome")).arg("--version").output().expect("run");
    let version = env!("CARGO_PKG_VERSION");
    let revision = firstcome::types::version::REVISION;
    assert!(!revision.is_empty());
    assert_eq!(String::from_utf8_lossy(&output.stdout), format!("firstcome {version} ({revision})\n"));
}
