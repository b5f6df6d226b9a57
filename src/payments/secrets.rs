//! Secrets of providers: read from files that are their owner's alone, never shown.

use std::path::{Path, PathBuf};

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use subtle::{Choice, ConstantTimeEq as _};

use crate::config::ConfigError;
use crate::config::secret_file::{FileProtection, read};

/// A secret's file: a line.
const FILE_BYTES_MAX: u64 = 1024;
/// What Standard Webhooks allows for a secret, in bytes.
const STANDARD_BYTES: std::ops::RangeInclusive<usize> = 24..=64;
/// Of a secret that is its own text: what providers give has 32 and more.
const TEXT_BYTES_MIN: usize = 16;
/// Of a key for a provider's API.
const API_KEY_BYTES_MIN: usize = 8;

/// The keys of one provider: several while one follows another.
#[derive(Clone)]
pub(super) struct Keys(Vec<hmac::Key>);

impl Keys {
    /// Keys out of their bytes.
    pub(super) fn of(keys: &[&[u8]]) -> Keys {
        Keys(keys.iter().map(|key| hmac::Key::new(hmac::HMAC_SHA256, key)).collect())
    }

    /// Secrets as Standard Webhooks writes them: `whsec_` and base64. `None` without files.
    pub(super) fn standard(files: &[PathBuf]) -> Result<Option<Keys>, Vec<ConfigError>> {
        Keys::from_files(files, |path, line| {
            let decoded = STANDARD.decode(line.strip_prefix("whsec_").unwrap_or(line)).unwrap_or_default();
            if STANDARD_BYTES.contains(&decoded.len()) {
                Ok(decoded)
            } else {
                let (min, max) = (STANDARD_BYTES.start(), STANDARD_BYTES.end());
                Err(ConfigError(format!("{}: a secret is whsec_ and base64 of {min} to {max} bytes", path.display())))
            }
        })
    }

    /// Secrets that are keys as they are written.
    pub(super) fn text(files: &[PathBuf]) -> Result<Option<Keys>, Vec<ConfigError>> {
        Keys::from_files(files, |path, line| {
            if line.len() >= TEXT_BYTES_MIN {
                Ok(line.as_bytes().to_vec())
            } else {
                Err(ConfigError(format!("{}: a secret has at least {TEXT_BYTES_MIN} characters", path.display())))
            }
        })
    }

    fn from_files(
        files: &[PathBuf],
        key: impl Fn(&Path, &str) -> Result<Vec<u8>, ConfigError>,
    ) -> Result<Option<Keys>, Vec<ConfigError>> {
        let (mut keys, mut mistakes) = (Vec::new(), Vec::new());
        for path in files {
            match line(path).and_then(|line| key(path, &line)) {
                Ok(key) => keys.push(hmac::Key::new(hmac::HMAC_SHA256, &key)),
                Err(mistake) => mistakes.push(mistake),
            }
        }
        if mistakes.is_empty() { Ok((!keys.is_empty()).then_some(Keys(keys))) } else { Err(mistakes) }
    }

    /// Whether one of these signatures is one of these keys' over the parts. All are tried, whichever fits: how long it
    /// takes says nothing.
    pub(super) fn signed<'a>(&self, parts: &[&[u8]], signatures: impl Iterator<Item = &'a [u8]> + Clone) -> bool {
        let mut fits = Choice::from(0);
        for key in &self.0 {
            let ours = sign(key, parts);
            for theirs in signatures.clone() {
                fits |= ours.as_ref().ct_eq(theirs);
            }
        }
        fits.into()
    }

    /// The first key's signature over the parts: what we sign with.
    pub(super) fn sign(&self, parts: &[&[u8]]) -> Option<hmac::Tag> {
        Some(sign(self.0.first()?, parts))
    }
}

fn sign(key: &hmac::Key, parts: &[&[u8]]) -> hmac::Tag {
    let mut context = hmac::Context::with_key(key);
    parts.iter().for_each(|part| context.update(part));
    context.sign()
}

/// A key for a provider's API. Its `Debug` shows nothing.
#[derive(Clone)]
pub(super) struct ApiKey(Box<str>);

impl ApiKey {
    /// Reads a key.
    pub(super) fn read(path: &Path) -> Result<ApiKey, ConfigError> {
        let line = line(path)?;
        if line.len() < API_KEY_BYTES_MIN {
            return Err(ConfigError(format!("{}: a key has at least {API_KEY_BYTES_MIN} characters", path.display())));
        }
        Ok(ApiKey(line.into()))
    }

    /// The key itself.
    pub(super) fn secret(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ApiKey(..)")
    }
}

/// The one line of a secret's file. Editors and `echo` end it with a new line, which is no part of it.
fn line(path: &Path) -> Result<String, ConfigError> {
    let bytes = read(path, FileProtection::Secret, FILE_BYTES_MAX)?;
    let text = String::from_utf8(bytes).unwrap_or_default();
    let line = text.trim_end_matches(['\n', '\r']);
    if !line.is_empty() && line.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(line.into())
    } else {
        Err(ConfigError(format!("{}: a secret is one line of visible ASCII characters", path.display())))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn secrets_are_read_from_files_that_are_their_owners_alone() {
        let scratch = tempfile::tempdir().expect("scratch");
        let file = |name: &str, text: &str, mode: u32| {
            let path = scratch.path().join(name);
            std::fs::write(&path, text).expect("written");
            std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).expect("set");
            path
        };
        let good = format!("whsec_{}\n", STANDARD.encode([7u8; 32]));
        let keys = Keys::standard(&[file("a", &good, 0o600)]).map_err(|_| ()).expect("good").expect("a key");
        let same = Keys::of(&[&[7u8; 32]]);
        let tag = same.sign(&[b"x"]).expect("a key");
        assert!(keys.signed(&[b"x"], [tag.as_ref()].into_iter()) && !keys.signed(&[b"y"], [tag.as_ref()].into_iter()));
        assert!(matches!(Keys::standard(&[]), Ok(None)), "no file: no provider");
        let wrong = [
            file("b", &good, 0o644),
            file("c", "whsec_c2hvcnQ=", 0o600),
            file("d", "not base64 at all", 0o600),
            file("e", "", 0o600),
        ];
        let told = Keys::standard(&wrong).err().expect("four mistakes");
        assert_eq!(told.len(), 4, "{told:?}");
        assert!(told.iter().all(|mistake| !mistake.0.contains("c2hvcnQ")), "nothing of a secret: {told:?}");
        assert!(Keys::text(&[file("f", "short", 0o600)]).is_err());
        assert!(ApiKey::read(&file("g", "sk_test_1\n", 0o600)).is_ok_and(|key| key.secret() == "sk_test_1"));
    }
}
