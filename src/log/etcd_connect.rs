//! From the file of a cluster to the log in etcd: TLS, the place of the keys, and the key of entries.

use etcd_client::{Certificate, ConnectOptions, Identity, TlsOptions};

use super::NodeSettings;
use super::etcd::{EtcdLog, EtcdPlace};
use super::seal::Seal;
use crate::config::{ClusterConfig, ConfigError, read_key_file};

/// Prepares the log of a cluster. `slots` is the size of its ring, from [`LogMeta`](super::meta::LogMeta).
///
/// # Errors
/// One line if a file of TLS or of the key cannot be read any more, or a member's URL is wrong.
pub async fn open_log(cluster: &ClusterConfig, slots: u64) -> Result<EtcdLog, ConfigError> {
    let (options, seal) = (connect_options(cluster)?, seal(cluster)?);
    let opened = EtcdLog::connect(&cluster.members, options, place(cluster, slots), seal).await;
    opened.map_err(|error| ConfigError(format!("members ({}): {error}", cluster.file.display())))
}

/// Returns the place of the log's keys.
#[must_use]
pub fn place(cluster: &ClusterConfig, slots: u64) -> EtcdPlace {
    // etcd takes whole seconds.
    let lease_seconds = i64::try_from(NodeSettings::default().lease_ms.div_ceil(1000)).unwrap_or(i64::MAX);
    EtcdPlace { prefix: cluster.prefix(), node: cluster.node.clone(), slots, lease_seconds }
}

/// Returns the options of a connection to the members.
///
/// # Errors
/// One line if a file of TLS cannot be read any more.
pub fn connect_options(cluster: &ClusterConfig) -> Result<ConnectOptions, ConfigError> {
    let Some(tls) = &cluster.tls else { return Ok(ConnectOptions::new()) };
    let read = |path: &std::path::Path| {
        std::fs::read(path).map_err(|error| ConfigError(format!("{}: {error}", path.display())))
    };
    let identity = Identity::from_pem(read(&tls.certificate)?, read(&tls.key)?);
    let options = TlsOptions::new().ca_certificate(Certificate::from_pem(read(&tls.ca)?)).identity(identity);
    Ok(ConnectOptions::new().with_tls(options))
}

/// Returns the key of entries.
///
/// # Errors
/// One line if its file cannot be read, or has another form.
pub fn seal(cluster: &ClusterConfig) -> Result<Seal, ConfigError> {
    let digits = read_key_file(&cluster.key_file)?;
    let path = cluster.key_file.display();
    Seal::parse(&digits).ok_or_else(|| ConfigError(format!("key_file: {path}: no key")))
}
