//! One value of the file is changed to another that its column allows, in every column of every table: what `verify` or
//! a start notices, and what neither does, is the list of `src/store/RECOVERY.md`.
//!
//! `FIRSTCOME_TEST_SCALE` multiplies the rows that are tried.

#![allow(clippy::expect_used, reason = "a test ends where something is not as expected")]
#![allow(clippy::print_stdout, reason = "the seed of a failure")]

mod model;
mod test_drop;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use firstcome::engine::{
    AuctionCommand, Command, CommandKey, CreateDrop, DropCommand, DropSpec, FileCommand, OrderCommand, PaymentCommand,
    PlaceBid, PlaceOrder,
};
use firstcome::store::audit::AuditRow;
use firstcome::store::chain::{Chain, ChainLink, OrderSeal};
use firstcome::store::{Store, load, verify};
use firstcome::types::{AuctionState, Digest, DigestKey, DropId, IdentityDigests, Provider, Quantity, Seq, UnixMillis};
use model::recording::Recording;
use model::{Random, World};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension};
use test_drop::test_drop;

const DOCUMENT: &str = include_str!("../src/store/RECOVERY.md");
const COMMANDS: usize = 900;
/// Worlds at least, and at most where some column has no row yet.
const WORLDS: (u64, u64) = (2, 60);

/// Columns in which a CHECK allows no other value while the rest of the row stays.
const FIXED: [(&str, &str); 2] = [("meta", "id"), ("deliveries", "state")];

type Columns = BTreeMap<String, BTreeSet<String>>;

/// Opens a file of `directory` that has the digest key of this seed, so that the same seed gives the same digests.
fn open_seeded(directory: &Path, seed: u64) -> Store {
    let store = Store::open(directory, UnixMillis::ZERO).expect("opened");
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_be_bytes());
    store.connection.execute("UPDATE meta SET digest_key = ?1", [&key[..]]).expect("set");
    drop(store);
    Store::open(directory, UnixMillis::ZERO).expect("opened")
}

/// Records a world into a file of `directory`, as the writer does.
fn record(directory: &Path, seed: u64) -> Store {
    let store = open_seeded(directory, seed);
    store.connection.pragma_update(None, "synchronous", "OFF").expect("set");
    let digests = store.digest_key.clone();
    let mut world = World::new(seed, digests.clone());
    let (mut recording, mut recorder) = Recording::begin(&store, 1000);
    for step in 0..COMMANDS {
        let at = world.instant(&recording.state);
        recording.advance(at);
        let state = &recording.state;
        let live = (1..=state.seq().get()).rev().filter_map(Seq::new).find(|seq| state.order(*seq).is_some());
        let auction = state.auctions().find(|auction| auction.state == AuctionState::Live);
        let waiting = state.drops().find_map(|drop| Some((drop.id, drop.standby()?.entries().next()?.1.buyer)));
        // Sessions, bids with a key and buyers who leave a line are rare otherwise.
        let command = match live {
            _ if step % 100 == 7
                && let Some((drop_id, buyer)) = waiting =>
            {
                Command::Order(OrderCommand::LeaveStandby { drop_id, buyer })
            }
            // A bid with a key and then one without: the row of the key may name either.
            _ if matches!(step % 10, 5 | 6) && auction.is_some() => {
                let auction = auction.expect("one that is live");
                let digest = digests.params(format!("bid{step}").as_bytes());
                Command::Auction(AuctionCommand::Bid(PlaceBid {
                    auction_id: auction.id,
                    buyer: digests.buyer(&format!("buyer{}", (step / 10 + step) % 6)),
                    amount: auction.minimum_next(),
                    maximum: None,
                    key: (step % 10 == 5).then(|| Box::new(CommandKey { digest, params: digest })),
                }))
            }
            Some(order) if step % 50 == 0 => {
                Command::Payment(PaymentCommand::RecordSession { order, provider: Provider::Stripe })
            }
            _ => world.command(state),
        };
        // A loss begins a new epoch, which the watermark has to follow.
        if matches!(command, Command::File(FileCommand::RecordLoss { .. })) {
            continue;
        }
        recording.decide(&mut world, &command, at);
        recording.commit(&mut recorder, &format!("seed {seed}"));
    }
    let at = recording.state.at();
    for command in a_contact_in_a_line(&recording, &digests, at) {
        recording.decide(&mut world, &command, at);
        recording.commit(&mut recorder, &format!("seed {seed}"));
    }
    let link = recorder.link();
    drop(recorder);
    let seq = recording.state.seq();
    let mark = store.mark(seq, link, seq);
    store.watermark.establish(&mark).expect("written");
    store
}

