//! The turns of admitted buyers and pauses of their drop.

use firstcome::engine::{ChangeDrop, Command, DropCommand, FileCommand, Outcome, Refusal, RoomSpec};

use super::{Sale, at, id, room, spec, waits};

#[test]
fn a_ticket_tells_until_when_its_buyer_can_order_and_what_is_left() {
    let mut sale = Sale::of(spec(2, RoomSpec { order_seconds: 3, oversubscribe_percent: 100, ..room() }));
    sale.tickets(2000, 3);
    let told = sale.ticket(2000, 2);
    assert_eq!((told.order_until, told.paused, told.available, told.held), (None, false, 2, 0));
    assert_eq!(sale.serving(10_000), 2);
    let told = sale.ticket(12_000, 1);
    assert_eq!((told.order_until, told.serving), (Some(at(13_000)), 2));
    sale.order(12_000, 0).expect("admitted");
    sale.change(12_000, DropCommand::Pause);
    let told = sale.ticket(14_000, 1);
    assert_eq!((told.order_until, told.paused, told.available, told.held), (None, true, 1, 1), "it stands still");
    sale.change(15_500, DropCommand::Resume);
    let told = sale.ticket(15_500, 1);
    assert_eq!((told.order_until, told.paused_ms, told.paused), (Some(at(16_500)), 3500, false));
}

#[test]
fn a_stop_of_the_server_admits_no_buyer_and_takes_no_turn_that_had_not_begun() {
    let mut sale = Sale::of(spec(2, RoomSpec { order_seconds: 3, oversubscribe_percent: 100, ..room() }));
    sale.tickets(2000, 8);
    assert_eq!(sale.serving(10_000), 2);
    // The next two would be admitted at 13, the ones after them at 16 s, and so on; the server is back at 40 s.
    assert!(sale.state.offers_a_unit_until(at(40_000)));
    sale.decide(&Command::File(FileCommand::RecordStop { until: at(40_000) }));
    assert_eq!(sale.serving(39_999), 2);
    assert_eq!(sale.serving(40_000), 4);
    assert_eq!(sale.ticket(40_000, 2).order_until, Some(at(43_000)));
    assert!(sale.order(42_000, 3).is_ok());
    assert_eq!(sale.serving(43_000), 5, "afterwards all goes on as ever");
}

#[test]
fn a_room_whose_start_lies_in_a_stop_begins_to_serve_at_its_end() {
    let mut sale = Sale::of(spec(2, RoomSpec { order_seconds: 3, oversubscribe_percent: 100, ..room() }));
    sale.tickets(2000, 4);
    assert!(sale.state.offers_a_unit_until(at(60_000)) && !sale.state.offers_a_unit_until(at(9_999)));
    sale.decide(&Command::File(FileCommand::RecordStop { until: at(60_000) }));
    assert_eq!(sale.serving(59_999), 0);
    assert_eq!(sale.serving(60_000), 2);
}

#[test]
fn a_turn_stands_still_while_the_drop_is_paused() {
    let day = 24 * 3_600_000;
    let mut sale = Sale::of(spec(2, RoomSpec { order_seconds: 3, oversubscribe_percent: 100, ..room() }));
    sale.tickets(2000, 6);
    // A pause before the start, and one over it, move no turn: the room begins to serve after them.
    sale.change(3000, DropCommand::Pause);
    sale.change(4000, DropCommand::Resume);
    sale.change(9000, DropCommand::Pause);
    assert_eq!(sale.serving(11_000), 0);
    sale.change(11_000, DropCommand::Resume);
    assert_eq!(sale.serving(11_000), 2);
    assert_eq!(sale.ticket(11_000, 0).order_until, Some(at(14_000)));
    // Two seconds of the turn are left: after three days and a second pause as well.
    sale.change(12_000, DropCommand::Pause);
    let again = DropCommand::Pause(ChangeDrop { drop_id: id(), reason: "again".into() });
    assert!(matches!(sale.apply(13_000, &Command::Drop(again)), Outcome::Repeated { .. }));
    assert_eq!(sale.ticket(14_000, 0).order_until, None);
    assert_eq!(sale.serving(12_000 + day), 2, "nobody loses a turn, and nobody is admitted");
    assert_eq!(sale.order(13_000 + day, 0), Err(Refusal::DropPaused));
    let resumed = 12_000 + 3 * day;
    sale.change(resumed, DropCommand::Resume);
    let end = at(resumed + 2000);
    assert_eq!((sale.ticket(resumed, 0).order_until, sale.ticket(resumed, 1).order_until), (Some(end), Some(end)));
    assert!(sale.order(resumed + 1000, 0).is_ok(), "the time is the buyer's own again");
    sale.change(resumed + 1000, DropCommand::Pause);
    sale.change(resumed + 6000, DropCommand::Resume);
    assert_eq!(sale.ticket(resumed + 6000, 1).order_until, Some(at(resumed + 7000)));
    assert_eq!(sale.serving(resumed + 6_099), 3, "the unit of the first came back in the pause");
    assert_eq!(sale.serving(resumed + 6_999), 3);
    assert!(sale.order(resumed + 6999, 1).is_ok());
    // Each admission has the time from its own instant on.
    assert_eq!(sale.ticket(resumed + 7000, 2).order_until, Some(at(resumed + 9000)));
}

#[test]
fn a_turn_that_had_passed_before_a_pause_does_not_come_back_and_nobody_is_saved_up() {
    let mut sale = Sale::of(spec(1, RoomSpec { order_seconds: 3, oversubscribe_percent: 100, ..room() }));
    sale.tickets(2000, 40);
    assert_eq!(sale.serving(10_000), 1);
    // The pause comes at the very end of the turn: the next buyer is admitted first.
    sale.change(13_000, DropCommand::Pause);
    assert_eq!(sale.serving(13_000), 2);
    assert_eq!(sale.ticket(600_000, 0).order_until, None, "it is forgotten with the admission after it");
    sale.change(613_000, DropCommand::Resume);
    assert_eq!(sale.order(613_000, 0), waits(0, 2));
    assert_eq!(sale.ticket(613_000, 1).order_until, Some(at(616_000)), "the whole turn is left");
    assert_eq!(sale.serving(615_999), 2);
    assert_eq!(sale.serving(616_000), 3, "one after the other, as before");
    // The auditor's pause is one, too, and the end of a drop in a pause ends its room.
    sale.apply(617_000, &Command::Drop(DropCommand::ReportMismatch { drop_id: id(), stands: true }));
    sale.apply(618_000, &Command::Drop(DropCommand::ReportMismatch { drop_id: id(), stands: false }));
    sale.change(620_000, DropCommand::Resume);
    assert_eq!(sale.ticket(620_000, 2).order_until, Some(at(622_000)));
    sale.change(621_000, DropCommand::Pause);
    sale.change(622_000, DropCommand::Close);
    assert!(sale.state.drop_entry(id()).is_some_and(|entry| entry.room.is_none()));
}
