//! From two pages to a screen, without a server and without a clock.

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use serde_json::json;

use super::super::draw;
use super::*;

/// A page of a server in the middle of a sale.
fn page(orders: u32, depth: u32) -> String {
    let (slow, fast) = (orders / 100, orders - orders / 100);
    format!(
        "firstcome_seq {}\nfirstcome_writer_queue_depth {depth}\nfirstcome_writer_queue_capacity 8192\n\
         firstcome_writer_commit_seconds_bucket{{le=\"0.001\"}} {fast}\n\
         firstcome_writer_commit_seconds_bucket{{le=\"1\"}} {orders}\n\
         firstcome_writer_commit_seconds_bucket{{le=\"+Inf\"}} {orders}\n\
         firstcome_writer_commit_seconds_sum {slow}\nfirstcome_writer_commit_seconds_count {orders}\n\
         firstcome_writer_batch_commands_bucket{{le=\"+Inf\"}} {}\nfirstcome_writer_batch_commands_sum {orders}\n\
         firstcome_outcomes_total{{command=\"place_order\",outcome=\"accepted\"}} {orders}\n\
         firstcome_outcomes_total{{command=\"place_order\",outcome=\"sold_out\"}} {}\n\
         firstcome_turned_away_total{{reason=\"queue\"}} {}\n\
         firstcome_connections{{listener=\"public\"}} 1234\nfirstcome_connections{{listener=\"wire\"}} 5\n\
         firstcome_oversold_units 0\nfirstcome_undersold_units 2\nfirstcome_wal_bytes 16777216\n\
         firstcome_disk_free_bytes 10737418240\nfirstcome_outbox_age_seconds 45.5\nfirstcome_refunds_due 3\n\
         firstcome_drop_units{{drop=\"9\",state=\"total\"}} 1000\nfirstcome_drop_units{{drop=\"9\",state=\"available\"}} 250\n\
         firstcome_drop_units{{drop=\"9\",state=\"held\"}} 250\nfirstcome_drop_units{{drop=\"9\",state=\"sold\"}} 500\n\
         firstcome_drop_units{{drop=\"10\",state=\"total\"}} 5\nfirstcome_drop_units{{drop=\"10\",state=\"available\"}} 5\n",
        orders + 7,
        orders / 10,
        orders * 3,
        orders / 50,
    )
}

fn look(at: u64, text: &str) -> Sample {
    Sample { at: Duration::from_secs(at), page: MetricsPage::parse(text).expect("a page"), drop: None }
}

fn view_of(looks: &[Sample]) -> View {
    let mut kept = History::default();
    looks.iter().for_each(|look| kept.push(look.clone()));
    kept.view("127.0.0.1:8081", ConnectionState::Fresh).expect("a look")
}

fn screen(view: &View, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a terminal");
    let drawn = |frame: &mut ratatui::Frame<'_>| {
        let area = frame.area();
        draw::draw(Some(view), &view.server, &view.state, area, frame.buffer_mut());
    };
    terminal.draw(drawn).expect("drawn");
    terminal.backend().to_string()
}

#[test]
fn rates_and_percentiles_are_those_of_the_last_seconds() {
    // The first look is older than the window: from 6 s to 10 s there were 4,000 orders.
    let view = view_of(&[look(1, &page(100, 0)), look(6, &page(1_000, 800)), look(10, &page(5_000, 80))]);
    assert_eq!((view.seq, view.events_per_second, view.batch), (5_007.0, Some(1_000.0), Some(10.0)));
    assert_eq!(view.queue, QueueFigures { depth: 80.0, capacity: 8192.0, peak: 800.0 });
    let rates: Vec<(&str, f64)> = view.outcomes.iter().map(|rate| (rate.name.as_str(), rate.per_second)).collect();
    assert_eq!(rates, [("rejected: queue", 20.0), ("order sold out", 3_000.0), ("order accepted", 1_000.0)]);
    let commit = view.latencies.iter().find(|row| row.name == "commit").expect("a row");
    assert_eq!((commit.per_second, commit.level), (Some(1_000.0), FigureLevel::Normal));
    assert!(matches!(commit.p50, Some(Percentile::At(value)) if value < 0.001), "{commit:?}");
}

