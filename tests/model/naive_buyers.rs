//! Tiers of buyers once more: a set of those who have one.

use firstcome::engine::{BuyerCommand, Invalid, Outcome, Refusal, RemoveTier, SetTier, Subject};

use super::naive::Naive;

impl Naive {
    pub(super) fn on_buyer(&mut self, command: &BuyerCommand) -> Outcome {
        match command {
            BuyerCommand::SetTier(SetTier { expires_at: Some(end), .. }) if end.get() <= self.at => {
                self.refuse(Refusal::Invalid(Invalid::TierEndInThePast))
            }
            BuyerCommand::SetTier(SetTier { buyer, .. }) => {
                self.tiers.insert(*buyer);
                self.accept(Subject::File)
            }
            BuyerCommand::RemoveTier(RemoveTier { buyer, .. }) if self.tiers.remove(buyer) => {
                self.accept(Subject::File)
            }
            BuyerCommand::RemoveTier(_) => self.repeat(Subject::File),
        }
    }
}
