#!/usr/bin/env bash
# Runs everything that CI runs, in one command; "quick" before each commit. Prints the seconds of each stage at the end.
#
#   scripts/check.sh quick   format, lints, unit and API tests
#   scripts/check.sh         adds planted bugs, kill -9, documentation, randomised tests in release code, benches,
#                            instruction counts, the Debian package, and real sales end to end
#
# Each profile is built once, with one set of features: all in debug code, and all but `failpoints`, which is what a package
# has, in release code, which is compiled while the tests run. The default features are linted only. Stages that only compile or
# count run at low priority beside the scripts that sell and wait. Fuzzing for new inputs needs a build of its own: scripts/soak.sh.
set -euo pipefail
cd "$(dirname "$0")/.."

mode=${1:-full}
case $mode in quick | full) ;; *)
    echo "usage: scripts/check.sh [quick]" >&2
    exit 64
    ;;
esac

features=(--features failpoints,otlp,cluster)
release=(--release --features otlp,cluster)
logs=$(mktemp -d)
beside= ahead=
end() {
    if [ -n "$beside" ]; then kill -- "-$beside" 2>/dev/null || true; fi
    if [ -n "$ahead" ]; then kill -- "-$ahead" 2>/dev/null || true; fi
    rm -rf "$logs"
}
trap end EXIT

stage() { # NAME COMMAND...: runs a command; the script ends with the first one that fails
    local name=$1 start=$SECONDS
    shift
    echo "== $name: $*"
    if ! "$@"; then
        echo "== $name FAILED after $((SECONDS - start)) s: $*" >&2
        exit 1
    fi
    echo "== $name ok, $((SECONDS - start)) s"
    echo "$name $((SECONDS - start))" >>"$logs/seconds"
}

table() {
    echo "== seconds by stage"
    awk '{ printf "%6d  %s\n", $2, $1; sum += $2 } END { printf "%6d  in all, side by side\n", sum }' "$logs/seconds"
}

# `cargo nextest` runs the tests of all programs together; `cargo test` runs one program after the other.
run_tests() {
    if cargo nextest --version >/dev/null 2>&1; then
        cargo nextest run --locked "${features[@]}" --no-fail-fast
    else
        cargo test --locked "${features[@]}"
    fi
}

# With the program of the tests, which has the feature `cluster`.
cluster_drill() {
    if ! command -v etcd >/dev/null; then
        echo "skipped: etcd is not installed (apt-get install etcd-server)"
        return
    fi
    FIRSTCOME=target/debug/firstcome timeout 90 scripts/cluster/drill.sh 9
}

# Randomised tests in release code.
release_tests=()
for name in engine_model store_model log_entries log_simulated log_shards_simulated payment_shuffles faults damage power witness draw; do release_tests+=(--test "$name"); done

stage format cargo fmt --all --check
stage lints cargo clippy --locked "${features[@]}" --all-targets -- -D warnings
default_lints=(stage default-lints cargo clippy --locked --lib --bins -- -D warnings)
[ "$mode" = full ] || "${default_lints[@]}"
if [ "$mode" = full ]; then
    # Compiles release code on what the tests leave idle: those of a cluster run by themselves, and wait for most of their time.
    # With the policy SCHED_IDLE it never runs while a test could. The stages below wait for it and compile what is left.
    set -m
    (
        set +m
        chrt --idle --pid 0 "$BASHPID" || renice -n 19 "$BASHPID"
        cargo build --locked "${release[@]}"
        cargo test --locked "${release[@]}" --no-run "${release_tests[@]}" --bench '*'
    ) >"$logs/ahead" 2>&1 &
    ahead=$!
    set +m
fi
stage tests run_tests
if [ "$mode" = full ]; then
    stage planted-bugs scripts/planted.sh
    stage release-build cargo build --locked "${release[@]}"
    stage release-tests-build cargo test --locked "${release[@]}" --no-run "${release_tests[@]}" --bench '*'
    # The stages have told what could not be compiled.
    wait "$ahead" || true
    ahead=
    # Job control gives the lane a process group of its own, so that it ends as a whole.
    set -m
    (
        set +m
        stage docs env RUSTDOCFLAGS="-D warnings" cargo doc --locked "${features[@]}" --no-deps --document-private-items
        stage release-tests cargo test --locked "${release[@]}" "${release_tests[@]}"
        stage benches cargo test --locked "${release[@]}" --bench '*'
        stage instructions scripts/instructions.sh
        "${default_lints[@]}"
        stage package scripts/package-check.sh
    ) >"$logs/beside" 2>&1 &
    beside=$!
    set +m
    renice -n 10 -g "$beside" >/dev/null 2>&1 || true
    stage smoke scripts/smoke.sh
    stage startup scripts/startup.sh 10000 500
    stage crowd scripts/crowd.sh --percent 15 --sale-seconds 48 --seed 1
    stage cluster cluster_drill
    stage alerts scripts/alerts.sh
    stage signatures scripts/signatures.sh
    stage challenges scripts/challenges.sh
    stage limits scripts/limits.sh
    stage contract scripts/contract.sh
    stage clients scripts/clients.sh
    stage pages scripts/pages.sh check
    stage browser scripts/browser.sh
    stage console scripts/console.sh
    stage screens scripts/screens.sh
    stage dashboards scripts/dashboards.sh
    stage rehearsal scripts/rehearse.sh killed stalled endpoint disk wal clock counter oversold pages
    stage edge scripts/edge.sh 5
    code=0
    wait "$beside" || code=$?
    beside=
    cat "$logs/beside"
    [ "$code" = 0 ] || exit 1
    # By itself: it times an order in a large file beside one in a small file.
    stage growth cargo bench --locked --features otlp,cluster --bench writer growth
fi
table
echo "== all good ($mode), $SECONDS s"
