//! Options of one crowd beside another: a run that ignored them would measure something else than what was asked for.

use super::arguments::{CrowdName, RushArgs};

/// An option, whether it was given, and whether the crowd has it.
type CrowdOption = (&'static str, bool, bool);

/// Returns a line for each group of options that the crowd of these arguments does not have.
pub(super) fn misplaced(args: &RushArgs) -> Vec<String> {
    let is = |name| args.crowd == name;
    let has_room = is(CrowdName::Room) || (is(CrowdName::Mixed) && args.mixed.waiting_room);
    let groups = [
        told("--crowd pay", &pay_options(args, is(CrowdName::Pay))),
        told("--crowd mixed", &mixed_options(args, is(CrowdName::Mixed))),
        told("--crowd room", &room_options(args, is(CrowdName::Room))),
        told("--crowd room, or --crowd mixed with --waiting-room", &waiting_options(args, has_room)),
        refused(args),
    ];
    groups.into_iter().flatten().collect()
}

/// Returns the sentence about options that were given and need something else.
fn told(needs: &str, options: &[CrowdOption]) -> Option<String> {
    let names = names(options);
    (!names.is_empty())
        .then(|| format!("{} {} {needs}", names.join(", "), if names.len() == 1 { "needs" } else { "need" }))
}

fn names(options: &[CrowdOption]) -> Vec<&'static str> {
    options.iter().filter(|(_, is_given, has_it)| *is_given && !has_it).map(|(name, _, _)| *name).collect()
}

fn pay_options(args: &RushArgs, is_pay: bool) -> [CrowdOption; 4] {
    let pay = &args.pay;
    [
        ("--webhook-secret", pay.webhook_secret.is_some(), is_pay),
        ("--webhook-provider", pay.webhook_provider.is_some(), is_pay),
        ("--copies", pay.copies.is_some(), is_pay),
        ("--provider-connections", pay.provider_connections.is_some(), is_pay),
    ]
}

fn mixed_options(args: &RushArgs, is_mixed: bool) -> [CrowdOption; 7] {
    let mixed = &args.mixed;
    [
        ("--population", mixed.population.is_some(), is_mixed),
        ("--percent", mixed.percent.is_some(), is_mixed),
        ("--sale-seconds", mixed.sale_seconds.is_some(), is_mixed),
        ("--token-key", mixed.token_key.is_some(), is_mixed),
        ("--audience", mixed.audience.is_some(), is_mixed),
        ("--waiting-room", mixed.waiting_room, is_mixed),
        ("--check", mixed.check, is_mixed),
    ]
}

fn room_options(args: &RushArgs, is_room: bool) -> [CrowdOption; 2] {
    let room = &args.room;
    [
        ("--gather-seconds", room.gather_seconds.is_some(), is_room),
        ("--poll-seconds", room.poll_seconds.is_some(), is_room),
    ]
}

fn waiting_options(args: &RushArgs, has_room: bool) -> [CrowdOption; 3] {
    let room = &args.room;
    [
        ("--draw", room.draw.is_some(), has_room),
        ("--admit-per-second", room.admit_per_second.is_some(), has_room),
        ("--order-seconds", room.order_seconds.is_some(), has_room),
    ]
}

/// Returns the sentence about general options that the crowd takes no notice of.
fn refused(args: &RushArgs) -> Option<String> {
    // Runs of orders have all of them; bids and ladders have their own conflicts.
    let (crowd, without): (_, &[&str]) = match args.crowd {
        CrowdName::Plain | CrowdName::Checkout | CrowdName::Real => return None,
        CrowdName::Mixed => (
            "mixed",
            &[
                "--nodes",
                "--drop",
                "--bids",
                "--buyers",
                "--units",
                "--rate",
                "--reads",
                "--threads",
                "--deadline",
                "--blind-ms",
            ],
        ),
        CrowdName::Room => ("room", &["--nodes", "--drop", "--bids", "--rate", "--reads", "--blind-ms"]),
        CrowdName::Pay => ("pay", &["--nodes", "--drop", "--bids", "--reads", "--blind-ms"]),
    };
    let options = [
        ("--nodes", !args.nodes.is_empty()),
        ("--drop", args.drop.is_some()),
        ("--bids", args.bids.bids.is_some()),
        ("--buyers", args.buyers.is_some()),
        ("--units", args.units.is_some()),
        ("--rate", args.rate.is_some()),
        ("--reads", args.reads > 0),
        ("--threads", args.threads.is_some()),
        ("--deadline", args.deadline.is_some()),
        ("--blind-ms", args.blind_ms > 0),
    ];
    let names = names(&options.map(|(name, is_given)| (name, is_given, !without.contains(&name))));
    let why = "which has one server and a drop of its own, with a length and a pace of its own";
    (!names.is_empty()).then(|| format!("--crowd {crowd} has no {}: {why}", names.join(", ")))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        rush: RushArgs,
    }

    fn lines(arguments: &str) -> Vec<String> {
        let parsed = Command::try_parse_from(std::iter::once("rush").chain(arguments.split_whitespace()));
        misplaced(&parsed.unwrap_or_else(|error| panic!("{error}")).rush)
    }

    #[test]
    fn an_option_of_another_crowd_is_told_with_the_crowd_that_has_it() {
        assert_eq!(lines("--crowd plain --copies 1"), ["--copies needs --crowd pay"]);
        assert_eq!(
            lines("--percent 5 --check --draw random"),
            [
                "--percent, --check need --crowd mixed",
                "--draw needs --crowd room, or --crowd mixed with --waiting-room"
            ]
        );
        assert_eq!(lines("--crowd mixed --draw random").len(), 1, "without --waiting-room");
        let general = lines("--crowd mixed --buyers 5 --threads 1");
        assert!(general.len() == 1 && general[0].contains("no --buyers, --threads:"), "{general:?}");
        assert_eq!(lines("--crowd room --rate 5 --gather-seconds 5").len(), 1);
    }

    #[test]
    fn each_crowd_takes_its_own_options() {
        for arguments in [
            "--rate 20000 --reads 80 --blind-ms 3000 --buyers 5 --units 5 --deadline 9 --threads 1",
            "--crowd mixed --token-key k --population b --percent 5 --sale-seconds 9 --audience shop --check",
            "--crowd mixed --token-key k --waiting-room --draw random --admit-per-second 5 --order-seconds 5",
            "--crowd room --buyers 5 --gather-seconds 5 --poll-seconds 0 --draw random --admit-per-second 5 --order-seconds 5",
            "--crowd pay --webhook-secret s --copies 20 --provider-connections 4 --rate 5 --units 5 --deadline 9",
        ] {
            assert_eq!(lines(arguments), Vec::<String>::new(), "{arguments}");
        }
    }
}
