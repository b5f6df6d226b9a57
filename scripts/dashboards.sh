#!/usr/bin/env bash
# Tests the dashboards: they match their generator and Grafana's types, and every query of every panel returns data from a
# Prometheus that scraped a real server during a sale with failures. Loopback only. Needs Python, node and npm; Debian's
# Prometheus is unpacked below target/.
set -euo pipefail
cd "$(dirname "$0")/.."

export PYTHONDONTWRITEBYTECODE=1
python3 dashboards/generate.py --check
if [ ! -d scripts/dashboards/node_modules/@grafana/schema ]; then
    npm ci --prefix scripts/dashboards --ignore-scripts --no-audit --no-fund
fi
mkdir -p target/dashboards
node scripts/dashboards/schema.mjs target/dashboards

. scripts/prometheus.sh
. scripts/server.sh
helpers=()
end() {
    for helper in "${helpers[@]}"; do
        kill "$helper" 2>/dev/null || true
        wait "$helper" 2>/dev/null || true
    done
    cleanup
}
trap end EXIT
free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

# An idle server.
"$program" serve --data "$scratch/empty" --public 127.0.0.1:0 --admin 127.0.0.1:0 --wire 127.0.0.1:0 \
    >"$scratch/empty.out" 2>"$scratch/empty.err" &
helpers+=($!)

# The server of the sale, with low limits, so that they are reached now and then.
umask 077
printf 'whsec_%s\n' "$(head -c 32 /dev/urandom | base64 -w 0)" >"$scratch/sandbox"
printf 'sk_test_stub\n' >"$scratch/stripe-key"
cp "$scratch/sandbox" "$scratch/stripe"
stub=$(free_port)
python3 scripts/dashboards/sale.py stub "$stub" &
helpers+=($!)
export FIRSTCOME__PAYMENTS__SANDBOX_SECRET_FILES=$scratch/sandbox FIRSTCOME__PAYMENTS__PROVIDER=stripe
export FIRSTCOME__PAYMENTS__STRIPE_API_KEY_FILE=$scratch/stripe-key FIRSTCOME__PAYMENTS__STRIPE_SECRET_FILES=$scratch/stripe
export FIRSTCOME__PAYMENTS__STRIPE_URL=http://127.0.0.1:$stub
export FIRSTCOME__OUTBOX__ALLOW_PRIVATE_NETWORKS=127.0.0.0/8 FIRSTCOME__OUTBOX__RETRY_SECONDS=1
export FIRSTCOME__WRITER__QUEUE_CAPACITY=160 FIRSTCOME__WRITER__QUEUE_RESERVE=64 FIRSTCOME__WRITER__BATCH_COMMANDS_MAX=16
export FIRSTCOME__WRITER__CHECKPOINT_WAL_BYTES=1048576 FIRSTCOME__WRITER__RESET_WAL_BYTES=4194304
export FIRSTCOME__HTTP__CONNECTIONS_MAX=420 FIRSTCOME__HTTP__CONNECTIONS_PER_ADDRESS_MAX=400 FIRSTCOME__HTTP__FIRST_BYTE_TIMEOUT_MS=1000
export FIRSTCOME__HTTP__HEADER_READ_TIMEOUT_MS=1000 FIRSTCOME__PLAN__REQUESTS_PER_SECOND=5000
export FIRSTCOME__PLAN__DEPLETION_SECONDS=60 FIRSTCOME__LOG__ACCESS_ONE_IN=100
start
wire=$(sed -n 's|.*wire *tcp://||p' "$scratch/serve.out")
empty=$(sed -n 's|.*operators *http://\([0-9.:]*\)/.*|\1|p' "$scratch/empty.out")

cat >"$scratch/prometheus.yml" <<YAML
global: { scrape_interval: 1s, evaluation_interval: 1s }
rule_files: ['$PWD/dashboards/alerts.ym[l]']
scrape_configs:
  - job_name: firstcome
    static_configs: [{ targets: ['$admin', '$empty'] }]
YAML
at=127.0.0.1:$(free_port)
"$prometheus" --config.file="$scratch/prometheus.yml" --storage.tsdb.path="$scratch/series" --web.listen-address="$at" \
    --log.level=warn 2>"$scratch/prometheus.err" &
helpers+=($!)
for _ in $(seq 100); do
    ! curl -sf -o /dev/null "http://$at/-/ready" || break
    sleep 0.1
done
# What happens before the first scrape of a counter is in no rate: the sale waits for it.
scraped() { curl -sfG "http://$at/api/v1/query" --data-urlencode 'query=count(up == 1)' | grep -q '"2"\]'; }
for _ in $(seq 300); do
    ! scraped || break
    sleep 0.1
done
scraped || {
    echo "Prometheus has not scraped both servers within 30 s" >&2
    exit 1
}

began=$(date +%s)
seconds=${SECONDS_OF_SALE:-30}
python3 scripts/dashboards/sale.py "$public" "$admin" "$wire" "$scratch" "$seconds" "$stub" &
sale=$!
helpers+=("$sale")
# Additional load beside it. Some requests are rejected, so the load generator's own check may fail. On a busy machine some
# events come late: the sale ends when every query has values, or runs out of patience.
runs=0
while kill -0 "$sale" 2>/dev/null; do
    timeout 60 "$program" rush --public "$public" --admin "$admin" --buyers 4000 --units 2000 --connections 256 --reads 50 \
        --crowd plain >/dev/null 2>&1 || true
    runs=$((runs + 1))
    sleep 2
    if [ $(($(date +%s) - began)) -ge "$seconds" ] &&
        python3 scripts/dashboards/ask.py "http://$at" "$admin" "$empty" "$began" >/dev/null 2>&1; then
        touch "$scratch/enough"
    fi
done
wait "$sale"
echo "a sale of $(($(date +%s) - began)) s with $runs runs of additional load"
if ! python3 scripts/dashboards/ask.py "http://$at" "$admin" "$empty" "$began"; then
    tail -n 5 "$scratch/prometheus.err" >&2
    exit 1
fi
stop
