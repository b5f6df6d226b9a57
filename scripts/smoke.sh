#!/usr/bin/env bash
# Runs a complete sale with the real binary: load, verify, restart, load again. Loopback only.
#
#   scripts/smoke.sh [BUYERS [UNITS]]
set -euo pipefail
cd "$(dirname "$0")/.."

buyers=${1:-20000} units=${2:-2000}
. scripts/server.sh

start
"$program" rush --public "$public" --admin "$admin" --buyers "$buyers" --units "$units" --json "$scratch/rush.json"
"$program" rush --public "$public" --admin "$admin" --buyers 2000 --units 500 --expire --deadline 60
before=$(curl -sf "http://$public/v1/drops/2")
stop
start
after=$(curl -sf "http://$public/v1/drops/2")
if [ "$before" != "$after" ]; then
    echo "the drop differs from before the restart:" >&2
    printf '%s\n%s\n' "$before" "$after" >&2
    exit 1
fi
"$program" rush --public "$public" --admin "$admin" --buyers 5000 --units 5000 --reads 50
# Every open storefront shows the last unit that was taken.
"$program" rush --public "$public" --admin "$admin" --buyers 2000 --units 2000 --crowd plain --streams 50
stop
