//! The tokens file: JSON, readable by its owner alone, and replaced as a whole, so that a reader never sees half of it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::token::{Role, Token, TokenStatus, is_id, is_name};
use crate::config::ConfigError;
use crate::config::secret_file::{FileProtection, FileStamp, open_regular, read_open};
use crate::types::text::{parse_rfc3339, rfc3339};
use crate::types::{UnixMillis, hex};

/// The name of the file in the data directory.
pub const TOKENS_FILE: &str = "operators.json";
/// Locked by the process that changes the file. It is not empty once there was a file with tokens.
pub const LOCK_FILE: &str = "operators.lock";
/// The next version of the file, until it replaces the last.
const NEXT_FILE: &str = "operators.json.next";
/// Tokens in a file at most, expired and revoked ones included.
pub const TOKENS_MAX: usize = 1000;
/// A thousand tokens take about 300 kB.
const BYTES_MAX: u64 = 1 << 20;
/// The version of the file's format.
const VERSION: u32 = 1;

/// A token in the file. It holds no secret: SHA-256 of 256 random bits is not invertible.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenRow {
    id: Box<str>,
    name: String,
    role: Role,
    sha256: String,
    created_at: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    revoked_at: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TokensFile {
    version: u32,
    tokens: Vec<TokenRow>,
}

impl TokenRow {
    fn of(token: &Token) -> TokenRow {
        TokenRow {
            id: token.id.clone(),
            name: token.name.as_ref().into(),
            role: token.role,
            sha256: hex::encode(&token.sha256),
            created_at: rfc3339(token.created_at),
            expires_at: token.expires_at.map(rfc3339),
            revoked_at: token.revoked_at.map(rfc3339),
        }
    }

    fn token(&self) -> Option<Token> {
        let instant = |text: &Option<String>| match text {
            Some(text) => parse_rfc3339(text).map(Some),
            None => Some(None),
        };
        if !is_id(&self.id) || !is_name(&self.name) {
            return None;
        }
        Some(Token {
            id: self.id.clone(),
            name: self.name.as_str().into(),
            role: self.role,
            sha256: digest_of_hex(&self.sha256)?,
            created_at: parse_rfc3339(&self.created_at)?,
            expires_at: instant(&self.expires_at)?,
            revoked_at: instant(&self.revoked_at)?,
        })
    }
}

fn digest_of_hex(text: &str) -> Option<[u8; 32]> {
    let digits: &[u8; 64] = text.as_bytes().try_into().ok()?;
    let mut bytes = [0u8; 32];
    for (byte, pair) in bytes.iter_mut().zip(digits.as_chunks::<2>().0) {
        *byte = (hex::value(pair[0])? << 4) | hex::value(pair[1])?;
    }
    Some(bytes)
}

/// Reads the file, if it exists.
///
/// # Errors
/// If it is invalid, incomplete, or readable by others than its owner.
pub fn read(path: &Path) -> Result<Option<(Vec<Token>, FileStamp)>, ConfigError> {
    let failed = |error: &dyn std::fmt::Display| ConfigError(format!("{}: {error}", path.display()));
    let file = match open_regular(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !path.is_symlink() => return Ok(None),
        Err(error) => return Err(failed(&error)),
    };
    let stamp = FileStamp::from(&file.metadata().map_err(|error| failed(&error))?);
    let bytes = read_open(&file, path, FileProtection::Secret, BYTES_MAX)?;
    // serde's messages may quote what it found, and this file is about secrets: only the line is shown.
    let page: TokensFile = serde_json::from_slice(&bytes)
        .map_err(|error| failed(&format!("not a list of operator tokens (line {})", error.line())))?;
    if page.version != VERSION {
        return Err(failed(&format!("version {} of the list of tokens; this program knows {VERSION}", page.version)));
    }
    let mut tokens = Vec::with_capacity(page.tokens.len());
    for row in &page.tokens {
        tokens
            .push(row.token().ok_or_else(|| failed(&format!("token {} is damaged", tokens.len().saturating_add(1))))?);
    }
    Ok(Some((tokens, stamp)))
}

#[derive(Serialize)]
struct ListedToken<'a> {
    id: &'a str,
    name: &'a str,
    role: Role,
    standing: TokenStatus,
    created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked_at: Option<String>,
}

/// Returns the tokens as JSON for other programs, without their digests.
#[must_use]
pub fn list_as_json(tokens: &[Token], now: UnixMillis) -> String {
    let rows: Vec<_> = tokens.iter().map(|token| listed(token, now)).collect();
    serde_json::to_string_pretty(&rows).unwrap_or_default()
}

