-- firstcome's file, schema 6. Everything is here; memory is made from it at the start.
--
-- The hot path only appends: an order and its audit row get the next integer key, so no page is read to write them.
-- The CHECKs are the second half of the engine's invariants: one that fires is a bug, rolls its batch back and ends
-- the process. It never becomes an oversell. Instants are milliseconds since 1970 (UTC), money is minor units.

PRAGMA application_id = 1178817329; -- "FCS1"
PRAGMA user_version = 6;

-- One row: what belongs to the file as a whole.
CREATE TABLE meta (
    id            INTEGER PRIMARY KEY CHECK (id = 1),
    epoch         INTEGER NOT NULL CHECK (epoch >= 1),       -- raised by a restore and by accepted loss
    digest_key    BLOB    NOT NULL CHECK (length(digest_key) = 32), -- keys the digests of buyers and idempotency keys
    file_id       BLOB    NOT NULL CHECK (length(file_id) = 16),    -- made with the file; its watermark bears it too
    created_at_ms INTEGER NOT NULL,
    synced_at_ms  INTEGER NOT NULL                            -- heartbeat of --durability interval
) STRICT;

CREATE TABLE drops (
    id                  INTEGER PRIMARY KEY CHECK (id BETWEEN 1 AND 4294967295),
    sku                 TEXT    NOT NULL,
    name                TEXT    NOT NULL,
    description         TEXT,
    image_url           TEXT,
    currency            TEXT    NOT NULL CHECK (length(currency) = 3),
    unit_price          INTEGER NOT NULL CHECK (unit_price BETWEEN 0 AND 100000000000),
    total               INTEGER NOT NULL CHECK (total BETWEEN 0 AND 4294967295),
    held                INTEGER NOT NULL CHECK (held >= 0),
    sold                INTEGER NOT NULL CHECK (sold >= 0),
    starts_at_ms        INTEGER NOT NULL CHECK (starts_at_ms >= 0),
    ends_at_ms          INTEGER          CHECK (ends_at_ms >= 0),
    per_buyer_limit     INTEGER NOT NULL CHECK (per_buyer_limit BETWEEN 1 AND 4294967295),
    reservation_seconds INTEGER NOT NULL CHECK (reservation_seconds BETWEEN 1 AND 4294967295),
    payment_seconds     INTEGER NOT NULL CHECK (payment_seconds BETWEEN 1 AND 4294967295),
    revision            INTEGER NOT NULL CHECK (revision >= 1),
    started             INTEGER NOT NULL CHECK (started IN (0, 1)),
    paused              INTEGER NOT NULL CHECK (paused IN (0, 1)),
    ended               INTEGER NOT NULL CHECK (ended IN (0, 1)),
    mismatch            INTEGER NOT NULL CHECK (mismatch IN (0, 1)), -- the auditor's recount does not agree
    last_seq            INTEGER NOT NULL,  -- the last event of the drop itself
    version             INTEGER NOT NULL,  -- the last event that changed what clients see
    -- The challenge that buyers of tiers below a tier must solve.
    challenge           TEXT    NOT NULL CHECK (challenge IN ('none', 'proof_of_work', 'external')),
    challenge_below     TEXT    NOT NULL CHECK (challenge_below IN ('new', 'verified', 'premium')),
    -- The most units that orders with the same identity may have together; NULL where there is no cap.
    email_limit         INTEGER          CHECK (email_limit BETWEEN 1 AND 4294967295),
    phone_limit         INTEGER          CHECK (phone_limit BETWEEN 1 AND 4294967295),
    payment_limit       INTEGER          CHECK (payment_limit BETWEEN 1 AND 4294967295),
    address_limit       INTEGER          CHECK (address_limit BETWEEN 1 AND 4294967295),
    standby             INTEGER NOT NULL DEFAULT 0 CHECK (standby >= 0), -- buyers who stand by
    blind_ms            INTEGER NOT NULL DEFAULT 0 CHECK (blind_ms BETWEEN 0 AND 5000),
    CHECK (held + sold <= total)
) STRICT;

