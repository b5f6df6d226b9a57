# shellcheck shell=bash disable=SC2154,SC2317
# Sourced by the scripts of a cluster on this machine: three members of etcd and three nodes on ports of 127.0.0.1, below one
# directory. Sets program. Whoever sources it sets directory and base (the first port), and calls end_all at its end.

program=${FIRSTCOME:-target/release/firstcome}
members=(1 2 3) nodes=(1 2 3)
declare -A member_pid node_pid

# The ports of number I follow each other: buyers, operators, wire, etcd for clients, etcd for its peers.
public_of() { echo "127.0.0.1:$((base + $1 * 10))"; }
admin_of() { echo "127.0.0.1:$((base + $1 * 10 + 1))"; }
wire_of() { echo "127.0.0.1:$((base + $1 * 10 + 2))"; }
client_of() { echo "http://127.0.0.1:$((base + $1 * 10 + 3))"; }
peer_of() { echo "http://127.0.0.1:$((base + $1 * 10 + 4))"; }

failed() { # WHAT [FILE]: says what went wrong, with the end of a log
    echo "$1" >&2
    [ -z "${2:-}" ] || tail -n 5 "$2" >&2
    exit 1
}

# Says what is missing, and builds the program unless FIRSTCOME names one.
need_tools() {
    local tool
    for tool in etcd curl python3; do
        command -v $tool >/dev/null || missing "$tool"
    done
    if [ -n "${FIRSTCOME:-}" ]; then
        # A build without the feature says so before it reads the file.
        ! "$program" cluster status --cluster /dev/null 2>&1 | grep 'has no replicated log' >&2 || exit 64
        return 0
    fi
    command -v protoc >/dev/null || missing protoc
    cargo build --locked --release --features cluster
}

missing() {
    echo "$1 is missing: apt-get install etcd-server curl python3 protobuf-compiler libprotobuf-dev" >&2
    exit 69
}

# The first port of a random range of ports that are free.
free_base() {
    python3 - <<'PY'
import os, random, socket, sys

def free(port):
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            one.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True

# Below the range of ports that connections out of this machine get.
for _ in range(200):
    base = random.randrange(12000, 31000, 50)
    if all(free(base + i * 10 + port) for i in (1, 2, 3) for port in range(5)):
        print(base)
        sys.exit()
sys.exit("no free ports")
PY
}

# Sessions of their own: Ctrl-C in the terminal reaches the script alone, which ends them in order.
start_member() { # I
    local all=() other
    for other in "${members[@]}"; do all+=("etcd$other=$(peer_of "$other")"); done
    setsid etcd --name "etcd$1" --data-dir "$directory/etcd$1" --log-level error --snapshot-count 2000 \
        --heartbeat-interval 50 --election-timeout 500 \
        --quota-backend-bytes 4294967296 --listen-client-urls "$(client_of "$1")" --advertise-client-urls "$(client_of "$1")" \
        --listen-peer-urls "$(peer_of "$1")" --initial-advertise-peer-urls "$(peer_of "$1")" \
        --initial-cluster "$(IFS=,; echo "${all[*]}")" >>"$directory/etcd$1.log" 2>&1 &
    member_pid[$1]=$!
    echo $! >"$directory/etcd$1.pid"
}

start_node() { # I
    FIRSTCOME__PAYMENTS__SANDBOX=true setsid "$program" serve --cluster "$directory/n$1.toml" --data "$directory/n$1" \
        --public "$(public_of "$1")" --admin "$(admin_of "$1")" --wire "$(wire_of "$1")" >>"$directory/n$1.log" 2>&1 &
    node_pid[$1]=$!
    echo $! >"$directory/n$1.pid"
}

# The file of a node's cluster. It names the member beside the node first.
write_file() { # I
    local urls=() at
    for at in 0 1 2; do urls+=("\"$(client_of $((($1 - 1 + at) % 3 + 1)))\""); done
    cat >"$directory/n$1.toml" <<TOML
cluster = "demo"
node = "n$1"
members = [$(IFS=,; echo "${urls[*]}")]
key_file = "$directory/cluster.key"
test = true # all on one machine, and any version of etcd: never for a sale
TOML
}

