#!/usr/bin/env bash
# Rehearses the alerts and runbooks of a cluster, and asks every query of its dashboard, on this machine: a cluster in a
# directory of its own under Debian's Prometheus and buyers. The leader is killed, a follower loses its disk and joins again,
# the leader hands over; then one member of etcd is killed, and a second one, and at last all data of etcd are lost. Waits for
# each alert and for its end. Loopback only, about two minutes.
#
# FIRSTCOME: a program that was built with the feature `cluster`; default: builds one. Needs what start.sh needs.
set -euo pipefail
cd "$(dirname "$0")/../.."

. scripts/cluster/parts.sh
. scripts/prometheus.sh
need_tools
directory=$(mktemp -d)
base=$(free_base)
helpers=()
end() {
    local pid
    for pid in "${helpers[@]}"; do
        kill "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    end_all
    rm -rf "$directory"
}
trap end EXIT
trap 'exit 130' INT TERM

start_cluster
make_drop rehearsal 1000000 >/dev/null
at=127.0.0.1:$((base + 5)) router=127.0.0.1:$((base + 6)) router_admin=127.0.0.1:$((base + 7))
shard_nodes=
for node in "${nodes[@]}"; do
    shard_nodes+="{ public_url = \"http://$(public_of "$node")\", admin_url = \"http://$(admin_of "$node")\" }, "
done
printf '[[shard]]\nnumber = 0\nnodes = [%s]\n' "$shard_nodes" >"$directory/shards.toml"
"$program" route --shards "$directory/shards.toml" --public "$router" --admin "$router_admin" >"$directory/router.log" 2>&1 &
helpers+=($!)
routes() { curl -sf "http://$router_admin/readyz" >/dev/null; }
wait_until 30 routes || failed "the router does not start" "$directory/router.log"
targets() { # FUNCTION: three addresses as a list of YAML
    echo "['$("$1" 1)', '$("$1" 2)', '$("$1" 3)']" | sed 's|http://||g'
}
cat >"$directory/prometheus.yml" <<YAML
global: { scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s }
rule_files: ['$PWD/dashboards/alerts.yml']
scrape_configs:
  - { job_name: firstcome, static_configs: [{ targets: $(targets admin_of | sed "s|]|, '$router_admin']|") }] }
  - { job_name: etcd, static_configs: [{ targets: $(targets client_of) }] }
YAML
began=$(date +%s)
"$prometheus" --config.file="$directory/prometheus.yml" --storage.tsdb.path="$directory/series" --web.listen-address="$at" \
    --log.level=warn 2>"$directory/prometheus.err" &
helpers+=($!)
up() { curl -sfG "http://$at/api/v1/query" --data-urlencode 'query=count(up == 1)' | grep -q '"7"\]'; }
wait_until 30 up || failed "Prometheus does not see seven targets" "$directory/prometheus.err"

fires() {
    curl -sfG "http://$at/api/v1/query" --data-urlencode "query=ALERTS{alertname=\"$1\",alertstate=\"firing\"}" | grep -q '"alertname"'
}
silent() { ! fires "$1"; }
expect() { # fires|silent ALERT
    local since=$SECONDS
    wait_until 60 "$1" "$2" || failed "$2 is not $1 within 60 s" "$directory/prometheus.err"
    echo "  $2 $1 after $((SECONDS - since)) s"
}
stop_hard() { # PROCESS
    kill -KILL "$1"
    { wait "$1"; } 2>/dev/null || true
}

timeout 90 python3 scripts/cluster/buyers.py 30 "$(public_of 1)" "$(public_of 2)" "$(public_of 3)" "$router" >"$directory/buyers.out" 2>&1 &
buyers=$!
sleep 5
make_drop_at "$router_admin" routed 5 >/dev/null || failed "a drop through the router" "$directory/router.log"
killed=$leader
echo "the leader n$killed is killed"
stop_hard "${node_pid[$killed]}"
expect fires FirstcomeDown
silent FirstcomeNoLeader || failed "a takeover is not the loss of the leader"
start_node "$killed"
expect silent FirstcomeDown
wait_until 30 find_leader || failed "no node leads"
for lost in "${nodes[@]}"; do [ "$lost" = "$leader" ] || break; done
for from in "${nodes[@]}"; do [ "$from" = "$leader" ] || [ "$from" = "$lost" ] || break; done
echo "the follower n$lost loses its disk, and joins again from n$from"
stop_hard "${node_pid[$lost]}"
rm -rf "$directory/n$lost"
"$program" cluster join --cluster "$directory/n$lost.toml" --data "$directory/n$lost" --from "$(admin_of "$from")" >"$directory/join.out" 2>&1 ||
    failed "join" "$directory/join.out"
