#!/usr/bin/env bash
# Compares the working tree with another revision. Both run in turn, so that other load on the machine affects both; the
# result is the ratio of each pair: above 1 the working tree is faster. Loopback only; removes what it makes.
#
#   scripts/bench-compare.sh REV [ROUNDS [WORKLOAD...]]   ROUNDS 5; workloads orders, reads, writer; all by default
#
#   orders   orders over HTTP, all accepted, 512 connections
#   reads    reads of a drop over HTTP, 64 connections
#   writer   the writer in process, batches of 256 (both revisions need benches/writer.rs)
#
# The working tree's load generator runs against both. PROFILE=release builds in a third of the time, slightly slower code.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
    sed -n '5s/^# *//p' "$0" >&2
    exit 64
}
[ $# -ge 1 ] || usage
revision=$(git rev-parse --verify --quiet "$1^{commit}") || {
    echo "unknown revision: $1" >&2
    exit 64
}
name=$1 rounds=${2:-5}
[[ $rounds =~ ^[1-9][0-9]{0,2}$ ]] || usage
shift $(($# < 2 ? $# : 2))
workloads=("${@:-orders}")
[ $# -gt 0 ] || workloads=(orders reads writer)
for workload in "${workloads[@]}"; do
    case $workload in orders | reads | writer) ;; *) usage ;; esac
done
profile=${PROFILE:-dist}

there=$(mktemp -d)
leave() {
    git worktree remove --force "$there/tree" 2>/dev/null || true
    rm -rf "$there"
    git worktree prune
}
trap leave EXIT
git worktree add --quiet --detach "$there/tree" "$revision"
# Before the profile `dist` existed, `release` had its settings, and `soak` those of today's `release`.
there_profile=$profile
if grep -q '^\[profile.soak\]' "$there/tree/Cargo.toml"; then
    case $profile in dist) there_profile=release ;; release) there_profile=soak ;; esac
fi
echo "== building $name and the working tree ($profile)"
(cd "$there/tree" && CARGO_TARGET_DIR="$there/target" cargo build --quiet --locked --profile "$there_profile" --bin firstcome)
cargo build --quiet --locked --profile "$profile" --bin firstcome
here_program=$PWD/target/$profile/firstcome there_program=$there/target/$there_profile/firstcome

served() { # program, name of the figure, arguments of rush
    (
        . scripts/server.sh
        trap 'cleanup' EXIT
        program=$1 figure=$2
        shift 2
        # Revisions without the wire protocol print no address of it.
        older_program=
        [ "$program" = "$here_program" ] || older_program=yes
        start
        "$here_program" rush --public "$public" --admin "$admin" --json "$scratch/rush.json" "$@" >"$scratch/rush.out" || {
            cat "$scratch/rush.out" >&2
            exit 1
        }
        stop >/dev/null
        sed -n "s/.*\"$figure\": \([0-9.]*\).*/\1/p" "$scratch/rush.json"
    )
}

benched() { # tree, target directory, profile
    (cd "$1" && CARGO_TARGET_DIR=$2 FIRSTCOME_BENCH_PAIRS=3 \
        cargo bench --quiet --locked --profile "$3" --bench writer -- headline 2>/dev/null) |
        awk '$1 == 256 { print $3 }'
}

measure() { # workload, here or there
    local program=$here_program
    [ "$2" = here ] || program=$there_program
    case $1 in
        orders) served "$program" orders_per_second --crowd plain --buyers 100000 --units 100000 --connections 512 ;;
        reads) served "$program" reads_per_second --reads 100 --buyers 400000 --connections 64 ;;
        writer) if [ "$2" = here ]; then benched "$PWD" "$PWD/target" "$profile"; else benched "$there/tree" "$there/target" "$there_profile"; fi ;;
    esac
}

for workload in "${workloads[@]}"; do
    if [ "$workload" = writer ] && ! grep -qs headline "$there/tree/benches/writer.rs"; then
        echo "== writer: $name does not have this benchmark"
        continue
    fi
    echo "== $workload: pair, $name, working tree, ratio"
    for round in $(seq "$rounds"); do
        base=$(measure "$workload" there) mine=$(measure "$workload" here)
        awk -v n="$round" -v a="$base" -v b="$mine" 'BEGIN { printf "%4d %12.0f %12.0f %8.3f\n", n, a, b, b / a }'
    done | tee "$there/pairs"
    sort -n -k 4 "$there/pairs" | awk -v name="$workload" '
        { ratio[NR] = $4 }
        END {
            middle = NR % 2 ? ratio[(NR + 1) / 2] : (ratio[NR / 2] + ratio[NR / 2 + 1]) / 2
            printf "%s: ratio median %.3f, from %.3f to %.3f over %d pairs\n", name, middle, ratio[1], ratio[NR], NR
        }'
done
