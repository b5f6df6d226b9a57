#!/usr/bin/env bash
# Tests `top` and `preflight` in a real terminal (tmux): top under load, in two sizes, with a server that stops and starts
# again, ended by q, Ctrl-C and SIGTERM; preflight that passes, warns and fails. The shell must come back with the terminal
# unchanged. Loopback only.
#
#   scripts/screens.sh [DIRECTORY]     also saves the screens in DIRECTORY
set -euo pipefail
cd "$(dirname "$0")/.."

. scripts/server.sh
keep=${1:-}
command -v tmux >/dev/null || {
    echo "tmux is missing: apt-get install tmux" >&2
    exit 69
}
program=$(realpath "$program")

load=
end() {
    tmux kill-server 2>/dev/null || true
    if [ -n "$load" ]; then kill "$load" 2>/dev/null || true; fi
    cleanup
}
trap end EXIT

tmux() { command tmux -u -L "firstcome-$$" -f /dev/null "$@"; }
type_in() { tmux send-keys -t night -l "$1" && tmux send-keys -t night Enter; }
screen() { tmux capture-pane -p -t night; }
kept() { # NAME: keeps the screen
    if [ -n "$keep" ]; then
        mkdir -p "$keep"
        screen >"$keep/$1.txt"
    fi
}

shows() { # TEXT...: waits until all of them are on the screen
    local text shown missing
    for _ in $(seq 200); do
        shown=$(screen) missing=
        for text in "$@"; do
            [[ $shown == *"$text"* ]] || missing=$text
        done
        [ -n "$missing" ] || return 0
        sleep 0.1
    done
    printf 'the screen does not show "%s":\n%s\n' "$missing" "$shown" >&2
    exit 1
}

shows_no() { # TEXT: waits until it is no longer on the screen
    for _ in $(seq 200); do
        [[ $(screen) == *"$1"* ]] || return 0
        sleep 0.1
    done
    printf 'the screen still shows "%s":\n%s\n' "$1" "$(screen)" >&2
    exit 1
}

shell_is_back() { # PROMPT NEXT: checks the prompt, the main screen, the cursor and the line settings
    shows "$1>"
    local state
    state=$(tmux display-message -p -t night '#{alternate_on} #{cursor_flag}')
    [ "$state" = "0 1" ] || {
        echo "the terminal is left on the alternate screen, or without a cursor: $state" >&2
        exit 1
    }
    rm -f "$scratch/after"
    type_in "stty -g >$scratch/after; clear"
    for _ in $(seq 100); do [ ! -s "$scratch/after" ] || break; sleep 0.1; done
    cmp "$scratch/before" "$scratch/after" || {
        echo "the terminal's settings have changed" >&2
        exit 1
    }
    # Another prompt tells the next return to the shell from this one.
    type_in "PS1='$2> '; clear"
    shows "$2>"
}

start
tmux new-session -d -s night -x 100 -y 30 "env PS1='one> ' bash --norc --noprofile -i"
tmux set-option -g remain-on-exit on
shows 'one>'
type_in "stty -g >$scratch/before; clear"
for _ in $(seq 100); do [ ! -s "$scratch/before" ] || break; sleep 0.1; done

echo "-- top under load"
"$program" rush --public "$public" --admin "$admin" --buyers 40000 --units 9000 --rate 2000 --connections 64 --reads 50 \
    >"$scratch/rush.out" 2>&1 &
load=$!
for _ in $(seq 200); do ! curl -sf -o "$scratch/drop" "http://$public/v1/drops/2" || break; sleep 0.05; done
type_in "$program top --admin $admin --public $public --drop 2"
shows 'firstcome top' "$admin" 'events/s' 'queue  ' 'order accepted' 'orders, whole' '2 Rush' 'oversold          0, undersold 0' 'memory'
shows '▒' '░' ' ms '
kept top-100x30
tmux resize-window -t night -x 80 -y 24
shows 'firstcome top' 'order accepted' '2 Rush' 'disk  ' 'auctions  '
[ "$(screen | wc -l)" = 24 ]
kept top-80x24
wait "$load" || {
    cat "$scratch/rush.out" >&2
    exit 1
}
load=
tmux send-keys -t night q
shell_is_back one two

