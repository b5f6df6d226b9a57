#!/usr/bin/env bash
# Tests the pages of `serve --demo` in a browser: the storefront and the pay page with scripts and without, one order per wish in
# every trouble, waiting rooms, blind windows, a storm of `firstcome rush`, and the web component on pages of another origin. Loopback only. Needs
# node, npm, python3 and Debian's chromium (.ci/run installs it).
#
#   scripts/browser.sh              SCREENSHOTS=DIR keeps a picture of each page
set -euo pipefail
cd "$(dirname "$0")/.."

. scripts/server.sh

if [ ! -d scripts/browser/node_modules/playwright-core ] || [ ! -d scripts/browser/node_modules/axe-core ]; then
    npm ci --prefix scripts/browser --ignore-scripts --no-audit --no-fund
fi
# Some tests come from an address that a proxy forwards: loopback would need no challenge and has no limits.
export FIRSTCOME__TRUSTED_PROXIES=127.0.0.1
# A budget of an address that is used up stays so for the seconds that a slow browser takes to click.
export FIRSTCOME__ADMISSION__ADDRESS_WRITES_PER_MINUTE=10
# The pages that embed the component are of another origin.
HOST_PORT=$(node -e 'const one = net.createServer().listen(0, "127.0.0.1", () => { console.log(one.address().port); one.close(); })')
export HOST_PORT FIRSTCOME__PUBLIC__CORS_ORIGINS="http://127.0.0.1:$HOST_PORT"
start
export PUBLIC=$public ADMIN=$admin PROGRAM=$program
groups=()
end_groups() { for pid in "${groups[@]}"; do kill "$pid" 2>/dev/null || true; done; }
trap 'end_groups; cleanup' EXIT
together() { # NAME SCRIPT...: runs scripts one after the other, beside other groups
    local name=$1
    shift
    (for script in "$@"; do node "scripts/browser/$script" || exit 1; done) >"$scratch/$name.told" 2>&1 &
    groups+=($!)
}
together buying journey.mjs storefront.mjs component.mjs component-rooms.mjs
together wishes wishes.mjs storm.mjs blind.mjs
together shown auction.mjs shown.mjs room.mjs
failed=0
for pid in "${groups[@]}"; do wait "$pid" || failed=1; done
groups=()
cat "$scratch"/*.told
[ "$failed" = 0 ]
stop
# The component where buyers have tokens.
TOKEN_KEY=$(head -c 32 /dev/urandom | base64)
(umask 077 && printf '%s' "$TOKEN_KEY" >"$scratch/token.key")
export TOKEN_KEY FIRSTCOME__IDENTITY__HS256_SECRET_FILES="$scratch/token.key" FIRSTCOME__IDENTITY__AUDIENCE=shop
start_on "$scratch/tokens"
for script in component.mjs component-rooms.mjs; do PUBLIC=$public ADMIN=$admin node "scripts/browser/$script"; done
stop_on "$scratch/tokens"