-- seq is the number of the order's order_reserved event. quantity - returned units are taken in every state.
CREATE TABLE orders (
    seq               INTEGER PRIMARY KEY,
    secret            BLOB    NOT NULL CHECK (length(secret) = 10), -- the unguessable part of the public id
    drop_id           INTEGER NOT NULL,
    buyer             TEXT    NOT NULL,
    key_digest        BLOB    NOT NULL CHECK (length(key_digest) = 16),
    quantity          INTEGER NOT NULL CHECK (quantity BETWEEN 1 AND 65535),
    returned          INTEGER NOT NULL CHECK (returned BETWEEN 0 AND quantity),
    unit_price        INTEGER NOT NULL CHECK (unit_price >= 0),
    -- Compared one by one: for IN with a list of three or more, SQLite makes a table in memory for every row written.
    state             TEXT    NOT NULL CHECK (state = 'reserved' OR state = 'awaiting_payment' OR state = 'paid'
                                              OR state = 'cancelled' OR state = 'expired' OR state = 'refund_due'
                                              OR state = 'refunded'),
    reserved_at_ms    INTEGER NOT NULL,
    expires_at_ms     INTEGER NOT NULL CHECK (expires_at_ms > reserved_at_ms),
    last_seq          INTEGER NOT NULL CHECK (last_seq >= seq),
    idle_at_ms        INTEGER,  -- when it stopped being live first: its idempotency key is remembered 24 hours more
    paid_at_ms        INTEGER,
    ended_at_ms       INTEGER,
    cancel_reason     TEXT,     -- an operator's, where one cancelled it and not its buyer
    -- Sums over its payments in the currency of its drop.
    received          INTEGER NOT NULL DEFAULT 0,
    refunded          INTEGER NOT NULL DEFAULT 0 CHECK (refunded >= 0),
    refund_due        INTEGER NOT NULL DEFAULT 0 CHECK (refund_due >= 0),
    CHECK (refunded + refund_due <= received),
    -- Live orders keep all their units, lost ones none.
    CHECK (state NOT IN ('reserved', 'awaiting_payment') OR (returned = 0 AND ended_at_ms IS NULL)),
    CHECK (state NOT IN ('cancelled', 'expired') OR (returned = quantity AND ended_at_ms IS NOT NULL)),
    CHECK (paid_at_ms IS NOT NULL OR (state <> 'paid' AND state <> 'refund_due' AND state <> 'refunded'))
) STRICT;

-- Keyed digests of the identities that an order counts for, of the kinds that its drop had caps on. A row only for orders
-- of such drops.
CREATE TABLE order_identities (
    order_seq INTEGER PRIMARY KEY,
    email     BLOB CHECK (length(email) = 16),
    phone     BLOB CHECK (length(phone) = 16),
    payment   BLOB CHECK (length(payment) = 16),
    address   BLOB CHECK (length(address) = 16)
) STRICT;

-- Tiers of buyers that operators have set; they win over every other.
CREATE TABLE buyer_tiers (
    buyer         TEXT    PRIMARY KEY,
    tier          TEXT    NOT NULL CHECK (tier IN ('suspected', 'new', 'verified', 'premium')),
    reason        TEXT    NOT NULL,
    expires_at_ms INTEGER,
    seq           INTEGER NOT NULL  -- the event that set it
) STRICT, WITHOUT ROWID;

