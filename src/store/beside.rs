//! The note beside the data directory: which file the directory has, and up to which event that file is known to go. It
//! survives the removal of the directory, after which no empty file is created in its place; and it tells a file that was
//! put back from the one that lay there, also one that was copied into the same file.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use parking_lot::Mutex;
use rusqlite::Connection;

use super::advice;
use super::chain::ChainLink;
use super::open::{last_link, link_at};
use super::ownership::{self, give, open_private};
use super::watermark::{Watermark, WatermarkRecord, WatermarkState};
use super::{Store, StoreError};
use crate::config::secret_file::open_regular;
use crate::failpoints::{self, Bug};
use crate::sqlite::{self, Access};
use crate::types::{Seq, hex};

/// Tokens of operators, inside the data directory.
pub const OPERATORS_FILE: &str = "operators.json";
/// Not empty once there were tokens, inside the data directory.
pub const OPERATORS_LOCK_FILE: &str = "operators.lock";
/// More than a note has.
const NOTE_BYTES_MAX: u64 = 65_536;

/// Content of the note.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Note {
    /// Random id of the database, as hexadecimal digits.
    pub(super) file_id: String,
    /// Highest epoch that the database had in this directory.
    pub epoch: u64,
    /// Inode and birth time of the database file; device and inode where there is no birth time. A file system may give the inode of a removed file to the next
    /// one; the birth time (nanoseconds since 1970; 0 where the file system has none) tells them apart.
    place: String,
    /// An event that is on the disk, and the link of the chain that ends with it. `None` in a note of an older version.
    pub(super) known: Option<(Seq, String)>,
    /// Operators had tokens in this directory: without their file no request has the role owner.
    operators: bool,
}

/// A file that is not the one that the note is of: a new epoch must begin.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Replaced {
    /// Highest epoch of the file that lay here.
    pub epoch: u64,
    /// Last event that it is known to have had, if this file does not have it.
    pub known: Option<Seq>,
}

impl Note {
    /// Describes the database at `path`, of which everything up to the record's event is on the disk.
    pub fn of(path: &Path, mark: &WatermarkRecord) -> io::Result<Note> {
        let found = std::fs::metadata(path)?;
        let birth =
            found.created().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok()).map_or(0, |at| at.as_nanos());
        // The number of a device may change with a boot, so it is not compared where the birth time says enough.
        let device = if birth == 0 { found.dev() } else { 0 };
        let place = format!("{device}:{}:{birth}", found.ino());
        let known = Some((mark.seq, hex::encode(&mark.link.0)));
        let operators = path.with_file_name(OPERATORS_FILE).exists();
        Ok(Note { file_id: hex::encode(&mark.file_id), epoch: mark.epoch, place, known, operators })
    }

    /// Returns what the database of this note was, if the one that was `found` is the same in another file, or in an older
    /// state: a copy was put in its place, or written into it.
    fn replaced_by(&self, found: &Note, connection: &Connection) -> rusqlite::Result<Option<Replaced>> {
        if self.file_id != found.file_id {
            return Ok(None);
        }
        let has_known = match &self.known {
            // The events of an older epoch may have been given up, as `recover --accept-loss` does.
            Some(_) if failpoints::enabled(Bug::NoteByInodeOnly) => true,
            Some((seq, link)) if self.epoch >= found.epoch => {
                link_at(connection, *seq)?.is_some_and(|found| hex::encode(&found.0) == *link)
            }
            Some(_) | None => true,
        };
        let is_another = self.place != found.place || self.epoch > found.epoch || !has_known;
        let known = self.known.as_ref().filter(|_| !has_known).map(|(seq, _)| *seq);
        Ok(is_another.then_some(Replaced { epoch: self.epoch, known }))
    }

    fn text(&self, directory: &Path) -> String {
        let Note { file_id, epoch, place, known, operators } = self;
        let known = known.as_ref().map_or(String::new(), |(seq, link)| format!(" seq {seq} link {link}"));
        let operators = if *operators { " operators yes" } else { "" };
        format!(
            "file {file_id} epoch {epoch} inode {place}{known}{operators}\nThe directory {} has this database. While this note is \
             here,\nfirstcome creates no empty database in its place. To begin anew, delete the note.\n",
            directory.display()
        )
    }

    /// Reads a whole note; `None` if it is cut or altered.
    fn parse(text: &str) -> Option<Note> {
        let first = text.lines().next().filter(|_| text.ends_with('\n'))?;
        let words: Vec<&str> = first.split(' ').collect();
        let value = |name| words.as_chunks::<2>().0.iter().find_map(|[key, value]| (*key == name).then_some(*value));
        let digits = |name, count: usize| {
            let text = value(name).filter(|text| text.len() == count)?;
            text.bytes().all(|byte| byte.is_ascii_hexdigit()).then(|| text.to_string())
        };
        let known = match value("seq") {
            Some(seq) => Some((Seq::new(seq.parse().ok()?)?, digits("link", 64)?)),
            None => None,
        };
        let (epoch, place) = (value("epoch")?.parse().ok()?, value("inode")?.into());
        Some(Note { file_id: digits("file", 32)?, epoch, place, known, operators: value("operators") == Some("yes") })
    }
}

