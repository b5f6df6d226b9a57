#!/usr/bin/env bash
# The same tests with heavier counts, for the hours in which nobody waits.
#
#   scripts/soak.sh [SCALE]   SCALE multiplies the counts of the randomised tests (default 10)
set -euo pipefail
cd "$(dirname "$0")/.."

export FIRSTCOME_TEST_SCALE=${1:-10}
cargo build --locked --release
cargo test --locked --release --test engine_model --test store_model -- --nocapture
scripts/smoke.sh 100000 10000
scripts/smoke.sh 1000000 10000
scripts/storm.sh
