//! One payment with money that is due: asks its provider what exists, settles that, and requests the rest.

use std::sync::Arc;

use super::{ProviderRefund, RefundError, RefundProvider, RefundRequest, RefundStatus};
use crate::engine::{Command, Outcome, PaymentCommand, SettleRefund};
use crate::failpoints::{self, PausePoint};
use crate::read::Reader;
use crate::read::refunds::{DuePayment, PaymentKey, due_payment};
use crate::types::Amount;
use crate::writer::{Class, Submission, WriterHandle, WriterReply};

/// The end of an attempt.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Attempt {
    /// Refunds that were requested now and are settled.
    pub(super) made: u64,
    /// Refunds that existed at the provider and are settled now.
    pub(super) found: u64,
    pub(super) left: Left,
}

/// The part of a payment's refund that an attempt leaves.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) enum Left {
    /// Nothing is due any more.
    #[default]
    Nothing,
    /// The provider works on a refund.
    Pending,
    /// More is due than was refunded.
    More,
}

/// The parts that an attempt uses.
#[derive(Clone)]
pub(super) struct Attempts {
    pub(super) provider: Arc<RefundProvider>,
    pub(super) reader: Reader,
    pub(super) writer: WriterHandle,
}

impl Attempts {
    /// Makes what is due of a payment.
    pub(super) async fn attempt(&self, key: PaymentKey) -> Result<Attempt, RefundError> {
        let mut attempt = Attempt::default();
        let Some(due) = self.due(key)? else { return Ok(attempt) };
        if due.has_namesake {
            let reason = "another provider has reported a payment of the same reference for this order";
            return Err(RefundError::GivenUp(reason.into()));
        }
        let refunds = self.provider.refunds_of(&due).await?;
        for refund in refunds.iter().filter(|refund| refund.status == RefundStatus::Succeeded) {
            let Some(due) = self.due(key)? else { break };
            attempt.found = attempt.found.saturating_add(u64::from(self.settle(&due, refund).await?));
        }
        // Read again right before the request: an operator or a webhook may have settled it.
        let Some(due) = self.due(key)? else { return Ok(attempt) };
        let Some(request) = self.next_request(&due, &refunds)? else {
            return Ok(Attempt { left: Left::Pending, ..attempt });
        };
        failpoints::pause(PausePoint::BeforeRefund);
        if !self.writer.may_act() {
            return Err(RefundError::retry("this node does not lead any more"));
        }
        let refund = self.provider.request(&due, &request).await?;
        failpoints::pause(PausePoint::AfterRefund);
        match refund.status {
            RefundStatus::Succeeded => {
                self.settle(&due, &refund).await?;
                // A provider that repeats the answer to an earlier request has refunded what is settled already.
                let left = if self.due(key)?.is_none() { Left::Nothing } else { Left::More };
                Ok(Attempt { made: u64::from(left == Left::Nothing), left, ..attempt })
            }
            RefundStatus::Pending => Ok(Attempt { left: Left::Pending, ..attempt }),
            RefundStatus::Failed => Err(failed(&refund)),
        }
    }

    /// Returns the request for what is due, unless a refund is under way.
    fn next_request(&self, due: &DuePayment, refunds: &[ProviderRefund]) -> Result<Option<RefundRequest>, RefundError> {
        if refunds.iter().any(|refund| refund.status == RefundStatus::Pending) {
            return Ok(None);
        }
        if let Some(refund) = refunds.iter().find(|refund| refund.is_ours && refund.status == RefundStatus::Failed) {
            return Err(failed(refund));
        }
        let gone = refunds.iter().filter(|refund| refund.status == RefundStatus::Succeeded);
        let gone = gone.map(|refund| refund.amount).try_fold(due.refund_due, Amount::plus);
        if gone.is_none_or(|gone| gone > due.received) {
            let reason = "the provider has refunded more of the payment than the file knows";
            return Err(RefundError::GivenUp(reason.into()));
        }
        let ordinal = refunds.iter().filter(|refund| refund.is_ours).count();
        let ordinal = u64::try_from(ordinal).unwrap_or(u64::MAX);
        Ok(Some(RefundRequest::new(&self.writer.digest_key, due, ordinal)))
    }

    fn due(&self, key: PaymentKey) -> Result<Option<DuePayment>, RefundError> {
        let provider = self.provider.provider();
        let due = self.reader.read(|connection| due_payment(connection, key, provider));
        due.map_err(|error| RefundError::retry(error.to_string()))
    }

    /// Settles what a refund of the provider covers of what is due. Returns whether that changed anything: a refund that
    /// the file knows is settled already.
    async fn settle(&self, due: &DuePayment, refund: &ProviderRefund) -> Result<bool, RefundError> {
        let command = Command::Payment(PaymentCommand::SettleRefund(Box::new(SettleRefund {
            order: due.key.order,
            reference: refund.id.clone(),
            payment: Some(due.reference.clone()),
            amount: Some(refund.amount.min(due.refund_due)),
            reason: if refund.is_ours { "automatic refund".into() } else { "found at the provider".into() },
        })));
        let unrecorded = || RefundError::retry("the refund exists at the provider and is not recorded yet");
        let submission = Submission { command, private_data: None, class: Class::Operator };
        let ticket = self.writer.submit(submission).map_err(|_| unrecorded())?;
        match ticket.answer().await {
            WriterReply::Decided(decided) => match decided.outcome {
                Outcome::Accepted(_) => Ok(true),
                // Something else settled what was due, or so much of this refund.
                Outcome::Repeated { .. } | Outcome::Refused { .. } => Ok(false),
                Outcome::Advanced => Err(unrecorded()),
            },
            WriterReply::TooOld | WriterReply::NotApplied(_) | WriterReply::Unknown => Err(unrecorded()),
        }
    }
}

fn failed(refund: &ProviderRefund) -> RefundError {
    RefundError::GivenUp(format!("the refund {} failed at the provider", refund.id))
}
