//! Our server, with one serving thread for buyers and a drop that does not sell out.

use std::net::SocketAddr;
use std::path::Path;

use firstcome::config::{Config, PinCore};
use firstcome::engine::{Command, CommandKey, CreateDrop, DropCommand, DropSpec, Effect, Outcome, Subject};
use firstcome::server::{RunningServer, start};
use firstcome::types::DropId;
use firstcome::writer::{Class, Submission, WriterHandle, WriterReply};

use crate::measure::sale::test_drop::test_drop;

/// Settings of a server on loopback.
pub(crate) fn settings(scratch: &Path) -> Config {
    let mut config = Config::defaults();
    config.data = scratch.join("data");
    config.public_listen = SocketAddr::from(([127, 0, 0, 1], 0));
    config.admin_listen = config.public_listen;
    config.wire_listen = config.public_listen;
    config.http_threads = 1;
    config.pin_core = PinCore::Off;
    config
}

/// Starts a server.
pub(crate) fn run(config: Config) -> RunningServer {
    start(config, |message, _| panic!("the writer ended: {message}")).expect("a server")
}

/// A drop that does not sell out.
pub(crate) fn make_drop(writer: &WriterHandle) -> DropId {
    let spec = DropSpec { starts_at: writer.clock.now(), ..test_drop(1_000_000_000) };
    let digest = writer.digest_key.params(b"limit");
    let key = CommandKey { digest, params: digest };
    let command = Command::Drop(DropCommand::Create(CreateDrop { key, spec: Box::new(spec) }));
    let ticket = writer.submit(Submission { command, private_data: None, class: Class::Operator }).expect("room");
    let WriterReply::Decided(decided) = ticket.wait() else { panic!("the drop was not decided") };
    let Outcome::Accepted(Effect::Changed { subject: Subject::Drop(id), .. }) = decided.outcome else {
        panic!("no drop: {decided:?}")
    };
    id
}
