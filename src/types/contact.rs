//! How to reach a buyer. Personal data: it travels beside commands, never inside them.

use std::fmt;

/// A buyer's contact details; at least one is given, each 1 to 500 bytes (`api.md`, *Shapes*).
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Contact {
    /// The buyer's name.
    pub name: Option<Box<str>>,
    /// An e-mail address; its format is not checked.
    pub email: Option<Box<str>>,
    /// A telephone number; its format is not checked.
    pub phone: Option<Box<str>>,
    /// A postal address.
    pub address: Option<Box<str>>,
}

/// The longest contact text, in bytes.
pub const CONTACT_BYTES_MAX: usize = 500;

impl Contact {
    /// Whether no detail is given at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.name.is_none() && self.email.is_none() && self.phone.is_none() && self.address.is_none()
    }
}

impl fmt::Debug for Contact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Contact(..)")
    }
}