-- Money that came in. What is not kept for its order goes back: kept = received - refunded - refund_due.
CREATE TABLE payments (
    order_seq        INTEGER NOT NULL,
    seq              INTEGER NOT NULL,  -- the event that recorded it
    provider         TEXT    NOT NULL,
    reference        TEXT    NOT NULL,
    foreign_currency TEXT             CHECK (length(foreign_currency) = 3), -- where it is not the drop's
    received         INTEGER NOT NULL CHECK (received >= 0),
    pays             INTEGER NOT NULL CHECK (pays IN (0, 1)), -- it paid for the order
    refunded         INTEGER NOT NULL CHECK (refunded >= 0),
    refund_due       INTEGER NOT NULL CHECK (refund_due >= 0),
    CHECK (refunded + refund_due <= received),
    CHECK (pays = 1 OR refunded + refund_due = received),
    PRIMARY KEY (order_seq, seq)
) STRICT, WITHOUT ROWID;
-- Rare: what is owed to buyers, and what a live order may have.
CREATE INDEX payments_due ON payments (order_seq) WHERE refund_due > 0;
CREATE INDEX payments_not_kept ON payments (order_seq) WHERE pays = 0;
-- Stripe's refunds and disputes name their payment alone. Payments come at human pace, so they may have an index.
CREATE INDEX payments_of_stripe ON payments (reference) WHERE provider = 'stripe';

-- What providers told us, once each, forever.
CREATE TABLE inbox (
    digest    BLOB    PRIMARY KEY CHECK (length(digest) = 16), -- of (provider, event id)
    provider  TEXT    NOT NULL,
    event_id  TEXT    NOT NULL,
    kind      TEXT    NOT NULL,
    order_seq INTEGER,
    seq       INTEGER NOT NULL,  -- the event that recorded it
    at_ms     INTEGER NOT NULL,
    ignored   TEXT               -- why, if it changed nothing
) STRICT, WITHOUT ROWID;

-- Where an order can be paid at its provider.
CREATE TABLE sessions (
    order_seq INTEGER PRIMARY KEY,
    provider  TEXT    NOT NULL,
    reference TEXT    NOT NULL,
    url       TEXT    NOT NULL,
    at_ms     INTEGER NOT NULL
) STRICT;

-- Whom the outbox tells. Every event is a row of audit already: position says how far an endpoint has come.
CREATE TABLE endpoints (
    id                  INTEGER PRIMARY KEY,  -- the event that created it
    url                 TEXT    NOT NULL,
    secret              TEXT    NOT NULL,
    old_secret          TEXT,                 -- signs too until then, while the new one is taken into use
    old_secret_until_ms INTEGER,
    state               TEXT    NOT NULL CHECK (state IN ('enabled', 'disabled')),
    events              INTEGER NOT NULL CHECK (events > 0), -- bits: places in the catalogue (src/types/webhooks.rs)
    configured          INTEGER NOT NULL CHECK (configured IN (0, 1)), -- by the configuration, not by an operator
    position            INTEGER NOT NULL CHECK (position >= 0), -- up to it all is delivered or stands in deliveries
    revision            INTEGER NOT NULL CHECK (revision >= 1),
    created_at_ms       INTEGER NOT NULL
) STRICT;

-- Only deliveries that failed: those that wait, or wait behind one, and those that were given up.
CREATE TABLE deliveries (
    endpoint_id INTEGER NOT NULL REFERENCES endpoints (id),
    seq         INTEGER NOT NULL,  -- which event
    state       TEXT    NOT NULL CHECK (state IN ('waiting', 'dead')),
    attempts    INTEGER NOT NULL CHECK (attempts BETWEEN 0 AND 255),
    next_at_ms  INTEGER,
    trouble     INTEGER NOT NULL,  -- how the last attempt ended: a status, or a number below 100 (src/types/webhooks.rs)
    CHECK ((state = 'waiting') = (next_at_ms IS NOT NULL)),
    PRIMARY KEY (endpoint_id, seq)
) STRICT, WITHOUT ROWID;