/// A drop of one unit, the order that takes it, and a buyer who stands by with a contact: no random world ends with one.
fn a_contact_in_a_line(recording: &Recording<'_>, digests: &DigestKey, at: UnixMillis) -> [Command; 3] {
    let drops = u32::try_from(recording.state.drops().count()).expect("few");
    let drop_id = DropId::new(drops + 1).expect("not 0");
    let digest = digests.params(b"a contact in a line");
    let spec = Box::new(DropSpec { starts_at: at, ..test_drop(1) });
    let order = |buyer: &str, contact_given| PlaceOrder {
        drop_id,
        buyer: digests.buyer(buyer),
        key: digests.params(buyer.as_bytes()),
        quantity: Quantity::ONE,
        contact_given,
        facts: None,
    };
    [
        Command::Drop(DropCommand::Create(CreateDrop { key: CommandKey { digest, params: digest }, spec })),
        Command::Order(OrderCommand::Place(order("buyer0", false))),
        Command::Order(OrderCommand::JoinStandby(order("buyer1", true))),
    ]
}

fn columns(connection: &Connection) -> Vec<(String, Vec<String>)> {
    let mut tables =
        connection.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name").expect("read");
    let tables: Vec<String> =
        tables.query_map([], |row| row.get(0)).expect("read").collect::<Result<_, _>>().expect("read");
    let of = |table: &String| {
        let mut statement =
            connection.prepare(&format!("SELECT name FROM pragma_table_info('{table}')")).expect("read");
        let names = statement.query_map([], |row| row.get(0)).expect("read");
        (table.clone(), names.collect::<Result<_, _>>().expect("read"))
    };
    tables.iter().map(of).collect()
}

/// Other values for one that a column has; whether the schema allows them shows when they are written.
fn others(value: &Value, seen: &[Value], words: &[String]) -> Vec<Value> {
    let mut others = match value {
        Value::Integer(number) => {
            vec![number ^ 1, number + 1, number - 1, number + 1_000_000].into_iter().map(Value::Integer).collect()
        }
        Value::Text(text) => {
            let digit = text.rfind(|c: char| c.is_ascii_digit());
            let bumped = digit.map(|at| {
                let other = if &text[at..=at] == "1" { "2" } else { "1" };
                format!("{}{other}{}", &text[..at], &text[at + 1..])
            });
            let longer = [bumped.unwrap_or_else(|| format!("{text}x"))];
            longer.into_iter().chain(["USD".to_string()]).chain(words.iter().cloned()).map(Value::Text).collect()
        }
        Value::Blob(bytes) => {
            let mut bytes = bytes.clone();
            if let Some(last) = bytes.last_mut() {
                *last ^= 1;
            }
            vec![Value::Blob(bytes)]
        }
        Value::Null => vec![Value::Integer(1), Value::Text("x".into()), Value::Text("USD".into())],
        Value::Real(_) => Vec::new(),
    };
    others.extend(seen.iter().take(2).cloned());
    if *value != Value::Null {
        others.push(Value::Null);
    }
    others.retain(|other| other != value);
    others
}

/// A table's rows, the places of its primary key, and the words that its schema names.
struct Table {
    name: String,
    columns: Vec<String>,
    key: Vec<usize>,
    rows: Vec<Vec<Value>>,
    words: Vec<String>,
}

