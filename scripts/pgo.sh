#!/usr/bin/env bash
# A profile-guided build: the release program once more, laid out by what a sale really runs. Prints what it gains.
#
#   scripts/pgo.sh [PAIRS]   PAIRS 5: how often both programs sell in turn at the end; 0: only build
#
# Builds twice, then leaves the program in target/pgo/dist/firstcome. It needs llvm-profdata of the compiler's own
# LLVM, which rustup brings (llvm-tools). PROFILE=release builds in a third of the time, slightly slower code. Loopback only;
# ends by itself.
set -euo pipefail
shopt -s inherit_errexit
cd "$(dirname "$0")/.."

pairs=${1:-5}
[[ $pairs =~ ^[0-9]{1,2}$ ]] || {
    sed -n '4s/^# *//p' "$0" >&2
    exit 64
}
profile=${PROFILE:-dist}
profdata() { find "$(rustc --print sysroot)/lib/rustlib" -name llvm-profdata; }
[ -n "$(profdata)" ] || rustup component add llvm-tools
[ -n "$(profdata)" ] || {
    echo "llvm-profdata is missing: rustup component add llvm-tools" >&2
    exit 69
}

. scripts/server.sh
rush() { timeout 300 "$program" rush --public "$public" --admin "$admin" "$@"; }
orders() { rush --crowd plain --buyers 100000 --units 100000 --connections 512 --json "$scratch/rush.json" >/dev/null; }

echo "== building what counts its own steps"
raw=$PWD/target/pgo-raw # the same in each run: it is part of what cargo has built
rm -rf "$raw"
RUSTFLAGS="-Cprofile-generate=$raw" cargo build --quiet --locked --profile "$profile" --target-dir target/pgo-count
program=target/pgo-count/$profile/firstcome
echo "== a sale, a ladder of reads and orders, and bids, to be counted"
start
# A program that counts is slow, and may turn somebody away: that is counted too.
train() { rush "$@" >/dev/null 2>&1 || true; }
train --crowd plain --buyers 100000 --units 100000 --connections 512
train --buyers 50000 --connections 256
train --ladder 2000,4000
train --wire "$wire" --bids 200 --connections 64 --pipeline 32
stop >/dev/null
mkdir -p target/pgo
"$(profdata)" merge -o "$PWD/target/pgo/firstcome.profdata" "$raw"

echo "== building by what was counted"
RUSTFLAGS="-Cprofile-use=$PWD/target/pgo/firstcome.profdata" cargo build --quiet --locked --profile "$profile" --target-dir target/pgo
cargo build --quiet --locked --profile "$profile"

[ "$pairs" -gt 0 ] || exit 0
rate_of() { # program
    program=$1
    start
    orders
    stop >/dev/null
    rm -rf "$scratch/data"
    sed -n 's/.*"reserved_per_second": \([0-9.]*\).*/\1/p' "$scratch/rush.json"
}
echo "== orders over HTTP in turn, load by the same program: plain, guided, ratio"
for _ in $(seq "$pairs"); do
    plain=$(rate_of "target/$profile/firstcome") guided=$(rate_of "target/pgo/$profile/firstcome")
    awk -v p="$plain" -v g="$guided" 'BEGIN { printf "%.0f/s  %.0f/s  %.3f\n", p, g, g / p }' | tee -a "$scratch/pairs"
done
echo "median of the ratios: $(awk '{ print $3 }' "$scratch/pairs" | sort -n | sed -n "$(((pairs + 1) / 2))p")"
