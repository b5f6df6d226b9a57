#!/usr/bin/env bash
# Runs the randomised tests with higher counts, and everything that takes too long for scripts/check.sh.
#
#   scripts/soak.sh [SCALE]   multiplies the counts of the randomised tests (default 10)
set -euo pipefail
cd "$(dirname "$0")/.."

export FIRSTCOME_TEST_SCALE=${1:-10}
# With the features of a package, as in scripts/check.sh.
cargo build --locked --release --features otlp,cluster
cargo test --locked --release --features otlp,cluster --test engine_model --test store_model --test log_entries --test log_simulated --test log_shards_simulated --test payment_shuffles --test faults --test damage --test power \
    --test witness --test draw -- --nocapture
# 200 kills, at least a fifth of them between BEGIN and the replies, and 400 between the steps of a payment and its webhook.
cargo test --locked --release --features failpoints --test kill --test outbox_kill -- --nocapture
# From kill -9 to the first answered order, with 100,000 and with 1,000,000 orders in the file.
cargo test --locked --release --features otlp,cluster --test restart --test draw_rules --test blind -- --ignored --nocapture
scripts/smoke.sh 100000 10000
scripts/smoke.sh 1000000 10000
# A start, `verify`, a rescue and `recover` of a file with a million orders.
scripts/large-file.sh
# Seconds and memory of a start: a million live orders, a million remembered keys, 100,000 drops.
scripts/startup.sh
scripts/overload.sh
# Two thousand open storefronts and a console beside a rush, in pairs.
scripts/streams.sh
# A million tickets of a waiting room, then the sale; polls of a room beside a bare server.
scripts/rooms.sh
cargo bench --locked --features otlp,cluster --bench reads
# Orders that are paid by signed webhooks, then twenty copies of each event at once.
scripts/pay.sh
# The whole crowd of people and bots, and the populations on which no default was tuned.
scripts/crowd.sh
scripts/crowd.sh --population b
scripts/crowd.sh --population c
# 1,000 bidders that wait a minute before each bid.
cargo bench --bench figures -- bidders idle
# Every fuzz target for ten minutes; the check runs their committed inputs only.
scripts/fuzz.sh 600
# Twice as many requests against each route as in the check.
CONTRACT_EXAMPLES=150 scripts/contract.sh
# A full disk, twenty times.
scripts/full-disk.sh 20
# All runbooks.
scripts/rehearse.sh
scripts/cluster/rehearse.sh
# A hundred random faults of nodes, members and networks, under buyers.
FIRSTCOME_TEST_FAULTS=100 cargo test --locked --release --features otlp,cluster --test cluster_nodes -- --nocapture
