//! The form of a backup on its disk: plain or packed.

/// The form of a backup on its disk.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Packing {
    #[default]
    Plain,
    Zstd,
    Gzip,
}

impl Packing {
    pub const ALL: [Packing; 3] = [Packing::Plain, Packing::Zstd, Packing::Gzip];

    /// The end of a file's name.
    #[must_use]
    pub const fn extension(self) -> &'static str {
        match self {
            Packing::Plain => "",
            Packing::Zstd => ".zst",
            Packing::Gzip => ".gz",
        }
    }

    /// The word for it in settings and bodies.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Packing::Plain => "none",
            Packing::Zstd => "zstd",
            Packing::Gzip => "gzip",
        }
    }

    /// Returns the packing of this word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Packing> {
        Packing::ALL.into_iter().find(|packing| packing.as_str() == word)
    }
}