fn read_table(connection: &Connection, name: String, columns: Vec<String>) -> Table {
    let mut statement = connection.prepare(&format!("SELECT * FROM {name}")).expect("prepared");
    let row = |row: &rusqlite::Row<'_>| (0..columns.len()).map(|at| row.get(at)).collect::<Result<Vec<Value>, _>>();
    let rows = statement.query_map([], row).expect("read").collect::<Result<_, _>>().expect("read");
    let sql: String =
        connection.query_row("SELECT sql FROM sqlite_schema WHERE name = ?1", [&name], |row| row.get(0)).expect("read");
    let words = sql.split('\'').skip(1).step_by(2).map(str::to_string).collect();
    let sql = format!("SELECT pk FROM pragma_table_info('{name}')");
    let mut statement = connection.prepare(&sql).expect("read");
    let places = statement.query_map([], |row| row.get(0)).expect("read").collect::<Result<Vec<i64>, _>>();
    let places = places.expect("read");
    let key = (0..places.len()).filter(|at| places[*at] > 0).collect();
    Table { name, columns, key, rows, words }
}

impl Table {
    /// Changes one value of a row; false if the schema does not allow it.
    fn change(&self, connection: &Connection, row: &[Value], at: usize, to: &Value) -> bool {
        let same: Vec<String> =
            self.key.iter().zip(2..).map(|(at, n)| format!("{} = ?{n}", self.columns[*at])).collect();
        let sql = format!("UPDATE {} SET {} = ?1 WHERE {}", self.name, self.columns[at], same.join(" AND "));
        let values = std::iter::once(to).chain(self.key.iter().map(|at| &row[*at]));
        connection.execute(&sql, rusqlite::params_from_iter(values)).is_ok_and(|rows| rows == 1)
    }
}

/// Returns whether what a connection sees is refused by `verify` or by a start.
fn is_noticed(store: &Store) -> bool {
    let verified = verify::verify_connection(&store.connection);
    verified.map_or(true, |report| report.problem_count > 0)
        || load::load(&store.connection, &store.digest_key, 1000).is_err()
}

/// Returns whether `verify` or a start refuses the closed files of `directory`, with their watermark.
fn are_files_refused(directory: &Path) -> bool {
    let verified = verify::verify(directory).map_or(true, |report| report.problem_count > 0);
    let started = Store::open(directory, UnixMillis::ZERO).and_then(|store| load::load_verified(&store, 1000));
    verified || started.is_err()
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).expect("made");
    for name in ["firstcome.db", "firstcome.db-wal", "firstcome.watermark"] {
        std::fs::copy(from.join(name), to.join(name)).expect("copied");
    }
}

/// Changes every column of a world's file, or only those that no world before has changed; adds the columns that were changed, and those of which a change stood.
fn try_world(seed: u64, first: bool, tried: &mut Columns, unnoticed: &mut Columns) {
    let scratch = tempfile::tempdir().expect("scratch");
    let directory = scratch.path().join("data");
    let store = record(&directory, seed);
    assert_eq!(verify::verify_connection(&store.connection).expect("verified").problems, Vec::<String>::new());
    let spare = scratch.path().join("spare");
    // A flipped bit asks no foreign key.
    store.connection.pragma_update(None, "foreign_keys", false).expect("set");
    let mut random = Random(seed);
    for (name, columns) in columns(&store.connection) {
        let table = read_table(&store.connection, name.clone(), columns);
        // Rows of narrow tables are of more than one kind: keys of bids and of refunds, contacts with and without a name.
        let rows = if table.columns.len() < 10 { model::scaled(60, 30) } else { model::scaled(12, 4) };
        let rows_max = usize::try_from(rows).expect("small");
        for (at, column) in table.columns.iter().enumerate() {
            if !first && tried.get(&name).is_some_and(|columns| columns.contains(column)) {
                continue;
            }
            let mut rows: Vec<&Vec<Value>> = table.rows.iter().collect();
            // Those that have a value first, in a random order of theirs.
            rows.sort_by_cached_key(|row| (matches!(row[at], Value::Null | Value::Integer(0)), random.next()));
            let nulls = table.rows.iter().filter(|row| row[at] == Value::Null);
            let rows = rows.into_iter().take(rows_max).chain(nulls.take(1));
            let seen: Vec<Value> = table.rows.iter().rev().map(|row| row[at].clone()).take(2).collect();
            for row in rows {
                if unnoticed.get(&name).is_some_and(|columns| columns.contains(column)) {
                    break;
                }
                for to in others(&row[at], &seen, &table.words) {
                    store.connection.execute_batch("BEGIN IMMEDIATE").expect("begun");
                    let allowed = table.change(&store.connection, row, at, &to);
                    let noticed = !allowed || is_noticed(&store);
                    store.connection.execute_batch("ROLLBACK").expect("undone");
                    if allowed {
                        tried.entry(name.clone()).or_default().insert(column.clone());
                    }
                    if noticed {
                        continue;
                    }
                    copy(&directory, &spare);
                    let other = Connection::open(spare.join("firstcome.db")).expect("opened");
                    other.pragma_update(None, "foreign_keys", false).expect("set");
                    assert!(table.change(&other, row, at, &to), "{name}.{column}");
                    drop(other);
                    if !are_files_refused(&spare) {
                        println!("seed {seed}: {name}.{column} from {:?} to {to:?} stands", row[at]);
                        unnoticed.entry(name.clone()).or_default().insert(column.clone());
                    }
                    std::fs::remove_dir_all(&spare).expect("removed");
                    break;
                }
            }
        }
    }
}

