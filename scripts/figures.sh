#!/usr/bin/env bash
# The figures that firstcome is to reach, each measured here and now, with what it is to be beside it.
#
#   scripts/figures.sh [ROW...]     without rows all of them: some ten minutes, and the build before
#   scripts/figures.sh list         the rows; `idle` is one more, which takes three minutes, and is not among all of them
#
# Loopback only; every row has an end. Exit code 0: every figure is reached; 1: one is not, or could not be measured;
# UNCLEAR stands at a latency where the idle machine alone was later, or the host took the machine away meanwhile.
# The figures are of this machine at this moment, load generator included. PROFILE=soak builds in a third of the time,
# a little slower code. FIRSTCOME_BENCH_ORDERS=10000000: the growing file grows to that (a million).
set -euo pipefail
shopt -s inherit_errexit
cd "$(dirname "$0")/.."

declare -A benches=([writer]=writer [alone]=writer [refusals]=engine [reads]=reads [memory]=memory [lapse]=http [growth]=writer)
rows=(writer alone refusals orders open-loop checkouts reads ladder mix bids bids-10k bidders subscribers memory lapse
    growth start binary scrape)
if [ "${1:-}" = list ]; then
    printf '%s\n' "${rows[@]}"
    exit 0
fi
asked=("$@")
[ $# -gt 0 ] || asked=("${rows[@]}")
for row in "${asked[@]}"; do
    [[ " ${rows[*]} idle " == *" $row "* ]] || {
        echo "no such row: $row; there are: ${rows[*]} idle" >&2
        exit 64
    }
done

profile=${PROFILE:-release}
found=$(mktemp -d)
trap 'rm -rf "$found"' EXIT

# --- the table ---

line() { printf '%-68s %14s  %-16s %s\n' "$@" | tee -a "$found/table"; }
# 1234567.8 as 1,234,568; small ones with their digits.
number() {
    awk -v n="$1" 'BEGIN {
        if (n < 1000) { printf "%.4g", n; exit }
        s = sprintf("%.0f", n); t = ""
        while (length(s) > 3) { t = "," substr(s, length(s) - 2) t; s = substr(s, 1, length(s) - 3) }
        print s t }'
}
is_less() { awk -v a="$1" -v b="$2" 'BEGIN { exit !(a + 0 < b + 0) }'; }
shown() { line "$1" "$(number "$2")$3" "" "(printed)"; } # what, figure, unit
at_least() { # what, figure, bound, unit
    local verdict=ok
    ! is_less "$2" "$3" || verdict=MISSED
    line "$1" "$(number "$2")$4" "at least $(number "$3")$4" "$verdict"
}
# How late a sleep of a millisecond ends while nothing else runs: what the machine itself adds to a latency now and then
# (as jHiccup measures it). The p99 of three seconds, in ms.
lateness() {
    python3 -c '
import time
late, end = [], time.perf_counter() + 3
while (began := time.perf_counter()) < end:
    time.sleep(0.001)
    late.append(time.perf_counter() - began - 0.001)
print(round(sorted(late)[int(len(late) * 0.99)] * 1e3, 2))'
}
# Jiffies that the host has taken for others (steal), and all that there were.
host() { awk '/^cpu / { all = 0; for (i = 2; i <= 9; i++) all += $i; print $9, all }' /proc/stat; }
# To be called before a load, for below_ms.
look_at_machine() { late=$(lateness) host_before=$(host); }
# A latency in ms. Where the idle machine alone was later than the bound before it, or the host took more than a fiftieth
# of the machine away meanwhile, it says nothing about the program.
below_ms() { # what, figure, bound
    local verdict=ok stolen
    stolen=$(echo "$host_before $(host)" | awk '{ print 100 * ($3 - $1) / ($4 - $2) }')
    is_less "$2" "$3" || verdict=MISSED
    if [ $verdict = MISSED ] && { ! is_less "$late" "$3" || ! is_less "$stolen" 2; }; then verdict=UNCLEAR; fi
    line "$1" "$(number "$2") ms" "below $(number "$3") ms" "$verdict"
    if [ $verdict != ok ]; then
        shown "... the idle machine itself, before: p99 of its lateness" "$late" " ms"
        shown "... what the host took of the machine meanwhile" "$stolen" " %"
    fi
}
below() { # what, figure, bound, unit
    local verdict=ok
    is_less "$2" "$3" || verdict=MISSED
    line "$1" "$(number "$2")$4" "below $(number "$3")$4" "$verdict"
}

