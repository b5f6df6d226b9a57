#!/usr/bin/env bash
# Sends people, campuses and bots to a server of its own with the default settings of the door, and fails if an aim of
# src/load/README.md is missed. Loopback only.
#
#   scripts/crowd.sh                           the whole population `a`: 75 s
#   scripts/crowd.sh --population c            one on which no default was tuned
#   scripts/crowd.sh --percent 12 --sale-seconds 25 --seed 7
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/server.sh

key="$scratch/token.key"
(
    umask 077
    head -c 32 /dev/urandom | base64 >"$key"
)
export FIRSTCOME__TRUSTED_PROXIES=127.0.0.0/8 FIRSTCOME__PUBLIC_URL=https://shop.example
export FIRSTCOME__IDENTITY__HS256_SECRET_FILES="$key" FIRSTCOME__IDENTITY__AUDIENCE=shop
start
"$program" rush --public "$public" --admin "$admin" --crowd mixed --token-key "$key" --audience shop --check "$@"
stop
