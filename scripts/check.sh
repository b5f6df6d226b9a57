#!/usr/bin/env bash
# Everything that CI runs, in one command; "quick" before each commit.
#
#   scripts/check.sh quick   format, lints, unit and API tests            (under 5 minutes warm)
#   scripts/check.sh         that, documentation, bugs on purpose, kill -9, the feature otlp, the randomised tests in fast
#                            code, and a real sale end to end
set -euo pipefail
cd "$(dirname "$0")/.."

mode=${1:-full}
case $mode in quick | full) ;; *)
    echo "usage: scripts/check.sh [quick]" >&2
    exit 64
    ;;
esac

stage() {
    local name=$1 start=$SECONDS
    shift
    echo "== $name: $*"
    if ! "$@"; then
        echo "== $name FAILED after $((SECONDS - start)) s: $*" >&2
        exit 1
    fi
    echo "== $name ok, $((SECONDS - start)) s"
}

stage format cargo fmt --all --check
stage lints cargo clippy --locked --all-targets -- -D warnings
stage tests cargo test --locked
if [ "$mode" = full ]; then
    stage docs env RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --document-private-items
    stage planted-bugs scripts/planted.sh
    stage kills cargo test --locked --features failpoints --test kill --test outbox_kill -- --nocapture
    stage otlp-lints cargo clippy --locked --features otlp --lib --bins --test traces_otlp -- -D warnings
    stage otlp cargo test --locked --features otlp --lib --test traces_otlp
    stage release-build cargo build --locked --release
    stage randomised cargo test --locked --profile soak --test engine_model --test store_model --test payment_shuffles --test faults --test damage \
        --test power --test witness
    stage benches cargo test --locked --profile soak --bench '*'
    stage growth cargo bench --locked --profile soak --bench writer growth
    stage instructions scripts/instructions.sh
    stage fuzz scripts/fuzz.sh 60
    stage smoke scripts/smoke.sh
    stage alerts scripts/alerts.sh
    stage rehearsal scripts/rehearse.sh killed stalled endpoint disk wal clock counter pages
    stage contract scripts/contract.sh
    stage signatures scripts/signatures.sh
    stage browser scripts/browser.sh
    stage dashboards scripts/dashboards.sh
    stage screens scripts/screens.sh
    stage edge scripts/edge.sh 5
fi
echo "== all good ($mode), $SECONDS s"
