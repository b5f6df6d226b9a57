//! Secrets of providers, read from files that only their owner may read. They are never shown.

use std::path::{Path, PathBuf};

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use subtle::{Choice, ConstantTimeEq as _};

use crate::config::ConfigError;
use crate::config::secret_file::{FileProtection, read};

/// The largest file of a secret, which is one line.
const FILE_BYTES_MAX: u64 = 1024;
/// Lengths of a secret that Standard Webhooks allows, in bytes.
const STANDARD_BYTES: std::ops::RangeInclusive<usize> = 24..=64;
/// Shortest secret in plain text; providers issue 32 characters and more.
const TEXT_BYTES_MIN: usize = 16;
const API_KEY_BYTES_MIN: usize = 8;

/// The keys of one provider: several during a rotation.
#[derive(Clone)]
pub(super) struct Keys(Vec<hmac::Key>);

impl Keys {
    pub(super) fn of(keys: &[&[u8]]) -> Keys {
        Keys(keys.iter().map(|key| hmac::Key::new(hmac::HMAC_SHA256, key)).collect())
    }

    /// Reads secrets in the format of Standard Webhooks: `whsec_` and base64. `None` without files.
    pub(super) fn standard(setting: &str, files: &[PathBuf]) -> Result<Option<Keys>, Vec<ConfigError>> {
        Keys::from_files(setting, files, |path, line| {
            let decoded = STANDARD.decode(line.strip_prefix("whsec_").unwrap_or(line)).unwrap_or_default();
            if STANDARD_BYTES.contains(&decoded.len()) {
                Ok(decoded)
            } else {
                let (min, max) = (STANDARD_BYTES.start(), STANDARD_BYTES.end());
                Err(ConfigError(format!("{}: must be whsec_ and the base64 of {min} to {max} bytes", path.display())))
            }
        })
    }

    /// Reads secrets whose text is the key. `None` without files.
    pub(super) fn text(setting: &str, files: &[PathBuf]) -> Result<Option<Keys>, Vec<ConfigError>> {
        Keys::from_files(setting, files, |path, line| {
            if line.len() >= TEXT_BYTES_MIN {
                Ok(line.as_bytes().to_vec())
            } else {
                Err(ConfigError(format!("{}: must have at least {TEXT_BYTES_MIN} characters", path.display())))
            }
        })
    }

    fn from_files(
        setting: &str,
        files: &[PathBuf],
        key: impl Fn(&Path, &str) -> Result<Vec<u8>, ConfigError>,
    ) -> Result<Option<Keys>, Vec<ConfigError>> {
        let (mut keys, mut mistakes) = (Vec::new(), Vec::new());
        for path in files {
            match line(setting, path).and_then(|line| key(path, &line)) {
                Ok(key) => keys.push(hmac::Key::new(hmac::HMAC_SHA256, &key)),
                Err(mistake) => mistakes.push(mistake),
            }
        }
        if mistakes.is_empty() { Ok((!keys.is_empty()).then_some(Keys(keys))) } else { Err(mistakes) }
    }

    /// Returns true if any signature was made with any key over the parts. All pairs are compared, so that the time
    /// taken reveals nothing.
    pub(super) fn verify<'a>(&self, parts: &[&[u8]], signatures: impl Iterator<Item = &'a [u8]> + Clone) -> bool {
        let mut matches = Choice::from(0);
        for key in &self.0 {
            let ours = sign(key, parts);
            for theirs in signatures.clone() {
                matches |= ours.as_ref().ct_eq(theirs);
            }
        }
        matches.into()
    }

    /// Returns the signature of the first key over the parts.
    pub(super) fn sign(&self, parts: &[&[u8]]) -> Option<hmac::Tag> {
        Some(sign(self.0.first()?, parts))
    }
}

fn sign(key: &hmac::Key, parts: &[&[u8]]) -> hmac::Tag {
    let mut context = hmac::Context::with_key(key);
    parts.iter().for_each(|part| context.update(part));
    context.sign()
}

/// A key for a provider's API. `Debug` does not show it.
#[derive(Clone)]
pub(super) struct ApiKey(Box<str>);

impl ApiKey {
    pub(super) fn read(setting: &str, path: &Path) -> Result<ApiKey, ConfigError> {
        let line = line(setting, path)?;
        if line.len() < API_KEY_BYTES_MIN {
            return Err(ConfigError(format!("{}: must have at least {API_KEY_BYTES_MIN} characters", path.display())));
        }
        Ok(ApiKey(line.into()))
    }

    pub(super) fn secret(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ApiKey(..)")
    }
}

/// Reads the one line of a secret's file. Editors and `echo` append a newline, which does not belong to the secret.
fn line(setting: &str, path: &Path) -> Result<String, ConfigError> {
    let bytes = read(setting, path, FileProtection::Secret, FILE_BYTES_MAX)?;
    let text = String::from_utf8(bytes).unwrap_or_default();
    let line = text.trim_end_matches(['\n', '\r']);
    if !line.is_empty() && line.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(line.into())
    } else {
        Err(ConfigError(format!("{}: must be one line of visible ASCII characters", path.display())))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn secrets_are_read_from_files_that_only_their_owner_may_read() {
        let scratch = tempfile::tempdir().expect("scratch");
        let file = |name: &str, text: &str, mode: u32| {
            let path = scratch.path().join(name);
            std::fs::write(&path, text).expect("written");
            std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).expect("set");
            path
        };
        let good = format!("whsec_{}\n", STANDARD.encode([7u8; 32]));
        let keys = Keys::standard("s", &[file("a", &good, 0o600)]).map_err(|_| ()).expect("good").expect("a key");
        let same = Keys::of(&[&[7u8; 32]]);
        let tag = same.sign(&[b"x"]).expect("a key");
        assert!(keys.verify(&[b"x"], [tag.as_ref()].into_iter()) && !keys.verify(&[b"y"], [tag.as_ref()].into_iter()));
        assert!(matches!(Keys::standard("s", &[]), Ok(None)), "no file: no provider");
        let wrong = [
            file("b", &good, 0o644),
            file("c", "whsec_c2hvcnQ=", 0o600),
            file("d", "not base64 at all", 0o600),
            file("e", "", 0o600),
        ];
        let errors = Keys::standard("s", &wrong).err().expect("four mistakes");
        assert_eq!(errors.len(), 4, "{errors:?}");
        assert!(errors.iter().all(|mistake| !mistake.0.contains("c2hvcnQ")), "nothing of a secret: {errors:?}");
        assert!(Keys::text("s", &[file("f", "short", 0o600)]).is_err());
        assert!(ApiKey::read("s", &file("g", "sk_test_1\n", 0o600)).is_ok_and(|key| key.secret() == "sk_test_1"));
    }
}
