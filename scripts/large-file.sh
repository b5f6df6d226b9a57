#!/usr/bin/env bash
# Times what an operator waits for with a large file: a start, `verify`, a start on a copy that was put back, a rescue and
# `recover`. All orders are live, which is the slowest case of a start.
#
#   scripts/large-file.sh [ORDERS]   default: 1,000,000
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/server.sh

orders=${1:-1000000}
mkdir "$scratch/shop"
data=$scratch/shop/data

timed() { # name, command
    local name=$1 began=${EPOCHREALTIME/[.,]/}
    shift
    "$@" >"$scratch/said" 2>&1 || {
        echo "$name failed:" >&2
        cat "$scratch/said" >&2
        exit 1
    }
    local ms=$(((${EPOCHREALTIME/[.,]/} - began) / 1000))
    printf '%-32s %5d.%d s\n' "$name" $((ms / 1000)) $((ms % 1000 / 100))
}
ends_with_72() {
    local code=0
    wait "$server" || code=$?
    server=
    [ "$code" = 72 ] || {
        echo "the server exited with $code instead of 72" >&2
        cat "$scratch/serve.err" >&2
        return 1
    }
}

start_on "$data"
drop=$(curl -sSf -X POST "http://$admin/v1/drops" -H 'Content-Type: application/json' -H 'Idempotency-Key: large' \
    -d '{"sku":"L","name":"Large","currency":"EUR","unit_price":100,"total":'"$orders"',"per_buyer_limit":1,
         "starts_at":"2020-01-01T00:00:00Z","reservation_seconds":86400}' | sed 's/^{"id":\([0-9]*\).*/\1/')
timed "$orders orders" "$program" rush --public "$public" --admin "$admin" --drop "$drop" --crowd plain --buyers "$orders" \
    --connections 128 --deadline 3600
stop_on "$data" >"$scratch/said"
printf '%-32s %5d MB\n' 'the database' $(($(stat -c %s "$data/firstcome.db") >> 20))

timed 'start' start_on "$data"
stop_on "$data" >"$scratch/said"
timed 'verify' "$program" verify --data "$data"

# A copy is put in the place of the file, which the note beside the directory tells.
cp -a "$data" "$scratch/copy"
rm -r "$data"
mv "$scratch/copy" "$data"
timed 'start on a copy put back' start_on "$data"
grep -q epoch "$scratch/serve.err" || {
    echo "the start says nothing of a new epoch" >&2
    exit 1
}

mv "$data/firstcome.db" "$scratch/lost.db"
timed 'rescue' ends_with_72
rescued=$(echo "$data"/rescued-*)
timed 'verify of what was rescued' "$program" verify --data "$rescued"
timed 'recover' "$program" recover --data "$rescued"
