#!/usr/bin/env bash
# A waiting room under load: tickets before the start, polls, then the sale (`firstcome rush --crowd room`). Fails unless exactly the
# units of the drop are held or sold and no buyer is served out of order. Prints tickets/s beside orders/s, memory per ticket, polls/s,
# the writer's longest pauses and the time of the report. Polls beside a bare server: `cargo bench --bench reads`. Loopback only.
#
#   scripts/rooms.sh [BUYERS [UNITS [DRAW]]]     default: 1000000 10000 arrival
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/server.sh

buyers=${1:-1000000} units=${2:-10000} draw=${3:-arrival}
# Time for the tickets at 10,000 a second, and for the positions after a random draw at the same rate.
gather=$((8 + buyers / 10000))
server_us() { # CPU time of the server in microseconds
    awk -v hz="$(getconf CLK_TCK)" '{ printf "%.0f", ($14 + $15) * 1e6 / hz }' "/proc/$server/stat"
}
figure() { # name
    sed -n "s|^ *\"$1\": *\([0-9.]*\),*$|\1|p" "$2" | head -1
}
longest() { # histogram: the upper bound of its last bucket with a value, in ms
    curl -sf "http://$admin/metrics" | awk -v name="firstcome_$1_seconds_bucket" '
        index($0, name "{le=") == 1 { split($0, part, "\""); bound[++n] = part[2]; count[n] = $NF }
        END {
            for (i = n; i > 1 && count[i] == count[i - 1]; i--) ;
            if (bound[i] == "+Inf") print "above 10 s"; else printf "at most %g ms\n", bound[i] * 1000
        }'
}

start
orders=$((buyers / 10 > 20000 ? 20000 : buyers / 10))
before=$(server_us)
"$program" rush --public "$public" --admin "$admin" --crowd plain --buyers "$orders" --units "$orders" --connections 128 \
    --json "$scratch/orders.json" >"$scratch/said" || { cat "$scratch/said" >&2; exit 1; }
us=$(awk -v us=$(($(server_us) - before)) -v n="$orders" 'BEGIN { printf "%.1f", us / n }')
echo "orders without a room: $(sed -n '/"achieved": {/,$s|.*"orders_per_second": *\([0-9]*\).*|\1|p' "$scratch/orders.json" | head -1)/s, $us us of the server's CPU each"
status=0
"$program" rush --public "$public" --admin "$admin" --crowd room --buyers "$buyers" --units "$units" --connections 128 --draw "$draw" \
    --gather-seconds "$gather" --order-seconds $((buyers >= 1000000 ? 20 : 5)) --deadline $((gather + 600)) \
    --json "$scratch/room.json" || status=$?
for stage in writer_decide writer_record writer_commit; do
    printf '%-16s the longest %s\n' "${stage#writer_}" "$(longest $stage)"
done
echo "$(figure tickets_per_second "$scratch/room.json") tickets/s, $(figure polls_per_second "$scratch/room.json") polls/s, $(figure bytes_per_ticket "$scratch/room.json") bytes of the process per ticket"
[ "$status" = 0 ] || exit "$status"
began=$(date +%s%N)
"$program" report "$(figure drop "$scratch/room.json")" --admin "http://$admin" --json >"$scratch/report.json"
echo "the report of the sale, who got units by arrival included: $((($(date +%s%N) - began) / 1000000)) ms"
stop
