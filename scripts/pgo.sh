#!/usr/bin/env bash
# Makes a profile-guided build with the profile of a sale, and prints the speedup.
#
#   scripts/pgo.sh [PAIRS]   number of comparison runs of both programs at the end (5); 0: only build
#
# Builds twice; the result is target/pgo/dist/firstcome. Needs llvm-profdata of the compiler's own LLVM, which rustup
# provides (llvm-tools). PROFILE=release builds in a third of the time, slightly slower code. Loopback only.
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

echo "== building the instrumented program"
raw=$PWD/target/pgo-raw # the same path in each run: it is part of cargo's fingerprint
rm -rf "$raw"
RUSTFLAGS="-Cprofile-generate=$raw" cargo build --quiet --locked --profile "$profile" --target-dir target/pgo-count
program=target/pgo-count/$profile/firstcome
echo "== training: a sale, a ladder of reads and orders, and bids"
start
# The instrumented build is slow and may reject requests; those paths are profiled as well.
train() { rush "$@" >/dev/null 2>&1 || true; }
train --crowd plain --buyers 100000 --units 100000 --connections 512
train --buyers 50000 --connections 256
train --ladder 2000,4000
train --wire "$wire" --bids 200 --connections 64 --pipeline 32
stop >/dev/null
mkdir -p target/pgo
"$(profdata)" merge -o "$PWD/target/pgo/firstcome.profdata" "$raw"

echo "== building with the profile"
RUSTFLAGS="-Cprofile-use=$PWD/target/pgo/firstcome.profdata" cargo build --quiet --locked --profile "$profile" --target-dir target/pgo
cargo build --quiet --locked --profile "$profile"

[ "$pairs" -gt 0 ] || exit 0
rate_of() { # program
    program=$1
    start
    orders
    stop >/dev/null
    rm -rf "$scratch/data" "$scratch/data.firstcome"
    sed -n 's/.*"reserved_per_second": \([0-9.]*\).*/\1/p' "$scratch/rush.json"
}
echo "== orders over HTTP per second, each program with its own load generator: plain, guided, ratio"
for _ in $(seq "$pairs"); do
    plain=$(rate_of "target/$profile/firstcome") guided=$(rate_of "target/pgo/$profile/firstcome")
    awk -v p="$plain" -v g="$guided" 'BEGIN { printf "%.0f/s  %.0f/s  %.3f\n", p, g, g / p }' | tee -a "$scratch/pairs"
done
echo "median ratio: $(awk '{ print $3 }' "$scratch/pairs" | sort -n | sed -n "$(((pairs + 1) / 2))p")"