fn untried(columns: &[(String, Vec<String>)], tried: &Columns) -> Columns {
    let of_table = |(table, columns): &(String, Vec<String>)| {
        let is_tried = |column: &&String| tried.get(table).is_some_and(|tried| tried.contains(*column));
        let rest: BTreeSet<String> = columns.iter().filter(|column| !is_tried(column)).cloned().collect();
        (!rest.is_empty()).then(|| (table.clone(), rest))
    };
    columns.iter().filter_map(of_table).collect()
}

/// Computes the links of a file again, as programs did that sealed no bids.
fn unseal_bids(connection: &Connection) {
    let mut ends = connection.prepare("SELECT seq FROM chain ORDER BY seq").expect("prepared");
    let ends: BTreeSet<Seq> =
        ends.query_map([], |row| row.get(0)).expect("read").collect::<Result<_, _>>().expect("read");
    let mut statement = connection
        .prepare(
            "SELECT audit.seq, audit.at_ms, kind, audit.drop_id, audit.order_seq, audit.quantity, amount, prev_seq,
                 detail, coalesce(orders.secret, standby.secret), coalesce(orders.buyer, standby.buyer),
                 coalesce(orders.key_digest, standby.key_digest), coalesce(unit_price, 0),
                 coalesce(own.email, standby.email), coalesce(own.phone, standby.phone),
                 coalesce(own.payment, standby.payment), coalesce(own.address, standby.address)
             FROM audit LEFT JOIN orders ON orders.seq = audit.seq LEFT JOIN standby ON standby.seq = audit.seq
             LEFT JOIN order_identities AS own ON own.order_seq = orders.seq ORDER BY audit.seq",
        )
        .expect("prepared");
    let mut rows = statement.query([]).expect("read");
    let mut chain = Chain::after(ChainLink::START);
    while let Some(row) = rows.next().expect("read") {
        let get = |at: usize| row.get::<_, Value>(at).expect("read");
        let seq = row.get(0).expect("a number");
        chain.add(&AuditRow {
            seq,
            at: row.get(1).expect("an instant"),
            kind: row.get::<_, String>(2).expect("a kind").into(),
            drop_id: row.get(3).expect("a drop"),
            order: row.get(4).expect("an order"),
            quantity: row.get(5).expect("units"),
            amount: row.get(6).expect("money"),
            prev_seq: row.get(7).expect("a number"),
            detail: row.get(8).expect("a text"),
        });
        if let (Value::Blob(secret), Value::Text(buyer)) = (get(9), get(10)) {
            let (key, unit_price) = (row.get(11).expect("a digest"), row.get(12).expect("a price"));
            let digest = |at: usize| row.get::<_, Option<Digest>>(at).expect("a digest");
            let identities =
                IdentityDigests { email: digest(13), phone: digest(14), payment: digest(15), address: digest(16) };
            chain.add_order(&OrderSeal { secret: &secret, buyer: &buyer, key: &key, unit_price, identities });
        }
        if ends.contains(&seq) {
            let link = chain.close();
            let sql = "UPDATE chain SET hash = ?2 WHERE seq = ?1";
            connection.execute(sql, rusqlite::params![seq, &link.0[..]]).expect("written");
        }
    }
}