echo "-- a server that stops and starts again"
type_in "$program top --admin $admin"
shows 'firstcome top' 'q quits'
stop >"$scratch/stop.out"
shows 'NO RESPONSE for ' 'retrying'
kept top-gone
"$program" serve --data "$scratch/data" --public "$public" --admin "$admin" --wire 127.0.0.1:0 >"$scratch/serve.out" 2>&1 &
server=$!
shows_no 'NO RESPONSE'
shows 'q quits'
tmux send-keys -t night C-c
shell_is_back two three

echo "-- SIGTERM, an unknown drop, a pipe"
type_in "$program top --admin $admin"
shows 'q quits'
pane=$(tmux display-message -p -t night '#{pane_pid}')
kill -TERM "$(ps -o pid= --ppid "$pane" | head -1)"
shell_is_back three four
type_in "$program top --admin $admin --public $public --drop 77; echo \"ended: \$?\""
shows 'there is no drop 77' 'ended: 69'
"$program" top --admin "$admin" --once >"$scratch/once"
grep -q '^queue  0 of ' "$scratch/once"
grep -q '^1  *10,000  *0  *0  *░' "$scratch/once"
if grep -q $'\e' "$scratch/once"; then
    echo "the output to a pipe has colours" >&2
    exit 1
fi

echo "-- preflight"
preflight() { # EXPECTED CODE, ARGUMENTS: the table goes to preflight.out
    local code=0
    "$program" preflight "${@:2}" --public "$public" --admin "$admin" --data "$scratch/data" >"$scratch/preflight.out" 2>&1 || code=$?
    if [ "$code" != "$1" ]; then
        echo "preflight ended with $code instead of $1:" >&2
        cat "$scratch/preflight.out" >&2
        exit 1
    fi
}
told() { # TEXT
    grep -qF -- "$1" "$scratch/preflight.out" || {
        printf 'preflight does not say "%s":\n' "$1" >&2
        cat "$scratch/preflight.out" >&2
        exit 1
    }
}

# A stub, so that the result does not depend on this machine's time service.
mkdir "$scratch/bin"
printf '#!/bin/sh\necho yes\n' >"$scratch/bin/timedatectl"
chmod +x "$scratch/bin/timedatectl"
PATH=$scratch/bin:$PATH

# With --demo, play money fails the check; without it, a missing secret only warns.
kill -TERM "$server"
wait "$server"
start
preflight 1 1
told 'FAIL  secrets       play money'
told 'firstcome: not ready: secrets'
keep_preflight() { [ -z "$keep" ] || cp "$scratch/preflight.out" "$keep/$1.txt"; }
keep_preflight preflight-fail
preflight 69 77
told 'there is no drop 77'
kill -TERM "$server"
wait "$server"

serve() { # starts a server without --demo, on the same addresses
    "$program" serve --data "$scratch/data" --public "$public" --admin "$admin" --wire 127.0.0.1:0 >"$scratch/serve.out" 2>&1 &
    server=$!
    for _ in $(seq 200); do
        if curl -sf "http://$admin/readyz" >/dev/null; then return; fi
        sleep 0.05
    done
    cat "$scratch/serve.out" >&2
    exit 1
}
serve
preflight 0 1
told 'WARN  secrets       no secret is set'
told 'WARN  backup        no backup given'
told 'WARN  test alert    no Alertmanager given'
drop=$(curl -sSf -X POST -H 'Content-Type: application/json' -H 'Idempotency-Key: tonight' "http://$admin/v1/drops" \
    -d '{"sku":"T","name":"Tonight","currency":"EUR","unit_price":100,"total":5000,"starts_at":"2099-01-01T20:00:00Z"}' |
    sed 's/^{"id":\([0-9]*\).*/\1/')
kill -TERM "$server"
wait "$server"

