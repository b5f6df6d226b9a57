//! Waiting rooms on the pages, as a browser without JavaScript uses them.

use serde_json::json;

use super::http::until;
use super::{field, get, is_a_page, post, shop};

/// A room that is open, whose sale starts in an hour.
fn gathering() -> serde_json::Value {
    json!({ "starts_at": "2999-01-01T01:00:00Z", "room": { "opens_at": "2020-01-01T00:00:00Z", "admit_per_second": 1 } })
}

#[test]
fn a_form_takes_a_ticket_which_the_address_of_the_page_keeps() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = shop(directory.path(), &gathering());
    let page = get(&server, "/drops/1");
    is_a_page(&page, 200);
    assert!(page.text.contains("action=\"/drops/1/ticket\""), "{}", page.text);
    let refreshes = "<noscript><meta http-equiv=\"refresh\" content=\"60\"></noscript>";
    assert!(!page.text.contains(refreshes), "a reader who types into the form is not interrupted: {}", page.text);
    let sent = post(&server, "/drops/1/ticket", "buyer=A+%3Cb%3E+%26+c");
    assert_eq!(sent.status, 303, "{}", sent.text);
    let path = &sent.headers["location"];
    assert_eq!(path, "/drops/1?ticket=1&buyer=A+%3Cb%3E+%26+c");
    let again = post(&server, "/drops/1/ticket", "buyer=A+%3Cb%3E+%26+c");
    assert_eq!(&again.headers["location"], path, "a buyer has one ticket");
    let shown = get(&server, path);
    assert!(shown.text.contains("Your ticket: no. 1") && shown.text.contains(refreshes), "{}", shown.text);
    assert!(shown.text.contains("A &lt;b&gt; &amp; c") && !shown.text.contains("A <b>"), "{}", shown.text);
    // The language switch and a refused order keep the ticket.
    assert!(shown.text.contains("href=\"/drops/1?ticket=1&amp;buyer=A+%3Cb%3E+%26+c&amp;lang=vi\""));
    let form = format!("key={}&buyer=A+%3Cb%3E+%26+c&quantity=1", field(&shown, "key"));
    let refused = post(&server, path, &form);
    is_a_page(&refused, 409);
    assert!(refused.text.contains("Your ticket: no. 1"), "{}", refused.text);
}

#[test]
fn an_address_with_a_ticket_or_a_place_that_is_another_buyer_s_or_made_up_shows_neither() {
    let directory = tempfile::tempdir().expect("a directory");
    let serving = json!({ "starts_at": "2020-01-02T00:00:00Z",
                          "room": { "opens_at": "2020-01-01T00:00:00Z", "admit_per_second": 100 } });
    let server = shop(directory.path(), &serving);
    let taken = post(&server, "/drops/1/ticket", "buyer=ann");
    assert_eq!(&taken.headers["location"], "/drops/1?ticket=1&buyer=ann");
    until("the buyer is admitted", || get(&server, "/drops/1?ticket=1&buyer=ann").text.contains("It is your turn"));
    for query in ["ticket=1&buyer=eve", "ticket=2&buyer=ann", "ticket=999&buyer=nobody&position=0"] {
        let page = get(&server, &format!("/drops/1?{query}"));
        assert!(
            !page.text.contains("It is your turn") && page.text.contains("/drops/1/ticket"),
            "{query}: {}",
            page.text
        );
    }
}

#[test]
fn an_address_with_a_ticket_that_is_none_is_the_page_without_one() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = shop(directory.path(), &gathering());
    for query in [
        "ticket=0&buyer=a",
        "ticket=x&buyer=a",
        "ticket=1",
        "ticket=1&buyer=",
        "%FF&ticket=1&buyer=%00",
        "ticket=99999999999&buyer=a",
    ] {
        let page = get(&server, &format!("/drops/1?{query}"));
        is_a_page(&page, 200);
        assert!(page.text.contains("action=\"/drops/1/ticket\""), "{query}: {}", page.text);
    }
    let unknown = post(&server, "/drops/1/ticket", "buyer=");
    assert_eq!(unknown.status, 400, "{}", unknown.text);
    assert_eq!(post(&server, "/drops/7/ticket", "buyer=a").status, 404);
}

#[test]
fn a_room_that_is_not_open_gives_no_ticket_and_says_when_it_opens() {
    let directory = tempfile::tempdir().expect("a directory");
    let room = json!({ "starts_at": "2999-01-01T01:00:00Z",
                       "room": { "opens_at": "2999-01-01T00:00:00Z", "admit_per_second": 1 } });
    let server = shop(directory.path(), &room);
    let page = get(&server, "/drops/1");
    assert!(page.text.contains("The waiting room opens at") && !page.text.contains("/drops/1/ticket"), "{}", page.text);
    assert!(page.text.contains("datetime=\"2999-01-01T00:00:00.000Z\""), "{}", page.text);
    assert_eq!(post(&server, "/drops/1/ticket", "buyer=a").status, 403);
}