/// Returns the paths of the note, `DIR.firstcome`: beside the directory, and beside the link if DIR is one, which may be
/// made to lead elsewhere. Empty if the directory has no parent.
#[must_use]
pub fn paths(directory: &Path) -> Vec<PathBuf> {
    let note_of = |whole: &Path| {
        let name = format!("{}.firstcome", whole.file_name()?.to_string_lossy());
        Some(whole.parent()?.join(name))
    };
    let above = directory.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let named = || Some(above.canonicalize().ok()?.join(directory.file_name()?));
    // A directory that is gone cannot be resolved, and the one above can.
    let mut paths: Vec<PathBuf> =
        [directory.canonicalize().ok(), named()].into_iter().flatten().filter_map(|whole| note_of(&whole)).collect();
    paths.dedup();
    paths
}

/// Returns the path of a note that exists.
#[must_use]
pub fn existing(directory: &Path) -> Option<PathBuf> {
    paths(directory).into_iter().find(|path| path.exists())
}

/// Refuses a note that is a link, has a second name, or is no file.
///
/// # Errors
/// The note, and what to do.
pub(super) fn check_plain(directory: &Path) -> Result<(), StoreError> {
    paths(directory).iter().try_for_each(|path| ownership::check_plain_note(path))
}

/// Refuses a note that is a link or no whole note, or that this user may not read: without it a copy that is put back is not
/// noticed.
///
/// # Errors
/// The note, and what to do.
pub fn check(directory: &Path) -> Result<(), StoreError> {
    check_plain(directory)?;
    for path in paths(directory) {
        let what = match read_text(&path) {
            Ok(text) if Note::parse(&text).is_some() => continue,
            Ok(text) if text.is_empty() => "is empty",
            Ok(_) => "is cut or altered",
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => continue,
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                // A directory that may not be entered has a refusal of its own.
                let Ok(found) = fs::symlink_metadata(&path) else { continue };
                let user = rustix::process::geteuid().as_raw();
                let whose = format!("it belongs to user {}, and this is user {user}", found.uid());
                let advice = "give it to the user of the server with `chown`, or delete it";
                return Err(StoreError::Denied { path, whose, advice });
            }
            Err(error) if error.kind() == ErrorKind::InvalidData => "is not a text",
            Err(source) => return Err(StoreError::Io { path, source }),
        };
        return Err(StoreError::BadNote { path, what, directory: directory.to_path_buf() });
    }
    Ok(())
}

/// Reads the notes of a directory, as far as they are whole.
#[must_use]
pub fn read(directory: &Path) -> Vec<Note> {
    paths(directory).iter().filter_map(|path| Note::parse(&read_text(path).ok()?)).collect()
}