#[test]
fn seldom_looks_show_rates_too_and_the_peak_is_that_of_a_minute() {
    let view = view_of(&[look(1, &page(100, 900)), look(61, &page(1_000, 700)), look(121, &page(7_000, 80))]);
    assert_eq!(view.events_per_second, Some(100.0), "since the look before");
    assert_eq!(view.queue.peak, 700.0);
}

#[test]
fn one_look_shows_what_is_and_no_rates() {
    let view = view_of(&[look(5, &page(5_000, 80))]);
    assert_eq!((view.events_per_second, view.batch, view.outcomes.len()), (None, None, 0));
    assert!(view.latencies.iter().all(|row| row.p50.is_none() && row.per_second.is_none()));
    assert_eq!(view.stock.len(), 2);
}

#[test]
fn a_server_that_was_started_again_counts_from_nothing() {
    let view = view_of(&[look(6, &page(5_000, 80)), look(8, &page(200, 0))]);
    assert_eq!(view.events_per_second, Some(0.0), "never less than none");
    let accepted = view.outcomes.iter().find(|rate| rate.name == "order accepted").expect("a rate");
    assert_eq!(accepted.per_second, 100.0);
}

#[test]
fn what_needs_somebody_is_told_apart() {
    let now = look(3, &page(5_000, 7_000));
    let view = view_of(&[now]);
    assert_eq!(view.queue.level(), FigureLevel::Alarm);
    assert_eq!(QueueFigures { depth: 5_000.0, ..view.queue }.level(), FigureLevel::Warning);
    assert_eq!(QueueFigures::default().level(), FigureLevel::Normal, "a server that says nothing of its queue");
    let level = |name: &str| view.facts.iter().find(|fact| fact.name == name).map(|fact| fact.level);
    assert_eq!(level("oversold"), Some(FigureLevel::Alarm), "two units are undersold");
    assert_eq!(level("counters"), Some(FigureLevel::Normal));
    assert_eq!(level("refunds due"), Some(FigureLevel::Warning));
    assert_eq!(level("outbox age"), Some(FigureLevel::Warning));
    assert_eq!(level("disk"), Some(FigureLevel::Normal));
    let full =
        view_of(&[look(1, "firstcome_read_only 1\nfirstcome_mismatched_drops 1\nfirstcome_disk_free_bytes 4096\n")]);
    let disk = full.facts.iter().find(|fact| fact.name == "disk").expect("a fact");
    let counters = full.facts.iter().find(|fact| fact.name == "counters").expect("a fact");
    assert_eq!((counters.level, counters.value.as_str()), (FigureLevel::Alarm, "1 drops disagree"));
    assert_eq!((disk.level, disk.value.as_str()), (FigureLevel::Alarm, "READ-ONLY: no sales"));
}

#[test]
fn all_of_it_is_on_a_screen_of_80_by_24() {
    let view = view_of(&[look(6, &page(1_000, 800)), look(10, &page(5_000, 4_096))]);
    let shown = screen(&view, 80, 24);
    for part in [
        "firstcome top  127.0.0.1:8081  seq 5,007  1,000 events/s  batch 10",
        "q quits",
        "queue  4,096 of 8,192, peak 4,096 in the last minute",
        " 50 % ████",
        "commit            1,000",
        "reads",
        "  3,000  order sold out",
        "drop ",
        "10                                5",
        "9                               250      250      500",
        "oversold          0, undersold 2",
        "buyers connected  1,234, wire 5",
        "outbox age        46 s",
        "auctions          0 live, 0/s bids",
    ] {
        assert!(shown.contains(part), "{part} is not in\n{shown}");
    }
    // Half of the bar is sold, a quarter held, a quarter free.
    let bar = shown.lines().find(|line| line.contains("250      250      500")).expect("a line");
    let count = |cell| bar.chars().filter(|c| *c == cell).count();
    assert_eq!((count('█'), count('▒'), count('░')), (12, 6, 6), "{bar}");
}

