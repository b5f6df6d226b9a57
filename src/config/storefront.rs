//! The settings of the storefront.

use super::setting::{Setting, setting};
use super::values::{one_of, origins, url};

pub(super) const SETTINGS: &[Setting] = &[
    setting!(
        "storefront.enabled",
        "false",
        "true, false",
        "pages for buyers on the public listener: the list, drops, auctions and orders; `--demo` turns it on",
        |c, t| c.storefront.enabled = one_of(t, "true", "false")?
    ),
    setting!("storefront.name", "", "text", "name of the shop on its pages", |c, t| c.storefront.name =
        t.trim().into()),
    setting!(
        "storefront.login_url",
        "",
        "URL",
        "page of the shop that signs buyers in, where they have tokens: it gets `return_to` and sends the buyer back there with the token in the fragment, as `#token=…`",
        |c, t| c.storefront.login_url = url(t.trim())?
    ),
    setting!(
        "storefront.frame_ancestors",
        "",
        "list",
        "origins whose pages may show those of the storefront in a frame; none if unset",
        |c, t| c.storefront.frame_ancestors = origins(t)?
    ),
];
