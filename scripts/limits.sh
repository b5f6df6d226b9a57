#!/usr/bin/env bash
# Reads the headers of every rate limit with another implementation of structured fields (RFC 9651), the Python package http-sf,
# and compares them with draft-ietf-httpapi-ratelimit-headers-10. No package reads the fields of this draft as such:
# `ratelimit-headers` (PyPI) and `ratelimit-header-parser` (npm) know those of its older versions. Loopback only.
#
#   scripts/limits.sh [PROGRAM]
set -euo pipefail
cd "$(dirname "$0")/.."

. scripts/server.sh
program=${1:-$program}
tools=target/limits-venv
if ! cmp -s scripts/limits.requirements.txt "$tools/installed"; then
    python3 -m venv --clear "$tools"
    "$tools/bin/pip" install --quiet --disable-pip-version-check --requirement scripts/limits.requirements.txt
    cp scripts/limits.requirements.txt "$tools/installed"
fi

(umask 077 && head -c 32 /dev/urandom | base64 >"$scratch/shop.secret")
export FIRSTCOME__IDENTITY__AUDIENCE=drops FIRSTCOME__IDENTITY__HS256_SECRET_FILES=$scratch/shop.secret
# Loopback would have no limits: the requests come from addresses that a proxy forwards.
export FIRSTCOME__TRUSTED_PROXIES=127.0.0.1
# The script is a bot: its tiers must not change.
export FIRSTCOME__RISK__ENABLED=false
export FIRSTCOME__ADMISSION__ADDRESS_READS_PER_MINUTE=30 FIRSTCOME__ADMISSION__ADDRESS_WRITES_PER_MINUTE=6
export FIRSTCOME__ADMISSION__ADDRESS_BUYERS_PER_MINUTE=2 FIRSTCOME__ADMISSION__ADDRESS_INVALID_TOKENS_PER_MINUTE=3
export FIRSTCOME__ADMISSION__BUYER_READS_PER_MINUTE=5 FIRSTCOME__ADMISSION__SUSPECTED_WRITES_PER_MINUTE=1
export FIRSTCOME__ADMISSION__NEW_WRITES_PER_MINUTE=2 FIRSTCOME__ADMISSION__VERIFIED_WRITES_PER_MINUTE=3
export FIRSTCOME__ADMISSION__PREMIUM_WRITES_PER_MINUTE=60
export FIRSTCOME__ADMISSION__GLOBAL_READS_PER_MINUTE=300 FIRSTCOME__ADMISSION__GLOBAL_WRITES_PER_MINUTE=300
export FIRSTCOME__ADMISSION__IN_FLIGHT_PER_CLIENT_MAX=1
start
PYTHONDONTWRITEBYTECODE=1 "$tools/bin/python" scripts/limits.py "http://$public" "$scratch/shop.secret"
stop