#[test]
fn links_of_older_programs_which_have_no_bids_in_them_are_verified_too() {
    let scratch = tempfile::tempdir().expect("scratch");
    let store = record(&scratch.path().join("data"), 0);
    let bids: i64 = store.connection.query_row("SELECT count(*) FROM bids", [], |row| row.get(0)).expect("read");
    assert!(bids > 0);
    unseal_bids(&store.connection);
    assert_eq!(verify::verify_connection(&store.connection).expect("verified").problems, Vec::<String>::new());
    store.connection.execute("UPDATE orders SET buyer = buyer || 'x'", []).expect("changed");
    assert!(verify::verify_connection(&store.connection).expect("verified").problem_count > 0);
}

#[test]
fn the_idempotency_key_of_every_creation_and_refund_is_noticed_when_it_is_altered() {
    let kinds = ["auction_created", "drop_created", "endpoint_created", "order_refunded", "refund_requested"];
    let mut rest = BTreeSet::from(kinds);
    for seed in 0..WORLDS.1 {
        if rest.is_empty() {
            break;
        }
        let scratch = tempfile::tempdir().expect("scratch");
        let store = record(&scratch.path().join("data"), seed);
        rest.retain(|kind| {
            let sql = "SELECT max(keys.seq) FROM keys JOIN audit USING (seq) WHERE kind = ?1";
            let event: Option<i64> = store.connection.query_row(sql, [kind], |row| row.get(0)).expect("read");
            let Some(event) = event else { return true };
            for column in ["digest", "params"] {
                store.connection.execute_batch("BEGIN IMMEDIATE").expect("begun");
                let sql = format!("UPDATE keys SET {column} = x'000102030405060708090a0b0c0d0e0f' WHERE seq = ?1");
                assert_eq!(store.connection.execute(&sql, [event]).expect("altered"), 1);
                let problems = verify::verify_connection(&store.connection).expect("verified").problems;
                store.connection.execute_batch("ROLLBACK").expect("undone");
                let expected = format!("the idempotency key of event {event} and the audit differ");
                assert_eq!(problems, [expected], "seed {seed}: {column} of {kind}");
            }
            false
        });
    }
    assert_eq!(rest, BTreeSet::new(), "every kind has had a key");
}

/// A row of the inbox changed so that it names an event that another row has, with the same content: the numbers of rows and
/// events stay equal.
#[test]
fn an_event_of_a_provider_that_two_rows_name_does_not_hide_the_one_that_none_names() {
    const TWINS: &str = "SELECT a.seq, b.seq FROM inbox AS a JOIN inbox AS b ON a.provider = b.provider AND a.kind = b.kind
                         AND a.at_ms = b.at_ms AND a.order_seq IS b.order_seq AND a.ignored IS b.ignored AND a.seq < b.seq";
    for seed in 0..WORLDS.1 {
        let scratch = tempfile::tempdir().expect("scratch");
        let store = record(&scratch.path().join("data"), seed);
        let twins = store.connection.query_row(TWINS, [], |row| Ok((row.get::<_, Seq>(0)?, row.get::<_, Seq>(1)?)));
        let Some((first, second)) = twins.optional().expect("read") else { continue };
        store.connection.execute("UPDATE inbox SET seq = ?2 WHERE seq = ?1", [first, second]).expect("changed");
        let problems = verify::verify_connection(&store.connection).expect("verified").problems;
        let expected = format!("in the inbox: event {first} is not");
        assert!(problems.len() == 1 && problems[0].ends_with(&expected), "seed {seed}: {problems:?}");
        return;
    }
    panic!("no world has two events that differ in nothing but their numbers");
}