-- Each sells the one unit of its hidden drop, whose version is the auction's too.
CREATE TABLE auctions (
    id                 INTEGER PRIMARY KEY CHECK (id BETWEEN 1 AND 4294967295),
    drop_id            INTEGER NOT NULL UNIQUE,
    start_price        INTEGER NOT NULL CHECK (start_price BETWEEN 0 AND 100000000000),
    reserve_price      INTEGER,
    increments         TEXT    NOT NULL,  -- JSON: [[from, step], ...], ascending
    buy_now            INTEGER,
    starts_at_ms       INTEGER NOT NULL,
    planned_end_ms     INTEGER NOT NULL CHECK (planned_end_ms > starts_at_ms),
    soft_close_seconds INTEGER NOT NULL,
    extensions_max     INTEGER NOT NULL,
    hard_end_at_ms     INTEGER,
    payment_seconds    INTEGER NOT NULL,
    offer_next         INTEGER NOT NULL CHECK (offer_next IN (0, 1)),
    exposure_limit     INTEGER,
    ends_at_ms         INTEGER NOT NULL,  -- as late bids have moved it
    extensions         INTEGER NOT NULL CHECK (extensions BETWEEN 0 AND extensions_max),
    state              TEXT    NOT NULL CHECK (state IN ('scheduled', 'live', 'cancelled', 'sold', 'no_bids',
                                                         'reserve_not_met', 'bought_now')),
    current            INTEGER,           -- the price
    leader_seq         INTEGER,           -- the leader's standing bid
    bids               INTEGER NOT NULL CHECK (bids >= 0),
    settled            INTEGER NOT NULL CHECK (settled IN (0, 1)), -- somebody has paid: nobody else is offered it
    CHECK ((current IS NULL) = (bids = 0)),
    CHECK ((leader_seq IS NULL) = (bids = 0))
) STRICT;

-- Accepted bids, in order.
CREATE TABLE bids (
    auction_id INTEGER NOT NULL,
    seq        INTEGER NOT NULL,  -- the event that recorded it
    buyer      TEXT    NOT NULL,
    amount     INTEGER NOT NULL CHECK (amount >= 0),
    maximum    INTEGER NOT NULL CHECK (maximum >= amount), -- a secret between the buyer and this file
    leads      INTEGER NOT NULL CHECK (leads IN (0, 1)),   -- after this bid
    current    INTEGER NOT NULL CHECK (current >= amount), -- the price after it
    at_ms      INTEGER NOT NULL,
    PRIMARY KEY (auction_id, seq)
) STRICT, WITHOUT ROWID;

-- Waiting rooms, each in front of its drop.
CREATE TABLE rooms (
    drop_id               INTEGER PRIMARY KEY,
    opens_at_ms           INTEGER NOT NULL CHECK (opens_at_ms >= 0),
    draw                  TEXT    NOT NULL CHECK (draw IN ('arrival', 'random')),
    admit_per_second      INTEGER NOT NULL CHECK (admit_per_second BETWEEN 1 AND 4294967295),
    order_seconds         INTEGER NOT NULL CHECK (order_seconds BETWEEN 1 AND 4294967295),
    oversubscribe_percent INTEGER NOT NULL CHECK (oversubscribe_percent BETWEEN 100 AND 4294967295),
    opened                INTEGER NOT NULL CHECK (opened IN (0, 1)),
    tickets               INTEGER NOT NULL CHECK (tickets >= 0),
    serving               INTEGER NOT NULL CHECK (serving BETWEEN 0 AND tickets), -- positions below it were admitted
    window_from           INTEGER NOT NULL CHECK (window_from BETWEEN 0 AND serving), -- and below this, too long ago
    served_at_ms          INTEGER NOT NULL, -- the last admission
    rate_from_ms          INTEGER NOT NULL, -- up to then the rate has been used
    paused_ms             INTEGER NOT NULL CHECK (paused_ms >= 0), -- the length of all pauses that are over
    paused_at_ms          INTEGER           -- the beginning of the pause that lasts
) STRICT;

-- Tickets of rooms, in the order in which they were taken.
CREATE TABLE tickets (
    drop_id INTEGER NOT NULL,
    number  INTEGER NOT NULL CHECK (number >= 1),
    buyer   TEXT    NOT NULL,
    at_ms   INTEGER NOT NULL,
    seq     INTEGER NOT NULL,  -- the event that recorded it
    PRIMARY KEY (drop_id, number)
) STRICT, WITHOUT ROWID;

