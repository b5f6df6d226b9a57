#!/usr/bin/env bash
# Runs the fuzz targets of tests/fuzz: first the committed corpus, then new inputs from a fixed seed for some seconds.
#
#   scripts/fuzz.sh [SECONDS [TARGET...]]   60 seconds each; 0: the corpus alone
#
# Uses the stable toolchain: LLVM counts branches for libFuzzer without a sanitizer, as with `cargo fuzz --sanitizer none`.
# Failing inputs stay in tests/fuzz/artifacts; useful new ones are copied to tests/fuzz/corpus by hand.
set -euo pipefail
cd "$(dirname "$0")/../tests/fuzz"

seconds=${1:-60}
[[ $seconds =~ ^[0-9]{1,6}$ ]] || {
    echo "usage: scripts/fuzz.sh [SECONDS [TARGET...]]" >&2
    exit 64
}
shift $(($# > 0))
targets=("$@")
if [ $# = 0 ]; then
    for source in fuzz_targets/*.rs; do
        name=${source##*/}
        targets+=("${name%.rs}")
    done
fi

# The same dependencies as the program.
cp ../../Cargo.lock Cargo.lock
host=$(rustc --version --verbose | sed -n 's/^host: //p')
# With --target these flags do not apply to build scripts.
RUSTFLAGS="--cfg fuzzing -Ccodegen-units=1 -Cpasses=sancov-module
    -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters
    -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares
    -Cllvm-args=-simplifycfg-branch-fold-threshold=0"
export RUSTFLAGS=${RUSTFLAGS//$'\n'/ }
cargo build --quiet --release --target "$host" --target-dir ../../target/fuzz

grown=$(mktemp -d)
trap 'rm -rf "$grown"' EXIT
for target in "${targets[@]}"; do
    mkdir -p "artifacts/$target" "$grown/$target"
    limits=(-rss_limit_mb=512 -timeout=10 -max_len=4096 "-artifact_prefix=artifacts/$target/")
    if [ "$seconds" = 0 ]; then limits+=(-runs=0); else limits+=("-max_total_time=$seconds" -seed=1); fi
    "../../target/fuzz/$host/release/$target" "${limits[@]}" -verbosity=0 -print_final_stats=1 \
        "$grown/$target" "corpus/$target" 2>"$grown/$target.log" || {
        tail -n 40 "$grown/$target.log" >&2
        echo "$target: failing input saved in tests/fuzz/artifacts/$target" >&2
        exit 1
    }
    executed=$(sed -n 's/^stat::number_of_executed_units: *//p' "$grown/$target.log")
    echo "$target: $executed inputs, $(find "corpus/$target" -type f | wc -l) of them committed; none failed"
done
