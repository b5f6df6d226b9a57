#!/usr/bin/env bash
# The worst minute, with the real binary: a crowd at the door, then more orders than it can take. Loopback only; ends
# by itself.
#
#   scripts/storm.sh
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/server.sh

cargo build --locked --release --bin firstcome --examples

echo "== ten thousand connections at once"
start
target/release/examples/crowd "$public" "$admin"
stop

# A client on the same machine can offer ten times as much only to a writer that is slower than it might be: one order
# per commit. The queue is as much shorter.
echo "== ten times the capacity"
export FIRSTCOME__WRITER__BATCH_COMMANDS_MAX=1 FIRSTCOME__WRITER__QUEUE_CAPACITY=1024
start
target/release/examples/flood "$public" "$admin"
stop