#[test]
fn no_size_of_a_terminal_is_too_small_or_too_large() {
    let view = view_of(&[look(6, &page(1_000, 800)), look(10, &page(5_000, 4_096))]);
    for (width, height) in [(1, 1), (20, 5), (79, 23), (100, 30), (300, 100)] {
        screen(&view, width, height);
    }
    let wide = screen(&view, 100, 30);
    assert!(wide.contains("memory") && wide.contains("auctions"), "{wide}");
}

#[test]
fn a_server_that_is_gone_is_said_so_above_its_last_figures() {
    let mut view = view_of(&[look(10, &page(5_000, 80))]);
    view.state = ConnectionState::Lost { reason: "connection refused".into(), for_seconds: 7 };
    let shown = screen(&view, 80, 24);
    assert!(shown.contains("NO RESPONSE for 7 s (connection refused): retrying"), "{shown}");
    assert!(shown.contains("seq 5,007"), "{shown}");
    let none = draw::plain(None, "h:1", &view.state);
    assert!(none.len() == 2 && none[1].contains("NO RESPONSE"), "{none:?}");
    assert!(draw::plain(None, "h:1", &ConnectionState::Waiting)[1].contains("waiting"));
}

#[test]
fn the_drop_that_was_asked_for_stands_alone_with_its_name_and_state() {
    let drop = json!({ "id": 7, "name": "Shoe\u{1b}[2J", "state": "sold_out", "total": 10, "available": 0, "held": 1,
                       "sold": 9 });
    let view = view_of(&[Sample { drop: Some(drop), ..look(1, &page(10, 0)) }]);
    assert_eq!(view.stock.len(), 1);
    let shown = draw::plain(Some(&view), "h:1", &ConnectionState::Fresh).join("\n");
    assert!(shown.contains("7 Shoe [2J, sold out") && !shown.contains('\u{1b}'), "{shown}");
}

#[test]
fn stock_of_nothing_is_said_so() {
    let view = view_of(&[look(1, "firstcome_seq 0\n")]);
    assert!(draw::plain(Some(&view), "h:1", &ConnectionState::Fresh).join("\n").contains("no drop is on sale"));
}

#[test]
fn figures_are_short_and_tell_their_unit() {
    let shown = [0.0, 999.0, 1_000.0, 1_234_567.4, -5_000.0].map(whole);
    assert_eq!(shown, ["0", "999", "1,000", "1,234,567", "-5,000"]);
    assert_eq!([0.0, 0.24, 9.94, 9.96, 1_500.2].map(rate), ["0", "0.2", "9.9", "10", "1,500"]);
    let shown = [0.0, 0.000_05, 0.001, 0.0123, 0.5, 1.0, 75.0, 4_000.0].map(seconds);
    assert_eq!(shown, ["0 s", "50 us", "1.0 ms", "12 ms", "500 ms", "1.0 s", "75 s", "4,000 s"]);
}

#[test]
fn a_room_that_does_not_serve_is_not_said_to_gather_and_one_that_waits_for_a_beacon_says_since_when() {
    let told = |more: &str| {
        let room = "firstcome_room_tickets{drop=\"9\",state=\"waiting\"} 70\nfirstcome_room_tickets{drop=\"9\",state=\"admitted\"} 30\n";
        let view = view_of(&[look(1, &format!("{}{room}{more}", page(100, 0)))]);
        let shown = screen(&view, 100, 50);
        shown.lines().find(|line| line.contains("  room, ")).expect("a line of the room").to_owned()
    };
    let serving = told("firstcome_room_serving{drop=\"9\"} 1\nfirstcome_room_admitted_idle{drop=\"9\"} 4\n");
    assert!(serving.contains("room, serving: 70 wait, 30 admitted, 4 of them without an order"), "{serving}");
    let closed = told("firstcome_room_serving{drop=\"9\"} 0\n");
    assert!(closed.contains("room, not serving: 70 wait"), "{closed}");
    let awaited = told("firstcome_room_serving{drop=\"9\"} 0\nfirstcome_room_beacon_wait_seconds{drop=\"9\"} 42.4\n");
    assert!(awaited.contains("room, waits for a beacon since 42 s: 70 wait"), "{awaited}");
}
