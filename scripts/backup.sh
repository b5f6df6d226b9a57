#!/usr/bin/env bash
# Measures what a backup of a large file costs a sale: orders per second of two rushes in turn, one without and one with
# backups made one after the other meanwhile; the largest write-ahead log of each; and the seconds of a backup. At the end the
# last one is restored, verified and sold from.
#
#   scripts/backup.sh [ORDERS [PAIRS [BUYERS]]]   default: 1,000,000 orders in the file, 5 pairs, rushes of 100,000
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/server.sh

orders=${1:-1000000} pairs=${2:-5} buyers=${3:-100000}
data=$scratch/data backups=$scratch/backups
mkdir "$backups"
export FIRSTCOME__BACKUP__BYTES_PER_SECOND=${BYTES_PER_SECOND:-16777216}

new_drop() { # units; prints its number
    curl -sSf -X POST "http://$admin/v1/drops" -H 'Content-Type: application/json' -H "Idempotency-Key: $RANDOM$RANDOM" \
        -d '{"sku":"L","name":"Large","currency":"EUR","unit_price":100,"total":'"$1"',"per_buyer_limit":1,
             "starts_at":"2020-01-01T00:00:00Z","reservation_seconds":86400}' | sed 's/^{"id":\([0-9]*\).*/\1/'
}
rush() { # buyers; writes $scratch/rush.json
    "$program" rush --public "$public" --admin "$admin" --drop "$(new_drop "$1")" --crowd plain --buyers "$1" --connections 128 \
        --deadline 3600 --json "$scratch/rush.json" >"$scratch/said" 2>&1 || {
        cat "$scratch/said" >&2
        exit 1
    }
}
watch_log() { # writes the largest size of the log until it is ended
    local largest=0 size
    trap 'echo "$largest" >"$scratch/log"; exit' TERM
    while sleep 0.05; do
        size=$(stat -c %s "$data/firstcome.db-wal" 2>/dev/null || echo 0)
        [ "$size" -le "$largest" ] || largest=$size
    done
}
back_up() { # makes backups until it is ended; writes a line with the seconds of each
    trap 'exit' TERM
    : >"$scratch/seconds"
    while true; do
        local began=${EPOCHREALTIME/[.,]/}
        "$program" backup --to "$backups/$began.db" --admin "$admin" >/dev/null
        awk -v us=$((${EPOCHREALTIME/[.,]/} - began)) 'BEGIN { printf "%.2f\n", us / 1e6 }' >>"$scratch/seconds"
        find "$backups" -name '*.db*' ! -name "$began.db*" -delete
    done
}
measured() { # name, with or without
    local watcher maker=
    watch_log &
    watcher=$!
    if [ "$2" = with ]; then
        back_up &
        maker=$!
    fi
    rush "$buyers"
    if [ -n "$maker" ]; then
        # The one under way comes to its end.
        while [ ! -s "$scratch/seconds" ]; do sleep 0.1; done
        kill "$maker"
        wait "$maker" 2>/dev/null || true
    fi
    kill "$watcher"
    wait "$watcher" 2>/dev/null || true
    local rate
    rate=$(sed -n 's|.*"orders_per_second": *\([0-9.]*\).*|\1|p' "$scratch/rush.json" | head -1)
    printf '%-8s %10.0f orders/s   log at most %4d MB' "$2" "$rate" $(($(cat "$scratch/log") >> 20))
    if [ "$2" = with ]; then
        printf '   %d backups of %s s' "$(wc -l <"$scratch/seconds")" "$(sort -n "$scratch/seconds" | tail -1)"
    fi
    echo
    echo "$rate" >>"$scratch/rates-$2"
}

start_on "$data"
rush "$orders"
printf 'the database: %d MB, %d orders\n' $(($(stat -c %s "$data/firstcome.db") >> 20)) "$orders"
for pair in $(seq "$pairs"); do
    # Each is first in every other pair.
    if [ $((pair % 2)) = 1 ]; then turns='without with'; else turns='with without'; fi
    for turn in $turns; do measured "$pair" "$turn"; done
done
paste "$scratch/rates-without" "$scratch/rates-with" | awk '{ printf "%.4f\n", $2 / $1 }' | sort -n |
    awk '{ share[NR] = $1 } END { printf "with backups: %.1f %% of the orders without (median; %.1f to %.1f %%)\n", 100 * share[int((NR + 1) / 2)], 100 * share[1], 100 * share[NR] }'

"$program" backup --to "$backups/last.db.zst" --compress zstd --admin "$admin"
stop_on "$data" >/dev/null
began=${EPOCHREALTIME/[.,]/}
"$program" restore "$backups/last.db.zst" --data "$scratch/restored" --newer "$data" >/dev/null
printf 'restored in %d ms\n' $(((${EPOCHREALTIME/[.,]/} - began) / 1000))
start_on "$scratch/restored"
rush 1000
stop_on "$scratch/restored"
