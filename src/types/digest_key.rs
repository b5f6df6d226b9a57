//! Keyed digests, which represent buyers and idempotency keys in memory, events and captures.
//!
//! HMAC-SHA256, truncated to 16 bytes: a collision is expected after 2^64 texts. The key is created with the file and
//! stored in it, so that digests of two files cannot be compared.

use aws_lc_rs::hmac;

use super::{AddressBlock, AuctionId, BlockMark, Digest, DropId, IdentityKind, Provider, Seq};

/// Length of the key, in bytes.
pub const DIGEST_KEY_BYTES: usize = 32;

/// Key of one file's digests.
#[derive(Clone)]
pub struct DigestKey(hmac::Key);

/// Scope of a command's idempotency key: the same text in two scopes is two keys.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeyScope {
    CreateDrop,
    CreateEndpoint,
    /// Refunds of the order with this number.
    Refund(Seq),
    CreateAuction,
    CreateToken,
    /// Bids of one buyer in one auction.
    Bid(AuctionId, Digest),
}

impl DigestKey {
    #[must_use]
    pub fn new(bytes: &[u8; DIGEST_KEY_BYTES]) -> DigestKey {
        DigestKey(hmac::Key::new(hmac::HMAC_SHA256, bytes))
    }

    #[must_use]
    pub fn buyer(&self, text: &str) -> Digest {
        self.digest(b'b', &[text.as_bytes()])
    }

    /// Returns the digest of an order's idempotency key together with its drop and buyer.
    #[must_use]
    pub fn order_key(&self, drop_id: DropId, buyer: &Digest, key: &[u8]) -> Digest {
        self.digest(b'o', &[&drop_id.get().to_be_bytes(), &buyer.0, key])
    }

    /// Returns the digest of an identity of an order, in its normal form, together with its kind and the drop: no two drops can be
    /// compared by it.
    #[must_use]
    pub fn identity(&self, drop_id: DropId, kind: IdentityKind, normal: &str) -> Digest {
        let tag = match kind {
            IdentityKind::Email => b'E',
            IdentityKind::Phone => b'P',
            IdentityKind::Payment => b'F',
            IdentityKind::Address => b'A',
        };
        self.digest(tag, &[&drop_id.get().to_be_bytes(), normal.as_bytes()])
    }

    /// Returns the mark of an address block in a drop.
    #[must_use]
    pub fn block(&self, drop_id: DropId, block: AddressBlock) -> BlockMark {
        let Digest([a, b, c, ..]) = self.digest(b'n', &[&drop_id.get().to_be_bytes(), &block.0.to_be_bytes()]);
        BlockMark::of_bytes([a, b, c])
    }

    /// Returns the digest of another command's idempotency key together with its scope and operator.
    #[must_use]
    pub fn command_key(&self, scope: KeyScope, operator: &str, key: &[u8]) -> Digest {
        let operator_digest = self.digest(b'p', &[operator.as_bytes()]);
        match scope {
            KeyScope::CreateDrop => self.digest(b'd', &[&operator_digest.0, key]),
            KeyScope::CreateEndpoint => self.digest(b'e', &[&operator_digest.0, key]),
            KeyScope::CreateToken => self.digest(b't', &[&operator_digest.0, key]),
            KeyScope::CreateAuction => self.digest(b'a', &[&operator_digest.0, key]),
            KeyScope::Bid(auction, buyer) => self.digest(b'c', &[&auction.get().to_be_bytes(), &buyer.0, key]),
            KeyScope::Refund(order) => self.digest(b'r', &[&order.get().to_be_bytes(), &operator_digest.0, key]),
        }
    }

    /// Returns the digest of the parameters that a repeat must have in common, in a canonical form of the caller.
    #[must_use]
    pub fn params(&self, bytes: &[u8]) -> Digest {
        self.digest(b'v', &[bytes])
    }

    /// Returns the digest of a provider's event, its key in the inbox.
    #[must_use]
    pub fn provider_event(&self, provider: Provider, event_id: &str) -> Digest {
        let provider = self.digest(b'w', &[provider.as_str().as_bytes()]);
        self.digest(b'i', &[&provider.0, event_id.as_bytes()])
    }

