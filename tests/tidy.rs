//! The house rules, held by a test: which room may use which, what the engine must not know, how long files may get.

#![allow(clippy::expect_used, reason = "a test ends where something is not as expected")]

use std::fs;
use std::path::{Path, PathBuf};

use firstcome::exit::{Row, TABLE};

/// Which rooms a room may use. `cli` and `main` may use all.
const ARROWS: &[(&str, &[&str])] = &[
    ("types", &[]),
    ("exit", &[]),
    // The settings of every connection to a file.
    ("sqlite", &[]),
    // What the allocator keeps of freed memory.
    ("memory", &[]),
    ("output", &[]),
    ("config", &["types", "failpoints"]),
    ("telemetry", &["types"]),
    ("failpoints", &[]),
    // The timers of connections, for both protocols.
    ("deadlines", &[]),
    // Listeners, and streams with rules, of whatever serves or calls.
    ("sockets", &["exit"]),
    // The pages as text.
    ("web", &["api", "types"]),
    // Spans to a collector.
    ("otlp", &["exit", "egress", "config", "telemetry"]),
    // Calls to others, for webhooks and for payment providers.
    ("egress", &["sockets"]),
    ("client", &["exit", "egress"]),
    ("engine", &["types", "failpoints"]),
    ("capture", &["engine", "types"]),
    ("store", &["engine", "types", "config", "exit", "failpoints", "sqlite", "memory"]),
    // The replicated log: batches of the store in the engine's encodings, which captures began.
    ("log", &["store", "capture", "engine", "types", "config", "failpoints"]),
    // A writer is a node of a cluster, if there is one.
    ("writer", &["log", "store", "capture", "engine", "types", "config", "exit", "telemetry", "failpoints", "memory"]),
    // A report draws again with the pure draw of the engine.
    ("read", &["engine", "types", "config", "telemetry", "failpoints", "sqlite"]),
    // What a mail says, and the conversation with an SMTP server.
    ("mail", &["sockets", "config", "types"]),
    ("outbox", &["mail", "writer", "read", "egress", "store", "engine", "types", "config", "telemetry", "failpoints"]),
    ("payments", &["writer", "read", "egress", "store", "engine", "types", "config", "telemetry", "failpoints"]),
    // It has solved challenges verified by others.
    ("admission", &["writer", "egress", "types", "config", "telemetry", "failpoints"]),
    // http and wire do not know each other. They use engine and store for the words of commands and outcomes.
    ("wire", &["deadlines", "admission", "writer", "read", "store", "engine", "types", "config", "telemetry"]),
    // The contract: shapes are made of rows and outcomes.
    ("api", &["read", "engine", "types", "config"]),
    // The load generator: a client of everything that is served.
    ("load", &["client", "exit", "output", "api", "wire", "capture", "payments", "engine", "types", "telemetry"]),
    (
        "http",
        &[
            "api",
            "preflight",
            "deadlines",
            "web",
            "admission",
            "payments",
            "egress",
            "writer",
            "read",
            "store",
            "engine",
            "types",
            "config",
            "telemetry",
            "failpoints",
        ],
    ),
    // The checks before a sale, of the command and of the running server.
    (
        "preflight",
        &[
            "client",
            "mail",
            "outbox",
            "payments",
            "egress",
            "read",
            "store",
            "writer",
            "engine",
            "types",
            "config",
            "telemetry",
        ],
    ),
    // The front for several shards: the table of routes and the problems of http, and calls to the nodes.
    (
        "route",
        &[
            "http",
            "api",
            "deadlines",
            "egress",
            "payments",
            "sockets",
            "types",
            "config",
            "exit",
            "telemetry",
            "failpoints",
        ],
    ),
    // It puts all of them together.
    (
        "server",
        &[
            "deadlines",
            "sockets",
            "exit",
            "failpoints",
            "http",
            "log",
            "wire",
            "capture",
            "admission",
            "payments",
            "outbox",
            "egress",
            "writer",
            "read",
            "store",
            "engine",
            "types",
            "config",
            "telemetry",
        ],
    ),
];

