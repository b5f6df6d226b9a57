#!/usr/bin/env bash
# Tests challenges against another implementation, ALTCHA's Python package: it reads what the server makes, solves it, and builds
# the payload that the server accepts once. Loopback only.
#
#   scripts/challenges.sh [PROGRAM]
set -euo pipefail
cd "$(dirname "$0")/.."

. scripts/server.sh
program=${1:-$program}
tools=target/challenges-venv
if ! cmp -s scripts/challenges.requirements.txt "$tools/installed"; then
    python3 -m venv --clear "$tools"
    "$tools/bin/pip" install --quiet --disable-pip-version-check --requirement scripts/challenges.requirements.txt
    cp scripts/challenges.requirements.txt "$tools/installed"
fi

# Loopback would need no challenge: the requests come from an address that a proxy forwards.
export FIRSTCOME__TRUSTED_PROXIES=127.0.0.1
# The script is a bot, and solves as fast as one: its tier must not change.
export FIRSTCOME__RISK__ENABLED=false
start
PYTHONDONTWRITEBYTECODE=1 "$tools/bin/python" scripts/challenges.py "http://$public" "http://$admin"
stop
