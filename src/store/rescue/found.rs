//! A copy that a rescue has made, in or beside a data directory that lacks what the copy has.

use std::fs;
use std::path::{Path, PathBuf};

use crate::sqlite;
use crate::store::StoreError;
use crate::store::open::{DATABASE_FILE, last_link};
use crate::store::watermark::{WATERMARK_FILE, Watermark, WatermarkRecord, WatermarkState};

/// Returns an error of a directory that does not start, with the commands that put a rescue in its place, if there is one.
#[must_use]
pub fn tell(directory: &Path, error: StoreError) -> StoreError {
    let is_of_content = matches!(
        error,
        StoreError::Marked { .. }
            | StoreError::Missing { .. }
            | StoreError::Vanished { .. }
            | StoreError::NoEmptyFile { .. }
            | StoreError::EventsMissing { .. }
            | StoreError::OtherLoss { .. }
            | StoreError::Strange { .. }
            | StoreError::Inconsistent(_)
            | StoreError::Mixed { .. }
            | StoreError::Empty { .. }
    );
    if !is_of_content {
        return error;
    }
    match newest(directory) {
        Some((path, mark)) => refusal(directory, path, &mark, error.exit_code()),
        None => error,
    }
}

/// Refuses to give up events that a rescue has. `seq` is the last event without it.
///
/// # Errors
/// The rescue, and the commands that put it in the place of the directory.
pub fn refuse_loss(directory: &Path, seq: u64) -> Result<(), StoreError> {
    match newest(directory).filter(|(_, mark)| mark.seq.get() > seq) {
        Some((path, mark)) => Err(refusal(directory, path, &mark, crate::exit::BAD_DATA)),
        None => Ok(()),
    }
}

/// Returns the rescue that goes furthest, if it has all that the watermark of the directory says was acknowledged.
fn newest(directory: &Path) -> Option<(PathBuf, WatermarkRecord)> {
    let whole = std::path::absolute(directory).ok()?;
    let (above, name) = (whole.parent()?, whole.file_name()?.to_string_lossy());
    let beside = format!("{name}.rescued-");
    let named = |at: &Path, beginning: &str| -> Vec<PathBuf> {
        let entries = fs::read_dir(at).into_iter().flatten().filter_map(Result::ok);
        let is_one = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().starts_with(beginning);
        entries.filter(is_one).map(|entry| entry.path()).collect()
    };
    // A pipe in its place would wait for a writer.
    let is_file = |at: &Path| fs::metadata(at.join(WATERMARK_FILE)).is_ok_and(|found| found.is_file());
    let present = |at: &Path| match is_file(at).then(|| Watermark::read(at)) {
        Some(Ok(WatermarkState::Present(mark))) => Some(mark),
        Some(Ok(WatermarkState::Absent | WatermarkState::Unreadable) | Err(_)) | None => None,
    };
    let own = present(&whole);
    let has_all = |mark: &WatermarkRecord| {
        own.as_ref().is_none_or(|own| own.file_id == mark.file_id && (own.epoch, own.seq) <= (mark.epoch, mark.seq))
    };
    let all = named(&whole, "rescued-").into_iter().chain(named(above, &beside));
    let marked = all.filter_map(|path| {
        present(&path).filter(has_all).filter(|mark| has_events(&path, mark)).map(|mark| (path, mark))
    });
    marked.max_by_key(|(_, mark)| (mark.epoch, mark.seq))
}

/// Returns true if a copy has what its watermark says: one that is not whole has the watermark of what was acknowledged.
fn has_events(path: &Path, mark: &WatermarkRecord) -> bool {
    let copy = sqlite::open_unchanging(&path.join(DATABASE_FILE)).ok();
    let last = copy.and_then(|copy| last_link(&copy).ok());
    last.is_some_and(|(seq, _)| seq >= mark.seq)
}

fn refusal(directory: &Path, path: PathBuf, mark: &WatermarkRecord, code: u8) -> StoreError {
    let whole = std::path::absolute(directory).unwrap_or_default();
    // Without the slash that a shell completes it with; a name that is free, or the second command would move into it.
    let place: PathBuf = directory.components().collect();
    let old = (1..).map(|number| place.with_file_name(format!("{}.lost-{number}", name_of(&place))));
    let old = old.into_iter().find(|old| !old.exists()).unwrap_or_default();
    let from = path.strip_prefix(&whole).map_or_else(|_| path.clone(), |inside| old.join(inside));
    let away = if directory.exists() { format!("mv {} {} && ", quoted(&place), quoted(&old)) } else { String::new() };
    let commands = format!("{away}mv {} {}", quoted(&from), quoted(&place));
    StoreError::Rescued { path, seq: mark.seq.get(), directory: directory.to_path_buf(), commands, code }
}

fn name_of(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Writes a path as one word of a shell.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+".contains(&byte);
    if text.bytes().all(is_plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::chain::ChainLink;
    use crate::types::Seq;

    #[test]
    fn the_commands_are_words_of_a_shell_and_move_into_nothing_that_exists() {
        let scratch = tempfile::tempdir().expect("scratch");
        let directory = scratch.path().join("a shop's");
        std::fs::create_dir_all(directory.join("rescued-1")).expect("made");
        std::fs::create_dir(scratch.path().join("a shop's.lost-1")).expect("made");
        std::fs::write(directory.join("rescued-1/kept"), "").expect("written");
        let (seq, link) = (Seq::ZERO, ChainLink::START);
        let mark = WatermarkRecord { file_id: [1; 16], epoch: 1, seq, link, synced: seq };
        // With the slash that a shell completes it with.
        let typed = PathBuf::from(format!("{}/", directory.display()));
        let refused = refusal(&typed, directory.join("rescued-1"), &mark, crate::exit::DISK);
        let StoreError::Rescued { commands, .. } = refused else { panic!("{refused}") };
        let ran = std::process::Command::new("sh").arg("-c").arg(&commands).status().expect("run");
        assert!(ran.success(), "{commands}");
        assert!(directory.join("kept").exists(), "{commands}");
        assert!(scratch.path().join("a shop's.lost-2").exists(), "{commands}");
    }
}
