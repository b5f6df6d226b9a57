#!/usr/bin/env bash
# Rehearses the runbooks: causes each condition on a real server with Debian's Prometheus, waits for the alert, runs the
# commands of its page in dashboards/runbooks/, and waits for the alert's end.
#
#   scripts/rehearse.sh [CONDITION...]   default: all conditions
#
# Prints the time from the cause to the alert, and from the alert to its end. Loopback only. Stubs replace systemctl (starts
# and stops the server), journalctl (its log) and chronyc (the server's own clock, by libfaketime). The full disk needs a
# small file system of its own: root, or permission to create user namespaces.
set -euo pipefail
cd "$(dirname "$0")/.."
conditions=(killed hung stalled endpoint dead-letters disk wal clock clock-at-start counter oversold refund certificate rooms
    pages)
may_mount=${REHEARSE_MOUNTS:-}
if [ -z "$may_mount" ]; then
    as_root=()
    if [ "$(id -u)" != 0 ]; then as_root=(--map-root-user); fi
    if unshare --mount "${as_root[@]}" true 2>/dev/null; then
        REHEARSE_MOUNTS=yes exec unshare --mount "${as_root[@]}" "$0" "$@"
    fi
    may_mount=no
fi
if [ $# -gt 0 ]; then
    for asked in "$@"; do
        [[ " ${conditions[*]} " == *" $asked "* ]] || {
            echo "unknown condition $asked; known are: ${conditions[*]}" >&2
            exit 64
        }
    done
    conditions=("$@")
fi
. scripts/server.sh
. scripts/prometheus.sh
for tool in curl sqlite3 openssl; do
    command -v $tool >/dev/null || {
        echo "$tool is missing: apt-get install $tool" >&2
        exit 1
    }
done
release=$program
alert_within=60 ends_within=90

# --- setup: free ports, Prometheus, cleanup ----------------------------------------------------------------------------------
read -r admin_port prometheus_port sink_port < <(python3 -c '
import socket
sockets = [socket.socket() for _ in range(3)]
for each in sockets: each.bind(("127.0.0.1", 0))
print(*(each.getsockname()[1] for each in sockets))')
admin_at=127.0.0.1:$admin_port watch=127.0.0.1:$prometheus_port
typed=$scratch/typed
others=() mounted=
touch "$typed"
exec 8>&2 # a command of a runbook may end the script while its output is redirected
leave() {
    local code=$?
    exec 2>&8
    if [ $code != 0 ]; then
        echo "REHEARSAL FAILED (${condition:-before the first})" >&2
        tail -n 25 "$typed" "$scratch/serve.err" >&2 || true
        alerts | tr '\n' ' ' >&2 || true
    fi
    for pid in "${others[@]}"; do kill "$pid" 2>/dev/null || true; done
    if [ -n "$server" ]; then kill -CONT "$server" 2>/dev/null || true; fi
    if [ -n "$mounted" ]; then
        kill -KILL "$server" 2>/dev/null || true
        wait 2>/dev/null || true
        umount "$mounted" || true
    fi
    cleanup
}
trap leave EXIT

cat >"$scratch/prometheus.yml" <<END
global: { scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s }
rule_files: [$PWD/dashboards/alerts.yml]
scrape_configs: [{ job_name: firstcome, static_configs: [{ targets: ['$admin_at'] }] }]
END
"$prometheus" --config.file="$scratch/prometheus.yml" --storage.tsdb.path="$scratch/tsdb" --web.listen-address="$watch" \
    --log.level=warn >"$scratch/prometheus.log" 2>&1 &
others+=($!)
for _ in $(seq 100); do
    if curl -sf "http://$watch/-/ready" >/dev/null; then break; fi
    sleep 0.1
done
curl -sf "http://$watch/-/ready" >/dev/null || {
    echo "Prometheus did not start:" >&2
    cat "$scratch/prometheus.log" >&2
    exit 1
}

# --- helpers -----------------------------------------------------------------------------------------------------------------
alerts() { # prints the names of the firing alerts
    curl -sf "http://$watch/api/v1/query" --data-urlencode 'query=ALERTS{alertstate="firing"}' |
        { grep -o '"alertname":"[A-Za-z]*"' || true; } | cut -d'"' -f4 | sort -u
}
fires() { alerts | grep -qx "$1"; }
ended() { ! fires "$1" && test_value 'up{job="firstcome"}' 1; }
wait_until() { # seconds, what for, command
    local until=$((SECONDS + $1)) what=$2
    shift 2
    until "$@"; do
        if [ $SECONDS -ge $until ]; then
            echo "$condition: timed out waiting for: $what" >&2
            exit 1
        fi
        sleep 0.2
    done
}
now_ms() { echo $((${EPOCHREALTIME/[.,]/} / 1000)); }
rows=()
made() { cause_ms=$(now_ms); }
alert() { # waits for the alert, and measures the time since `made`
    wait_until $alert_within "$1" fires "$1"
    alert_ms=$(now_ms)
    summary=$(curl -sf "http://$watch/api/v1/alerts" | grep -o "\"alertname\":\"$1\"[^}]*}[^}]*" | grep -o '"summary":"[^"]*"' | head -n 1)
    case $summary in *'error expanding'* | *'<no value>'* | "")
        echo "the summary of $1 is invalid: $summary" >&2
        exit 1
        ;;
    esac
    before=$((alert_ms - cause_ms))
    echo "  ${summary#*:}"
}
over() { # waits for the alert's end
    wait_until $ends_within "the end of $1" ended "$1"
    local after=$(($(now_ms) - alert_ms))
    rows+=("$(printf '%-16s %-30s %6d.%d s %6d.%d s' "$condition" "$1" $((before / 1000)) $((before % 1000 / 100)) \
        $((after / 1000)) $((after % 1000 / 100)))")
    echo "${rows[-1]}"
}
types() { # alert, numbers of blocks of its runbook: runs them, without lines marked `# yours`
    local page=dashboards/runbooks/$1.md block number pid=$server
    shift
    for number; do
        block=$(awk -v wanted="$number" '/^```sh/ { inside = ++count; next } /^```/ { inside = 0 } inside == wanted' "$page" |
            { grep -v '# yours' || true; })
        [ -n "$block" ] || {
            echo "$page has no block $number" >&2
            exit 1
        }
        printf '\n$ %s\n' "$block" >>"$typed"
        eval "$block" >>"$typed" 2>&1
    done
}

backups=$scratch/backups
mkdir -p "$backups"

# --- stubs of the tools of a machine with systemd ----------------------------------------------------------------------------
firstcome() { "$program" "$@"; }
fsfreeze() { echo 'fsfreeze: unfreeze failed: Invalid argument'; }
systemctl() {
    case "$*" in
    "start firstcome") if [ -z "$server" ]; then start_on "$data"; fi ;;
    "stop firstcome")
        kill -TERM "$server"
        wait "$server" || true
        server=
        ;;
    "kill --signal=CONT firstcome") kill -CONT "$server" ;;
    "kill --signal=HUP firstcome") kill -HUP "$server" ;;
    "kill --signal=KILL firstcome") # Restart=on-failure
        kill -KILL "$server"
        wait "$server" 2>/dev/null || true
        run_under=()
        start_on "$data"
        ;;
    "status firstcome"*) ps -o pid,stat,etime,args -p "${server:-1}" || return 3 ;;
    "show firstcome -p ExecMainStatus") echo "ExecMainStatus=$exit_code" ;;
    *)
        echo "systemctl $* has no stub" >&2
        return 1
        ;;
    esac
}
journalctl() { tail -n 20 "$scratch/serve.err"; }
chronyc() { if [ "$*" = makestep ]; then echo +0 >"$clock"; fi; }
pgrep() { echo "$server"; }
auth="Authorization: Bearer ${FIRSTCOME_TOKEN:-}" exit_code=0

