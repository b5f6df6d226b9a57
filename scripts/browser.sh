#!/usr/bin/env bash
# Tests the pages of `serve --demo` in a browser: without JavaScript (reserve, check out, pay, pay twice, pay late), the
# storefront with it, and the web component on pages of another origin. Loopback only. Needs node, npm and Debian's chromium
# (.ci/run installs it).
set -euo pipefail
cd "$(dirname "$0")/.."

. scripts/server.sh

if [ ! -d scripts/browser/node_modules/playwright-core ] || [ ! -d scripts/browser/node_modules/axe-core ]; then
    npm ci --prefix scripts/browser --ignore-scripts --no-audit --no-fund
fi
# One test comes from an address that a proxy forwards: loopback would need no challenge.
export FIRSTCOME__TRUSTED_PROXIES=127.0.0.1
# The pages that embed the component are of another origin.
HOST_PORT=$(node -e 'const one = net.createServer().listen(0, "127.0.0.1", () => { console.log(one.address().port); one.close(); })')
export HOST_PORT FIRSTCOME__PUBLIC__CORS_ORIGINS="http://127.0.0.1:$HOST_PORT"
start
PUBLIC=$public ADMIN=$admin node scripts/browser/journey.mjs
PUBLIC=$public ADMIN=$admin node scripts/browser/storefront.mjs
PUBLIC=$public ADMIN=$admin node scripts/browser/component.mjs
stop
# The component where buyers have tokens.
TOKEN_KEY=$(head -c 32 /dev/urandom | base64)
(umask 077 && printf '%s' "$TOKEN_KEY" >"$scratch/token.key")
export TOKEN_KEY FIRSTCOME__IDENTITY__HS256_SECRET_FILES="$scratch/token.key" FIRSTCOME__IDENTITY__AUDIENCE=shop
start_on "$scratch/tokens"
PUBLIC=$public ADMIN=$admin node scripts/browser/component.mjs
stop_on "$scratch/tokens"
