#!/usr/bin/env bash
# Overloads the real binary: ten thousand connections at once, then ten times more orders than its writer can commit.
# Loopback only.
#
#   scripts/overload.sh
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/server.sh

cargo build --locked --release --bin firstcome --examples

echo "== ten thousand connections at once"
start
target/release/examples/crowd "$public" "$admin"
stop

# A client on the same machine can exceed the capacity tenfold only if the writer is slowed down: one order per commit, and
# a queue that is shorter in proportion.
echo "== ten times the capacity"
export FIRSTCOME__WRITER__BATCH_COMMANDS_MAX=1 FIRSTCOME__WRITER__QUEUE_CAPACITY=1024
start
target/release/examples/flood "$public" "$admin"
stop