# --- what rows use ---

bench() { # seconds, bench, arguments
    local seconds=$1 name=$2
    shift 2
    timeout "$seconds" cargo bench --quiet --locked --profile "$profile" --bench "$name" -- "$@" 2>"$found/errors"
}
serve() { # for the subshell of a row
    . scripts/server.sh
    program=target/$profile/firstcome
    start
}
rush() { timeout 300 "$program" rush --public "$public" --admin "$admin" "$@"; }
# Bids over the binary protocol into new auctions, as JSON: every bid has its answer, and every price is the highest bid
# that was acknowledged, or the row is broken.
bids() { rush --wire "$wire" --json "$scratch/bids.json" --bids "$@" >/dev/null; }
of_bids() { # a member; within an object: its name and the member's
    awk -v path="$*" 'BEGIN { n = split(path, name, " "); at = 1 }
        index($0, "\"" name[at] "\":") { if (at++ == n) { gsub(/.*: |,/, ""); print; exit } }' "$scratch/bids.json"
}
# The rungs of a ladder: target, achieved, average, p50, p95, p99, p99.9, success, cores of the load, verdict.
rungs() { rush "$@" | tr -d , | awk '$1 ~ /^[0-9]+$/ && NF == 10'; }
# A rung that lost arrivals has no latencies worth the name.
was_kept() { # what, verdict
    case $2 in
    kept | slow) ;;
    *)
        line "$1" "$2" "every arrival" MISSED
        return 1
        ;;
    esac
}
resident() { awk -v field="$1:" '$1 == field { print $2 / 1024 }' "/proc/$server/status"; }

# Makes `run_under` (see server.sh) such that the server gets so many MB of memory and no more: by systemd where it runs,
# else by a group of its own below this shell's (version 2 or 1). Without either the row says so.
limit_memory() { # MB
    local own
    limited="no limit here" group=
    if [ -d /run/systemd/system ] && command -v systemd-run >/dev/null &&
        systemd-run --quiet --scope -p MemoryMax="$1M" true 2>/dev/null; then
        run_under=(systemd-run --quiet --scope -p "MemoryMax=$1M" -p MemorySwapMax=0)
        limited="systemd-run, MemoryMax=$1M"
        return
    fi
    own=$(sed -n 's/^0:://p' /proc/self/cgroup)
    group=/sys/fs/cgroup${own%/}/firstcome.$$
    limit=memory.max
    if ! [ -e "${group%/*}/cgroup.controllers" ]; then
        own=$(sed -n 's/^[0-9]*:memory://p' /proc/self/cgroup)
        group=/sys/fs/cgroup/memory${own%/}/firstcome.$$
        limit=memory.limit_in_bytes
    fi
    if mkdir "$group" 2>/dev/null && echo "$1M" 2>/dev/null >"$group/$limit"; then
        # shellcheck disable=SC2016 # for the shell that becomes the server
        run_under=(bash -c 'echo $$ >"$0/cgroup.procs" && exec "$@"' "$group")
        limited="$limit=$1M"
    else
        rmdir "$group" 2>/dev/null || true
        group=
    fi
}

# --- the rows ---

row_writer() {
    bench 300 writer headline | awk '$1 == 256' >"$found/row"
    read -r _ _ ours bare _ _ _ ratio _ <"$found/row"
    at_least "writer in process, full, batches of 256: share of bare SQLite" "${ratio%,}" 0.7 ""
    shown "... durable orders (the aim is 150,000)" "$ours" /s
    shown "... bare append of the same rows" "$bare" /s
}

row_alone() {
    bench 120 writer alone >"$found/row"
    shown "one durable order in process, alone: p95" "$(awk '/^order, from submit/ { print $(NF - 1) }' "$found/row")" " us"
    shown "... one fdatasync beside it: p95" "$(awk '/^fdatasync/ { print $(NF - 1) }' "$found/row")" " us"
}

row_refusals() {
    bench 300 engine "a million remembered" --warm-up-time 1 --measurement-time 3 >"$found/row"
    # The middle one of three, in an unit of criterion's.
    awk '/^decide, a million/ { name = $0; sub(/.*keys\//, "", name); sub(/ +time:.*/, "", name) }
         /thrpt:.*elem/ { unit["elem/s"] = 1; unit["Kelem/s"] = 1e3; unit["Melem/s"] = 1e6; unit["Gelem/s"] = 1e9
                    print $4 * unit[$5], name }' "$found/row" >"$found/rates"
    while read -r rate name; do
        at_least "decide with a million remembered keys: $name" "$rate" 2000000 /s
    done <"$found/rates"
    [ -s "$found/rates" ]
    bench 120 writer refusals | sed -n 's|.*through the queue: \([0-9]*\)/s.*|\1|p' >"$found/row"
    shown "... refusals through the queue" "$(cat "$found/row")" /s
}