fn listed(token: &Token, now: UnixMillis) -> ListedToken<'_> {
    let Token { id, name, role, sha256: _, created_at, expires_at, revoked_at } = token;
    ListedToken {
        id,
        name,
        role: *role,
        standing: token.status(now),
        created_at: rfc3339(*created_at),
        expires_at: expires_at.map(rfc3339),
        revoked_at: revoked_at.map(rfc3339),
    }
}

/// Reason of tokens that stay as they are.
#[derive(Debug)]
pub enum ChangeError {
    /// The change itself, or the file that is there.
    Refused(ConfigError),
    /// A file could not be made or written.
    Unwritten { path: PathBuf, source: io::Error },
}

impl From<ConfigError> for ChangeError {
    fn from(error: ConfigError) -> ChangeError {
        ChangeError::Refused(error)
    }
}

/// Changes the file: one process at a time, and as a whole or not at all.
///
/// # Errors
/// The error of `change`, or of reading or writing the file.
pub fn change<T>(
    data: &Path,
    change: impl FnOnce(&mut Vec<Token>) -> Result<T, ConfigError>,
) -> Result<T, ChangeError> {
    let at = |path: &Path, source| ChangeError::Unwritten { path: path.to_path_buf(), source };
    let failed = |error| at(data, error);
    match fs::DirBuilder::new().mode(0o700).create(data) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(failed(error)),
    }
    let directory = File::open(data).map_err(failed)?;
    let owner = directory.metadata().map_err(failed)?;
    let mut options = OpenOptions::new();
    // A named pipe in its place is refused instead of waited for.
    options.create(true).append(true).mode(0o600).custom_flags(libc::O_NONBLOCK);
    let lock_path = data.join(LOCK_FILE);
    let lock =
        options.open(&lock_path).and_then(|lock| lock.lock().map(|()| lock)).map_err(|error| at(&lock_path, error))?;
    let path = data.join(TOKENS_FILE);
    let mut tokens = read(&path)?.map(|(tokens, _)| tokens).unwrap_or_default();
    let result = change(&mut tokens)?;
    let text = content(&tokens)?;
    let next = data.join(NEXT_FILE);
    // A command that was killed may have left one.
    let _none = fs::remove_file(&next);
    let mut file =
        OpenOptions::new().create_new(true).write(true).mode(0o600).open(&next).map_err(|error| at(&next, error))?;
    // Created by root for a server that runs as another user: the server must be able to read it.
    let made = file.metadata().map_err(failed)?;
    if (made.uid(), made.gid()) != (owner.uid(), owner.gid()) {
        for file in [&file, &lock] {
            fchown(file, Some(owner.uid()), Some(owner.gid())).map_err(failed)?;
        }
    }
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    if let Err(error) = written.and_then(|()| fs::rename(&next, &path)) {
        let _unused = fs::remove_file(&next);
        return Err(at(&path, error));
    }
    // A disk without room for it leaves the memory to the note beside the directory.
    let _remembered = lock.set_len(1);
    directory.sync_all().map_err(failed)?;
    Ok(result)
}

/// Returns the content of a file with these tokens.
///
/// # Errors
/// If it cannot be expressed as JSON.
pub fn content(tokens: &[Token]) -> Result<String, ConfigError> {
    let page = TokensFile { version: VERSION, tokens: tokens.iter().map(TokenRow::of).collect() };
    let mut text = serde_json::to_string_pretty(&page).map_err(|error| ConfigError(error.to_string()))?;
    text.push('\n');
    Ok(text)
}

/// Returns true if tokens were made in this directory, whether or not their file is still there.
#[must_use]
pub fn had_tokens(data: &Path) -> bool {
    fs::metadata(data.join(LOCK_FILE)).is_ok_and(|lock| lock.len() > 0) || data.join(TOKENS_FILE).exists()
}

