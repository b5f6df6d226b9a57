//! Rows that bid over the wire protocol.

use super::machine::Quiet;
use super::over_http::{median, of};
use super::program::Program;
use super::server::Server;
use super::table::{Table, number};

pub(crate) fn bids(program: &Program, table: &mut Table) -> Result<(), String> {
    let server = Server::start(program)?;
    let mut rates = Vec::new();
    for _ in 0..3 {
        let report = server.bids(10_000, &["--connections", "64", "--new-auctions", "64", "--pipeline", "32"])?;
        rates.push(of(&report, "/acknowledged_per_second")?);
    }
    server.stop()?;
    table.at_least("bids acknowledged, full, 64 connections x 32 (median of 3)", median(rates), 120_000.0, "/s");
    Ok(())
}

pub(crate) fn bids_at_a_rate(program: &Program, table: &mut Table) -> Result<(), String> {
    let server = Server::start(program)?;
    let quiet = Quiet::measure()?;
    let report = server.bids(1_000, &["--rate", "10000", "--connections", "100", "--new-auctions", "100"])?;
    let load = quiet.after_load()?;
    server.stop()?;
    let what = "bids at 10,000/s offered, open loop: acknowledged of 100,000";
    table.at_least(what, of(&report, "/acknowledged")?, 100_000.0, "");
    table.below_ms("... p99", of(&report, "/answer_ms/p99")?, 5.0, &load);
    table.shown("... p99.9", of(&report, "/answer_ms/p99_9")?, " ms");
    Ok(())
}

/// Each pace twice: in one auction, where slower bidders are told that they are too low, and in an auction each.
pub(crate) fn bidders(program: &Program, table: &mut Table) -> Result<(), String> {
    let server = Server::start(program)?;
    for (pace, arguments) in [("10 ms apart", &["--pace-ms", "10"][..]), ("as fast as they go", &[])] {
        for auctions in [1.0, 1_000.0] {
            let count = format!("{auctions:.0}");
            let mut more = vec!["--connections", "1000", "--new-auctions", &count];
            more.extend(arguments);
            let report = server.bids(50, &more)?;
            let what = format!("1,000 x 50 bids, {pace}, auctions: {}", number(auctions));
            table.at_least(&format!("{what}: answered"), of(&report, "/answered")?, 50_000.0, "");
            if auctions > 1.0 {
                table.at_least("... acknowledged", of(&report, "/acknowledged")?, 50_000.0, "");
            }
            table.shown("... acknowledged", of(&report, "/acknowledged_per_second")?, "/s");
            table.shown("... p99", of(&report, "/answer_ms/p99")?, " ms");
        }
    }
    server.stop()
}

pub(crate) fn idle(program: &Program, table: &mut Table) -> Result<(), String> {
    let server = Server::start(program)?;
    let report = server.bids(3, &["--connections", "1000", "--pace-ms", "60000", "--deadline", "240"])?;
    server.stop()?;
    let what = "1,000 x 3 bids, idle for 60 s between them: answered";
    table.at_least(what, of(&report, "/answered")?, 3_000.0, "");
    table.shown("... p99", of(&report, "/answer_ms/p99")?, " ms");
    Ok(())
}

pub(crate) fn subscribers(program: &Program, table: &mut Table) -> Result<(), String> {
    let server = Server::start(program)?;
    let report = server.bids(500, &["--connections", "16", "--subscribers", "1000"])?;
    server.stop()?;
    table.shown("delay of the last price at 1,000 subscribers: p50", of(&report, "/last_price_ms/p50")?, " ms");
    table.shown("... p99", of(&report, "/last_price_ms/p99")?, " ms");
    table.below("... the last of them", of(&report, "/last_price_ms/max")?, 100.0, " ms");
    Ok(())
}
