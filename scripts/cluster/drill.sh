#!/usr/bin/env bash
# The proof that a cluster survives the death of its leader, on this machine: starts a cluster in a directory of its own, lets
# buyers place orders at all nodes, kills the leader's process (kill -9) in the middle and starts it again; then the same with
# `firstcome rush`. At the end no acknowledged order may be lost or have taken stock twice, at any node. Loopback only.
#
#   scripts/cluster/drill.sh [SECONDS]   how long they buy each time, 12 by default
#
# FIRSTCOME: a program that was built with the feature `cluster`; default: builds one. Needs what start.sh needs.
set -euo pipefail
cd "$(dirname "$0")/../.."

seconds=${1:-12}
. scripts/cluster/parts.sh
need_tools
directory=$(mktemp -d)
base=$(free_base)
beside=
end() {
    local code=$?
    [ -z "$beside" ] || kill "$beside" 2>/dev/null || true
    end_all
    if [ $code = 0 ] || [ -z "${KEEP:-}" ]; then rm -rf "$directory"; else echo "kept: $directory" >&2; fi
}
trap end EXIT
trap 'exit 130' INT TERM

start_cluster
make_drop drill 1000000 >/dev/null
# Kills the leader while a process in the background buys, starts it again, and waits for the end of that process.
kill_the_leader() { # OUTPUT OF THE BUYERS
    local killed=$leader code=0
    sleep $((seconds / 3))
    kill -KILL "${node_pid[$killed]}"
    { wait "${node_pid[$killed]}"; } 2>/dev/null || true
    echo "n$killed: kill -9"
    wait_until 60 find_leader || failed "no node leads" "$directory/n$killed.log"
    echo "n$leader leads"
    start_node "$killed"
    wait_until 60 ready "$killed" || failed "n$killed does not come back" "$directory/n$killed.log"
    echo "n$killed is back"
    wait "$beside" || code=$?
    beside=
    sed -n "$2" "$1"
    [ $code = 0 ] || failed "the proof failed" "$1"
}

echo "n$leader leads; buyers place orders at all nodes for $seconds s"
timeout $((seconds + 120)) python3 scripts/cluster/buyers.py "$seconds" "$(public_of 1)" "$(public_of 2)" "$(public_of 3)" \
    >"$directory/buyers.out" 2>&1 &
beside=$!
kill_the_leader "$directory/buyers.out" p

echo "n$leader leads; firstcome rush for $seconds s"
others=()
for node in "${nodes[@]}"; do [ "$node" = "$leader" ] || others+=("$(public_of "$node")"); done
"$program" rush --public "$(public_of "$leader")" --nodes "$(IFS=,; echo "${others[*]}")" --admin "$(admin_of "$leader")" \
    --buyers $((seconds * 300)) --units $((seconds * 300)) --rate 300 --connections 64 --deadline 60 >"$directory/rush.out" 2>&1 &
beside=$!
kill_the_leader "$directory/rush.out" "/^check/,\$p"
in_order() { "$program" cluster status --cluster "$directory/n1.toml" >"$directory/status" 2>"$directory/status.err"; }
wait_until 10 in_order || failed "the cluster is not in order" "$directory/status.err"
cat "$directory/status"
end_all
for node in "${nodes[@]}"; do "$program" verify --data "$directory/n$node" | sed -n "s/^verified/n$node is verified/p"; done
