//! The needs of a sale, calculated from the costs of single operations. Pure.
//!
//! The constants are measured, each by a command that `benches/README.md` names; everything else here is calculated from them. The
//! tables of that page are those of [`tables`]: a test compares them, so that the numbers are changed here.

use std::time::Duration;

/// CPU time of the whole server for an order over HTTP, in microseconds (`scripts/bench-compare.sh`, foreign load generators: 41 to 48).
pub const ORDER_US: f64 = 45.0;
/// The part of it that the writer's thread takes: all orders pass through this one thread.
pub const ORDER_WRITER_US: f64 = 11.0;
/// CPU time of the whole server for an order with its checkout and the webhook of its payment (`scripts/pay.sh`).
pub const PAID_ORDER_US: f64 = 171.0;
/// The part of it that the writer's thread takes.
pub const PAID_ORDER_WRITER_US: f64 = 62.0;
/// CPU time of the server for a read of a drop from its cache.
pub const READ_US: f64 = 16.0;
/// CPU time of the writer's thread for an order in the trial of `preflight --plan`, on the machine of these figures, with full batches
/// and the durability `full`, as each trial has them: it tells how fast another machine's core is.
pub const TRIAL_US: f64 = 5.7;
/// Memory of the server without a sale.
pub const BASE_BYTES: f64 = 16e6;
/// Memory of a live order with its key, the upper of the measured figures.
pub const ORDER_BYTES: f64 = 290.0;
/// Memory of an open connection.
pub const CONNECTION_BYTES: f64 = 11_800.0;
/// Disk of an order with its checkout and its payment, once it is copied from the write-ahead log into the database, with short names
/// and without endpoints for webhooks.
pub const PAID_ORDER_DISK_BYTES: f64 = 725.0;
/// Orders of one commit, at most: the default of `writer.batch_commands_max`.
pub const BATCH_COMMANDS: usize = 512;
/// The same, to calculate with.
pub const BATCH: f64 = BATCH_COMMANDS as f64;
/// Events of one commit, at most: the default of `writer.batch_events_max`.
pub const BATCH_EVENTS: usize = 4_096;
/// The share of the cores, and of the writer's core, that a plan may use: the rest is for the kernel's own work and for peaks.
pub const BUSY_MAX: f64 = 0.7;

/// Requests of a buyer in the tables, beside the order: reads of the drop.
const READS_OF_BUYER: f64 = 10.0;
/// The time in which all buyers of the tables come.
const RUSH_SECONDS: f64 = 10.0;

/// A machine, as far as a sale needs it.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Machine {
    pub cores: f64,
    /// CPU time of an operation here, in that of the machine of the figures; 2 is half as fast.
    pub slowness: f64,
    /// The time that a commit waits for this disk: the median of an fsync, or none.
    pub sync: Duration,
    /// Orders of one commit, at most.
    pub batch: f64,
}

impl Machine {
    /// Returns orders a second that the cores can serve beside this many reads, within [`BUSY_MAX`].
    #[must_use]
    pub fn orders_by_cores(&self, reads: f64) -> f64 {
        let free_us = self.cores * BUSY_MAX * 1e6 - reads * READ_US * self.slowness;
        (free_us / (ORDER_US * self.slowness)).max(0.0)
    }

    /// Returns orders a second that the writer's one core can decide and record, within [`BUSY_MAX`].
    #[must_use]
    pub fn orders_by_writer(&self) -> f64 {
        BUSY_MAX * 1e6 / (ORDER_WRITER_US * self.slowness)
    }

    /// Returns orders a second, each with its checkout and the webhook of its payment, that the cores and the writer's one core can
    /// serve, within [`BUSY_MAX`].
    #[must_use]
    pub fn paid_orders(&self) -> f64 {
        let by_cores = self.cores * BUSY_MAX * 1e6 / (PAID_ORDER_US * self.slowness);
        by_cores.min(BUSY_MAX * 1e6 / (PAID_ORDER_WRITER_US * self.slowness))
    }

    /// Returns orders a second that the disk lets pass: each commit takes a whole batch and waits for one sync.
    #[must_use]
    pub fn orders_by_disk(&self) -> f64 {
        self.batch / (self.sync.as_secs_f64() + self.batch * ORDER_WRITER_US * self.slowness / 1e6)
    }