row_orders() (
    serve
    for _ in 1 2 3; do
        rush --crowd plain --buyers 200000 --units 200000 --connections 512 --json "$scratch/rush.json" >/dev/null
        sed -n 's/.*"reserved_per_second": \([0-9.]*\).*/\1/p' "$scratch/rush.json"
    done | sort -n >"$scratch/rates"
    stop >/dev/null
    at_least "orders over HTTP, full, 512 connections (median of 3; the aim is 60,000)" "$(sed -n 2p "$scratch/rates")" 45000 /s
)

row_open-loop() (
    serve
    look_at_machine
    rungs --ladder 25000 --mix orders --rung-seconds 10 >"$scratch/rungs"
    stop >/dev/null
    read -r _ _ _ _ p95 p99 _ _ _ verdict <"$scratch/rungs"
    was_kept "orders at 25,000/s offered" "$verdict" || exit 0
    below_ms "orders at 25,000/s offered, open loop: p95" "$p95" 20
    below_ms "... p99" "$p99" 50
)

row_checkouts() (
    serve
    look_at_machine
    rush --crowd checkout --rate 2000 --buyers 20000 --units 20000 >"$scratch/rush"
    stop >/dev/null
    below_ms "checkouts at 2,000/s, as many orders beside them: p95" \
        "$(tr -d , <"$scratch/rush" | awk '/^  checkouts etc. from the intended start/ { print $(NF - 3) }')" 20
)

row_reads() {
    bench 300 reads >"$found/row"
    awk '/^# / { n = $3 $4 } /^firstcome / { rate[n] = $2 } /^ratio: / { sub(",", "", $3); ratio[n] = $3 }
         END { print ratio["hot,1"], rate["hot,1"], ratio["hot,16"], rate["hot,16"], ratio["cold,1"], rate["cold,1"] }' \
        "$found/row" >"$found/reads"
    read -r ratio rate ratio16 rate16 cold cold_rate <"$found/reads"
    at_least "status reads, one by one: share of bare hyper" "$ratio" 0.9 ""
    shown "... one serving thread" "$rate" /s
    at_least "... 16 pipelined, one serving thread" "$rate16" 300000 /s
    shown "... 16 pipelined: share of bare hyper" "$ratio16" ""
    shown "an order, read from the file each time, one by one: share of bare hyper" "$cold" ""
    shown "... one serving thread" "$cold_rate" /s
}

row_ladder() (
    serve
    look_at_machine
    rungs --ladder 2000,5000,8000 --rung-seconds 10 >"$scratch/rungs"
    stop >/dev/null
    while read -r target _ average _ p95 _ _ _ _ verdict; do
        was_kept "94:6 at $(number "$target")/s" "$verdict" || continue
        below_ms "94:6 at $(number "$target")/s offered, open loop: average" "$average" 0.5
        below_ms "... p95" "$p95" 1
    done <"$scratch/rungs"
)

row_mix() (
    . scripts/server.sh
    program=target/$profile/firstcome
    limit_memory 512
    trap 'cleanup; [ -z "$group" ] || rmdir "$group"' EXIT
    start
    below "resident after the start" "$(resident VmRSS)" 12 " MB"
    shown "... of that its own, the rest is pages of the program's file" "$(resident RssAnon)" " MB"
    look_at_machine
    rungs --ladder 9000 --rung-seconds 60 >"$scratch/rungs"
    orders=$(curl -sf "http://$admin/metrics" |
        sed -n 's/^firstcome_outcomes_total{command="place_order",outcome="accepted"} //p')
    now=$(resident VmRSS) peak=$(resident VmHWM)
    stop >/dev/null
    read -r _ _ _ p50 _ p99 p99_9 _ _ verdict <"$scratch/rungs"
    what="94:6 at 9,000/s for 60 s in 512 MB ($limited)"
    was_kept "$what" "$verdict" || exit 0
    below_ms "$what: p50" "$p50" 1
    below_ms "... p99" "$p99" 5
    below_ms "... p99.9" "$p99_9" 20
    below "... resident, with $(number "$orders") live orders and as many keys" "$now" \
        "$(awk -v n="$orders" 'BEGIN { print 45 + n * 240 / 1048576 }')" " MB"
    below "... resident at most" "$peak" 512 " MB"
)