    /// Returns the digest that names a refund at its provider: the so-manieth one that this file requests of a payment.
    #[must_use]
    pub fn refund(&self, provider: Provider, payment: &str, ordinal: u64) -> Digest {
        let provider = self.digest(b'w', &[provider.as_str().as_bytes()]);
        self.digest(b'f', &[&provider.0, &ordinal.to_be_bytes(), payment.as_bytes()])
    }

    /// Returns the key that signs challenges. Nodes of a cluster have the same file, so they know each other's challenges.
    #[must_use]
    pub fn challenge_key(&self) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&self.0, b"h").as_ref())
    }

    /// Returns the check value of some parts, as 16 hexadecimal digits. It tells nothing of them without the key.
    #[must_use]
    pub fn check(&self, parts: &[&[u8]]) -> String {
        let mut bytes = Vec::new();
        for part in parts {
            let length = u64::try_from(part.len()).unwrap_or(u64::MAX);
            bytes.extend_from_slice(&length.to_be_bytes());
            bytes.extend_from_slice(part);
        }
        let Digest(digest) = self.digest(b's', &[&bytes]);
        super::hex::encode(digest.first_chunk::<8>().map_or(&[], |half| &half[..]))
    }

    /// Parts before the last have a fixed length, so no two lists of parts are the same bytes.
    fn digest(&self, tag: u8, parts: &[&[u8]]) -> Digest {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(&[tag]);
        for part in parts {
            context.update(part);
        }
        let mut digest = [0u8; 16];
        digest.iter_mut().zip(context.sign().as_ref()).for_each(|(to, from)| *to = *from);
        Digest(digest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_differ_by_key_file_kind_drop_and_buyer() {
        let (one, two) = (DigestKey::new(&[1; 32]), DigestKey::new(&[2; 32]));
        let drop = |n| DropId::new(n).expect("not 0");
        let auction = |n| AuctionId::new(n).expect("not 0");
        let buyer = one.buyer("ann");
        assert_eq!(buyer, one.buyer("ann"));
        let all = [
            buyer,
            one.buyer("bob"),
            two.buyer("ann"),
            one.params(b"ann"),
            one.order_key(drop(1), &buyer, b"k"),
            one.order_key(drop(2), &buyer, b"k"),
            one.order_key(drop(1), &one.buyer("bob"), b"k"),
            one.order_key(drop(1), &buyer, b"l"),
            one.command_key(KeyScope::CreateDrop, "owner", b"k"),
            one.command_key(KeyScope::CreateDrop, "other", b"k"),
            one.command_key(KeyScope::CreateEndpoint, "owner", b"k"),
            one.command_key(KeyScope::Refund(Seq::ZERO), "owner", b"k"),
            one.command_key(KeyScope::CreateAuction, "owner", b"k"),
            one.command_key(KeyScope::Bid(auction(1), buyer), "", b"k"),
            one.command_key(KeyScope::Bid(auction(2), buyer), "", b"k"),
            one.command_key(KeyScope::Bid(auction(1), one.buyer("bob")), "", b"k"),
            one.provider_event(Provider::Stripe, "k"),
            one.provider_event(Provider::Payos, "k"),
            one.identity(drop(1), IdentityKind::Email, "k"),
            one.identity(drop(2), IdentityKind::Email, "k"),
            one.identity(drop(1), IdentityKind::Phone, "k"),
            one.identity(drop(1), IdentityKind::Payment, "k"),
            one.identity(drop(1), IdentityKind::Address, "k"),
            two.identity(drop(1), IdentityKind::Email, "k"),
        ];
        let distinct: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(distinct.len(), all.len());
        let block = AddressBlock(7);
        assert_ne!(one.block(drop(1), block), one.block(drop(2), block), "two drops are not compared by it");
        assert_ne!(one.block(drop(1), block), one.block(drop(1), AddressBlock(8)));
    }
}