    /// Returns the cores that this many orders and reads a second keep busy.
    #[must_use]
    pub fn cores_for(&self, orders: f64, reads: f64) -> f64 {
        (orders * ORDER_US + reads * READ_US) * self.slowness / 1e6
    }
}

/// Returns the memory of a server whose buyers each have a connection and an order.
#[must_use]
pub fn memory_bytes(connections: f64, orders: f64) -> f64 {
    BASE_BYTES + connections * CONNECTION_BYTES + orders * ORDER_BYTES
}

/// Returns the tables of `benches/README.md` in Markdown: machines by their cores, and disks by their fsync.
#[must_use]
pub fn tables() -> String {
    let mut text = String::from(
        "| cores | orders/s | bound by | paid orders/s | reads/s alone | buyers in 10 s, each 10 reads and an order | memory, each with a connection |\n\
         |---|---|---|---|---|---|---|\n",
    );
    for cores in [2.0, 4.0, 8.0, 16.0] {
        let machine = Machine { cores, slowness: 1.0, sync: Duration::ZERO, batch: BATCH };
        let (by_cores, by_writer) = (machine.orders_by_cores(0.0), machine.orders_by_writer());
        let bound = if by_cores < by_writer { "its cores" } else { "the writer's core" };
        let busy_us = cores * BUSY_MAX * 1e6;
        let of_buyer = READS_OF_BUYER * READ_US + ORDER_US;
        let buyers = RUSH_SECONDS * (busy_us / of_buyer).min(by_writer);
        let memory = memory_bytes(buyers, buyers) / 1e6;
        text.push_str(&format!(
            "| {cores} | {} | {bound} | {} | {} | {} | {} MB |\n",
            thousands(by_cores.min(by_writer)),
            thousands(machine.paid_orders()),
            thousands(busy_us / READ_US),
            thousands(buyers),
            grouped(memory.round())
        ));
    }
    let disk = PAID_ORDER_DISK_BYTES * 1e5 / 1e6;
    text.push_str(&format!("\n100,000 paid orders take {disk:.0} MB of disk, beside the write-ahead log.\n"));
    text.push_str("\n| fsync | orders/s that one writer commits at most, its core always busy |\n|---|---|\n");
    for ms in [0.1, 1.0, 5.0, 10.0, 50.0] {
        let sync = Duration::from_secs_f64(ms / 1e3);
        let machine = Machine { cores: 2.0, slowness: 1.0, sync, batch: BATCH };
        text.push_str(&format!("| {ms} ms | {} |\n", thousands(machine.orders_by_disk())));
    }
    text
}

/// Writes a number without its last three digits as thousands: `12,000`.
fn thousands(value: f64) -> String {
    grouped((value / 1_000.0).floor() * 1_000.0)
}

/// Writes a whole number with commas: `12,345`.
#[must_use]
pub fn grouped(value: f64) -> String {
    let digits = format!("{:.0}", value.max(0.0));
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_of_the_benches_page_are_these() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/README.md");
        let page = std::fs::read_to_string(path).expect("readable");
        assert!(page.contains(&tables()), "put this into benches/README.md:\n{}", tables());
    }

    #[test]
    fn a_slower_core_a_slower_disk_and_reads_each_leave_fewer_orders() {
        let quick = Machine { cores: 2.0, slowness: 1.0, sync: Duration::from_micros(100), batch: BATCH };
        let slow = Machine { slowness: 2.0, sync: Duration::from_millis(10), ..quick };
        assert!(slow.orders_by_cores(0.0) * 2.0 <= quick.orders_by_cores(0.0) + 1.0);
        assert!(slow.orders_by_writer() < quick.orders_by_writer() && slow.orders_by_disk() < quick.orders_by_disk());
        assert!((slow.paid_orders() * 2.0 - quick.paid_orders()).abs() < 1.0);
        assert!(quick.paid_orders() < quick.orders_by_cores(0.0).min(quick.orders_by_writer()));
        assert!(quick.orders_by_cores(10_000.0) < quick.orders_by_cores(0.0));
        assert!(quick.orders_by_cores(1e9).abs() < f64::EPSILON, "reads alone are too much");
        assert!((quick.cores_for(0.0, 1e6 / READ_US) - 1.0).abs() < 1e-9, "a core's worth of reads");
    }
}