fresh() { # starts a new server; arguments are settings (NAME=VALUE)
    data=$scratch/$condition/data
    mkdir -p "$scratch/$condition"
    run_under=(env "FIRSTCOME__AUDIT__COMPARE_INTERVAL_MS=1000" "FIRSTCOME__OUTBOX__ALLOW_PRIVATE_NETWORKS=127.0.0.0/8" "$@")
    start_on "$data"
    wait_until 60 "the end of all earlier alerts" nothing_fires
}
nothing_fires() { [ -z "$(alerts | grep -v '^FirstcomeDiskLow$')" ] && [ "$(value 'up{job="firstcome"}')" = 1 ]; }
value() { # prints the value of an expression
    curl -sf "http://$watch/api/v1/query" --data-urlencode "query=$1" | sed -n 's/.*"value":\[[0-9.]*,"\([^"]*\)".*/\1/p'
}
test_value() { [ "$(value "$1")" = "$2" ]; }
done_with() {
    if [ -n "$server" ]; then stop_on "$data" >>"$typed"; fi
    rm -rf "${data:?}" "$data.firstcome"
}
order() { # buyer: prints the response
    curl -s "http://$public/v1/drops/1/orders" -H 'Content-Type: application/json' -H "Idempotency-Key: $1" \
        -d "{\"buyer\":\"$1\",\"quantity\":1}"
}
orders() { for ((i = 1; i <= $1; i++)); do order "$2$i" >/dev/null; done; }
post() { # path, body
    curl -sS -X POST "http://$admin_at$1" -H 'Content-Type: application/json' -H "Idempotency-Key: $RANDOM" -d "$2"
}
sink() { # starts an endpoint that accepts every webhook
    python3 -c "
import http.server
class Sink(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers.get('content-length', 0)))
        self.send_response(204)
        self.end_headers()
    def log_message(self, *_): pass
http.server.ThreadingHTTPServer(('127.0.0.1', $sink_port), Sink).serve_forever()" &
    others+=($!)
    sink=$!
    wait_until 10 "the endpoint" curl -s -o /dev/null -X POST "http://127.0.0.1:$sink_port/" -d '{}'
}

. scripts/conditions.sh
for condition in "${conditions[@]}"; do
    echo "== $condition"
    "rehearse_$condition"
    done_with
done
printf '\n%-16s %-30s %10s %10s\n' condition alert "to alert" "to its end"
printf '%s\n' "${rows[@]}"
echo "rehearsed in $SECONDS s"