# A complete setup: secrets, an endpoint, a backup, Debian's Prometheus and Alertmanager.
. scripts/prometheus.sh
alertmanager=$(command -v prometheus-alertmanager || true)
if [ -z "$alertmanager" ]; then
    # Its templates have fixed paths, so it cannot be unpacked below target/. RUNLEVEL=1 keeps its service from starting.
    RUNLEVEL=1 apt-get install -y -qq --no-install-recommends prometheus-alertmanager >"$scratch/apt.out" 2>&1 || {
        cat "$scratch/apt.out" >&2
        echo "Alertmanager is missing: apt-get install prometheus-alertmanager" >&2
        exit 69
    }
    alertmanager=$(command -v prometheus-alertmanager)
fi
helpers=()
end() {
    tmux kill-server 2>/dev/null || true
    for helper in $load "${helpers[@]}"; do kill "$helper" 2>/dev/null || true; done
    cleanup
}
free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
sink=127.0.0.1:$(free_port) watcher=127.0.0.1:$(free_port) pager=127.0.0.1:$(free_port)
python3 - "${sink#*:}" >"$scratch/sink.out" 2>&1 <<'PYTHON' &
import http.server, sys
class Sink(http.server.BaseHTTPRequestHandler):
    def do_HEAD(self):
        self.send_response(204)
        self.end_headers()
    do_POST = do_HEAD
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Sink).serve_forever()
PYTHON
helpers+=($!)
{
    echo "global: { scrape_interval: 1s, evaluation_interval: 1s }"
    echo "rule_files: ['$PWD/dashboards/alerts.yml']"
    echo "scrape_configs: [{ job_name: firstcome, static_configs: [{ targets: ['$admin'] }] }]"
} >"$scratch/prometheus.yml"
"$prometheus" --config.file="$scratch/prometheus.yml" --storage.tsdb.path="$scratch/prometheus" --web.listen-address="$watcher" \
    --log.level=error >"$scratch/prometheus.out" 2>&1 &
helpers+=($!)
echo "{ route: { receiver: pager }, receivers: [{ name: pager }] }" >"$scratch/alertmanager.yml"
"$alertmanager" --config.file="$scratch/alertmanager.yml" --storage.path="$scratch/alertmanager" --web.listen-address="$pager" \
    --cluster.listen-address= >"$scratch/alertmanager.out" 2>&1 &
helpers+=($!)
(
    umask 077
    echo "whsec_$(openssl rand -base64 32)" >"$scratch/payments.secret"
    echo "whsec_$(openssl rand -base64 32)" >"$scratch/outbox.secret"
)
export FIRSTCOME__PAYMENTS__STANDARD_WEBHOOKS_SECRET_FILES=$scratch/payments.secret
export FIRSTCOME__OUTBOX__ENDPOINT_URL=http://$sink/hooks FIRSTCOME__OUTBOX__ENDPOINT_SECRET_FILE=$scratch/outbox.secret
export FIRSTCOME__OUTBOX__ALLOW_PRIVATE_NETWORKS=127.0.0.0/8
serve
cp "$scratch/data/firstcome.db" "$scratch/backup.db"
ready=
for _ in $(seq 200); do
    if curl -sf "http://$watcher/api/v1/query?query=firstcome_seq" | grep -q '"value"' && curl -sf "http://$pager/-/ready" >/dev/null; then
        ready=yes
        break
    fi
    sleep 0.1
done
[ -n "$ready" ] || {
    cat "$scratch/prometheus.out" "$scratch/alertmanager.out" >&2
    exit 1
}
preflight 0 "$drop" --backup "$scratch/backup.db" --prometheus "http://$watcher" --alertmanager "http://$pager"
keep_preflight preflight-pass
for check in server limits drop stock 'left over' 'clock kept' secrets endpoints backup scraped 'test alert'; do
    told "  pass  $check "
done
cat "$scratch/preflight.out"
kill "${helpers[@]}"
helpers=()
preflight 1 "$drop" --prometheus "http://$watcher" --alertmanager "http://$pager"
told 'FAIL  endpoints     127.0.0.1: connection refused or timed out'
told "FAIL  scraped       http://$watcher: connection refused or timed out"
told "FAIL  test alert    http://$pager: connection refused or timed out"
stop >"$scratch/stop.out"
echo "top and preflight passed"
