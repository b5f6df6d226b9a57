//! What travels beside the commands of the model: texts of buyers, contacts, secrets.

use firstcome::engine::{
    BuyerCommand, Command, DropCommand, OrderCommand, PaymentCommand, PlaceOrder, RemoveTier, SetTier,
};
use firstcome::store::PrivateData;
use firstcome::types::{BuyerText, Contact, Digest, OrderSecret};

use super::{World, naive_auctions, naive_endpoints, naive_rooms};

impl World {
    pub(super) fn text_of(&self, buyer: &Digest) -> BuyerText {
        let name = (0..6).map(|n| format!("buyer{n}")).find(|name| self.digests.buyer(name) == *buyer);
        BuyerText::new(&name.expect("one of six")).expect("a buyer")
    }

    /// What travels beside a command.
    pub fn private_data(&mut self, command: &Command) -> Option<PrivateData> {
        let contact = Contact { email: Some("a@b".into()), ..Contact::default() };
        if let Some(PlaceOrder { buyer, contact_given, .. }) = command.placed() {
            return Some(PrivateData::Order {
                secret: OrderSecret::from_random(self.shard, [7; 10]),
                buyer: self.text_of(buyer),
                contact: contact_given.then(|| Box::new(contact)),
            });
        }
        match command {
            Command::Auction(command) => naive_auctions::private_data(self, command, contact),
            Command::Room(command) => naive_rooms::private_data(self, command),
            Command::Drop(DropCommand::Create(create)) => naive_rooms::seed_of(&create.spec),
            Command::Order(OrderCommand::Checkout { .. }) => Some(PrivateData::Contact(Box::new(contact))),
            Command::Payment(PaymentCommand::RecordProviderEvent(event)) => {
                let mut names = (0..=self.told).rev().flat_map(|n| [format!("told{n}"), format!("failed{n}")]);
                let name = names.find(|name| self.digests.provider_event(event.provider, name) == event.id);
                Some(PrivateData::ProviderEvent { event_id: name.expect("one of those that were told").into() })
            }
            Command::Payment(PaymentCommand::RecordSession { .. }) => {
                Some(PrivateData::Session { reference: "cs".into(), url: "https://pay.example/cs".into() })
            }
            Command::Endpoint(command) => Some(naive_endpoints::private_data(command)),
            Command::Buyer(command) => {
                let (BuyerCommand::SetTier(SetTier { buyer, .. }) | BuyerCommand::RemoveTier(RemoveTier { buyer, .. })) =
                    &**command;
                Some(PrivateData::Tier { buyer: self.text_of(buyer) })
            }
            _ => None,
        }
    }
}
