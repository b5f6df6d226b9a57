//! Check of the backup: its content, and its age.

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::finding::{Finding, Verdict};
use crate::store::backup::{self, BackupState};

const CHECK: &str = "backup";
/// Events since the backup would be lost with the disk.
const AGE_MAX: Duration = Duration::from_secs(24 * 3600);
const TO_DO: &str = "make a new one with `firstcome backup`, and pass it with --backup FILE";

/// Checks the age and the size of the newest backup that a server has made by itself, which has checked its content then.
#[must_use]
pub fn of_schedule(directory: Option<&Path>, newest: Option<&Path>) -> Finding {
    let Some(directory) = directory else {
        let to_do =
            "set backup.directory and backup.every_seconds, or check your own: firstcome preflight --backup FILE";
        return Finding::warn(CHECK, "the server makes none by itself", to_do);
    };
    let Some(path) = newest else {
        let found = format!("{} has no backup of this database", directory.display());
        return Finding::fail(CHECK, found, "make one: POST /v1/backup, or `firstcome backup`");
    };
    match fs::metadata(path).and_then(|metadata| Ok((metadata.len(), metadata.modified()?))) {
        Ok((bytes, at)) => judge_age(bytes, at.elapsed().ok()),
        Err(error) => Finding::fail(CHECK, format!("{}: {error}", path.display()), TO_DO),
    }
}

/// Checks the content, the age and the size of the backup.
pub fn backup(file: Option<&Path>, data: &Path) -> Finding {
    let Some(path) = file else { return Finding::warn(CHECK, "no backup given", TO_DO) };
    let found = fs::metadata(path).and_then(|metadata| Ok((metadata.len(), metadata.modified()?)));
    let (bytes, at) = match found {
        Ok(found) => found,
        Err(error) => return Finding::fail(CHECK, format!("{}: {error}", path.display()), TO_DO),
    };
    let aged = judge_age(bytes, at.elapsed().ok());
    if aged.verdict == Verdict::Fail {
        return aged;
    }
    match backup::check(path, data) {
        Ok(state) => judge_content(&state, aged),
        Err(what) => Finding::fail(CHECK, format!("{} {what}", path.display()), TO_DO),
    }
}

fn judge_content(state: &BackupState, aged: Finding) -> Finding {
    let BackupState { file_id, seq, behind } = state;
    match behind {
        Ok(behind) => {
            let found = format!("{}; whole up to event {seq}, {behind} events behind", aged.found);
            Finding { found, ..aged }
        }
        Err(why) => Finding::warn(
            CHECK,
            format!(
                "{}; whole up to event {seq}, of file {file_id}, not compared with the server's: {why}",
                aged.found
            ),
            "run preflight on the server's machine as the server's user, with its --data or --config",
        ),
    }
}

/// `age` is `None` if the file's time is in the future.
fn judge_age(bytes: u64, age: Option<Duration>) -> Finding {
    if bytes == 0 {
        return Finding::fail(CHECK, "the file is empty", "make a new backup");
    }
    let Some(age) = age else {
        return Finding::warn(CHECK, "the file's time is in the future", "compare the clocks of both machines");
    };
    let found = format!("{} hours and {} minutes old, {bytes} bytes", age.as_secs() / 3600, age.as_secs() / 60 % 60);
    Finding::graded(CHECK, age, (AGE_MAX, Duration::MAX), found, "make a new backup before the sale")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backup_of_more_than_a_day_an_empty_one_and_one_of_the_future_do_not_pass() {
        let hours = |hours: u64| Some(Duration::from_secs(hours * 3600));
        assert_eq!(judge_age(1, hours(24)).verdict, Verdict::Pass);
        assert_eq!(judge_age(1, hours(25)).verdict, Verdict::Warn);
        assert_eq!((judge_age(0, hours(1)).verdict, judge_age(1, None).verdict), (Verdict::Fail, Verdict::Warn));
    }
}
