#!/usr/bin/env bash
# Measures a start with a large file, three times: all orders live; all orders lapsed, their keys remembered; many drops. Prints the
# seconds from the command to the first 200 of /readyz, the CPU seconds until then, and the resident memory of the process before
# and after. Fails if `verify` finds a problem, or if the memory after the start is more than 1.1 times that before and 16 MB.
#
#   scripts/startup.sh [ORDERS [DROPS]]   default: 1,000,000 orders, 100,000 drops
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/server.sh

orders=${1:-1000000} drops=${2:-100000}

field() { # field of /proc/PID/status, in MB
    awk -v name="$1:" '$1 == name { print int($2 / 1024) }' "/proc/$server/status"
}
worked_ms() { # CPU time of the server
    awk -v hz="$(getconf CLK_TCK)" '{ printf "%d", ($14 + $15) * 1000 / hz }' "/proc/$server/stat"
}
drop_with() { # reservation in seconds
    curl -sSf -X POST "http://$admin/v1/drops" -H 'Content-Type: application/json' -H 'Idempotency-Key: large' \
        -d '{"sku":"L","name":"Large","currency":"EUR","unit_price":100,"total":'"$orders"',"per_buyer_limit":1,
             "starts_at":"2020-01-01T00:00:00Z","reservation_seconds":'"$1"'}' | sed 's/^{"id":\([0-9]*\).*/\1/'
}
sell() { # reservation in seconds
    local drop
    drop=$(drop_with "$1")
    "$program" rush --public "$public" --admin "$admin" --drop "$drop" --crowd plain --buyers "$orders" --connections 128 \
        --deadline 3600 --json "$scratch/rush.json" >"$scratch/said" 2>&1 || { cat "$scratch/said" >&2; return 1; }
    echo "$drop"
}
held() { # drop
    curl -sSf "http://$public/v1/drops/$1" | sed 's/.*"held":\([0-9]*\).*/\1/'
}

live_orders() { sell 86400 >"$scratch/drop"; }

# The reservations lapse while the orders come; the last ones a second later.
remembered_keys() {
    local drop left
    drop=$(sell 1)
    for _ in $(seq 100); do
        left=$(held "$drop")
        [ "$left" != 0 ] || return 0
        sleep 0.1
    done
    echo "$left orders have not lapsed" >&2
    return 1
}

many_drops() {
    # One entry of a configuration file of curl for each drop: some connections, kept alive.
    local each
    for each in $(seq "$drops"); do
        cat <<ENTRY
url = "http://$admin/v1/drops"
header = "Content-Type: application/json"
header = "Idempotency-Key: drop-$each"
data = "{\"sku\":\"S-$each\",\"name\":\"Drop $each\",\"currency\":\"EUR\",\"unit_price\":100,\"total\":10,\"starts_at\":\"2099-01-01T00:00:00Z\"}"
output = /dev/null
next
ENTRY
    done | sed '$d' >"$scratch/drops.curl"
    curl -sSf -Z --parallel-max 16 --no-progress-meter -K "$scratch/drops.curl"
    rm "$scratch/drops.curl"
}

measure() { # name, function that makes the data
    local data=$scratch/$2 before after peak began ms worked
    mkdir "$data"
    start_on "$data"
    "$2"
    before=$(field VmRSS)
    stop_on "$data" >"$scratch/said"
    local bytes
    bytes=$(stat -c %s "$data/firstcome.db")
    # The data may still be on its way to the disk.
    sync -f "$data"
    began=${EPOCHREALTIME/[.,]/}
    start_on "$data"
    ms=$(((${EPOCHREALTIME/[.,]/} - began) / 1000)) worked=$(worked_ms)
    after=$(field VmRSS) peak=$(field VmHWM)
    printf '%-44s %3d.%02d s, %3d.%02d s of CPU; %4d MB before, %4d MB after, %4d MB at most; %4d MB of file\n' "$1" \
        $((ms / 1000)) $((ms % 1000 / 10)) $((worked / 1000)) $((worked % 1000 / 10)) "$before" "$after" "$peak" $((bytes >> 20))
    stop_on "$data" >"$scratch/said"
    rm -r "$data"
    [ "$after" -le $((before * 11 / 10 + 16)) ] || {
        echo "$after MB after the start are more than 1.1 times the $before MB before, and 16 MB" >&2
        return 1
    }
}

measure "$orders live orders" live_orders
measure "$orders remembered keys of lapsed orders" remembered_keys
measure "$drops drops" many_drops
