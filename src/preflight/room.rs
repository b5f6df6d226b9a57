//! Checks of a drop's waiting room: parameters with which its sale could not go as planned.

use jiff::Timestamp;
use serde_json::Value;

use super::finding::Finding;
use crate::config::Config;

/// The longest time that a room may need to admit a buyer for each unit, in seconds: half an hour.
const ADMITTING_SECONDS_MAX: u64 = 1_800;
/// The shortest time between opening and start, in seconds, in which buyers can come.
const GATHERING_SECONDS_MIN: i64 = 60;
/// The shortest time for an order, in seconds: a page that polls every 5 s leaves 10 to a person.
const ORDER_SECONDS_MIN: u64 = 15;

/// Checks the room of a drop as its route returns it; `None` without a room.
pub fn room(drop: &Value, config: &Config) -> Option<Finding> {
    const CHECK: &str = "room";
    let room = drop.get("room").filter(|room| room.is_object())?;
    let number = |name: &str| room[name].as_u64().unwrap_or(0);
    let instant = |value: &Value| value.as_str().and_then(|text| text.parse::<Timestamp>().ok());
    let (starts, ends) = (instant(&drop["starts_at"]), instant(&drop["ends_at"]));
    let (rate, order_seconds) = (number("admit_per_second").max(1), number("order_seconds"));
    let units = drop["available"].as_u64().unwrap_or(0);
    let admitting = units.div_ceil(rate);
    let found =
        format!("{rate} buyers a second have {order_seconds} s each, {units} units take {admitting} s at least");
    let (found, beacon_seconds) = match room["beacon"].as_str() {
        Some("required") => {
            let seconds = number("beacon_seconds");
            (format!("{found}; its draw waits {seconds} s for a beacon: have it ready"), seconds)
        }
        Some(_) | None => (found, 0),
    };
    let seconds_between = |from: Option<Timestamp>, to: Option<Timestamp>| Some(to?.as_second() - from?.as_second());
    // The beacon may come at the last moment, and the last ones who are admitted have their time to order, too.
    let needed = beacon_seconds.saturating_add(admitting).saturating_add(order_seconds);
    let needed = i64::try_from(needed).unwrap_or(i64::MAX);
    if let Some(sale) = seconds_between(starts, ends).filter(|sale| *sale < needed) {
        let to_do = "end the drop later (PATCH /v1/drops/{id}), or raise the room's admit_per_second, until it opens or once it \
                     serves; beacon_seconds stays as the drop was created";
        return Some(Finding::fail(CHECK, format!("{found}, and the sale ends after {sale} s"), to_do));
    }
    let mut warnings = Vec::new();
    if admitting > ADMITTING_SECONDS_MAX {
        warnings.push("buyers wait for more than half an hour while units are available".to_owned());
    }
    if order_seconds < ORDER_SECONDS_MIN {
        warnings.push(format!("below {ORDER_SECONDS_MIN} s a person may miss the turn between two polls"));
    }
    let gathering = seconds_between(instant(&room["opens_at"]), starts);
    if let Some(gathering) = gathering.filter(|gathering| *gathering < GATHERING_SECONDS_MIN) {
        warnings.push(format!("it opens only {gathering} s before the start"));
    }
    let planned = u64::from(config.plan.requests_per_second);
    if planned > 0 && rate > planned {
        warnings.push(format!("it admits more buyers than the plan has requests a second ({planned})"));
    }
    if warnings.is_empty() {
        return Some(Finding::pass(CHECK, found));
    }
    let to_do =
        "PATCH /v1/drops/{id} changes a room until it opens, and its rate once it serves, if they are not meant so";
    Some(Finding::warn(CHECK, format!("{found}; {}", warnings.join("; ")), to_do))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::preflight::finding::Verdict;

    fn checked(change: impl FnOnce(&mut Value)) -> Option<(Verdict, String)> {
        let mut drop = json!({
            "id": 7, "available": 10_000, "starts_at": "2026-01-01T00:10:00.000Z", "ends_at": "2026-01-01T01:10:00.000Z",
            "room": { "opens_at": "2026-01-01T00:00:00.000Z", "admit_per_second": 100, "order_seconds": 120 },
        });
        change(&mut drop);
        let mut config = Config::defaults();
        config.plan.requests_per_second = 200;
        room(&drop, &config).map(|finding| (finding.verdict, finding.found))
    }

    #[test]
    fn a_room_that_cannot_sell_its_units_in_time_fails() {
        assert_eq!(checked(|drop| drop["room"] = Value::Null), None, "no room, no finding");
        assert!(matches!(checked(|_| {}), Some((Verdict::Pass, _))));
        // 100 s for 10,000 units, and 120 s for the last orders.
        let ends = |at: &'static str| checked(|drop| drop["ends_at"] = at.into()).map(|(verdict, _)| verdict);
        assert_eq!(ends("2026-01-01T00:13:39.000Z"), Some(Verdict::Fail));
        assert_eq!(ends("2026-01-01T00:13:40.000Z"), Some(Verdict::Pass));
        // And the longest wait for a beacon before that.
        let with_beacon = |at: &'static str| {
            checked(|drop| {
                drop["ends_at"] = at.into();
                drop["room"]["beacon"] = "required".into();
                drop["room"]["beacon_seconds"] = json!(3600);
            })
        };
        assert!(matches!(with_beacon("2026-01-01T01:13:39.000Z"), Some((Verdict::Fail, _))));
        assert!(matches!(with_beacon("2026-01-01T01:13:40.000Z"), Some((Verdict::Pass, _))));
    }

    #[test]
    fn a_room_in_which_people_wait_for_nothing_or_miss_their_turn_is_a_warning() {
        let warned = |name: &'static str, value: Value, words: &str| {
            let (verdict, found) = checked(|drop| {
                drop["ends_at"] = Value::Null;
                drop["room"][name] = value;
            })
            .expect("a finding");
            assert!(verdict == Verdict::Warn && found.contains(words), "{name}: {found}");
        };
        warned("admit_per_second", json!(5), "more than half an hour");
        warned("order_seconds", json!(14), "miss the turn");
        warned("opens_at", json!("2026-01-01T00:09:01.000Z"), "only 59 s before the start");
        warned("admit_per_second", json!(201), "more buyers than the plan");
    }
}
