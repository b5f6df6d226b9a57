//! The version of the program and the revision of its sources (`scripts/revision.rs`).

pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Twelve digits of a commit, with `+dirty` if the sources differed from it; `debug` in a debug build; `unknown` without a
/// repository; or the text that the build was given.
pub const REVISION: &str = env!("FIRSTCOME_REVISION");

/// Both, as `firstcome --version` prints them.
pub const VERSION_AND_REVISION: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("FIRSTCOME_REVISION"), ")");
