#!/usr/bin/env bash
# Counts the instructions of the hot paths (benches/instructions.rs) and compares them with benches/instructions.toml.
# Counts do not depend on other load on the machine, so this can fail a build.
#
#   scripts/instructions.sh            compare; exit code 1 if a count grew by more than the tolerance
#   scripts/instructions.sh --accept   write the counts into the table
#
# valgrind counts the instructions of the release profile, with the features of a package, which the check builds. PROFILE=dist has about a tenth fewer. The crypto library is told
# to use no special instructions, since these differ between machines. Counts also depend on the compiler: with another one
# than the table's the tolerance is wider.
set -euo pipefail
shopt -s inherit_errexit
cd "$(dirname "$0")/.."

tolerance=5 tolerance_of_other_compiler=20 # percent
whole_tolerance=2                          # percent, of a whole order over HTTP and of a batch
few=20                                     # instructions that are tolerated at any percentage
door_most=3                                # percent of the rest of a hot read that the door may take
table=benches/instructions.toml
case ${1:-} in '' | --accept) ;; *)
    echo "usage: scripts/instructions.sh [--accept]" >&2
    exit 64
    ;;
esac
command -v valgrind >/dev/null || {
    echo "valgrind is missing: apt-get install valgrind" >&2
    exit 69
}

program=$(cargo bench --locked --profile "${PROFILE:-release}" --features otlp,cluster --bench instructions --no-run --message-format=json 2>/dev/null |
    sed -n 's|.*"executable":"\([^"]*/instructions-[^"]*\)".*|\1|p' || true)
[ -n "$program" ] || {
    cargo bench --locked --profile "${PROFILE:-release}" --features otlp,cluster --bench instructions --no-run
    exit 1
}
grep -q 12auditor_task5audit "$program" || {
    echo "AUDITOR: its task was not found by its name; tell this script the new one" >&2
    exit 1
}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
export OPENSSL_ia32cap=0:0

callgrind() { # an option of callgrind, arguments of the bench
    run_callgrind "$1" "$program" "${@:2}"
}
callgrind_door() { # arguments of the bench
    run_callgrind '--toggle-collect=*Admission::client_over' '--toggle-collect=*access::charge' \
        '--toggle-collect=*Door>::note_read' "$program" "$@"
}
run_callgrind() { # options of callgrind, program, its arguments
    rm -f "$scratch"/out*
    valgrind --quiet --tool=callgrind --callgrind-out-file="$scratch/out" "$@" \
        >/dev/null 2>"$scratch/errors" || {
        cat "$scratch/errors" >&2
        exit 1
    }
}
total() { sed -n 's/^totals: *//p' "$1"; }
of_threads() { # number and total of every thread but the main one
    local out
    for out in "$scratch"/out-*; do
        [ "${out##*-}" = 01 ] || echo "${out##*-} $(total "$out")"
    done
}

# The auditor counts new rows once a second on the thread that serves operators: how many of them it counts before the
# end of a case is a matter of time, so its task is left out.
auditor=firstcome::server::auditor_task::audit
callgrind_threads() { # arguments of the bench
    run_callgrind --separate-threads=yes "--toggle-collect=$auditor::*" --collect-atstart=yes "$program" "$@"
}
grown_threads() { # case, operations: by how much the count of each thread but the main one grows from n to 2n operations
    callgrind_threads "$1" "$2"
    of_threads >"$scratch/once"
    callgrind_threads "$1" "$(($2 * 2))"
    of_threads | join "$scratch/once" - | awk '{ print $3 - $2 }' >"$scratch/grown"
}

per_operation() { # case, operations
    local once=0 twice
    case $1 in
    http-order | http-batch-*)
        # The same of the two threads whose counts grow most: the serving thread and the writer.
        grown_threads "$1" "$2"
        twice=$(sort -rn "$scratch/grown" | head -2 | awk '{ sum += $1 } END { print sum }')
        ;;
    http-*)
        # Counts the worker thread for n and for 2n requests; the difference is the cost of n. The worker is the thread
        # whose count grows most, apart from the main thread, which sends the requests.
        grown_threads "$1" "$2"
        twice=$(sort -rn "$scratch/grown" | head -1)
        ;;
    door-*)
        # Counts what runs within the functions of the door that a read calls.
        callgrind_door "$1" "$2"
        once=$(total "$scratch/out")
        callgrind_door "$1" "$(($2 * 2))"
        twice=$(total "$scratch/out")
        ;;
    *)
        callgrind '--toggle-collect=*instructions*counted*' "$1" "$2"
        twice=$(total "$scratch/out")
        ;;
    esac
    awk -v once="$once" -v twice="$twice" -v n="$2" 'BEGIN { printf "%.0f\n", (twice - once) / n }'
}

accepted() { [ ! -e "$table" ] || sed -n "s/^$1 = *//p" "$table" | tr -d '"'; }

compiler=$(rustc --version)
if [ "$(accepted compiler)" != "$compiler" ]; then tolerance=$tolerance_of_other_compiler; fi
grown=0
printf '%-40s %12s %12s %8s\n' "instructions per operation" counted accepted change
while read -r name count; do
    now=$(per_operation "$name" "$count") before=$(accepted "$name")
    if [ -z "$before" ]; then
        echo "$name = $now" >>"$scratch/table"
        printf '%-40s %12s %12s\n' "$name" "$now" "(new)"
        grown=1
        continue
    fi
    most=$tolerance
    case $name in http-order | http-batch-*) [ "$tolerance" = "$tolerance_of_other_compiler" ] || most=$whole_tolerance ;; esac
    # What else runs on the machine can only add to a count over a socket: the least of three counts.
    case $name in http-*)
        for _ in 1 2; do
            [ $((100 * (now - before))) -gt $((most * before)) ] || break
            again=$(per_operation "$name" "$count")
            [ "$again" -ge "$now" ] || now=$again
        done
        ;;
    esac
    echo "$name = $now" >>"$scratch/table"
    change=$(awk -v a="$before" -v b="$now" 'BEGIN { printf "%+.1f", 100 * (b - a) / a }')
    printf '%-40s %12s %12s %7s%%\n' "$name" "$now" "$before" "$change"
    if [ $((now - before)) -gt "$few" ] && awk -v change="$change" -v most="$most" 'BEGIN { exit !(change > most) }'; then
        echo "GREW: $name takes $now instructions instead of $before ($change %; tolerance $most %)" >&2
        grown=1
    fi
done < <("$program" --list)

read_of() { sed -n "s/^$1 = //p" "$scratch/table"; }
awk -v door="$(read_of door-of-a-hot-read)" -v whole="$(read_of http-get-a-hot-drop-with-limits)" -v most="$door_most" 'BEGIN {
    percent = 100 * door / (whole - door)
    printf "the door adds %.1f %% to a hot read; at most %s %% are allowed\n", percent, most
    exit door == 0 || percent > most
}' || {
    echo "DOOR: it takes more of a hot read than it may, or its functions were not found by their names" >&2
    exit 1
}

if [ "${1:-}" = --accept ]; then
    {
        echo "# Instructions per operation, counted by scripts/instructions.sh, written by its --accept."
        echo "compiler = \"$compiler\""
        cat "$scratch/table"
    } >"$table"
    echo "accepted: $table"
elif [ "$grown" != 0 ]; then
    echo "if this is intended: run scripts/instructions.sh --accept, and give the reason in the commit" >&2
    exit 1
fi