start_node "$lost"
wait_until 30 ready "$lost" '?role=follower' || failed "n$lost does not follow" "$directory/n$lost.log"
echo "the leader n$leader hands over"
"$program" cluster handover --admin "$(admin_of "$leader")" || failed "handover"
wait "$buyers" || failed "the buyers" "$directory/buyers.out"
tail -n 1 "$directory/buyers.out"

echo "a member of etcd is killed"
stop_hard "${member_pid[1]}"
expect fires FirstcomeEtcdMemberLost
silent FirstcomeNoLeader || failed "one member of three is not the majority"
echo "a second member is killed"
stop_hard "${member_pid[2]}"
expect fires FirstcomeNoLeader
expect fires FirstcomeNodeBehind
# A write through the router waits for a leader, and is refused in the end.
refused=$(curl -s -X POST "http://$router_admin/v1/drops/1/pause" -H 'Content-Type: application/json' -d '{"reason":"none leads"}')
[[ $refused == *'"shard-unavailable"'* ]] || failed "a write without a leader: $refused" "$directory/router.log"
echo "both are started"
start_member 1
start_member 2
for alert in FirstcomeNoLeader FirstcomeNodeBehind FirstcomeEtcdMemberLost; do expect silent $alert; done
wait_until 30 all_ready || failed "a node is not ready" "$directory/n1.log"
PYTHONDONTWRITEBYTECODE=1 python3 scripts/dashboards/ask.py --cluster "http://$at" "$began"

echo "all members lose their data"
for member in "${members[@]}"; do stop_hard "${member_pid[$member]}"; done
for node in "${nodes[@]}"; do kill -TERM "${node_pid[$node]}"; done
for node in "${nodes[@]}"; do wait "${node_pid[$node]}" || failed "n$node did not end in order" "$directory/n$node.log"; done
rm -rf "$directory"/etcd?
for member in "${members[@]}"; do start_member "$member"; done
adopt() { "$program" cluster adopt --cluster "$directory/n$1.toml" --data "$directory/n$1" "${@:2}" 2>&1; }
longest=1 highest=0
# Without --accept-n it tells the number of the last entry, and fails.
tells() { number=$({ adopt "$1" || true; } | sed -n 's/.*--accept-n \([0-9]*\) .*/\1/p') && [ -n "$number" ]; }
for node in "${nodes[@]}"; do
    wait_until 30 tells "$node" || failed "adopt does not tell the entry of n$node"
    if [ "$number" -gt "$highest" ]; then longest=$node highest=$number; fi
done
adopted() { adopt "$longest" --accept-n "$highest" >"$directory/adopt.out"; }
wait_until 30 adopted || failed "adopt of n$longest with entry $highest" "$directory/adopt.out"
start_node "$longest"
wait_until 30 find_leader || failed "no node leads" "$directory/n$longest.log"
echo "the new log begins with the file of n$longest, entry $highest; the others join it"
for node in "${nodes[@]}"; do
    [ "$node" != "$longest" ] || continue
    rm -rf "$directory/n$node"
    "$program" cluster join --cluster "$directory/n$node.toml" --data "$directory/n$node" --from "$(admin_of "$longest")" --from-leader \
        >"$directory/join.out" 2>&1 || failed "join" "$directory/join.out"
    start_node "$node"
done
wait_until 30 all_ready || failed "a node is not ready" "$directory/n1.log"
timeout 60 python3 scripts/cluster/buyers.py 3 "$(public_of 1)" "$(public_of 2)" "$(public_of 3)" | tail -n 1
