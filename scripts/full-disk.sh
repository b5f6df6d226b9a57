#!/usr/bin/env bash
# A disk that is really full: the real server on a small file system of its own, filled and freed twenty times. Every
# order is answered 201 or "nothing happened"; at the end the file has exactly those that were answered 201.
# Needs to mount a tmpfs: as root, or where user namespaces are allowed. Loopback only; ends by itself.
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
# Only a write that fails tells: nothing stops it before the disk is full to the last page.
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
    # Whatever is free, but for a few pages.
    dd if=/dev/zero of="$scratch/data/filler" bs=4096 2>/dev/null || true
    truncate -s -$((4096 * (9 + 5 * (round % 7)))) "$scratch/data/filler"
    until [ "$refused" -ge "$round" ]; do
        buyer=$((buyer + 1))
        status=$(order "b$buyer")
        case $status in
        201) sold=$((sold + 1)) ;;
        503)
            grep -q '"code":"read-only"' "$scratch/answer" && grep -q '"applied":"no"' "$scratch/answer" || {
                echo "round $round: a 503 that is not read-only:" >&2
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
echo "$rounds times full and free again: $sold orders answered 201, $held held, $refused turned away"
[ "$held" = "$sold" ]