/// A table, its rows that must be there, the column by which a problem names one, and the words around that.
const NAMED_ROWS: [(&str, &str, &str, [&str; 2]); 7] = [
    ("orders", "1", "seq", [": order ", " has none"]),
    ("payments", "1", "order_seq", ["order ", ": the rows of its payments and the audit differ"]),
    ("sessions", "1", "order_seq", [": that of order ", " has none"]),
    ("inbox", "1", "seq", [": event ", " is not"]),
    ("endpoints", "1", "id", [": endpoint ", " has none"]),
    ("deliveries", "state = 'waiting'", "seq", ["the delivery of event ", " waits, but has no row"]),
    ("buyer_tiers", "1", "seq", [": that of event ", " has none"]),
];

#[test]
fn a_row_that_is_missing_is_named() {
    let mut rest: Vec<_> = NAMED_ROWS.to_vec();
    for seed in 0..WORLDS.1 {
        if rest.is_empty() {
            break;
        }
        let scratch = tempfile::tempdir().expect("scratch");
        let store = record(&scratch.path().join("data"), seed);
        store.connection.pragma_update(None, "foreign_keys", false).expect("set");
        rest.retain(|(table, rows, column, [before, behind])| {
            // One in the middle, so that the rows before it are passed over.
            let sql = format!(
                "SELECT {column} FROM {table} WHERE {rows} ORDER BY {column}
                 LIMIT 1 OFFSET (SELECT count(*) / 2 FROM {table} WHERE {rows})"
            );
            let key = store.connection.query_row(&sql, [], |row| row.get::<_, i64>(0)).optional().expect("read");
            let Some(key) = key else { return true };
            store.connection.execute_batch("BEGIN IMMEDIATE").expect("begun");
            let sql = format!("DELETE FROM {table} WHERE {column} = ?1 AND {rows}");
            assert!(store.connection.execute(&sql, [key]).expect("deleted") > 0);
            let problems = verify::verify_connection(&store.connection).expect("verified").problems;
            store.connection.execute_batch("ROLLBACK").expect("undone");
            let is_named = |problem: &String| {
                let named = problem.split_once(&format!("{before}{key}")).map(|(_, rest)| rest);
                named.is_some_and(|rest| !rest.starts_with(|next: char| next.is_ascii_digit()) && rest.contains(behind))
            };
            assert!(problems.iter().any(is_named), "seed {seed}, {table} {key}: {problems:#?}");
            false
        });
    }
    assert_eq!(rest, [], "every table has had such a row");
}

#[test]
fn what_neither_verify_nor_a_start_notices_is_the_documents_list() {
    let (mut tried, mut unnoticed) = (Columns::new(), Columns::new());
    let scratch = tempfile::tempdir().expect("scratch");
    let fresh = Store::open(&scratch.path().join("fresh"), UnixMillis::ZERO).expect("made");
    let columns = columns(&fresh.connection);
    let fixed = Columns::from(FIXED.map(|(table, column)| (table.to_string(), BTreeSet::from([column.to_string()]))));
    for seed in 0..WORLDS.1 {
        if seed >= WORLDS.0 && untried(&columns, &tried) == fixed {
            break;
        }
        try_world(seed, seed < WORLDS.0, &mut tried, &mut unnoticed);
    }
    assert_eq!(untried(&columns, &tried), fixed, "every other column has been changed");
    let row = |(table, columns): (&String, &BTreeSet<String>)| {
        let columns: Vec<String> = columns.iter().map(|column| format!("`{column}`")).collect();
        format!("| `{table}` | {} |", columns.join(", "))
    };
    let list: Vec<String> = unnoticed.iter().map(row).collect();
    let list = format!("| table | columns |\n|---|---|\n{}\n", list.join("\n"));
    println!("{list}");
    assert!(DOCUMENT.contains(&list), "src/store/RECOVERY.md must have exactly this list:\n{list}");
}
