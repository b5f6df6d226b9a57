#!/usr/bin/env bash
# What a cluster costs beside a single machine, in one run: the same program serves alone and as three nodes with three members
# of etcd, all on this machine, in turn, so that other load affects both. A floor: six processes and the load share the cores.
# Prints for each round orders per second, p50 and p99, and the CPU time and bytes per order of each kind of process; then reads
# of the drop at one server and at three nodes. Loopback only; removes what it makes.
#
#   scripts/cluster/figures.sh [ROUNDS [ORDERS]]   3 rounds of 30,000 orders
#
# CONNECTIONS: 256. FIRSTCOME: a program that was built with the feature `cluster`; default: builds one. Needs what start.sh needs.
set -euo pipefail
cd "$(dirname "$0")/../.."

rounds=${1:-3} orders=${2:-30000} connections=${CONNECTIONS:-256}
[[ $rounds =~ ^[1-9][0-9]?$ && $orders =~ ^[1-9][0-9]{2,6}$ ]] || { sed -n '6s/^# *//p' "$0" >&2; exit 64; }
. scripts/cluster/parts.sh
need_tools
directory=$(mktemp -d)
base=$(free_base)
alone='' alone_admin=127.0.0.1:$((base + 45)) alone_public=127.0.0.1:$((base + 46))
end() {
    [ -z "$alone" ] || { kill -TERM "$alone" && wait "$alone"; } 2>/dev/null || true
    end_all
    rm -rf "$directory"
}
trap end EXIT
trap 'exit 130' INT TERM

start_cluster
followers=()
for node in "${nodes[@]}"; do [ "$node" = "$leader" ] || followers+=("$node"); done
"$program" serve --data "$directory/alone" --public "$alone_public" --admin "$alone_admin" --wire 127.0.0.1:0 \
    >"$directory/alone.log" 2>&1 &
alone=$!
wait_until 60 curl -sf -o /dev/null "http://$alone_admin/readyz" || failed "the single machine does not serve" "$directory/alone.log"

cpu_of() { # PID...: CPU time of processes, in microseconds
    local pid ticks=0 field
    for pid in "$@"; do
        read -r -a field <<<"$(sed 's/.*) //' "/proc/$pid/stat")"
        ticks=$((ticks + field[11] + field[12]))
    done
    echo $((ticks * 1000000 / $(getconf CLK_TCK)))
}

sent() { # METRIC: sum over the members of etcd
    local member
    for member in "${members[@]}"; do curl -sf "$(client_of "$member")/metrics"; done |
        awk -v name="$1" '$1 ~ "^"name"({|$)" { sum += $2 } END { printf "%.0f\n", sum }'
}

rush() { # NAME PUBLIC ADMIN MORE...
    local name=$1 public=$2 admin=$3
    shift 3
    "$program" rush --public "$public" --admin "$admin" --buyers "$orders" --units "$orders" --crowd plain --seed 1 \
        --connections "$connections" --threads 1 --json "$directory/$name.json" "$@" >"$directory/$name.out" 2>&1 ||
        failed "rush failed" "$directory/$name.out"
}

# A line of JSON with the CPU time of each kind of process, and the bytes that members sent so far.
record() { # FILE SERVER FOLLOWERS
    local file=$1
    shift
    # shellcheck disable=SC2086 # several processes
    printf '{"server": %d, "followers": %d, "etcd": %d, "client_bytes": %d, "peer_bytes": %d}\n' \
        "$(cpu_of "$1")" "$(cpu_of $2)" "$(cpu_of "${member_pid[@]}")" \
        "$(sent etcd_network_client_grpc_sent_bytes_total)" "$(sent etcd_network_peer_sent_bytes_total)" >"$directory/$file"
}

measured() { # NAME SERVER FOLLOWERS PUBLIC ADMIN MORE...: one run of rush, with what its processes used
    local name=$1 server=$2 follow=$3
    record "$name.before" "$server" "$follow"
    rush "$name" "${@:4}"
    record "$name.after" "$server" "$follow"
}

