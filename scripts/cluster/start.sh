#!/usr/bin/env bash
# A cluster on this machine, in one command: three members of etcd, three nodes, and a drop to play with. Ctrl-C ends it all;
# the same command with the same directory goes on where it was. Loopback only, and for trying things out only: when this
# machine dies, everything does.
#
#   scripts/cluster/start.sh [DIRECTORY]   default: firstcome-cluster
#
# PORTS (8100): node I has the ports PORTS + 10 * I and the four behind it. FIRSTCOME: a program that was built with the feature
# `cluster`; default: builds one. Needs Debian's etcd-server, protobuf-compiler and libprotobuf-dev.
set -euo pipefail
here=$PWD
cd "$(dirname "$0")/../.."

directory=${1:-firstcome-cluster}
case $directory in /*) ;; *) directory=$([ -n "${1:-}" ] && echo "$here/$1" || echo "$PWD/$directory") ;; esac
base=${PORTS:-8100}
. scripts/cluster/parts.sh

need_tools
for node in "${nodes[@]}"; do
    for port in 0 1 2 3 4; do
        port=$((base + node * 10 + port))
        if (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
            echo "port $port is in use: choose others with PORTS=9100 $0" >&2
            exit 69
        fi
    done
done
trap end_all EXIT
trap 'echo; echo "ending nodes and members"; exit 0' INT TERM

start_cluster
if ! curl -sf -o /dev/null "http://$(public_of "$leader")/v1/drops/1"; then make_drop demo 10000 >/dev/null; fi

others() { # the public listeners of the nodes that follow
    local node all=()
    for node in "${nodes[@]}"; do [ "$node" = "$leader" ] || all+=("$(public_of "$node")"); done
    (IFS=, && echo "${all[*]}")
}

echo "a cluster of three nodes, below $directory"
for node in "${nodes[@]}"; do
    role=follows
    [ "$node" != "$leader" ] || role=leads
    echo "  n$node  $role  buyers http://$(public_of "$node")/v1/drops/1  operators http://$(admin_of "$node")/metrics  process ${node_pid[$node]}"
done
for member in "${members[@]}"; do echo "  etcd$member  $(client_of "$member")  process ${member_pid[$member]}"; done
cat <<END
type in a second terminal:
  $program cluster status --cluster $directory/n1.toml
  $program rush --public $(public_of "$leader") --nodes $(others) --admin $(admin_of "$leader") --rate 300 --buyers 10000
  python3 scripts/cluster/buyers.py 20 $(for node in "${nodes[@]}"; do printf '%s ' "$(public_of "$node")"; done)
  kill -9 ${node_pid[$leader]}        # the leader, while they buy: another node leads within seconds
  tail -n 5 $directory/n*.log
  scripts/cluster/drill.sh         # the same as a proof, in a cluster of its own
Ctrl-C here ends everything.
END

# As the systemd unit does, a node that was killed or met a bug is started again, and every member. All are looked at: a wait for
# the next end misses one that comes during another wait.
keep_running