fn read_text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    open_regular(path)?.take(NOTE_BYTES_MAX).read_to_string(&mut text)?;
    Ok(text)
}

/// Returns true if a note says that operators had tokens in a directory.
#[must_use]
pub fn had_tokens(directory: &Path) -> bool {
    read(directory).iter().any(|note| note.operators)
}

/// Notes that operators have tokens in a directory, if it has a note: a copy of its database in its place needs one.
pub fn note_tokens(directory: &Path) {
    for note in read(directory).into_iter().filter(|note| !note.operators) {
        write(directory, &Note { operators: true, ..note });
    }
}

/// Returns the database that lay in the place of the one at `path`, if the notes say that this one is a copy.
/// `connection` sees its content, whose last event `mark` has.
pub(super) fn replaced(
    path: &Path,
    mark: &WatermarkRecord,
    connection: &Connection,
) -> Result<Option<Replaced>, StoreError> {
    let Ok(found) = Note::of(path, mark) else { return Ok(None) };
    let mut all: Option<Replaced> = None;
    for note in read(path.parent().unwrap_or(path)) {
        if let Some(one) = note.replaced_by(&found, connection)? {
            let before = all.unwrap_or(one);
            all = Some(Replaced { epoch: before.epoch.max(one.epoch), known: before.known.max(one.known) });
        }
    }
    Ok(all)
}

/// Writes the notes unless they say that already. A directory above that is not writable has no note: that is no reason to
/// refuse.
pub fn write(directory: &Path, note: &Note) {
    // The keeper of the note must not put an older event over the last one that a rescue has noted.
    static WRITING: Mutex<()> = Mutex::new(());
    let _one_at_a_time = WRITING.lock();
    let is_of_the_same = |found: &Note| found.file_id == note.file_id && found.epoch == note.epoch;
    let known = read(directory).into_iter().filter(is_of_the_same).filter_map(|found| found.known);
    let known = known.chain(note.known.clone()).max_by_key(|(seq, _)| *seq);
    let operators = note.operators || had_tokens(directory);
    let text = Note { known, operators, ..note.clone() }.text(directory);
    for path in paths(directory) {
        if read_text(&path).is_ok_and(|found| found == text) {
            continue;
        }
        let owner = fs::metadata(directory).ok();
        // A directory above that is not writable, or a full disk, leaves the file of a note as its only place.
        let written = replace(&path, &text, owner.as_ref()).or_else(|first| overwrite(&path, &text).map_err(|_| first));
        if let Err(error) = written
            && !matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem)
        {
            tracing::warn!(%error, path = %path.display(), "note beside the data directory not written");
        }
    }
}

/// Puts a new file in the place of the note, also of one that has become a link: an interruption leaves the old note or the
/// new one.
fn replace(path: &Path, text: &str, owner: Option<&fs::Metadata>) -> io::Result<()> {
    let mut next = path.to_path_buf().into_os_string();
    next.push(".next");
    let next = PathBuf::from(next);
    // A process that was killed may have left one.
    let _none = fs::remove_file(&next);
    let written = open_private(&next).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        if let Some(owner) = owner {
            let _not_root = give(&next, owner);
        }
        fs::rename(&next, path)
    });
    if let Err(error) = written {
        let _unused = fs::remove_file(&next);
        return Err(error);
    }
    path.parent().map_or(Ok(()), |above| File::open(above)?.sync_all())
}

/// Writes into the note that lies there, in one write. A link is not followed.
fn overwrite(path: &Path, text: &str) -> io::Result<()> {
    let file = OpenOptions::new().write(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path)?;
    let found = file.metadata()?;
    if !found.is_file() || found.nlink() > 1 {
        return Err(io::Error::other("it is no file of its own"));
    }
    file.write_all_at(text.as_bytes(), 0)?;
    file.set_len(u64::try_from(text.len()).unwrap_or(u64::MAX))?;
    file.sync_all()
}

