#!/usr/bin/env bash
# Measures what open storefronts cost a sale: orders per second of two rushes in turn, one without and one with event streams of its
# drop and one console, and CPU time of the server per order; then how late the streams show a change of the stock, counted from
# the answer to the order. The streams' reader runs on the same cores, so its CPU time is printed, too.
#
#   scripts/streams.sh [PAIRS [STREAMS [BUYERS]]]   default: 9 pairs, 2,000 streams, rushes of 100,000
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/server.sh

pairs=${1:-9} streams=${2:-2000} buyers=${3:-100000}
orders_lost_max=10 within_min=99.9

server_us() { # CPU time of the server in microseconds
    awk -v hz="$(getconf CLK_TCK)" '{ printf "%.0f", ($14 + $15) * 1e6 / hz }' "/proc/$server/stat"
}
figure() { # name, part of the report: the first of this name from there on
    sed -n "/\"$2\": {/,\$s|.*\"$1\": *\([0-9.]*\).*|\1|p" "$scratch/rush.json" | head -1
}
measured() { # pair, with or without
    local open=0 console= before after
    if [ "$2" = with ]; then
        open=$streams
        curl -sN "http://$admin/v1/console/stream" >"$scratch/console" &
        console=$!
    fi
    before=$(server_us)
    "$program" rush --public "$public" --admin "$admin" --crowd plain --buyers "$buyers" --units "$buyers" --connections 128 \
        --streams "$open" --json "$scratch/rush.json" >"$scratch/said" 2>&1 || {
        cat "$scratch/said" >&2
        exit 1
    }
    after=$(server_us)
    if [ -n "$console" ]; then
        kill "$console"
        wait "$console" 2>/dev/null || true
        grep -q '^event: frame' "$scratch/console" || {
            echo "the console had no frame" >&2
            exit 1
        }
    fi
    local us
    us=$(awk -v us=$((after - before)) -v n="$buyers" 'BEGIN { printf "%.1f", us / n }')
    printf '%4d %-8s %8.0f orders/s   server %5s us of CPU per order' "$1" "$2" "$(figure orders_per_second achieved)" "$us"
    echo "$(figure orders_per_second achieved) $us" >>"$scratch/$2"
    if [ "$2" = with ]; then
        printf '   %7d updates, p50 %5.1f, p99 %5.1f, max %5.1f ms, %6.2f %% within 250 ms; reader %.2f s of CPU' \
            "$(figure updates streams)" "$(figure p50 streams)" "$(figure p99 streams)" "$(figure max streams)" "$(figure within_250_ms_percent streams)" "$(figure cpu_seconds streams)"
        echo "$(figure p50 streams) $(figure p99 streams) $(figure max streams) $(figure within_250_ms_percent streams)" >>"$scratch/delays"
    fi
    echo
}

start
for pair in $(seq "$pairs"); do
    # Each is first in every other pair.
    if [ $((pair % 2)) = 1 ]; then turns='without with'; else turns='with without'; fi
    for turn in $turns; do measured "$pair" "$turn"; done
done
stop
paste -d ' ' "$scratch/without" "$scratch/with" | awk '{ printf "%.4f %.4f\n", $3 / $1, $4 / $2 }' >"$scratch/ratios"
median() { sort -n -k "$1,$1" "$2" | awk -v k="$1" '{ at[NR] = $k } END { print at[int((NR + 1) / 2)] }'; }
orders=$(median 1 "$scratch/ratios") within=$(awk '{ sum += $4 } END { print sum / NR }' "$scratch/delays")
sort -n "$scratch/ratios" | awk -v n="$streams" -v middle="$orders" -v cpu="$(median 2 "$scratch/ratios")" '
    { ratio[NR] = $1 }
    END { printf "%d streams and a console: %.3f of the orders/s without (median of %d pairs, %.3f to %.3f), %.3f times the CPU per order\n", n, middle, NR, ratio[1], ratio[NR], cpu }'
awk -v within="$within" -v p50="$(median 1 "$scratch/delays")" -v p99="$(median 2 "$scratch/delays")" '
    $3 > max { max = $3 }
    END { printf "a change of the stock: p50 %.0f ms, p99 %.0f ms after the answer (medians of the pairs), at most %.0f ms; %.2f %% within 250 ms\n", p50, p99, max, within }' "$scratch/delays"
awk -v orders="$orders" -v lost="$orders_lost_max" -v within="$within" -v min="$within_min" 'BEGIN {
    if (100 * (1 - orders) > lost) { printf "more than %d %% of the orders/s are lost\n", lost; missed = 1 }
    if (within < min) { printf "less than %.1f %% of the updates come within 250 ms\n", min; missed = 1 }
    exit missed }'