# Makes the key, the first node's database, the log of it, and the copies of the database for the other nodes.
make_cluster() {
    local node first=$directory/n1
    (umask 077 && "$program" cluster key >"$directory/cluster.key")
    for node in "${nodes[@]}"; do write_file "$node"; done
    "$program" serve --data "$first" --public 127.0.0.1:0 --admin "$(admin_of 1)" --wire 127.0.0.1:0 >"$directory/n1.log" 2>&1 &
    node_pid[1]=$!
    # A line of its log, not /readyz: that answers before signals are handled.
    wait_until 30 grep -qs ' serving ' "$directory/n1.log" || failed "the first node's database could not be made" "$directory/n1.log"
    kill -TERM "${node_pid[1]}"
    wait "${node_pid[1]}" || failed "the first node's database could not be made" "$directory/n1.log"
    unset 'node_pid[1]'
    made() { "$program" cluster init --cluster "$directory/n1.toml" --data "$first" >"$directory/init.log" 2>&1; }
    # Members need a second or two to elect a leader.
    wait_until 30 made || failed "the log could not be made" "$directory/init.log"
    for node in 2 3; do cp -R "$first" "$directory/n$node"; done
    touch "$directory/made"
}

ready() { curl -sf -m 2 -o /dev/null "http://$(admin_of "$1")/readyz${2:-}"; } # I [QUERY]

wait_until() { # SECONDS COMMAND...: runs a command until it succeeds
    local until=$((SECONDS + $1))
    shift
    until "$@"; do
        [ $SECONDS -lt $until ] || return 1
        sleep 0.1
    done
}

# Sets leader to the number of the node that leads, if there is one.
find_leader() {
    for leader in "${nodes[@]}"; do
        if ready "$leader" '?role=leader'; then return; fi
    done
    leader=
    return 1
}

all_ready() {
    local node
    for node in "${nodes[@]}"; do ready "$node" || return 1; done
}

# Starts everything below the directory; makes it before if it is new.
start_cluster() {
    local i
    directory=$(mkdir -p "$directory" && cd "$directory" && pwd)
    if [ ! -e "$directory/made" ] && [ -n "$(ls -A "$directory")" ]; then
        failed "$directory is not empty and has no whole cluster: remove it, or name another directory"
    fi
    for i in "${members[@]}"; do start_member "$i"; done
    [ -e "$directory/made" ] || make_cluster
    for i in "${nodes[@]}"; do start_node "$i"; done
    wait_until 60 find_leader || failed "no node leads after 60 s" "$directory/n1.log"
    wait_until 60 all_ready || failed "a node is not ready after 60 s: see $directory/n*.log"
}

# A drop to play with; needs a leader.
make_drop() { # NAME UNITS
    make_drop_at "$(admin_of "$leader")" "$@"
}

make_drop_at() { # ADDRESS NAME UNITS
    local at=$1
    shift
    curl -sf -X POST "http://$at/v1/drops" -H 'Content-Type: application/json' -H "Idempotency-Key: $1" -d '{"sku":"'"$1"'","name":"'"$1"'","currency":"EUR","unit_price":9900,"total":'"$2"',"starts_at":"2020-01-01T00:00:00Z","reservation_seconds":3600}'
}

# Ends the nodes in order, then the members; returns when all have ended.
end_all() {
    local pid
    for pid in "${node_pid[@]}"; do kill -TERM "$pid" 2>/dev/null || true; done
    for pid in "${node_pid[@]}"; do wait "$pid" 2>/dev/null || true; done
    for pid in "${member_pid[@]}"; do kill -TERM "$pid" 2>/dev/null || true; done
    for pid in "${member_pid[@]}"; do wait "$pid" 2>/dev/null || true; done
    rm -f "$directory"/*.pid
}

# Starts again what ends: members always, nodes as the systemd unit does. Never returns.
keep_running() {
    local node member code again_nodes again_members
    while true; do
        pause 1
        again_nodes=() again_members=()
        for node in "${nodes[@]}"; do
            has_ended "${node_pid[$node]:-}" || continue
            echo "n$node ended with code $code"
            case $code in
                70 | 71 | 130 | 137 | 139 | 143) again_nodes+=("$node") ;;
                *) unset "node_pid[$node]" && tail -n 3 "$directory/n$node.log" || true ;;
            esac
        done
        for member in "${members[@]}"; do
            has_ended "${member_pid[$member]:-}" || continue
            echo "etcd$member ended with code $code; it is started again"
            again_members+=("$member")
        done
        [ $((${#again_nodes[@]} + ${#again_members[@]})) -gt 0 ] || continue
        pause 5
        for member in "${again_members[@]}"; do start_member "$member"; done
        for node in "${again_nodes[@]}"; do
            start_node "$node"
            echo "n$node is started again: process ${node_pid[$node]}"
        done
    done
}

has_ended() { # PID: with its exit code in code
    [ -n "$1" ] && ! kill -0 "$1" 2>/dev/null || return 1
    code=0
    wait "$1" 2>/dev/null || code=$?
}

pause() { # SECONDS, which a signal ends
    sleep "$1" &
    { wait $! || true; } 2>/dev/null # the shell's own lines about what was killed
}
