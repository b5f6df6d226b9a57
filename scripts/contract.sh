#!/usr/bin/env bash
# Tests the real binary against its own OpenAPI document: schemathesis sends valid and invalid requests to both listeners,
# and every response must be one that the document allows. Loopback only.
#
#   scripts/contract.sh [PROGRAM]
set -euo pipefail
cd "$(dirname "$0")/.."

. scripts/server.sh
program=${1:-$program}
tools=target/contract-venv
if ! cmp -s scripts/contract.requirements.txt "$tools/installed"; then
    python3 -m venv --clear "$tools"
    "$tools/bin/pip" install --quiet --disable-pip-version-check --requirement scripts/contract.requirements.txt
    cp scripts/contract.requirements.txt "$tools/installed"
fi

"$program" openapi >"$scratch/openapi.json"
"$tools/bin/openapi-spec-validator" "$scratch/openapi.json"

export CONTRACT_ENDPOINT_URL=http://127.0.0.1:9/hooks FIRSTCOME__OUTBOX__ALLOW_PRIVATE_NETWORKS=127.0.0.0/8
# Drops may demand a challenge of a service outside, which is never asked: clients on loopback are exempt.
(umask 077 && echo secret >"$scratch/site.secret")
export FIRSTCOME__CHALLENGE__SITEVERIFY_URL=http://127.0.0.1:9/siteverify FIRSTCOME__CHALLENGE__SECRET_FILE=$scratch/site.secret
start
mkdir -m 700 "$scratch/backups"
export CONTRACT_BACKUPS=$scratch/backups

# Resources for the requests: drops, and orders in several states.
post() { # ADDRESS PATH BODY: prints the id
    curl -sSf -X POST -H 'Content-Type: application/json' -H "Idempotency-Key: $SRANDOM-$SRANDOM" "http://$1$2" -d "$3" |
        sed 's/^{"id":"\{0,1\}\([^",]*\).*/\1/'
}
new_drop() { # STARTS_AT TOTAL
    post "$admin" /v1/drops "{\"sku\":\"S\",\"name\":\"N\",\"currency\":\"EUR\",\"unit_price\":100,\"total\":$2,
        \"per_buyer_limit\":9,\"starts_at\":\"$1\",\"reservation_seconds\":86400,\"payment_seconds\":86400}"
}
new_auction() { # STARTS_AT
    post "$admin" /v1/auctions "{\"sku\":\"A\",\"name\":\"N\",\"currency\":\"EUR\",\"start_price\":100,\"buy_now\":900,
        \"starts_at\":\"$1\",\"ends_at\":\"9000-01-01T00:00:00Z\"}"
}
new_endpoint() { post "$admin" /v1/webhook-endpoints "{\"url\":\"$CONTRACT_ENDPOINT_URL\"}"; }
make_resources() {
    local n order orders=()
    live=$(new_drop 2020-01-01T00:00:00Z 5000)
    CONTRACT_DROPS=$live,$live,$live,$(new_drop 2020-01-01T00:00:00Z 0),$(new_drop 9000-01-01T00:00:00Z 1)
    CONTRACT_CLOSABLE=$(new_drop 2020-01-01T00:00:00Z 7),$(new_drop 9000-01-01T00:00:00Z 7)
    CONTRACT_AUCTIONS=$(new_auction 2020-01-01T00:00:00Z),$(new_auction 2020-01-01T00:00:00Z)
    CONTRACT_AUCTIONS=$CONTRACT_AUCTIONS,$(new_auction 8000-01-01T00:00:00Z)
    CONTRACT_ENDPOINTS=$(new_endpoint),$(new_endpoint)
    for n in $(seq 60); do
        order=$(post "$public" "/v1/drops/$live/orders" "{\"buyer\":\"b$n\",\"quantity\":1,\"contact\":{\"email\":\"b$n@example.org\"}}")
        orders+=("$order")
        case $((n % 4)) in
        0) post "$public" "/v1/orders/$order/cancel" '' >/dev/null ;;
        1) post "$admin" "/v1/orders/$order/payments" '{"reference":"R","amount":100,"currency":"EUR","reason":"x"}' >/dev/null ;;
        esac
    done
    CONTRACT_ORDERS=$(IFS=,; echo "${orders[*]}")
}

export CONTRACT_AUCTIONS CONTRACT_ENDPOINTS CONTRACT_DROPS CONTRACT_CLOSABLE CONTRACT_ORDERS CONTRACT_PUBLIC=$public
export SCHEMATHESIS_HOOKS=contract_hooks PYTHONPATH=scripts PYTHONDONTWRITEBYTECODE=1 PYTHONHASHSEED=0

failed=
for listener in public admin; do
    make_resources
    # The part of the document that this listener serves.
    "$tools/bin/python" scripts/contract_half.py "$listener" <"$scratch/openapi.json" >"$scratch/$listener.json"
    address=${!listener}
    echo "-- schemathesis against the $listener listener"
    "$tools/bin/schemathesis" --no-color --config-file scripts/contract.toml run --max-examples "${CONTRACT_EXAMPLES:-50}" "$scratch/$listener.json" ${CONTRACT_REPORT:+--report ndjson --report-dir "$CONTRACT_REPORT/$listener"} --url "http://$address" ||
        failed="$failed $listener"
done

stop
if [ -n "$failed" ]; then
    echo "responses differ from the OpenAPI document on:$failed" >&2
    exit 1
fi
