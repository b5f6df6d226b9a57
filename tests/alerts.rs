//! Alerts, their runbooks, and the other pages: every alert has a page, and pages name only metrics, routes, problems and
//! files that exist. `scripts/alerts.sh` tests the alerts with promtool, `scripts/rehearse.sh` the runbooks with a real
//! Prometheus.

#![allow(clippy::expect_used, reason = "a test ends where something is not as expected")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use firstcome::api::code::Code;
use firstcome::http::routes::ROUTES;
use firstcome::telemetry::CATALOGUE;

fn dashboards() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("dashboards")
}

fn text(name: &str) -> String {
    fs::read_to_string(dashboards().join(name)).expect("a file of the project")
}

/// Runbooks for what an operator decides, without an alert.
const PROCEDURES: [&str; 3] = ["ReplaceNode", "UndoOrders", "UpgradeCluster"];

/// The lines of each alert, by its name.
fn alerts() -> BTreeMap<String, String> {
    let rules = text("alerts.yml");
    let blocks = rules.split("- alert: ").skip(1);
    blocks.map(|block| (block.lines().next().unwrap_or_default().to_string(), block.to_string())).collect()
}

fn runbooks() -> BTreeMap<String, String> {
    let folder = fs::read_dir(dashboards().join("runbooks")).expect("a folder of the project");
    let pages = folder.map(|entry| entry.expect("an entry").path());
    pages
        .map(|path| {
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            let name = name.strip_suffix(".md").expect("a page").to_string();
            (name, fs::read_to_string(path).expect("a page"))
        })
        .collect()
}

/// The words of a text that could be names: of metrics, of alerts.
fn words(text: &str) -> BTreeSet<&str> {
    text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_').collect()
}

/// The words that name a metric, without what Prometheus makes of a histogram.
fn metrics_of(text: &str) -> BTreeSet<&str> {
    let metrics = words(text).into_iter().filter(|word| word.starts_with("firstcome_") && !word.ends_with('_'));
    metrics
        .map(|word| ["_bucket", "_sum", "_count"].iter().fold(word, |word, end| word.trim_end_matches(end)))
        .collect()
}

#[test]
fn every_alert_has_its_runbook_and_every_runbook_its_alert() {
    let (alerts, runbooks) = (alerts(), runbooks());
    assert!(alerts.len() > 30, "{}", alerts.len());
    let of_alerts = runbooks.keys().filter(|name| !PROCEDURES.contains(&name.as_str()));
    assert_eq!(alerts.keys().collect::<Vec<_>>(), of_alerts.collect::<Vec<_>>());
    for (name, alert) in &alerts {
        for must in [
            format!("          runbook_url: dashboards/runbooks/{name}.md\n"),
            "          summary: \"".into(),
            "          description: \"".into(),
            "severity: ".into(),
        ] {
            assert_eq!(alert.matches(&must).count(), 1, "{name}: {must}");
        }
        let text = |annotation: &str| {
            let line = alert.lines().find_map(|line| line.trim().strip_prefix(annotation)).expect("found above");
            line.trim_matches('"').to_string()
        };
        let (summary, description) = (text("summary: "), text("description: "));
        assert!(description.ends_with('.') && description != summary, "{name}: {description}");
    }
}

#[test]
fn every_runbook_says_what_it_means_where_to_look_what_to_type_and_when_it_is_over() {
    let known = runbooks();
    for (name, page) in &known {
        assert!(page.starts_with(&format!("# {name}\n")), "{name}");
        let mut rest = page.as_str();
        for part in ["**What it means.**", "**What to look at**", "**What to type**", "```sh\n", "**It is over when** "]
        {
            let found = rest.find(part);
            assert!(found.is_some(), "{name} lacks {part}");
            rest = &rest[found.unwrap_or_default()..];
        }
        let other = words(page).into_iter().find(|word| word.starts_with("Firstcome") && !known.contains_key(*word));
        assert_eq!(other, None, "{name} speaks of a page that is not there");
        assert!(page.lines().count() < 90, "{name} is long for three in the morning");
    }
}

