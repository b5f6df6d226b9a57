#!/usr/bin/env bash
# Tests the console in a browser, against the real server in a storm of `firstcome rush`: sign in, pause, resume, create, change,
# refund, undo; a token that is revoked in the middle of a step, a server that goes away, a viewer, and three widths. Loopback only.
# Needs node, npm and Debian's chromium.
#
#   scripts/console.sh              SCREENSHOTS=DIR keeps a picture of each page
set -euo pipefail
cd "$(dirname "$0")/.."

. scripts/server.sh

if [ ! -d scripts/browser/node_modules/playwright-core ] || [ ! -d scripts/browser/node_modules/axe-core ]; then
    npm ci --prefix scripts/browser --ignore-scripts --no-audit --no-fund
fi
storm=
end_storm() {
    if [ -n "$storm" ]; then
        kill "$storm" 2>/dev/null || true
        wait "$storm" 2>/dev/null || true
        storm=
    fi
}
trap 'end_storm; cleanup' EXIT
# The endpoint of the test is on this machine.
export FIRSTCOME__OUTBOX__ALLOW_PRIVATE_NETWORKS=127.0.0.0/8
start
token() { # ROLE: prints a new token
    "$program" token create --role "$1" --name "$1" --data "$scratch/data" 2>/dev/null | grep -o 'fc_[0-9a-f_]*' | head -1
}
owner=$(token owner) operator=$(token operator) viewer=$(token viewer)
FIRSTCOME_TOKEN=$owner "$program" rush --public "$public" --admin "$admin" --buyers 60000 --units 9000 --rate "${RATE:-300}" \
    --connections 32 >"$scratch/storm.out" 2>&1 &
storm=$!
OWNER=$owner OPERATOR=$operator VIEWER=$viewer PUBLIC=$public ADMIN=$admin PROGRAM=$program DATA=$scratch/data SERVER=$server \
    node scripts/browser/console.mjs storm
end_storm
# The server goes away and comes back at the same addresses, under the eyes of an open console.
OWNER=$owner PUBLIC=$public ADMIN=$admin GONE=$scratch/gone SEEN=$scratch/seen BACK=$scratch/back node scripts/browser/console.mjs away &
watcher=$!
await() { while [ ! -e "$1" ] && kill -0 "$watcher" 2>/dev/null; do sleep 0.1; done; }
await "$scratch/gone"
stop
admin_at=$admin
# It stays away until the console has told so, however fast it would be back.
await "$scratch/seen"
start
touch "$scratch/back"
wait "$watcher"
stop
