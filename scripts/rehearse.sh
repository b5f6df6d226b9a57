#!/usr/bin/env bash
# Rehearses the runbooks: makes each condition with the real server under Debian's Prometheus, waits for its alert, types
# what the page in dashboards/runbooks/ says, line by line out of that page, and sees the alert end.
#
#   scripts/rehearse.sh [CONDITION...]   all of them if none is named
#
# Prints the time from the cause to the alert, and from the alert to its end. Loopback only; ends by itself. Stand-ins are
# systemctl (starts and ends our server), journalctl (its log) and chronyc (a clock of the server's own, by libfaketime).
# A full disk needs a small file system of its own: as root, or where user namespaces are allowed.
set -euo pipefail
cd "$(dirname "$0")/.."
conditions=(killed hung stalled endpoint dead-letters disk wal clock clock-at-start counter oversold refund)
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
            echo "there is no condition $asked; there are: ${conditions[*]}" >&2
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

# --- the house: free ports, Prometheus, what is cleaned up -----------------------------------------------------------------
read -r admin_port prometheus_port sink_port < <(python3 -c '
import socket
sockets = [socket.socket() for _ in range(3)]
for each in sockets: each.bind(("127.0.0.1", 0))
print(*(each.getsockname()[1] for each in sockets))')
admin_at=127.0.0.1:$admin_port watch=127.0.0.1:$prometheus_port
typed=$scratch/typed
others=() mounted=
touch "$typed"
exec 8>&2 # what was typed may end the script while its own output goes elsewhere
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
    echo "Prometheus did not come up:" >&2
    cat "$scratch/prometheus.log" >&2
    exit 1
}

# --- words -----------------------------------------------------------------------------------------------------------------
alerts() { # the names of those that fire now
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
            echo "$condition: in vain waited for: $what" >&2
            exit 1
        fi
        sleep 0.2
    done
}
now_ms() { echo $((${EPOCHREALTIME/[.,]/} / 1000)); }
rows=()
made() { cause_ms=$(now_ms); }
alert() { # waits for it; the cause was when `made` was called
    wait_until $alert_within "$1" fires "$1"
    alert_ms=$(now_ms)
    told=$(curl -sf "http://$watch/api/v1/alerts" | grep -o "\"alertname\":\"$1\"[^}]*}[^}]*" | grep -o '"summary":"[^"]*"' | head -n 1)
    case $told in *rror* | *'<no value>'* | "")
        echo "$1 is told in strange words: $told" >&2
        exit 1
        ;;
    esac
    before=$((alert_ms - cause_ms))
    echo "  ${told#*:}"
}
over() { # waits for its end
    wait_until $ends_within "the end of $1" ended "$1"
    local after=$(($(now_ms) - alert_ms))
    rows+=("$(printf '%-16s %-26s %6d.%d s %6d.%d s' "$condition" "$1" $((before / 1000)) $((before % 1000 / 100)) \
        $((after / 1000)) $((after % 1000 / 100)))")
    echo "${rows[-1]}"
}
types() { # alert, numbers of the blocks of its runbook: runs them, but for the lines that are the reader's own
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

# --- stand-ins for what a machine with systemd has ---------------------------------------------------------------------------
firstcome() { "$program" "$@"; }
systemctl() {
    case "$*" in
    "start firstcome") if [ -z "$server" ]; then start_on "$data"; fi ;;
    "stop firstcome")
        kill -TERM "$server"
        wait "$server" || true
        server=
        ;;
    "kill --signal=CONT firstcome") kill -CONT "$server" ;;
    "kill --signal=KILL firstcome") # Restart=on-failure
        kill -KILL "$server"
        wait "$server" 2>/dev/null || true
        run_under=()
        start_on "$data"
        ;;
    "status firstcome"*) ps -o pid,stat,etime,args -p "${server:-1}" || return 3 ;;
    "show firstcome -p ExecMainStatus") echo "ExecMainStatus=$exit_code" ;;
    *)
        echo "systemctl $* has no stand-in" >&2
        return 1
        ;;
    esac
}
journalctl() { tail -n 20 "$scratch/serve.err"; }
chronyc() { if [ "$*" = makestep ]; then echo +0 >"$clock"; fi; }
pgrep() { echo "$server"; }
auth="Authorization: Bearer ${FIRSTCOME_TOKEN:-}" exit_code=0

