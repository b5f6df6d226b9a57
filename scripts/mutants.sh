#!/usr/bin/env bash
# Mutation testing by rooms, with cargo-mutants: changes one place of a room at a time and asks whether a test fails.
#
#   scripts/mutants.sh ROOM [again]    ROOM is engine, store, writer, payments or admission
#   scripts/mutants.sh table           the outcomes of all rooms so far
#
# A room has stages. Each has the smallest set of rooms that its tests need, copied into a directory of its own, so that a
# mutant builds in seconds; the next stage runs only the survivors of the stage before. The sample is drawn by a hash of
# SEED and the mutant's name without its line, so an edit elsewhere leaves it as it is. Outcomes are kept in
# target/mutants/ROOM: an interrupted run goes on where it was. `again` runs the survivors once more, after new tests.
#
# SAMPLE (150) mutants are drawn; those that do not compile are counted apart. A mutant that hangs is caught.
set -euo pipefail
cd "$(dirname "$0")/.."

seed=${SEED:-14} sample=${SAMPLE:-150}
root=$PWD/target/mutants
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$root/build}
features=failpoints,otlp
# The rooms below each stage; `tests/tidy.rs` holds that they need no others.
rules="types engine failpoints"
file="$rules config exit sqlite memory store"
thread="$file capture log telemetry writer read"
doors="$thread sockets egress admission"
paid="$thread sockets egress payments"
served="$thread sockets egress admission payments mail outbox deadlines web api wire client preflight http server"

# room, stage, seconds for the tests, set of rooms, tests (`lib` are the unit tests of all these rooms)
stages='
engine    1  60 rules   engine_reports engine_rules auction_rules payment_rules
engine    2  90 file    lib engine_model payment_orders payment_shuffles store_model
store     1  60 file    lib store_model payment_orders recorded_money
store     2 120 thread  damage writer log_entries
store     3 200 thread  altered_columns faults power growth
store     4 300 all     lost_files operators_files operators_disks misplaced_files full_disk_rescue linked_files operators_tokens foreign_writes disk_fault rebuild_kill preflight shutdown kill clocks restart
writer    1 120 thread  lib writer faults
writer    2 240 all     clocks lost_files shutdown restart money
payments  1  90 paid    lib payment_webhooks
payments  2 240 served  payment_sessions early_refunds provider_events
admission 1  60 doors   lib
admission 2 240 all     buyers challenges clocks money
'