#[test]
fn alerts_runbooks_and_series_name_metrics_problems_and_routes_that_there_are() {
    let known: BTreeSet<&str> = CATALOGUE.iter().map(|metric| metric.name).collect();
    let pages = runbooks().into_values().collect::<String>();
    for text in [text("alerts.yml"), text("alerts_test.yml"), pages.clone()] {
        let strangers: Vec<_> = metrics_of(&text).difference(&known).copied().collect();
        assert!(strangers.is_empty(), "no such metric: {strangers:?}");
    }
    let codes = Code::ALL.map(|code| code.kind().code);
    let rules = text("alerts.yml");
    for code in rules.split("code=~\"").skip(1).filter_map(|rest| rest.split('"').next()).flat_map(|of| of.split('|')) {
        assert!(codes.contains(&code), "no such problem: {code}");
    }
    let mut asked = 0;
    for path in pages.split("/v1/").skip(1).filter(|path| !path.starts_with("targets")) {
        let end = |letter: char| !letter.is_ascii_alphanumeric() && !"/-_${}…".contains(letter);
        let path = path.split(end).next().unwrap_or_default();
        if path.ends_with('…') || path.starts_with('…') {
            continue;
        }
        let is_it = |route: &&str| {
            let (mut ours, mut theirs) = (path.split('/'), route.trim_start_matches("/v1/").split('/'));
            loop {
                match (ours.next(), theirs.next()) {
                    (None, None) => return true,
                    (Some(ours), Some(theirs)) => {
                        let any = theirs.starts_with('{');
                        if ours != theirs && !(any && (ours.starts_with('$') || ours.starts_with('{'))) {
                            return false;
                        }
                    }
                    (None, Some(_)) | (Some(_), None) => return false,
                }
            }
        };
        assert!(ROUTES.iter().map(|route| route.path).any(|route| is_it(&route)), "no such route: /v1/{path}");
        asked += 1;
    }
    assert!(asked > 10, "{asked} routes were found on the pages");
}

#[test]
fn every_alert_has_series_for_which_it_fires_and_for_which_it_does_not() {
    let series = text("alerts_test.yml");
    let blocks: BTreeMap<&str, &str> = series
        .split("  - name: ")
        .skip(1)
        .map(|block| (block.split_whitespace().next().unwrap_or_default(), block))
        .collect();
    let alerts = alerts();
    assert_eq!(alerts.keys().map(String::as_str).collect::<Vec<_>>(), blocks.keys().copied().collect::<Vec<_>>());
    for (name, block) in blocks {
        let asks = block.matches(&format!("(ALERTS{{alertname=\"{name}\", alertstate=\"firing\"}})")).count();
        let silent = block.matches("exp_samples: []").count();
        let fires = block.matches("exp_samples: [{ labels: ").count();
        assert!(fires > 0 && silent > 0 && asks == fires + silent, "{name}: {fires} times firing, {silent} times not");
        // A series for which it must be silent while it fires for another.
        assert!(name == "FirstcomeNotWatched" || words(block).contains("good"), "{name}");
    }
}

#[test]
fn the_page_of_dashboards_has_every_alert_with_its_time_and_severity() {
    let readme = text("README.md");
    for (name, alert) in alerts() {
        let row = format!("| [`{name}`](runbooks/{name}.md) | ");
        let row = readme.lines().find(|line| line.starts_with(&row)).expect("a row in dashboards/README.md");
        let is = |what: &str| alert.lines().find_map(|line| line.trim().strip_prefix(what)).map(str::trim);
        let held = is("for: ").map_or("at once".to_string(), |time| time.replace("5m", "5 min").replace("s", " s"));
        let told = is("labels: { severity: ").expect("a severity").trim_end_matches(" }");
        assert!(row.ends_with(&format!(" | {held} | {told} |")), "{name} is for {held}, and a {told}: {row}");
    }
    assert_eq!(readme.matches("`](runbooks/").count(), alerts().len());
}