fresh() { # a new server, with settings of its own (NAME=VALUE)
    data=$scratch/$condition/data
    mkdir -p "$scratch/$condition"
    run_under=(env "FIRSTCOME__AUDIT__COMPARE_INTERVAL_MS=1000" "FIRSTCOME__OUTBOX__ALLOW_PRIVATE_NETWORKS=127.0.0.0/8" "$@")
    start_on "$data"
    wait_until 60 "no alert of the condition before" nothing_fires
}
nothing_fires() { [ -z "$(alerts | grep -v '^FirstcomeDiskLow$')" ] && [ "$(value 'up{job="firstcome"}')" = 1 ]; }
value() { # of an expression that has one
    curl -sf "http://$watch/api/v1/query" --data-urlencode "query=$1" | sed -n 's/.*"value":\[[0-9.]*,"\([^"]*\)".*/\1/p'
}
test_value() { [ "$(value "$1")" = "$2" ]; }
done_with() {
    if [ -n "$server" ]; then stop_on "$data" >>"$typed"; fi
    rm -rf "${data:?}"
}
order() { # buyer; prints the answer
    curl -s "http://$public/v1/drops/1/orders" -H 'Content-Type: application/json' -H "Idempotency-Key: $1" \
        -d "{\"buyer\":\"$1\",\"quantity\":1}"
}
orders() { for ((i = 1; i <= $1; i++)); do order "$2$i" >/dev/null; done; }
post() { # path, body
    curl -sS -X POST "http://$admin_at$1" -H 'Content-Type: application/json' -H "Idempotency-Key: $RANDOM" -d "$2"
}
sink() { # an endpoint that takes everything, from now on
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

# --- the conditions ----------------------------------------------------------------------------------------------------------
rehearse_killed() {
    fresh
    made
    kill -KILL "$server"
    wait "$server" 2>/dev/null || exit_code=$?
    server=
    alert FirstcomeDown
    prometheus=$watch
    types FirstcomeDown 1 4
    grep -oE '"lastError":"([^"\\]|\\.)*"' "$typed" | tail -n 1 | sed 's/^/  Prometheus: /'
    types FirstcomeDown 5
    over FirstcomeDown
}

rehearse_hung() {
    fresh
    made
    kill -STOP "$server"
    alert FirstcomeDown
    prometheus=$watch
    types FirstcomeDown 1 2
    over FirstcomeDown
}

rehearse_stalled() { # the writer stops after BEGIN, in a build with places to stop at
    cargo build --locked --quiet --features planted
    program=target/debug/firstcome
    mkdir -p "$scratch/stalled"
    fresh FIRSTCOME_PAUSE=Begun:40 "FIRSTCOME_PAUSE_DIR=$scratch/stalled" FIRSTCOME__WRITER__QUEUE_CAPACITY=64 \
        FIRSTCOME__WRITER__QUEUE_RESERVE=4 FIRSTCOME__WRITER__BATCH_COMMANDS_MAX=16
    "$release" rush --public "$public" --admin "$admin" --buyers 20000 --units 20000 --connections 128 --deadline 60 \
        >"$scratch/rush" 2>&1 &
    local rush=$!
    others+=($rush)
    wait_until 20 "the writer to stop" test -e "$scratch/stalled/paused"
    made
    alert FirstcomeQueueFull
    local full=$before
    alert FirstcomeWriterStalled
    kill "$rush" 2>/dev/null || true
    types FirstcomeQueueFull 1
    types FirstcomeWriterStalled 1 2
    over FirstcomeWriterStalled
    before=$full
    over FirstcomeQueueFull
    program=$release
}

rehearse_endpoint() {
    fresh
    post /v1/webhook-endpoints "{\"url\":\"http://127.0.0.1:$sink_port/\",\"events\":[\"*\"]}" >"$scratch/answer"
    endpoint=$(sed 's/^{"id":\([0-9]*\).*/\1/' "$scratch/answer") url=http://127.0.0.1:$sink_port/
    made
    orders 8 late
    alert FirstcomeEndpointDead
    types FirstcomeEndpointDead 1
    from=$(curl -sS "http://$admin/v1/webhook-endpoints/$endpoint/deliveries?state=waiting" |
        grep -o '"seq":[0-9]*' | cut -d: -f2 | sort -n | head -n 1)
    sink
    types FirstcomeEndpointDead 2
    over FirstcomeEndpointDead
    wait_until 30 "nothing that waits" test_value 'firstcome_outbox_waiting' 0
    kill "$sink"
}

rehearse_dead-letters() {
    fresh FIRSTCOME__OUTBOX__RETRY_SECONDS=1
    post /v1/webhook-endpoints "{\"url\":\"http://127.0.0.1:$sink_port/\",\"events\":[\"*\"]}" >"$scratch/answer"
    endpoint=$(sed 's/^{"id":\([0-9]*\).*/\1/' "$scratch/answer")
    made
    orders 2 dead
    alert FirstcomeDeadLetters
    types FirstcomeDeadLetters 1
    sink
    types FirstcomeDeadLetters 2
    over FirstcomeDeadLetters
    kill "$sink"
}

rehearse_disk() {
    if [ $may_mount = no ]; then
        rows+=("disk             not rehearsed: this machine does not let us mount a small file system")
        return
    fi
    mounted=$scratch/disk
    mkdir -p "$mounted"
    mount -t tmpfs -o size=192m tmpfs "$mounted"
    fresh
    made
    victim=$mounted/filler
    dd if=/dev/zero of="$victim" bs=1M count=150 status=none
    alert FirstcomeReadOnly
    order buyer | grep -q '"code":"read-only"'
    types FirstcomeReadOnly 1 2
    over FirstcomeReadOnly
    order buyer | grep -q '"state":"reserved"'
    wait_until 20 "FirstcomeDiskLow: 192 MB are few, full or not" fires FirstcomeDiskLow
    done_with
    umount "$mounted"
    mounted=
}

rehearse_wal() {
    fresh
    mkfifo "$scratch/wal/questions"
    sqlite3 "$data/firstcome.db" <"$scratch/wal/questions" >/dev/null 2>&1 &
    others+=($!)
    exec 9>"$scratch/wal/questions"
    echo 'BEGIN; SELECT count(*) FROM orders;' >&9
    made
    "$release" rush --public "$public" --admin "$admin" --crowd plain --buyers 60000 --units 60000 --connections 16 \
        >"$scratch/rush" 2>&1
    alert FirstcomeWalGrowing
    types FirstcomeWalGrowing 1 2
    exec 9>&-
    order buyer >/dev/null
    over FirstcomeWalGrowing
}

faketime() { # finds the library that gives a process a clock of its own
    for library in /usr/lib/*/faketime/libfaketime.so.1 target/faketime/usr/lib/*/faketime/libfaketime.so.1; do
        if [ -e "$library" ]; then
            realpath "$library"
            return
        fi
    done
    mkdir -p target/faketime
    (cd target/faketime && apt-get download -qq -o "APT::Sandbox::User=$(id -un)" libfaketime >&2) &&
        dpkg-deb -x target/faketime/libfaketime_*.deb target/faketime &&
        realpath target/faketime/usr/lib/*/faketime/libfaketime.so.1
}
own_clock() {
    clock=$scratch/faked
    echo "$1" >"$clock"
    fresh "LD_PRELOAD=$(faketime)" "FAKETIME_TIMESTAMP_FILE=$clock" FAKETIME_NO_CACHE=1 FAKETIME_DONT_FAKE_MONOTONIC=1 \
        DONT_FAKE_MONOTONIC=1
}
rehearse_clock() {
    own_clock +0
    made
    echo +30 >"$clock"
    alert FirstcomeClockOff
    types FirstcomeClockOff 1 2
    over FirstcomeClockOff
}
rehearse_clock-at-start() { # the server is started while the clock is wrong; then somebody sets the clock right
    own_clock +10
    order early >/dev/null
    made
    echo +0 >"$clock"
    alert FirstcomeClockOff
    ahead=10
    types FirstcomeClockOff 3
    over FirstcomeClockOff
}

# What verify says that the audit rows say, as variables.
as_audited() {
    read -r drop total held sold < <("$program" verify --data "$data" 2>&1 | sed -n \
        's/.*drop \([0-9]*\): .*its audit rows say Stock { total: \([0-9]*\), held: \([0-9]*\), sold: \([0-9]*\) }.*/\1 \2 \3 \4/p')
}
set_right() {
    types FirstcomeCountersDisagree 1
    as_audited
    types FirstcomeCountersDisagree 2
    admin=$admin_at
    wait_until 20 "the auditor's first look" test_value firstcome_mismatched_drops 0
    types FirstcomeCountersDisagree 3
    curl -sf "http://$public/v1/drops/1" | grep -q '"state":"live"'
}
rehearse_counter() {
    fresh
    orders 3 counted
    made
    sqlite3 "$data/firstcome.db" 'UPDATE drops SET held = held + 3 WHERE id = 1'
    alert FirstcomeUndersold
    local undersold=$before
    alert FirstcomeCountersDisagree
    types FirstcomeUndersold 1
    set_right
    over FirstcomeCountersDisagree
    before=$undersold
    over FirstcomeUndersold
}
rehearse_oversold() {
    fresh
    orders 3 counted
    made
    sqlite3 "$data/firstcome.db" 'UPDATE drops SET total = 2, held = 2 WHERE id = 1'
    alert FirstcomeOversold
    types FirstcomeOversold 1
    set_right
    over FirstcomeOversold
}

rehearse_refund() { # paid after the buyer had cancelled
    local secret=$scratch/sandbox.secret body now key signature
    (umask 077 && echo "whsec_$(openssl rand -base64 32)" >"$secret")
    fresh "FIRSTCOME__PAYMENTS__SANDBOX_SECRET_FILES=$secret"
    order=$(order buyer | sed 's/^{"id":"\([^"]*\).*/\1/') reference=pay_1
    curl -sf -o /dev/null -X POST "http://$public/v1/orders/$order/cancel"
    body='{"type":"payment.succeeded","timestamp":"2026-01-01T00:00:00Z","data":{"order_id":"'$order'","reference":"pay_1","amount":14900,"currency":"EUR"}}'
    now=$(date +%s)
    key=$(sed 's/^whsec_//' "$secret" | base64 -d | od -An -tx1 | tr -d ' \n')
    signature=$(printf %s "msg_1.$now.$body" | openssl dgst -sha256 -mac HMAC -macopt "hexkey:$key" -binary | base64)
    made
    curl -sf "http://$public/v1/payments/sandbox" -H 'webhook-id: msg_1' -H "webhook-timestamp: $now" \
        -H "webhook-signature: v1,$signature" -d "$body" >>"$typed"
    alert FirstcomeRefundsDue
    types FirstcomeRefundsDue 1 2
    over FirstcomeRefundsDue
}

for condition in "${conditions[@]}"; do
    echo "== $condition"
    "rehearse_$condition"
    done_with
done
printf '\n%-16s %-26s %10s %10s\n' condition alert "to alert" "to its end"
printf '%s\n' "${rows[@]}"
echo "rehearsed in $SECONDS s"
