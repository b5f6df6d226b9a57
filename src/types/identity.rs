//! Identities of an order besides its buyer, on which a drop can have caps: e-mail address, phone number, payment
//! fingerprint, postal address. Only keyed digests of them reach commands, events, captures and counts.

use super::Digest;

/// A kind of identity.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum IdentityKind {
    Email,
    Phone,
    Payment,
    Address,
}

impl IdentityKind {
    pub const ALL: [IdentityKind; 4] =
        [IdentityKind::Email, IdentityKind::Phone, IdentityKind::Payment, IdentityKind::Address];

    /// Returns its name in JSON, in columns and in details of the audit.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            IdentityKind::Email => "email",
            IdentityKind::Phone => "phone",
            IdentityKind::Payment => "payment",
            IdentityKind::Address => "address",
        }
    }

    #[must_use]
    pub fn parse(name: &str) -> Option<IdentityKind> {
        IdentityKind::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

/// One value for each kind of identity that has one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PerIdentity<T> {
    pub email: Option<T>,
    pub phone: Option<T>,
    pub payment: Option<T>,
    pub address: Option<T>,
}

impl<T> Default for PerIdentity<T> {
    fn default() -> Self {
        PerIdentity::NONE
    }
}

impl<T> PerIdentity<T> {
    /// No value of any kind.
    pub const NONE: PerIdentity<T> = PerIdentity { email: None, phone: None, payment: None, address: None };
}

impl<T: Copy> PerIdentity<T> {
    #[must_use]
    pub const fn get(&self, kind: IdentityKind) -> Option<T> {
        match kind {
            IdentityKind::Email => self.email,
            IdentityKind::Phone => self.phone,
            IdentityKind::Payment => self.payment,
            IdentityKind::Address => self.address,
        }
    }

    pub const fn set(&mut self, kind: IdentityKind, value: Option<T>) {
        match kind {
            IdentityKind::Email => self.email = value,
            IdentityKind::Phone => self.phone = value,
            IdentityKind::Payment => self.payment = value,
            IdentityKind::Address => self.address = value,
        }
    }

    /// Returns the kinds that have a value, with their values.
    pub fn iter(&self) -> impl Iterator<Item = (IdentityKind, T)> + use<T> {
        let values = *self;
        IdentityKind::ALL.into_iter().filter_map(move |kind| values.get(kind).map(|value| (kind, value)))
    }

    /// Returns true if no kind has a value.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.email.is_none() && self.phone.is_none() && self.payment.is_none() && self.address.is_none()
    }
}

/// The most units of a drop that orders with the same identity may hold and have bought together, by kind; no cap where
/// there is no value. A cap is at least 1.
pub type IdentityLimits = PerIdentity<u32>;

/// Keyed digests of an order's identities, of the kinds that its drop has caps on.
pub type IdentityDigests = PerIdentity<Digest>;