#[test]
fn alertmanager_names_alerts_and_severities_that_there_are_and_silences_none_about_money() {
    let (config, alerts) = (text("alertmanager.yml"), alerts());
    let settings: String = config.lines().filter(|line| !line.trim_start().starts_with('#')).collect();
    let named: Vec<_> = words(&settings).into_iter().filter(|word| word.starts_with("Firstcome")).collect();
    assert!(named.len() > 5, "{named:?}");
    for name in named {
        assert!(alerts.contains_key(name), "no such alert: {name}");
    }
    for name in ["FirstcomeOversold", "FirstcomeUndersold", "FirstcomeCountersDisagree", "FirstcomeRefunds"] {
        assert!(!settings.contains(name), "{name} is never inhibited");
    }
    let severities: BTreeSet<_> =
        alerts.values().filter_map(|alert| alert.split("severity: ").nth(1)?.split(' ').next()).collect();
    for severity in severities {
        assert!(settings.contains(&format!("severity=\"{severity}\"")), "no route for {severity}");
        assert!(config.contains(&format!("  - name: {severity}\n")), "no receiver for {severity}");
    }
}

#[test]
fn the_image_has_the_exporter_a_numeric_user_a_probe_and_only_the_port_that_is_listened_on() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/Dockerfile");
    let file = fs::read_to_string(file).expect("a file of the project");
    let of = |word: &str| file.lines().filter_map(|line| line.strip_prefix(word)).map(str::trim).collect::<Vec<_>>();
    let builds = of("RUN cargo build ");
    assert!(builds.len() == 1 && builds[0].contains("--features otlp"), "{builds:?}");
    assert_eq!(of("ENV "), ["FIRSTCOME_REVISION=$REVISION"]);
    let user = of("USER ");
    assert!(user.len() == 1 && user[0].split(':').all(|id| id.parse::<u32>().is_ok_and(|id| id > 0)), "{user:?}");
    let command = of("CMD ")[0];
    for port in of("EXPOSE ").iter().flat_map(|ports| ports.split(' ')) {
        assert!(command.contains(&format!("0.0.0.0:{port}")), "nothing listens on {port}: {command}");
    }
    let probe = of("HEALTHCHECK ");
    assert!(probe.len() == 1 && probe[0].ends_with(r#"CMD ["firstcome", "health"]"#), "{probe:?}");
    assert!(of("FROM ").iter().all(|image| image.contains(':') && !image.contains(":latest")), "{file}");
}

/// Pages of the repository: their path and text.
fn pages() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders: Vec<PathBuf> =
        ["src", "dashboards", "benches", "scripts"].iter().map(|name| root.join(name)).collect();
    let mut found = vec![root.join("README.md")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder of the project") {
            let path = entry.expect("an entry").path();
            if path.is_dir() && !path.ends_with("node_modules") {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                found.push(path);
            }
        }
    }
    found.into_iter().map(|path| (path.clone(), fs::read_to_string(path).expect("a page"))).collect()
}

#[test]
fn links_and_paths_on_pages_lead_to_files() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut wrong = Vec::new();
    for (page, text) in pages() {
        let beside = page.parent().expect("a folder");
        let links = text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next());
        let links = links.filter(|link| !link.is_empty() && !link.contains("://"));
        wrong
            .extend(links.filter(|link| !beside.join(link).exists()).map(|link| format!("{}: {link}", page.display())));
        let prose: String = text.split("```").step_by(2).collect();
        // Paths in backquotes, such as `tests/kill.rs`, are from the root or from the room of the page.
        let names = prose.split('`').skip(1).step_by(2).filter_map(|name| name.split([' ', ':']).next());
        let ends = [".rs", ".sh", ".py", ".md", ".sql", ".yml", ".service"];
        let paths = names.filter(|name| ends.iter().any(|end| name.ends_with(end)) && !name.contains(['<', '*', '$']));
        let missing = paths
            .filter(|path| !path.starts_with(['.', '/']) && ![root, beside].iter().any(|at| at.join(path).exists()));
        wrong.extend(missing.map(|path| format!("{}: `{path}`", page.display())));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_page_of_the_api_has_every_problem_and_every_route() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http/README.md")).expect("a page");
    for kind in Code::ALL.map(|code| code.kind()) {
        let row = format!("| {} | `{}` | {} |", kind.number, kind.code, kind.status.as_u16());
        assert!(page.contains(&row), "src/http/README.md lacks the row {row}");
    }
    let absent = ROUTES.iter().filter(|route| route.path.starts_with("/v1") && !page.contains(route.path));
    let absent: Vec<_> = absent.map(|route| format!("{} {}", route.method, route.path)).collect();
    assert!(absent.is_empty(), "src/http/README.md lacks {absent:?}");
}
