#!/usr/bin/env bash
# Tests a full disk: the real server on a small file system that is filled and freed twenty times. Every order gets a 201 or
# a 503 with `applied: no`; at the end the file has exactly the orders that got a 201.
# Mounts a tmpfs: needs root, or permission to create user namespaces. Loopback only.
#
#   scripts/full-disk.sh [ROUNDS]
set -euo pipefail
cd "$(dirname "$0")/.."
if [ "${1:-}" != inside ]; then
    as_root=()
    if [ "$(id -u)" != 0 ]; then as_root=(--map-root-user); fi
    exec unshare --mount "${as_root[@]}" "$0" inside "${1:-20}"
fi
rounds=$2
. scripts/server.sh

mkdir "$scratch/data"
leave() {
    cleanup
    umount "$scratch/data" && rm -rf "$scratch"
}
trap leave EXIT
mount -t tmpfs -o size=24m tmpfs "$scratch/data"
# No reserve: the server only notices the full disk by a failed write.
export FIRSTCOME__WRITER__FREE_BYTES_MIN=0
data=$scratch/data/firstcome
start_on "$data"
curl -sf "http://$admin/v1/drops" -H 'Content-Type: application/json' -H 'Idempotency-Key: full' -o /dev/null -d \
    '{"sku":"S","name":"N","currency":"EUR","unit_price":1,"total":1000000,"starts_at":"2020-01-01T00:00:00Z","reservation_seconds":86400}'

order() { # buyer: prints the status
    curl -s -o "$scratch/answer" -w '%{http_code}' "http://$public/v1/drops/2/orders" -H 'Content-Type: application/json' \
        -H "Idempotency-Key: $1" -d "{\"buyer\":\"$1\",\"quantity\":1}"
}

sold=0 buyer=0 refused=0
for ((round = 1; round <= rounds; round++)); do
    # Fills all but a few pages.
    dd if=/dev/zero of="$scratch/data/filler" bs=4096 2>/dev/null || true
    truncate -s -$((4096 * (9 + 5 * (round % 7)))) "$scratch/data/filler"
    until [ "$refused" -ge "$round" ]; do
        buyer=$((buyer + 1))
        status=$(order "b$buyer")
        case $status in
        201) sold=$((sold + 1)) ;;
        503)
            grep -q '"code":"read-only"' "$scratch/answer" && grep -q '"applied":"no"' "$scratch/answer" || {
                echo "round $round: a 503 other than read-only:" >&2
                cat "$scratch/answer" >&2
                exit 1
            }
            refused=$((refused + 1))
            ;;
        *)
            echo "round $round: status $status" >&2
            cat "$scratch/answer" "$scratch/serve.err" >&2
            exit 1
            ;;
        esac
    done
    rm "$scratch/data/filler"
    for _ in $(seq 100); do
        buyer=$((buyer + 1))
        if [ "$(order "b$buyer")" = 201 ]; then
            sold=$((sold + 1))
            break
        fi
        sleep 0.1
    done
done
held=$(curl -sf "http://$public/v1/drops/2" | sed 's/.*"held":\([0-9]*\).*/\1/')
stop_on "$data"
echo "disk filled and freed $rounds times: $sold orders got a 201, $held units held, $refused orders rejected"
[ "$held" = "$sold" ]