/// What would make the engine impure.
const IMPURE: &[&str] = &[
    "Instant",
    "SystemTime",
    "std::time",
    "std::thread",
    "std::fs",
    "std::net",
    "std::env",
    "std::io",
    "std::sync",
    "rusqlite",
    "tokio",
    "rand",
    "tracing",
    "f32",
    "f64",
    "RandomState",
    "unsafe",
];

const LINES_MAX: usize = 500;

fn sources(below: &str) -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut found, mut folders) = (Vec::new(), vec![root.join(below)]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of the project") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("a source");
                found.push((path.strip_prefix(root).expect("below the root").to_path_buf(), text));
            }
        }
    }
    found.sort();
    found
}

/// The sets of rooms that `scripts/mutants.sh` copies: each assignment before its stages, with the sets in it spelled out.
fn mutation_sets(script: &str) -> Vec<(String, Vec<String>)> {
    let mut sets: Vec<(String, Vec<String>)> = Vec::new();
    for line in script.lines().skip_while(|line| !line.starts_with("rules=")).take_while(|line| line.contains('=')) {
        let (name, rooms) = line.split_once('=').expect("an assignment");
        let rooms = rooms.trim_matches('"').split(' ').flat_map(|room| match room.strip_prefix('$') {
            Some(set) => sets.iter().find(|(name, _)| name == set).expect("a set above it").1.clone(),
            None => vec![room.to_owned()],
        });
        let rooms = rooms.collect();
        sets.push((name.into(), rooms));
    }
    sets
}

#[test]
fn the_rooms_of_a_mutation_stage_compile_without_others() {
    let sets = mutation_sets(&fs::read_to_string("scripts/mutants.sh").expect("the script"));
    assert!(sets.len() >= 6, "{sets:?}");
    for (set, rooms) in &sets {
        for room in rooms {
            let (_, needed) = ARROWS.iter().find(|(name, _)| name == room).expect("a room");
            let missing: Vec<_> = needed.iter().filter(|needed| !rooms.iter().any(|room| room == *needed)).collect();
            assert!(missing.is_empty(), "scripts/mutants.sh, {set}: {room} may use {missing:?}, which is not copied");
        }
    }
}

fn room(path: &Path) -> String {
    let part = path.components().nth(1).expect("src/room").as_os_str().to_string_lossy().into_owned();
    part.trim_end_matches(".rs").into()
}

/// The code of a source without its tests, comments and texts of documentation.
fn code(text: &str) -> String {
    let before_tests = text.split("#[cfg(test)]\nmod tests").next().unwrap_or("");
    before_tests.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// What stands after each `crate::`, a list in braces included.
fn used_rooms(code: &str) -> Vec<String> {
    let word = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let mut used = Vec::new();
    for (position, found) in code.match_indices("crate::") {
        let rest = &code[position + found.len()..];
        let Some(list) = rest.strip_prefix('{') else {
            used.push(word(rest));
            continue;
        };
        let mut depth = 0usize;
        let mut starts = true;
        for (at, c) in list.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => starts = true,
                c if starts && !c.is_whitespace() => {
                    used.push(word(&list[at..]));
                    starts = false;
                }
                _ => {}
            }
        }
    }
    used
}

#[test]
fn rooms_are_found_in_paths_and_in_lists() {
    let code = "use crate::{types::{Seq, Amount}, engine::Outcome,\n store};\nfn f() { crate::config::x() }";
    assert_eq!(used_rooms(code), ["types", "engine", "store", "config"]);
}

#[test]
fn no_room_is_reached_through_super() {
    let rooms: Vec<&str> = ARROWS.iter().map(|(name, _)| *name).collect();
    for (path, text) in sources("src") {
        // src/room.rs is one step below the root, src/room/x.rs two.
        let to_root = "super::".repeat(path.components().count() - 1);
        for (position, _) in code(&text).match_indices(&to_root) {
            let next =
                code(&text)[position + to_root.len()..].split(|c: char| !c.is_alphanumeric()).next().map(String::from);
            assert!(!rooms.contains(&next.as_deref().unwrap_or("")), "{}: write crate::{next:?}", path.display());
        }
    }
}

