//! The encoding of webhook endpoints and their deliveries, by the rules of [`encoding`](super::encoding).

use super::encoding::{encoding_of_enum, encoding_of_struct};
use crate::engine::{
    CreateEndpoint, DeleteEndpoint, DeliveriesMarked, DeliveriesResent, EndpointCommand, EndpointCreated,
    EndpointEvent, EndpointPatch, EndpointPatched, MarkDeliveries, PatchEndpoint, ResendDeliveries,
};
use crate::types::{DeliveryMark, DeliveryState, EndpointState};

encoding_of_enum!(EndpointState { 1 = Enabled, 2 = Disabled });
encoding_of_enum!(DeliveryState {
    1 = Delivered,
    2 = Waiting { attempts, next_at, trouble },
    3 = Dead { attempts, trouble },
});
encoding_of_struct!(DeliveryMark { seq, fate });
encoding_of_struct!(EndpointPatch { state, events, new_url, new_secret });
encoding_of_struct!(CreateEndpoint { key, events, configured });
encoding_of_struct!(PatchEndpoint { endpoint, patch, reason });
encoding_of_struct!(DeleteEndpoint { endpoint, reason });
encoding_of_struct!(MarkDeliveries { endpoint, revision, position, marks });
encoding_of_struct!(ResendDeliveries { endpoint, from_seq, dead_only, reason });
encoding_of_enum!(EndpointCommand {
    1 = Create(command),
    2 = Patch(command),
    3 = Delete(command),
    4 = Mark(command),
    5 = Resend(command),
});
encoding_of_struct!(EndpointCreated { key, events, configured });
encoding_of_struct!(EndpointPatched { patch, reason });
encoding_of_struct!(DeliveriesMarked { position, marks });
encoding_of_struct!(DeliveriesResent { from_seq, dead_only, reason });
encoding_of_enum!(EndpointEvent {
    1 = Created(event),
    2 = Patched(event),
    3 = Deleted { reason },
    4 = Marked(event),
    5 = Resent(event),
});
