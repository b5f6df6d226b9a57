//! Answers that only reads of operators have: those of the console, of tiers and of backups.

use firstcome::api::code::Code;
use serde_json::json;

use crate::http::{Server, call, listen};
use crate::is;

/// Every good answer; `order` is one that exists.
pub(crate) fn good_ends(server: &Server, order: &str) {
    let admin = server.0.server.admin_address;
    for path in ["/v1/buyers/ann/tier", "/v1/backup", "/v1/console/session", "/v1/console/alerts", "/v1/settings"] {
        assert_eq!(server.admin("GET", path, &json!({})).status, 200, "{path}");
    }
    let runbook = call(admin, "GET", "/v1/runbooks/FirstcomeRefundsDue", "", "");
    assert_eq!((runbook.status, runbook.headers["content-type"].as_str()), (200, "text/markdown; charset=utf-8"));
    for path in
        ["/v1/console/drops", "/v1/console/drops/1", "/v1/console/auctions", &format!("/v1/console/orders/{order}")]
    {
        let answer = call(admin, "GET", path, "", "");
        assert_eq!((answer.status, answer.headers["cache-control"].as_str()), (200, "no-store"), "{path}");
        let tag = &answer.headers["etag"];
        assert_eq!(call(admin, "GET", path, &format!("If-None-Match: {tag}\r\n"), "").status, 304, "{path}");
    }
    for path in ["/v1/console/auctions/1", "/v1/console/auctions/1/bids"] {
        let answer = call(admin, "GET", path, "", "");
        assert_eq!((answer.status, answer.headers["cache-control"].as_str()), (200, "no-store"), "{path}");
        let tag = &answer.headers["etag"];
        assert_eq!(call(admin, "GET", path, &format!("If-None-Match: {tag}\r\n"), "").status, 304, "{path}");
    }
    let checks = server.admin("GET", "/v1/preflight?drop_id=1", &json!({}));
    assert_eq!((checks.status, &checks.body["drop_id"]), (200, &json!(1)), "{}", checks.text);
    listen(admin, "/v1/console/stream", || {}, &["event: frame\ndata: {"]);
}

/// Mistakes of a query that only operators' reads have.
pub(crate) fn mistakes(server: &Server) {
    let admin = server.0.server.admin_address;
    let wrong = call(admin, "GET", "/v1/drops/1/remedy?last=0", "", "");
    is(&wrong, Code::Validation);
    assert_eq!(wrong.body["errors"][0]["pointer"], "/last", "a JSON pointer");
    is(&call(admin, "GET", "/v1/preflight?drop_id=0", "", ""), Code::Validation);
    is(&call(admin, "GET", "/v1/preflight?drop_id=999", "", ""), Code::NotFound);
    for after in ["0&limit=0", "x"] {
        is(&call(admin, "GET", &format!("/v1/console/auctions/1/bids?after={after}"), "", ""), Code::Validation);
    }
}
