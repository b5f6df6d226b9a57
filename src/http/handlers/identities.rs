//! Identities of an order, for the caps of its drop: their digests are made here, on a serving thread.

use crate::api::Problem;
use crate::api::problem::FieldError;
use crate::api::refusals::pointer_of;
use crate::http::worker::Worker;
use crate::read::{OrderRow, rows};
use crate::types::{Contact, Digest, DropId, IdentityDigests, IdentityKind, normal_form};

use super::fault;

/// Returns the digest of an identity in its normal form, if it is there, and has no second spelling.
fn digest(
    worker: &Worker,
    drop_id: DropId,
    kind: IdentityKind,
    contact: Option<&Contact>,
    fingerprint: Option<&str>,
) -> Option<Digest> {
    let region = worker.server.config.identity_phone_region;
    let normal = match kind {
        IdentityKind::Email => {
            let text = contact?.email.as_deref().filter(|text| normal_form::is_plain_email(text));
            normal_form::email(text?)
        }
        IdentityKind::Phone => {
            let text = contact?.phone.as_deref().filter(|text| normal_form::is_plain_phone(text));
            normal_form::phone(text?, region)
        }
        IdentityKind::Payment => fingerprint?.into(),
        IdentityKind::Address => normal_form::address(contact?.address.as_deref()?),
    };
    Some(worker.writer.digest_key.identity(drop_id, kind, &normal))
}

/// Returns the digests of an order's identities, of the kinds that its drop has caps on. The engine refuses an order that
/// lacks one.
pub(super) fn digests(
    worker: &Worker,
    drop_id: DropId,
    contact: Option<&Contact>,
    fingerprint: Option<&str>,
) -> IdentityDigests {
    let mut digests = IdentityDigests::default();
    let published = worker.writer.published.drop_entry(drop_id);
    if published.is_capped() {
        for kind in IdentityKind::ALL.into_iter().filter(|kind| published.caps(*kind)) {
            digests.set(kind, digest(worker, drop_id, kind, contact, fingerprint));
        }
    }
    digests
}

/// Checks that the contact of a checkout has the identities that the order counts for: with others, its buyer would evade
/// the caps. What an order counts for never changes, so that no command needs to decide it.
pub(super) fn check_contact(worker: &Worker, order: &OrderRow, contact: &Contact) -> Result<(), Problem> {
    let counted = worker.reader.read(|connection| rows::identities_of(connection, order.seq));
    let Some(counted) = counted.map_err(|error| fault(&error))? else { return Ok(()) };
    let differs = |(kind, counted): (IdentityKind, Digest)| {
        let is_in_contact = kind != IdentityKind::Payment;
        let given = digest(worker, order.drop_id, kind, Some(contact), None);
        (is_in_contact && given != Some(counted)).then(|| FieldError {
            pointer: pointer_of(kind).into(),
            detail: "must be the one that the order was placed with: the drop limits units by it".into(),
        })
    };
    let errors: Vec<FieldError> = counted.iter().filter_map(differs).collect();
    if errors.is_empty() { Ok(()) } else { Err(Problem::Validation(errors)) }
}
