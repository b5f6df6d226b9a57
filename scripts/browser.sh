#!/usr/bin/env bash
# Tests the pages of `serve --demo` in a browser: without JavaScript (reserve, check out, pay, pay twice, pay late), and the
# storefront with it. Loopback only. Needs node, npm and Debian's chromium (.ci/run installs it).
set -euo pipefail
cd "$(dirname "$0")/.."

. scripts/server.sh

if [ ! -d scripts/browser/node_modules/playwright-core ] || [ ! -d scripts/browser/node_modules/axe-core ]; then
    npm ci --prefix scripts/browser --ignore-scripts --no-audit --no-fund
fi
# One test comes from an address that a proxy forwards: loopback would need no challenge.
export FIRSTCOME__TRUSTED_PROXIES=127.0.0.1
start
PUBLIC=$public ADMIN=$admin node scripts/browser/journey.mjs
PUBLIC=$public ADMIN=$admin node scripts/browser/storefront.mjs
stop
