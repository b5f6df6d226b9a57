#!/usr/bin/env bash
# Payments under load (`firstcome rush --crowd pay`): each order is checked out and paid by a provider's signed webhook, then a storm
# of copies of each event. Fails unless every order is paid once and the money is exact. Prints paid orders/s, the latencies, and the
# server's CPU and the bytes of the file for each paid order. Loopback only.
#
#   scripts/pay.sh [BUYERS [COPIES]]     default: 50000 20; the storm has a tenth of the buyers
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/server.sh

buyers=${1:-50000} copies=${2:-20}
storm=$((buyers / 10 > 0 ? buyers / 10 : 1))
server_us() { # CPU time of the server in microseconds
    awk -v hz="$(getconf CLK_TCK)" '{ printf "%.0f", ($14 + $15) * 1e6 / hz }' "/proc/$server/stat"
}
pay() { # buyers, copies
    local before us
    before=$(server_us)
    "$program" rush --public "$public" --admin "$admin" --crowd pay --webhook-secret "$scratch/provider.secret" --buyers "$1" --units "$1" \
        --copies "$2" --connections 128 --deadline 600
    us=$(awk -v us=$(($(server_us) - before)) -v n="$1" 'BEGIN { printf "%.1f", us / n }')
    echo "$us us of the server's CPU for each paid order with $2 webhooks"
}

(umask 077 && echo "whsec_$(openssl rand -base64 32)" >"$scratch/provider.secret")
export FIRSTCOME__PAYMENTS__STANDARD_WEBHOOKS_SECRET_FILES=$scratch/provider.secret
start
pay "$buyers" 1
pay "$storm" "$copies"
stop
echo "$(($(stat -c %s "$scratch/data/firstcome.db") / (buyers + storm))) bytes of the file for each paid order"
