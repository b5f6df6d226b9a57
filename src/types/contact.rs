//! Contact details of buyers. Personal data: they accompany commands as private data and are never part of them.

use std::fmt;

/// A buyer's contact details: at least one of them, each of 1 to 500 bytes. No format is checked.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Contact {
    pub name: Option<Box<str>>,
    pub email: Option<Box<str>>,
    pub phone: Option<Box<str>>,
    /// The postal address, in free text.
    pub address: Option<Box<str>>,
}

/// Longest contact detail, in bytes.
pub const CONTACT_BYTES_MAX: usize = 500;

impl Contact {
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