/// Writes the note of the database at `path`, all of which is on the disk up to the record's event.
pub fn write_of(path: &Path, mark: &WatermarkRecord) {
    if let Ok(note) = Note::of(path, mark) {
        write(path.parent().unwrap_or(path), &note);
    }
}

/// Notes the last event of a database that was lost under the running server, so that a start with less tells it. Where there
/// is no note any more, one is made that calls whatever comes in its place a copy.
pub(super) fn write_of_a_lost_one(directory: &Path, store: &Store, last: Option<(Seq, ChainLink)>, operators: bool) {
    let (file_id, epoch) = (hex::encode(&store.file_id), store.epoch);
    let before = read(directory).into_iter().find(|note| (&note.file_id, note.epoch) == (&file_id, epoch));
    let (place, known) = before.map_or(("0:0:0".into(), None), |note| (note.place, note.known));
    let known = last.map(|(seq, link)| (seq, hex::encode(&link.0))).or(known);
    write(directory, &Note { file_id, epoch, place, known, operators });
}

/// Writes the note again after a rebuild: its copy is the file of the directory now.
pub(super) fn renew(database: &Path) -> Result<(), StoreError> {
    let connection = sqlite::open(database, Access::Read)?;
    let read = || -> rusqlite::Result<WatermarkRecord> {
        let (epoch, file_id): (i64, [u8; 16]) =
            connection
                .query_row("SELECT epoch, file_id FROM meta WHERE id = 1", [], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let (seq, link) = last_link(&connection)?;
        Ok(WatermarkRecord { file_id, epoch: u64::try_from(epoch).unwrap_or(1), seq, link, synced: seq })
    };
    let mark = read().map_err(|error| advice::named(database, Some(&connection), error.into()))?;
    write_of(database, &mark);
    Ok(())
}

/// Keeps the note up to date while a server runs, on another thread than the writer's.
#[derive(Debug)]
pub struct NoteKeeper {
    database: PathBuf,
    file_id: [u8; 16],
    epoch: u64,
    noted: Seq,
}

impl NoteKeeper {
    /// Begins to keep the note of an open database.
    #[must_use]
    pub fn new(store: &Store) -> NoteKeeper {
        NoteKeeper { database: store.path.clone(), file_id: store.file_id, epoch: store.epoch, noted: Seq::ZERO }
    }

    /// Notes that operators have tokens, which the server has just read.
    pub fn keep_tokens(&self) {
        note_tokens(self.database.parent().unwrap_or(&self.database));
    }

    /// Notes the last event that is known to be on the disk, as the watermark has it; never an earlier one than before.
    /// `link_of` returns the link of the chain that ends with an event.
    pub fn keep(&mut self, link_of: impl FnOnce(Seq) -> Option<ChainLink>) {
        let directory = self.database.parent().unwrap_or(&self.database);
        let Ok(WatermarkState::Present(mark)) = Watermark::read(directory) else { return };
        // Another directory may have taken the place of this one, which the writer notices.
        if (mark.file_id, mark.epoch) != (self.file_id, self.epoch) || mark.synced <= self.noted {
            return;
        }
        let link = if mark.synced == mark.seq { Some(mark.link) } else { link_of(mark.synced) };
        let Some(link) = link else { return };
        self.noted = mark.synced;
        write_of(&self.database, &WatermarkRecord { seq: mark.synced, link, ..mark });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_read_as_it_was_written_also_one_of_an_older_version() {
        let scratch = tempfile::tempdir().expect("scratch");
        let path = scratch.path().join("data/firstcome.db");
        std::fs::create_dir(scratch.path().join("data")).expect("made");
        std::fs::write(&path, "").expect("made");
        let seq = Seq::new(41).expect("in range");
        let mark = WatermarkRecord { file_id: [7; 16], epoch: 3, seq, link: ChainLink([9; 32]), synced: seq };
        write_of(&path, &mark);
        let note = Note::of(&path, &mark).expect("described");
        assert_eq!(read(&scratch.path().join("data")), std::slice::from_ref(&note));
        let text = note.text(scratch.path());
        let (older, rest) = text.split_once(" seq").expect("a sequence number");
        let (_, lines) = rest.split_once('\n').expect("lines");
        let older = format!("{older}\n{lines}");
        assert_eq!(Note::parse(&older), Some(Note { known: None, ..note }));
        for cut in 0..text.len() {
            let is_whole = text.as_bytes()[..cut].ends_with(b"\n");
            assert_eq!(Note::parse(&text[..cut]).is_some(), is_whole, "cut at {cut}");
        }
    }

    #[test]
    fn a_note_has_the_birth_time_of_the_file_and_its_device_only_without_one() {
        let scratch = tempfile::tempdir().expect("scratch");
        let path = scratch.path().join("file");
        std::fs::write(&path, "").expect("written");
        let found = std::fs::metadata(&path).expect("found");
        let born = found.created().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok()).map(|at| at.as_nanos());
        let expected = match born {
            Some(at) => format!("0:{}:{at}", found.ino()),
            None => format!("{}:{}:0", found.dev(), found.ino()),
        };
        let mark =
            WatermarkRecord { file_id: [7; 16], epoch: 3, seq: Seq::ZERO, link: ChainLink::START, synced: Seq::ZERO };
        assert_eq!(Note::of(&path, &mark).expect("noted").place, expected);
        std::fs::copy(&path, scratch.path().join("copy")).expect("copied");
        let copy = Note::of(&scratch.path().join("copy"), &mark).expect("noted");
        assert_ne!(copy.place, expected, "another file with the same content");
    }

    /// A data directory with a file in the place of a database, and its record.
    fn place(scratch: &Path, seq: u64) -> (PathBuf, PathBuf, WatermarkRecord) {
        let directory = scratch.join("data");
        std::fs::create_dir(&directory).expect("made");
        let path = directory.join("firstcome.db");
        std::fs::write(&path, "").expect("made");
        let seq = Seq::new(seq).expect("in range");
        (directory, path, WatermarkRecord { file_id: [7; 16], epoch: 3, seq, link: ChainLink([9; 32]), synced: seq })
    }

    #[test]
    fn a_later_note_keeps_the_last_event_that_was_known_and_that_there_were_tokens() {
        let scratch = tempfile::tempdir().expect("scratch");
        let (directory, path, mark) = place(scratch.path(), 41);
        assert_eq!(existing(&directory), None);
        std::fs::write(directory.join(OPERATORS_FILE), "[]").expect("made");
        write_of(&path, &mark);
        assert_eq!(existing(&directory), Some(scratch.path().join("data.firstcome").canonicalize().expect("there")));
        assert!(had_tokens(&directory));
        std::fs::remove_file(directory.join(OPERATORS_FILE)).expect("removed");
        let earlier = Seq::new(12).expect("in range");
        write_of(&path, &WatermarkRecord { seq: earlier, synced: earlier, link: ChainLink([1; 32]), ..mark });
        let notes = read(&directory);
        assert_eq!(notes.len(), 1);
        assert_eq!(notes[0].known, Some((mark.seq, hex::encode(&[9; 32]))), "the later event, with its link");
        assert!(had_tokens(&directory), "tokens were known once");
        // Another epoch begins anew.
        write_of(&path, &WatermarkRecord { epoch: 4, seq: earlier, synced: earlier, ..mark });
        assert_eq!(read(&directory)[0].known.as_ref().map(|(seq, _)| *seq), Some(earlier));
    }

    #[test]
    fn a_note_that_is_empty_cut_no_text_or_a_link_is_refused_and_a_whole_or_missing_one_is_not() {
        let scratch = tempfile::tempdir().expect("scratch");
        let (directory, path, mark) = place(scratch.path(), 41);
        assert!(check(&directory).is_ok(), "there is none");
        write_of(&path, &mark);
        assert!(check(&directory).is_ok());
        let note = existing(&directory).expect("written");
        let whole = std::fs::read(&note).expect("read");
        for (bytes, what) in
            [(&b""[..], "is empty"), (&whole[..40], "is cut or altered"), (&[0xff; 9], "is not a text")]
        {
            std::fs::write(&note, bytes).expect("written");
            let refused = check(&directory).expect_err(what);
            assert!(matches!(&refused, StoreError::BadNote { what: found, .. } if *found == what), "{refused}");
        }
        std::fs::remove_file(&note).expect("removed");
        let elsewhere = scratch.path().join("elsewhere");
        std::fs::write(&elsewhere, "theirs").expect("written");
        std::os::unix::fs::symlink(&elsewhere, &note).expect("linked");
        assert!(check(&directory).is_err(), "a link");
        assert!(overwrite(&note, "a note\n").is_err(), "a link is not followed");
        assert_eq!(std::fs::read(&elsewhere).expect("read"), b"theirs");
    }

    #[test]
    fn the_keeper_notes_what_the_watermark_says_is_on_the_disk_with_the_link_of_that_event() {
        let scratch = tempfile::tempdir().expect("scratch");
        let store = Store::open(&scratch.path().join("data"), crate::types::UnixMillis::ZERO).expect("made");
        let directory = store.path.parent().expect("a directory").to_path_buf();
        let mut keeper = NoteKeeper::new(&store);
        let known = || read(&directory).pop().and_then(|note| note.known);
        let at = |number| Seq::new(number).expect("in range");
        let mark = |seq: u64, synced: u64| {
            let mark = store.mark(at(seq), ChainLink([3; 32]), at(synced));
            store.watermark.establish(&mark).expect("written");
        };
        mark(9, 9);
        keeper.keep(|_| None);
        assert_eq!(known(), Some((at(9), hex::encode(&[3; 32]))));
        mark(14, 12);
        keeper.keep(|seq| (seq == at(12)).then_some(ChainLink([4; 32])));
        assert_eq!(known(), Some((at(12), hex::encode(&[4; 32]))), "what is not on the disk is not known");
        mark(13, 11);
        keeper.keep(|_| Some(ChainLink([5; 32])));
        assert_eq!(known(), Some((at(12), hex::encode(&[4; 32]))), "never an earlier one");
    }

    #[test]
    fn a_copy_is_told_from_the_file_that_lay_here_by_its_place_its_epoch_and_its_events() {
        let scratch = tempfile::tempdir().expect("scratch");
        let store = Store::open(&scratch.path().join("data"), crate::types::UnixMillis::ZERO).expect("made");
        let note = |epoch, place: &str, known: Option<u64>| Note {
            file_id: hex::encode(&store.file_id),
            epoch,
            place: place.into(),
            known: known.map(|seq| (Seq::new(seq).expect("in range"), hex::encode(&[6; 32]))),
            operators: false,
        };
        let found = note(3, "here", None);
        let replaced = |of: &Note| of.replaced_by(&found, &store.connection).expect("asked");
        assert_eq!(replaced(&note(3, "here", None)), None);
        assert_eq!(replaced(&note(3, "there", None)), Some(Replaced { epoch: 3, known: None }), "another file");
        assert_eq!(replaced(&note(4, "here", None)), Some(Replaced { epoch: 4, known: None }), "an older state");
        // Event 5 is not in the file.
        let known = Seq::new(5);
        assert_eq!(replaced(&note(3, "here", Some(5))), Some(Replaced { epoch: 3, known }));
        assert_eq!(replaced(&note(2, "here", Some(5))), None, "given up in an epoch before");
        assert_eq!(replaced(&Note { file_id: "0".repeat(32), ..note(3, "there", Some(5)) }), None, "another shop's");
    }
}