in_turn() { # ROUND: the single machine first in odd rounds, the cluster first in even ones
    if [ $(($1 % 2)) = 1 ]; then echo alone cluster; else echo cluster alone; fi
}

pids_of() { local node; for node in "$@"; do echo "${node_pid[$node]}"; done; }
for ((round = 1; round <= rounds; round++)); do
    for what in $(in_turn $round); do
        echo "orders, round $round of $rounds: $what" >&2
        case $what in
            alone) measured "orders.alone.$round" "$alone" "" "$alone_public" "$alone_admin" ;;
            cluster) measured "orders.cluster.$round" "${node_pid[$leader]}" "$(pids_of "${followers[@]}")" \
                "$(public_of "$leader")" "$(admin_of "$leader")" ;;
        esac
    done
done
# Reads: as many from one server alone as from three nodes together, a third from each, at once.
read_from() { # NAME PUBLIC ADMIN SHARE DROP
    "$program" rush --public "$2" --admin "$3" --buyers $((orders * 4 / $4)) --drop "$5" --reads 100 --connections $((63 / $4)) --threads 1 \
        --crowd plain --seed 1 --json "$directory/$1.json" >"$directory/$1.out" 2>&1 || failed "rush failed" "$directory/$1.out"
}
for ((round = 1; round <= rounds; round++)); do
    for what in $(in_turn $round); do
        echo "reads, round $round of $rounds: $what" >&2
        case $what in
            alone) read_from "reads.alone.$round" "$alone_public" "$alone_admin" 1 1 ;;
            cluster)
                readers=()
                for node in "${nodes[@]}"; do
                    read_from "reads.n$node.$round" "$(public_of "$node")" "$(admin_of "$leader")" 3 1 &
                    readers+=($!)
                done
                for reader in "${readers[@]}"; do wait "$reader"; done
                ;;
        esac
    done
done

python3 - "$directory" "$rounds" "${nodes[@]}" <<'PY'
import json, statistics, sys

directory, rounds, nodes = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
read = lambda name: json.load(open(f"{directory}/{name}"))
print(f"{'orders':24}{'orders/s':>10}{'p50 ms':>9}{'p99 ms':>9}{'server µs':>11}{'followers µs':>14}{'etcd µs':>9}{'etcd B':>8}")
ratios, medians = [], {"alone": [], "cluster": []}
for round in range(1, rounds + 1):
    rates = {}
    for what in ("alone", "cluster"):
        name = f"orders.{what}.{round}"
        result, before, after = read(name + ".json"), read(name + ".before"), read(name + ".after")
        used = {key: (after[key] - before[key]) / result["achieved"]["answers"] for key in after}
        rates[what] = result["achieved"]["orders_per_second"]
        latency = result["latency_ms"]["orders"]["from_request_to_answer"]
        medians[what].append(latency["p50"])
        # The members are idle but for heartbeats while the single machine sells.
        etcd = (used["etcd"], used["client_bytes"] + used["peer_bytes"]) if what == "cluster" else (0, 0)
        label = "single machine" if what == "alone" else "three nodes"
        print(f"{label:24}{rates[what]:10,.0f}{latency['p50']:9.1f}{latency['p99']:9.1f}{used['server']:11.1f}"
              f"{used['followers']:14.1f}{etcd[0]:9.1f}{etcd[1]:8,.0f}")
    ratios.append(rates["cluster"] / rates["alone"])
print(f"ratio of orders/s, three nodes to one machine: median {statistics.median(ratios):.2f}, "
      f"from {min(ratios):.2f} to {max(ratios):.2f}; p50 of three nodes {statistics.median(medians['cluster']):.1f} ms")
for round in range(1, rounds + 1):
    alone = read(f"reads.alone.{round}.json")["achieved"]["reads_per_second"]
    together = [read(f"reads.n{node}.{round}.json")["achieved"]["reads_per_second"] for node in nodes]
    print(f"reads/s: single machine {alone:,.0f}; three nodes {sum(together):,.0f} ({', '.join(f'{one:,.0f}' for one in together)})")
PY
