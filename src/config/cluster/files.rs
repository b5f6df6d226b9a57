//! The files that a cluster's file names: the key of entries, and TLS to the members.

use std::path::{Path, PathBuf};

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use crate::config::model::{ClusterConfig, ConfigError};
use crate::config::secret_file::{self, FileProtection};
use crate::types::hex;

/// Limit of a file of TLS; a usual chain is a few kilobytes.
const TLS_BYTES_MAX: u64 = 1 << 20;
/// Limit of the file with the key: 64 digits and a line end.
const KEY_BYTES_MAX: u64 = 128;
/// Length of the decoded key.
const KEY_BYTES: usize = 32;

/// The names of the files, as far as they are known.
#[derive(Default)]
pub(super) struct NamedFiles {
    pub(super) key_file: Option<PathBuf>,
    pub(super) ca: Option<PathBuf>,
    pub(super) certificate: Option<PathBuf>,
    /// The private key of the certificate.
    pub(super) key: Option<PathBuf>,
}

impl ClusterConfig {
    /// Returns the mistakes of the files that the cluster's file names. Only a start and the verbs of a cluster read them:
    /// other tools may run as another user.
    #[must_use]
    pub fn mistakes_of_files(&self) -> Vec<ConfigError> {
        let tls = self.tls.clone();
        let (ca, rest) = tls.map(|tls| (tls.ca, (tls.certificate, tls.key))).unzip();
        let (certificate, key) = rest.unzip();
        NamedFiles { key_file: Some(self.key_file.clone()), ca, certificate, key }.mistakes()
    }
}

impl NamedFiles {
    /// Reads the files, and returns the mistakes of each.
    pub(super) fn mistakes(&self) -> Vec<ConfigError> {
        let NamedFiles { key_file, ca, certificate, key } = self;
        let mut mistakes = Vec::new();
        if let Some(path) = key_file {
            keep(read_key_file(path), &mut mistakes);
        }
        if let Some(path) = ca {
            keep(certificates("tls.ca", path), &mut mistakes);
        }
        let chain = certificate.as_ref().and_then(|path| keep(certificates("tls.certificate", path), &mut mistakes));
        let private_key = key.as_ref().and_then(|path| keep(private_key(path), &mut mistakes));
        if let (Some(chain), Some(private_key)) = (chain, private_key)
            && let Err(error) = CertifiedKey::from_der(chain, private_key, &aws_lc_rs::default_provider())
        {
            let [key, certificate] = [key, certificate].map(|path| path.clone().unwrap_or_default());
            let (key, certificate) = (key.display(), certificate.display());
            mistakes.push(ConfigError(format!("tls.key: {key} is not the key of {certificate}: {error}")));
        }
        mistakes
    }
}

/// Notes a mistake, or returns the value.
fn keep<T>(read: Result<T, ConfigError>, mistakes: &mut Vec<ConfigError>) -> Option<T> {
    read.map_err(|mistake| mistakes.push(mistake)).ok()
}

fn certificates(key: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>, ConfigError> {
    let pem = secret_file::read(key, path, FileProtection::Unforgeable, TLS_BYTES_MAX)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let chain = chain.ok().filter(|chain| !chain.is_empty());
    chain.ok_or_else(|| ConfigError(format!("{key}: {}: no certificate (PEM)", path.display())))
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, ConfigError> {
    let pem = secret_file::read("tls.key", path, FileProtection::Secret, TLS_BYTES_MAX)?;
    PrivateKeyDer::from_pem_slice(&pem)
        .map_err(|_| ConfigError(format!("tls.key: {}: no private key (PEM)", path.display())))
}

/// Returns the digits of the cluster's key.
///
/// # Errors
/// If the file cannot be read, may be read by others, or has another form. Nothing of its content is shown.
pub fn read_key_file(path: &Path) -> Result<String, ConfigError> {
    let bytes = secret_file::read("key_file", path, FileProtection::Secret, KEY_BYTES_MAX)?;
    let text = std::str::from_utf8(&bytes).unwrap_or("").trim();
    let is_key = hex::decode(text).is_some_and(|bytes| bytes.len() == KEY_BYTES);
    is_key.then(|| text.into()).ok_or_else(|| {
        ConfigError(format!(
            "key_file: {}: expected 64 hexadecimal digits in lower case, as `firstcome cluster key` prints them",
            path.display()
        ))
    })
}