-- Admissions of rooms: at each, positions from the one before up to `until` (exclusively).
CREATE TABLE admissions (
    drop_id   INTEGER NOT NULL,
    until     INTEGER NOT NULL CHECK (until >= 1),
    at_ms     INTEGER NOT NULL,
    paused_ms INTEGER NOT NULL CHECK (paused_ms >= 0), -- the length of all pauses before it
    PRIMARY KEY (drop_id, until)
) STRICT, WITHOUT ROWID;

-- Draws of tickets that outsiders can verify. Everything but the seed is public once it is there.
CREATE TABLE draws (
    drop_id        INTEGER PRIMARY KEY,
    commitment     BLOB    NOT NULL CHECK (length(commitment) = 32), -- SHA-256 of the seed
    seed           BLOB    NOT NULL CHECK (length(seed) = 32),       -- a secret of this file until the draw is done
    beacon_seconds INTEGER CHECK (beacon_seconds BETWEEN 1 AND 4294967295), -- the longest wait for a beacon; without one NULL
    tickets        INTEGER CHECK (tickets >= 0),                     -- that are drawn: once the start has come
    root           BLOB    CHECK (length(root) = 32),                -- over these tickets
    fixed_at_ms    INTEGER,                                          -- when it was published
    beacon         BLOB    CHECK (length(beacon) <= 64),
    beacon_source  TEXT,
    ready          INTEGER NOT NULL CHECK (ready IN (0, 1)),         -- nothing is waited for
    result         BLOB    CHECK (length(result) = 32),              -- binds the whole draw: once it is done
    drawn_seq      INTEGER,                                          -- the event that published seed and result
    CHECK (root IS NULL OR tickets IS NOT NULL),
    CHECK ((root IS NULL) = (fixed_at_ms IS NULL)),
    CHECK (ready = 0 OR root IS NOT NULL),
    CHECK ((beacon IS NULL) = (beacon_source IS NULL)),
    CHECK (beacon IS NULL OR (ready = 1 AND beacon_seconds IS NOT NULL)),
    CHECK ((result IS NULL) = (drawn_seq IS NULL)),
    CHECK (result IS NULL OR ready = 1)
) STRICT;

-- Those that the server works on.
CREATE INDEX draws_running ON draws (drop_id) WHERE tickets IS NOT NULL AND drawn_seq IS NULL;

-- Personal data, apart from everything else; fills at human pace, so it may have indexes.
CREATE TABLE contacts (
    order_seq INTEGER PRIMARY KEY REFERENCES orders (seq),
    name      TEXT,
    email     TEXT,
    phone     TEXT,
    address   TEXT
) STRICT;
CREATE INDEX contacts_by_email ON contacts (email) WHERE email IS NOT NULL;
CREATE INDEX contacts_by_phone ON contacts (phone) WHERE phone IS NOT NULL;

-- Contacts that came with bids, the newest of each buyer and auction. The order that is awarded gets a copy.
CREATE TABLE bidder_contacts (
    auction_id INTEGER NOT NULL,
    bid_seq    INTEGER NOT NULL,  -- the newest bid that one came with
    buyer      TEXT    NOT NULL,
    order_seq  INTEGER,           -- the order that was awarded to the buyer
    name       TEXT,
    email      TEXT,
    phone      TEXT,
    address    TEXT,
    PRIMARY KEY (auction_id, bid_seq),
    UNIQUE (auction_id, buyer)
) STRICT, WITHOUT ROWID;

