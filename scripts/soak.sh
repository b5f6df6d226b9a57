#!/usr/bin/env bash
# The same tests with heavier counts, for the hours in which nobody waits.
#
#   scripts/soak.sh [SCALE]   SCALE multiplies the counts of the randomised tests (default 10)
set -euo pipefail
cd "$(dirname "$0")/.."

export FIRSTCOME_TEST_SCALE=${1:-10}
cargo build --locked --release
cargo test --locked --release --test engine_model --test store_model --test payment_shuffles --test faults --test damage --test power \
    --test witness -- --nocapture
# 200 kills, at least a fifth of them between BEGIN and the replies, and 400 between the steps of a payment and of telling it.
cargo test --locked --release --features failpoints --test kill --test outbox_kill -- --nocapture
# From kill -9 to the first answered order, with 100,000 and with 1,000,000 orders in the file.
cargo test --locked --release --test restart -- --ignored --nocapture
scripts/smoke.sh 100000 10000
scripts/smoke.sh 1000000 10000
scripts/storm.sh
# 1,000 bidders who think for a minute before each bid.
cargo bench --bench figures -- bidders idle
# The wire's frames and messages, and captures: new inputs for ten minutes each.
scripts/fuzz.sh 600
# A real disk, really full, twenty times.
scripts/full-disk.sh 20
# Every condition that has a rehearsal, by its runbook.
scripts/rehearse.sh