/// Makes room for one more token: the oldest expired or revoked one is removed.
///
/// # Errors
/// If all are in force.
pub fn make_room(tokens: &mut Vec<Token>, now: UnixMillis) -> Result<(), ConfigError> {
    if tokens.len() < TOKENS_MAX {
        return Ok(());
    }
    match tokens.iter().position(|token| token.status(now) != TokenStatus::InForce) {
        Some(index) => {
            tokens.remove(index);
            Ok(())
        }
        None => Err(ConfigError(format!("{TOKENS_MAX} tokens are in force, which is the maximum; revoke one first"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> UnixMillis {
        UnixMillis::new(ms).expect("in range")
    }

    #[test]
    fn a_written_file_is_read_back_and_is_readable_by_its_owner_alone() {
        let scratch = tempfile::tempdir().expect("scratch");
        let (mut token, text) = Token::new("ann", Role::Owner, at(7), Some(at(1000)));
        token.revoked_at = Some(at(9));
        let other = Token::new("bob", Role::Viewer, at(8), None).0;
        let tokens = vec![token, other];
        change(scratch.path(), |file| {
            file.extend(tokens.clone());
            Ok(())
        })
        .expect("written");
        let path = scratch.path().join(TOKENS_FILE);
        let (found, stamp) = read(&path).expect("good").expect("there");
        assert_eq!((found, Some(stamp)), (tokens, FileStamp::of(&path)));
        assert_eq!(fs::metadata(&path).expect("there").mode() & 0o777, 0o600);
        let written = fs::read_to_string(&path).expect("text");
        let secret = text.rsplit('_').next().expect("a secret");
        assert!(!written.contains(secret), "{written}");
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o640)).expect("set");
        assert!(read(&path).expect_err("refused").0.contains("chmod 600"));
    }

    #[test]
    fn a_change_that_fails_leaves_no_memory_of_tokens_that_never_were() {
        let scratch = tempfile::tempdir().expect("scratch");
        let refused = change(scratch.path(), |_| Err::<(), _>(ConfigError("no".into())));
        assert!(refused.is_err() && !had_tokens(scratch.path()));
        // A directory in place of the file: the new one is written whole and cannot take its place.
        let path = scratch.path().join(TOKENS_FILE);
        let put = |file: &mut Vec<Token>| {
            file.push(Token::new("ann", Role::Owner, at(7), None).0);
            fs::create_dir(&path).map_err(|error| ConfigError(error.to_string()))
        };
        assert!(change(scratch.path(), put).is_err());
        fs::remove_dir(&path).expect("removed");
        assert!(!had_tokens(scratch.path()) && !scratch.path().join(NEXT_FILE).exists());
        change(scratch.path(), |file| {
            file.push(Token::new("ann", Role::Owner, at(7), None).0);
            Ok(())
        })
        .expect("written");
        fs::remove_file(&path).expect("removed");
        assert!(had_tokens(scratch.path()), "the lock remembers");
    }

    #[test]
    fn concurrent_commands_lose_no_token() {
        let scratch = tempfile::tempdir().expect("scratch");
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let token = Token::new("ann", Role::Viewer, at(0), None).0;
                    let add = |tokens: &mut Vec<Token>| {
                        tokens.push(token);
                        Ok(())
                    };
                    change(scratch.path(), add).expect("written");
                });
            }
        });
        let (tokens, _) = read(&scratch.path().join(TOKENS_FILE)).expect("good").expect("there");
        assert_eq!(tokens.len(), 8);
    }

    #[test]
    fn damage_is_reported_without_the_content() {
        let scratch = tempfile::tempdir().expect("scratch");
        let path = scratch.path().join(TOKENS_FILE);
        for text in [
            "{}",
            r#"{"version":2,"tokens":[]}"#,
            r#"{"version":1,"tokens":[],"more":"topsecret"}"#,
            r#"{"version":1,"tokens":[{"id":"topsecret","name":"a","role":"viewer","sha256":"","created_at":""}]}"#,
        ] {
            fs::write(&path, text).expect("written");
            fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("set");
            let mistake = read(&path).expect_err(text).0;
            assert!(mistake.contains(TOKENS_FILE) && !mistake.contains("topsecret"), "{mistake}");
        }
    }

    #[test]
    fn a_full_list_drops_the_oldest_that_is_not_in_force() {
        let mut tokens: Vec<Token> = (0..TOKENS_MAX).map(|_| Token::new("ann", Role::Viewer, at(0), None).0).collect();
        assert!(make_room(&mut tokens, at(1)).is_err());
        let (gone, kept) = (tokens[5].id.clone(), tokens[7].id.clone());
        tokens[5].revoked_at = Some(at(1));
        tokens[7].expires_at = Some(at(1));
        make_room(&mut tokens, at(1)).expect("room");
        assert!(tokens.len() == TOKENS_MAX - 1 && tokens.iter().all(|token| token.id != gone));
        assert!(tokens.iter().any(|token| token.id == kept));
    }
}