-- Buyers who stand by for a drop that is sold out, and those who did. seq is the number of the standby_joined event.
CREATE TABLE standby (
    seq          INTEGER PRIMARY KEY,
    drop_id      INTEGER NOT NULL,
    secret       BLOB    NOT NULL CHECK (length(secret) = 10), -- of the order that it becomes
    buyer        TEXT    NOT NULL,
    key_digest   BLOB    NOT NULL CHECK (length(key_digest) = 16),
    quantity     INTEGER NOT NULL CHECK (quantity BETWEEN 1 AND 65535),
    joined_at_ms INTEGER NOT NULL,
    order_seq    INTEGER CHECK (order_seq > seq), -- the order that it became
    left_seq     INTEGER CHECK (left_seq > seq),  -- the event by which the buyer left without one
    number       INTEGER CHECK (number >= 1),     -- of an order that a blind window recorded
    -- Keyed digests of the identities that its order will count for.
    email        BLOB    CHECK (length(email) = 16),
    phone        BLOB    CHECK (length(phone) = 16),
    payment      BLOB    CHECK (length(payment) = 16),
    address      BLOB    CHECK (length(address) = 16),
    CHECK (order_seq IS NULL OR left_seq IS NULL)
) STRICT;

CREATE UNIQUE INDEX standby_numbers ON standby (drop_id, number) WHERE number IS NOT NULL;

-- Contacts that came with the joining: personal data. One moves to the order that its entry becomes, and is erased when its
-- buyer leaves or the drop ends; those of a long line are erased in steps, by drop.
CREATE TABLE standby_contacts (
    drop_id INTEGER NOT NULL,
    seq     INTEGER NOT NULL,  -- the standby_joined event
    name    TEXT,
    email   TEXT,
    phone   TEXT,
    address TEXT,
    PRIMARY KEY (drop_id, seq)
) STRICT, WITHOUT ROWID;

-- Every event, in order. prev_seq is the previous event of the same subject (its order, else its drop).
CREATE TABLE audit (
    seq       INTEGER PRIMARY KEY,
    at_ms     INTEGER NOT NULL,
    kind      TEXT    NOT NULL,
    drop_id   INTEGER,
    order_seq INTEGER,
    quantity  INTEGER,  -- units that moved; the change of the total where stock is adjusted
    amount    INTEGER,  -- money that moved
    prev_seq  INTEGER NOT NULL CHECK (prev_seq < seq),
    detail    TEXT      -- JSON, only for what has no column
) STRICT;

-- One link per batch: the SHA-256 of the link before and of the audit rows up to seq, each new order's (with its
-- identities), bid's and standby's row with its event (src/store/chain.rs).
CREATE TABLE chain (
    seq  INTEGER PRIMARY KEY,
    hash BLOB NOT NULL CHECK (length(hash) = 32)
) STRICT;

-- What happened per drop and second, refusals included, which are no events.
CREATE TABLE drop_seconds (
    drop_id           INTEGER NOT NULL,
    second            INTEGER NOT NULL,  -- seconds since 1970
    orders            INTEGER NOT NULL,  -- orders that were reserved
    units             INTEGER NOT NULL,  -- their units
    other_commands    INTEGER NOT NULL,  -- other commands that were accepted
    repeated          INTEGER NOT NULL,
    key_reused        INTEGER NOT NULL,
    not_started       INTEGER NOT NULL,
    ended             INTEGER NOT NULL,
    paused            INTEGER NOT NULL,
    limit_reached     INTEGER NOT NULL,
    sold_out          INTEGER NOT NULL,
    other_refusals    INTEGER NOT NULL,
    queue_wait_us     INTEGER NOT NULL,  -- sum over all its commands
    queue_wait_us_max INTEGER NOT NULL,
    commits           INTEGER NOT NULL,  -- batches that touched the drop
    commit_us         INTEGER NOT NULL,  -- sum over those batches
    not_admitted      INTEGER NOT NULL DEFAULT 0,  -- orders of buyers whom the waiting room had not admitted
    PRIMARY KEY (drop_id, second)
) STRICT, WITHOUT ROWID;

-- Idempotency keys of creations and refunds: digests of the key and of the parameters that a repeat must share.
CREATE TABLE keys (
    digest BLOB    PRIMARY KEY CHECK (length(digest) = 16),
    params BLOB    NOT NULL CHECK (length(params) = 16),
    seq    INTEGER NOT NULL,  -- the command's event
    at_ms  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
