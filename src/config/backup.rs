//! The settings of backups that the server makes by itself.

use super::setting::{Setting, setting};
use super::values::{count, file, number, one_of};
use crate::types::Packing;

pub(super) const SETTINGS: &[Setting] = &[
    setting!(
        "backup.directory",
        "",
        "directory",
        "directory of the backups that the server makes by itself; on another disk than the data, which fails as a whole",
        |c, t| c.backup.directory = file(t)
    ),
    setting!(
        "backup.every_seconds",
        "0",
        "s",
        "time between two of them; 0: none is made; 3600 loses at most an hour of sales with the disk",
        |c, t| c.backup.every_seconds = number(t, 0, 31_536_000)?
    ),
    setting!("backup.keep", "24", "backups", "backups that stay in that directory; the oldest are removed", |c, t| c
        .backup
        .keep =
        count(t, 1, 100_000)?),
    setting!(
        "backup.compression",
        "zstd",
        "none, zstd, gzip",
        "packing of these backups; zstd takes a third of the space, and gzip five times as long",
        |c, t| c.backup.packing = Packing::parse(t.trim()).ok_or("none, zstd or gzip")?
    ),
    setting!(
        "backup.bytes_per_second",
        "16777216",
        "bytes",
        "pace of every copy, so that the syncs of the sale do not wait for its writes: four times as fast, a sale on two cores was 10 % slower",
        |c, t| c.backup.bytes_per_second = number(t, 65_536, 1 << 40)?
    ),
    setting!(
        "backup.at_leader",
        "false",
        "true, false",
        "on a node of a cluster: make them while it leads, too; by default followers do, whose disks have less to do",
        |c, t| c.backup.at_leader = one_of(t.trim(), "true", "false")?
    ),
];