# A copy of the tree with only these rooms and tests.
copy() { # directory, set of rooms, tests
    local tree=$1 rooms=$2 name
    shift 2
    rm -rf "$tree"
    mkdir -p "$tree"
    git ls-files -z --cached --others --exclude-standard | tar -c --null --files-from=- --ignore-failed-read 2>/dev/null | tar -xm -C "$tree"
    # The tests in one program, with one copy of what they share: one crate to compile and to link.
    mkdir "$tree/tests/all"
    mv "$tree"/tests/*.rs "$tree"/tests/server/*.rs "$tree/tests/all/"
    rm -f "$tree"/tests/*/main.rs
    {
        echo '#![allow(warnings)]'
        for name in "$tree"/tests/*/mod.rs; do
            name=$(basename "$(dirname "$name")")
            (cd "$tree/tests/all" && grep -Eqs "^mod $name;|crate::$name\b" "${@/%/.rs}") || continue
            sed -i "s/^mod $name;/use super::$name;/" "$tree"/tests/all/*.rs
            echo "#[path = \"$name/mod.rs\"] mod $name;"
        done
        for name in "$@"; do
            [ "$name" != lib ] || continue
            local at=$name
            [ ! -f "tests/server/$name.rs" ] || at=server/$name # where its `include_str!` begins
            mv "$tree/tests/all/$name.rs" "$tree/tests/$at.part"
            echo "#[path = \"$at.part\"] mod $name;"
        done
    } >"$tree/tests/all.rs"
    rm -r "$tree/tests/all"
    local drop='^\[\[(bench|example)\]\]|^\[\[test\]\]'
    if [ "$rooms" != all ]; then
        rm -rf "$tree/src/main.rs" "$tree/src/cli" "$tree/src/cli.rs"
        for name in ${!rooms}; do echo "pub mod $name;"; done >"$tree/src/lib.rs"
        sed -i '/^default-run/d' "$tree/Cargo.toml"
    fi
    # Without the sections of targets that are not copied, and with less to write for the linker.
    awk -v drop="$drop" '/^\[/ { skip = ($0 ~ drop) } !skip' "$tree/Cargo.toml" >"$tree/Cargo.new"
    mv "$tree/Cargo.new" "$tree/Cargo.toml"
    # Its overrides name programs that this tree does not have.
    awk '/^\[/ { skip = /overrides/ } !skip' .config/nextest.toml >"$tree/.config/nextest.toml"
    printf '\n[profile.dev.package.firstcome]\ndebug = 0\n' >>"$tree/Cargo.toml"
}

# Adds what cargo-mutants has written so far to the room's own files.
harvest() { # room, stage
    local out=$root/$1/tree$2/mutants.out state
    for state in caught timeout unviable missed; do
        touch "$root/$1/$state$2"
        [ -f "$out/$state.txt" ] || continue
        sort -u "$out/$state.txt" "$root/$1/$state$2" -o "$root/$1/$state$2"
    done
    rm -rf "$out"
}

ended() { # room, stage: what this stage need not run
    sort -u "$root/$1/"{caught,timeout,unviable}* "$root/$1/missed$2" 2>/dev/null
}

run_stage() { # room, stage, seconds, set of rooms, tests
    local room=$1 stage=$2 seconds=$3 rooms=$4 tree=$root/$1/tree$2 test
    shift 4
    harvest "$room" "$stage"
    local before=$root/$room/sample
    [ "$stage" = 1 ] || before=$root/$room/missed$((stage - 1))
    comm -23 <(sort -u "$before") <(ended "$room" "$stage") >"$root/$room/todo"
    local todo
    todo=$(wc -l <"$root/$room/todo")
    echo "$room, stage $stage: $todo mutants"
    [ "$todo" -gt 0 ] || return 0
    copy "$tree" "$rooms" "$@"
    local arguments=(--locked --features "$features" --test all) only=()
    [[ " $* " != *" lib "* ]] || arguments+=(--lib)
    # The tests pass without a mutant, and this builds what all mutants share.
    (cd "$tree" && cargo nextest run "${arguments[@]}" --no-fail-fast --status-level fail --final-status-level fail) || {
        echo "$room: tests fail without a mutant" >&2
        exit 1
    }
    while read -r name; do only+=(--re "^$(sed 's/[][\\.*^$+?(){}|]/\\&/g' <<<"$name")\$"); done <"$root/$room/todo"
    (cd "$tree" && cargo mutants --in-place --baseline=skip --test-tool=nextest --timeout "$seconds" --build-timeout 900 \
        --colors=never --no-times --file "src/$room.rs" --file "src/$room/**" "${only[@]}" -- "${arguments[@]}") || true
    harvest "$room" "$stage"
}

# Survivors are counted as far as the stages have come: a later stage may still catch them.
table() {
    local room
    printf '%-10s %7s %7s %9s %8s %9s %7s %8s\n' room sample caught timed-out unviable survivors not-run share
    for room in engine store writer payments admission; do
        [ -f "$root/$room/sample" ] || continue
        (
            cd "$root/$room"
            sort -u sample >.sample
            names() { { cat "$1"[0-9] tree?/mutants.out/"$1.txt" 2>/dev/null || true; } | sort -u | comm -12 .sample -; }
            caught=$(names caught | wc -l) hung=$(names timeout | wc -l) unviable=$(names unviable | wc -l)
            survivors=$(comm -23 <(names missed) <(sort -u <(names caught) <(names timeout) <(names unviable)) | wc -l)
            ran=$((caught + hung + survivors)) all=$(wc -l <.sample)
            printf '%-10s %7d %7d %9d %8d %9d %7d %6.1f %%\n' "$room" "$all" "$caught" "$hung" "$unviable" "$survivors" \
                "$((all - ran - unviable))" "$(awk "BEGIN { print $ran ? 100 * ($caught + $hung) / $ran : 0 }")"
        )
    done
}

room=${1:?a room, or table}
[ "$room" != table ] || { table; exit 0; }
grep -q "^$room " <<<"$stages" || { echo "no room $room" >&2; exit 2; }
command -v cargo-mutants >/dev/null || { echo "cargo install cargo-mutants --locked" >&2; exit 2; }
mkdir -p "$root/$room"

cargo mutants --list --file "src/$room.rs" --file "src/$room/**" --colors=never >"$root/$room/all"
python3 - "$seed" "$sample" "$root/$room" <<'END'
import hashlib, re, sys
seed, count, room = sys.argv[1], int(sys.argv[2]), sys.argv[3]
names = open(f"{room}/all").read().splitlines()
key = lambda name: hashlib.sha256((seed + re.sub(r":\d+:\d+:", ":", name)).encode()).hexdigest()
open(f"{room}/sample", "w").write("".join(name + "\n" for name in sorted(names, key=key)[:count]))
print(f"{min(count, len(names))} of {len(names)} mutants, seed {seed}")
END

if [ "${2:-}" = again ]; then
    for stage in 1 2 3 4; do [ ! -d "$root/$room/tree$stage" ] || harvest "$room" "$stage"; done
    rm -f "$root/$room/"missed*
fi
while read -r name stage seconds rooms tests; do
    # shellcheck disable=SC2086
    [ "$name" != "$room" ] || run_stage "$room" "$stage" "$seconds" "$rooms" $tests </dev/null
done <<<"$stages"
table
echo "survivors: $root/$room/missed*"
