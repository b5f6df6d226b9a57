#!/usr/bin/env bash
# The proof that a cluster survives the death of its leader, on this machine: starts a cluster in a directory of its own, lets
# buyers place orders at all nodes, kills the leader's process (kill -9) in the middle and starts it again. At the end no
# acknowledged order may be lost or have taken stock twice, at any node. Loopback only, below a minute.
#
#   scripts/cluster/drill.sh [SECONDS]   how long they buy, 15 by default
#
# FIRSTCOME: a program that was built with the feature `cluster`; default: builds one. Needs what start.sh needs.
set -euo pipefail
cd "$(dirname "$0")/../.."

seconds=${1:-15}
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
killed=$leader
echo "n$killed leads; buyers place orders at all nodes for $seconds s"
timeout $((seconds + 120)) python3 scripts/cluster/buyers.py "$seconds" "$(public_of 1)" "$(public_of 2)" "$(public_of 3)" \
    >"$directory/buyers.out" 2>&1 &
beside=$!
sleep $((seconds / 3))
kill -KILL "${node_pid[$killed]}"
{ wait "${node_pid[$killed]}"; } 2>/dev/null || true
echo "n$killed: kill -9"
wait_until 60 find_leader || failed "no node leads" "$directory/n$killed.log"
echo "n$leader leads"
start_node "$killed"
wait_until 60 ready "$killed" || failed "n$killed does not come back" "$directory/n$killed.log"
echo "n$killed is back"
code=0
wait "$beside" || code=$?
beside=
cat "$directory/buyers.out"
[ $code = 0 ] || failed "the proof failed" "$directory/n$leader.log"
"$program" cluster status --cluster "$directory/n1.toml" 2>"$directory/status.err" || failed "the cluster is not in order" "$directory/status.err"
end_all
for node in "${nodes[@]}"; do "$program" verify --data "$directory/n$node" | sed -n "s/^verified/n$node is verified/p"; done