#[test]
fn arrows_between_rooms_point_one_way() {
    let mut wrong = Vec::new();
    for (path, text) in sources("src") {
        let room = room(&path);
        let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == room) else {
            assert!(
                matches!(room.as_str(), "cli" | "main" | "lib"),
                "{room} has no arrows: say in ARROWS what it may use"
            );
            continue;
        };
        for used in used_rooms(&code(&text)) {
            if used != room && !allowed.contains(&used.as_str()) {
                wrong.push(format!("{}: {room} -> {used}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_engine_has_no_clock_no_randomness_no_io_and_no_hash_order() {
    for (path, text) in sources("src/engine")
        .into_iter()
        .chain(sources("src").into_iter().filter(|(path, _)| path.ends_with("engine.rs")))
    {
        // A count of references decides nothing.
        let code = code(&text).replace("use std::sync::Arc;", "");
        for word in IMPURE {
            let found = code.match_indices(word).find(|(at, _)| {
                let before = code[..*at].chars().next_back().unwrap_or(' ');
                let after = code[at + word.len()..].chars().next().unwrap_or(' ');
                ![before, after].iter().any(|around| around.is_alphanumeric() || *around == '_')
            });
            assert!(found.is_none(), "{} mentions {word}", path.display());
        }
        // Hash maps are looked up, never walked. The lint `iter_over_hash_type` sees `for` loops only.
        let dense: String = code.chars().filter(|c| !c.is_whitespace()).collect();
        for (at, _) in dense.match_indices(":HashMap<").chain(dense.match_indices(":DigestMap<")) {
            let is_name = |c: char| c.is_alphanumeric() || c == '_';
            let start = dense[..at].rfind(|c: char| !is_name(c)).map_or(0, |before| before + 1);
            for walk in ["iter", "values", "keys", "drain", "into_", "retain", "extract_if"] {
                let walked = format!("{}.{walk}", &dense[start..at]);
                assert!(!dense.contains(&walked), "{}: {walked} shows hash order", path.display());
            }
        }
        assert!(!code.contains("HashSet"), "{}", path.display());
    }
}

#[test]
fn files_can_be_read_in_a_sitting() {
    let there = |folder: &&str| Path::new(env!("CARGO_MANIFEST_DIR")).join(folder).exists();
    for folder in ["src", "tests", "benches"].into_iter().filter(there) {
        for (path, text) in sources(folder) {
            let lines = text.lines().count();
            assert!(lines <= LINES_MAX, "{} has {lines} lines; {LINES_MAX} are the most", path.display());
        }
    }
}

#[test]
fn every_file_of_the_servers_tests_is_a_module_of_their_program() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/server");
    let main = fs::read_to_string(folder.join("main.rs")).expect("a program");
    for (path, _) in sources("tests/server") {
        let name = path.file_stem().and_then(|name| name.to_str()).expect("a name");
        let line = format!("mod {name};");
        assert!(name == "main" || main.lines().any(|l| l == line), "{}: main.rs lacks `{line}`", path.display());
    }
}

#[test]
fn no_loose_ends_are_left_in_the_code() {
    let loose = ["FIX", "TO"].map(|start| format!("{start}{}", if start == "FIX" { "ME" } else { "DO" }));
    for (path, text) in sources("src").into_iter().chain(sources("tests")) {
        for word in &loose {
            assert!(!text.contains(word.as_str()), "{} has a {word}: make it an issue", path.display());
        }
    }
}

#[test]
fn only_the_end_after_a_fault_the_mask_of_signals_the_error_number_of_sqlite_and_freed_memory_are_unsafe() {
    for (path, text) in sources("src") {
        let exits = path.ends_with("src/exit.rs")
            || ["src/sqlite.rs", "src/memory.rs"].iter().any(|one| path.ends_with(one))
                && code(&text).matches("unsafe {").count() == 1;
        assert!(exits || !code(&text).contains("unsafe"), "{}: nothing else needs unsafe code", path.display());
    }
}

#[test]
fn the_systemd_unit_restarts_bugs_and_crashes_and_nothing_else() {
    let unit =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/firstcome.service")).expect("a unit");
    let setting = |name: &str| unit.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    assert_eq!((setting("StartLimitIntervalSec"), setting("StartLimitBurst")), (Some("60"), Some("3")));
    assert_eq!(setting("Restart"), Some("on-failure"));
    let never: Vec<&str> = setting("RestartPreventExitStatus").expect("codes").split(' ').collect();
    let expected: Vec<String> =
        TABLE.iter().filter(|row| row.code > 0 && !row.restarts).map(|row| row.code.to_string()).collect();
    assert_eq!(never, expected, "the unit and src/exit.rs disagree");
}

#[test]
fn the_documentation_has_the_table_of_exit_codes() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("src/store/RECOVERY.md"))
        .or_else(|_| fs::read_to_string(root.join("README.md")))
        .expect("a page");
    let mut table = String::from("| exit code | name | meaning | restart |\n|---|---|---|---|\n");
    for Row { code, name, meaning, restarts } in TABLE {
        table.push_str(&format!("| {code} | {name} | {meaning} | {} |\n", if restarts { "yes" } else { "no" }));
    }
    assert!(page.contains(&table), "the page lacks:\n{table}");
}

#[test]
fn no_release_has_planted_bugs() {
    let manifest = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")).expect("Cargo.toml");
    let default = manifest.lines().find(|line| line.starts_with("default = ")).expect("default features");
    assert_eq!(default, r#"default = ["mimalloc"]"#);
}

#[test]
fn every_connection_to_a_file_is_opened_with_the_one_list_of_settings() {
    for (path, text) in sources("src").into_iter().filter(|(path, _)| !path.ends_with("src/sqlite.rs")) {
        let code = code(&text);
        for (at, found) in code.match_indices("Connection::open") {
            let is_rusqlites = !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
            assert!(!is_rusqlites, "{}: {found}: use crate::sqlite::open", path.display());
        }
    }
}

#[test]
fn sql_is_never_put_together_from_values() {
    for (path, text) in sources("src") {
        for line in code(&text).lines() {
            let makes_sql = ["execute(", "prepare(", "prepare_cached(", "query_row(", "execute_batch("];
            assert!(
                !(line.contains("format!") && makes_sql.iter().any(|call| line.contains(call))),
                "{}: {line}",
                path.display()
            );
        }
    }
}

/// Versions below which a known hole is open (RustSec and SQLite's release notes).
const FLOORS: &[(&str, [u64; 3])] = &[
    ("hyper", [1, 11, 0]),
    ("tokio", [1, 44, 2]),
    ("crossbeam-channel", [0, 5, 15]),
    ("libsqlite3-sys", [0, 39, 0]),
    ("tracing-subscriber", [0, 3, 20]),
    ("rustls", [0, 23, 18]),
    ("rustls-webpki", [0, 103, 13]),
];

#[test]
fn dependencies_are_above_their_known_holes_and_sqlite_is_there_once() {
    let lock = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.lock")).expect("Cargo.lock");
    let mut packages = Vec::new();
    for block in lock.split("[[package]]").skip(1) {
        let field = |name: &str| {
            let line = block.lines().find(|line| line.starts_with(name)).unwrap_or("");
            line.split('"').nth(1).unwrap_or("").to_string()
        };
        packages.push((field("name = "), field("version = ")));
    }
    for (name, floor) in FLOORS {
        let versions: Vec<&String> = packages.iter().filter(|(found, _)| found == name).map(|(_, v)| v).collect();
        assert_eq!(versions.len(), 1, "{name}: {versions:?}");
        let numbers: Vec<u64> = versions[0].split(['.', '+', '-']).take(3).map(|n| n.parse().unwrap_or(0)).collect();
        assert!(numbers.as_slice() >= floor.as_slice(), "{name} {} is below {floor:?}", versions[0]);
    }
}
