//! The policies, with their quotas and exemptions.

use std::cell::RefCell;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;

use super::gcra::Quota;
use crate::config::AdmissionSettings;
use crate::types::Tier;

/// A limit with a name, which responses carry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Policy {
    GlobalReads,
    GlobalWrites,
    AddressReads,
    AddressWrites,
    /// Distinct buyers that one address names.
    AddressBuyers,
    /// Buyers' tokens from one address that were verified and are not valid.
    AddressInvalidTokens,
    BuyerReads,
    /// Writes of a buyer of a tier.
    Buyer(Tier),
}

/// The names of all policies, in the order of `Policy::index`.
pub const POLICY_NAMES: [&str; 11] = [
    "global-reads",
    "global-writes",
    "address-reads",
    "address-writes",
    "address-buyers",
    "address-invalid-tokens",
    "buyer-reads",
    "buyer-suspected",
    "buyer-new",
    "buyer-verified",
    "buyer-premium",
];

impl Policy {
    pub(super) const fn index(self) -> usize {
        match self {
            Policy::GlobalReads => 0,
            Policy::GlobalWrites => 1,
            Policy::AddressReads => 2,
            Policy::AddressWrites => 3,
            Policy::AddressBuyers => 4,
            Policy::AddressInvalidTokens => 5,
            Policy::BuyerReads => 6,
            Policy::Buyer(tier) => 7 + tier as usize,
        }
    }

    pub(super) const fn name(self) -> &'static str {
        POLICY_NAMES[self.index()]
    }
}

/// The quotas and exemptions of the settings.
pub(super) struct Rules {
    /// Unique in this process.
    id: u64,
    quotas: [Option<Quota>; POLICY_NAMES.len()],
    pub(super) default_tier: Tier,
    exempt: crate::config::Exemptions,
}

impl Rules {
    fn new(settings: &AdmissionSettings) -> Rules {
        static LAST_ID: AtomicU64 = AtomicU64::new(0);
        let [suspected, new, verified, premium] = settings.tier_writes;
        let limits = [
            settings.global_reads,
            settings.global_writes,
            settings.address_reads,
            settings.address_writes,
            settings.address_buyers,
            settings.address_invalid_tokens,
            settings.buyer_reads,
            suspected,
            new,
            verified,
            premium,
        ];
        Rules {
            id: LAST_ID.fetch_add(1, Ordering::Relaxed).wrapping_add(1),
            quotas: limits.map(Quota::new),
            default_tier: settings.default_tier,
            exempt: settings.exempt.clone(),
        }
    }

    /// Returns the quota of a policy; `None` if it has no limit.
    pub(super) fn quota(&self, policy: Policy) -> Option<Quota> {
        self.quotas[policy.index()]
    }

    pub(super) const fn id(&self) -> u64 {
        self.id
    }

    fn exempts_networks(&self) -> bool {
        !self.exempt.networks.is_empty()
    }

    fn exempts_address(&self, address: IpAddr) -> bool {
        self.exempt.networks.iter().any(|network| network.contains(&address))
    }

    pub(super) fn exempts_buyer(&self, buyer: &str) -> bool {
        self.exempt.buyers.iter().any(|exempt| exempt == buyer)
    }
}

/// The rules in force. Each thread keeps a reference to those that it used last, so that a request compares a number and
/// waits for no lock.
pub(super) struct CurrentRules {
    id: AtomicU64,
    /// True if any network is exempt.
    exempts_networks: AtomicBool,
    rules: Mutex<Arc<Rules>>,
}

thread_local! {
    static LAST_USED: RefCell<Option<Arc<Rules>>> = const { RefCell::new(None) };
}

impl CurrentRules {
    pub(super) fn new(settings: &AdmissionSettings) -> CurrentRules {
        let rules = Rules::new(settings);
        CurrentRules {
            id: AtomicU64::new(rules.id),
            exempts_networks: AtomicBool::new(rules.exempts_networks()),
            rules: Mutex::new(Arc::new(rules)),
        }
    }

    /// Puts other rules in force, for all threads with their next request.
    pub(super) fn replace(&self, settings: &AdmissionSettings) {
        let rules = Rules::new(settings);
        let mut current = self.rules.lock();
        self.exempts_networks.store(rules.exempts_networks(), Ordering::SeqCst);
        self.id.store(rules.id, Ordering::SeqCst);
        *current = Arc::new(rules);
    }

    /// Returns the id of the rules in force.
    pub(super) fn id(&self) -> u64 {
        self.id.load(Ordering::Acquire)
    }

    /// Returns whether an address is exempt.
    pub(super) fn exempts_address(&self, address: IpAddr) -> bool {
        self.exempts_networks.load(Ordering::Acquire) && self.ask(|rules| rules.exempts_address(address))
    }

    /// Asks the rules in force.
    pub(super) fn ask<T>(&self, question: impl FnOnce(&Rules) -> T) -> T {
        LAST_USED.with_borrow_mut(|used| {
            let id = self.id();
            if used.as_ref().is_none_or(|rules| rules.id != id) {
                *used = None;
            }
            question(used.get_or_insert_with(|| Arc::clone(&self.rules.lock())))
        })
    }
}