row_bids() (
    serve
    for _ in 1 2 3; do
        bids 10000 --connections 64 --new-auctions 64 --pipeline 32
        of_bids acknowledged_per_second
    done | sort -n >"$scratch/rates"
    stop >/dev/null
    at_least "bids acknowledged, full, 64 connections x 32 (median of 3)" "$(sed -n 2p "$scratch/rates")" 120000 /s
)

row_bids-10k() (
    serve
    look_at_machine
    bids 1000 --rate 10000 --connections 100 --new-auctions 100
    stop >/dev/null
    at_least "bids at 10,000/s offered, open loop: acknowledged of 100,000" "$(of_bids acknowledged)" 100000 ""
    below_ms "... p99" "$(of_bids answer_ms p99)" 5
    shown "... p99.9" "$(of_bids answer_ms p99_9)" " ms"
)

# Each case twice: all in one auction, where who is not the fastest is told so, and an auction each.
row_bidders() (
    serve
    for pace in "10 ms apart:--pace-ms 10" "as fast as they go:"; do
        for auctions in 1 1000; do
            # shellcheck disable=SC2086 # two words or none
            bids 50 --connections 1000 --new-auctions "$auctions" ${pace#*:}
            what="1,000 x 50 bids, ${pace%:*}, auctions: $(number "$auctions")"
            at_least "$what: answered" "$(of_bids answered)" 50000 ""
            [ "$auctions" = 1 ] || at_least "... acknowledged" "$(of_bids acknowledged)" 50000 ""
            shown "... acknowledged" "$(of_bids acknowledged_per_second)" /s
            shown "... p99" "$(of_bids answer_ms p99)" " ms"
        done
    done
    stop >/dev/null
)

row_idle() (
    serve
    bids 3 --connections 1000 --pace-ms 60000 --deadline 240
    stop >/dev/null
    at_least "1,000 x 3 bids, idle for 60 s between them: answered" "$(of_bids answered)" 3000 ""
    shown "... p99" "$(of_bids answer_ms p99)" " ms"
)

row_subscribers() (
    serve
    bids 500 --connections 16 --subscribers 1000
    stop >/dev/null
    shown "1,000 subscribers hear of the last price: p50" "$(of_bids last_price_ms p50)" " ms"
    shown "... p99" "$(of_bids last_price_ms p99)" " ms"
    below "... the last of them" "$(of_bids last_price_ms max)" 100 " ms"
)

row_memory() {
    bench 120 memory | awk '$1 ~ /^[0-9]+$/ && NF == 3' >"$found/row"
    while read -r orders live key; do
        below "a live order and its key in memory, $(number "$orders") of them" "$live" 241 " B"
        below "... a key whose order has ended" "$key" 41 " B"
    done <"$found/row"
    [ -s "$found/row" ]
}

row_lapse() {
    bench 120 http lapse >"$found/row"
    shown "5,000 orders/s while nothing lapses: p99" "$(awk '/^nothing/ { print $(NF - 1) }' "$found/row")" " ms"
    awk '/^all reservations/ { print $(NF - 1), $NF }' "$found/row" >"$found/lapse"
    read -r p99 most <"$found/lapse"
    shown "... for 2 s around 100,000 reservations lapsing at once: p99" "$p99" " ms"
    shown "... the slowest" "$most" " ms"
}

row_growth() {
    bench 1200 writer growth | awk '$1 ~ /^[0-9]+$/ && $5 == "median"' >"$found/row"
    while read -r size cpu _ _ _ ratio _; do
        below "CPU time of an order, $(number "$size") in the file: times that of 1,000" "${ratio%,}" 1.15 ""
        shown "... of the writer" "$cpu" " us"
    done <"$found/row"
    [ -s "$found/row" ]
}

# From kill -9 to the first order that is answered: the start proves the whole file.
restarted() ( # orders
    serve
    rush --crowd plain --buyers "$1" --units "$1" >/dev/null
    kill -KILL "$server"
    wait "$server" 2>/dev/null || true
    began=${EPOCHREALTIME/./}
    start
    curl -sf -o /dev/null "http://$public/v1/drops/1/orders" -H 'Content-Type: application/json' \
        -H 'Idempotency-Key: first' -d '{"buyer":"first","quantity":1}'
    ended=${EPOCHREALTIME/./}
    awk -v from="$began" -v to="$ended" 'BEGIN { print (to - from) / 1e6 }'
)

row_start() {
    local few many
    few=$(restarted 100000) many=$(restarted 1000000)
    below "start with 100,000 remembered orders, to the first answered order" "$few" 2 " s"
    shown "... with 1,000,000" "$many" " s"
}

row_binary() {
    strip -o "$found/stripped" "target/$profile/firstcome"
    below "the binary, stripped" "$(stat -c %s "$found/stripped" | awk '{ print $1 / 1e6 }')" 15 " MB"
}

# Milliseconds of CPU of the server's threads: of the desk, which scrapes are answered by, and of all.
worked() {
    local thread
    for thread in "/proc/$server/task"/*; do
        awk -v desk="$(grep -c '^fc-query' "$thread/comm")" '{ print desk, $1 / 1e6 }' "$thread/schedstat"
    done | awk '{ all += $2; if ($1) desk += $2 } END { print desk, all }'
}

# The same storms in turn with and without somebody who scrapes, in one run of one server. How much more of the server's
# work the desk takes is what scraping takes from buyers; rates alone move too much on a shared machine.
row_scrape() (
    serve
    scrape='import http.client, sys, time
at = http.client.HTTPConnection(sys.argv[1])
while True:
    at.request("GET", "/metrics"); at.getresponse().read(); time.sleep(0.1)'
    scraper=
    trap '[ -z "$scraper" ] || kill "$scraper"; cleanup' EXIT
    for turn in 1 2 3 4 5 6; do
        for scraped in without with; do
            if [ "$scraped" = with ]; then
                python3 -c "$scrape" "$admin" &
                scraper=$!
            fi
            read -r desk all <<<"$(worked)"
            rush --crowd plain --buyers 100000 --units 100000 --json "$scratch/rush.json" >/dev/null
            read -r desk_after all_after <<<"$(worked)"
            rate=$(sed -n 's/.*"reserved_per_second": \([0-9.]*\).*/\1/p' "$scratch/rush.json")
            echo "$scraped $(awk -v a="$desk" -v b="$desk_after" -v c="$all" -v d="$all_after" \
                'BEGIN { print 100 * (b - a) / (d - c) }') $rate $turn"
            if [ -n "$scraper" ]; then
                kill "$scraper"
                wait "$scraper" 2>/dev/null || true
                scraper=
            fi
        done
    done >"$scratch/turns"
    curl -sf "http://$admin/metrics" | grep -vc '^#\|^$' >"$scratch/series"
    stop >/dev/null
    median() { awk -v want="$1" -v field="$2" '$1 == want { print $field }' "$scratch/turns" | sort -g | sed -n 3p; }
    below "ten scrapes a second in a storm: what they take of the server's work" \
        "$(awk -v a="$(median without 2)" -v b="$(median with 2)" 'BEGIN { print (b > a ? b - a : 0) }')" 2 " %"
    shown "... orders/s with them, as a share of those without (medians of 6)" \
        "$(awk -v a="$(median without 3)" -v b="$(median with 3)" 'BEGIN { print b / a }')" ""
    shown "... series" "$(cat "$scratch/series")" ""
)

# --- all of it ---

echo "== building ($profile)"
cargo build --quiet --locked --profile "$profile" --bin firstcome
built=" "
for row in "${asked[@]}"; do
    needed=${benches[$row]:-}
    [ "$row" != refusals ] || needed="engine writer"
    for name in $needed; do
        [[ "$built" == *" $name "* ]] && continue
        cargo bench --quiet --locked --profile "$profile" --bench "$name" --no-run
        built+="$name "
    done
done

echo "== $(nproc) cores, $(git rev-parse --short HEAD 2>/dev/null || echo "no revision"), $profile"
for row in "${asked[@]}"; do
    # A subshell, so that whatever fails ends this row only. Not as a condition: there `set -e` has no effect.
    set +e
    (set -e && "row_$row")
    status=$?
    set -e
    if [ "$status" != 0 ]; then
        line "$row" "not measured" "" BROKEN
        tail -n 3 "$found/errors" 2>/dev/null >&2 || true
    fi
done
missed=$(grep -cE '(MISSED|UNCLEAR|BROKEN)$' "$found/table" || true)
echo "== $missed figures not reached, $SECONDS s"
[ "$missed" = 0 ]
