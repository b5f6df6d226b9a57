#!/usr/bin/env bash
# Lints the OpenAPI document (redocly, spectral), generates the types of both clients from it, checks the clients with their
# compilers, runs the whole journey of a shop with each against a real server, and builds the packages into
# target/clients. Loopback only.
#
#   scripts/clients.sh [PROGRAM]
set -euo pipefail
cd "$(dirname "$0")/.."

. scripts/server.sh
program=${1:-$program}
tools=target/clients
mkdir -p "$tools"
document=$PWD/$tools/openapi.json
"$program" openapi >"$document"

install_node() { # DIR: what its package-lock.json names
    if ! cmp -s "$1/package-lock.json" "$1/node_modules/installed"; then
        (cd "$1" && npm ci --silent --no-audit --no-fund --ignore-scripts)
        cp "$1/package-lock.json" "$1/node_modules/installed"
    fi
}

echo "-- lint of the OpenAPI document"
mkdir -p "$tools/lint"
cp scripts/clients/lint/* "$tools/lint/"
install_node "$tools/lint"
(cd "$tools/lint" && node_modules/.bin/redocly lint --config redocly.yaml "$document" --max-problems 20 2>&1 | tail -n 20)
(cd "$tools/lint" && node_modules/.bin/spectral lint --ruleset spectral.yaml --fail-severity hint "$document")

echo "-- TypeScript"
typescript=$tools/typescript
mkdir -p "$typescript"
cp -r scripts/clients/typescript/. LICENSE "$typescript/"
python3 scripts/clients/document.py <"$document" >"$typescript/openapi.json"
install_node "$typescript"
(cd "$typescript" && npm run --silent generate >/dev/null && npm run --silent check && npm pack --silent >/dev/null)

echo "-- Python"
python=$tools/python
mkdir -p "$python"
cp -r scripts/clients/python/. LICENSE "$python/"
if ! cmp -s scripts/clients/python/requirements.txt "$tools/venv/installed"; then
    python3 -m venv --clear "$tools/venv"
    "$tools/venv/bin/pip" install --quiet --disable-pip-version-check --requirement scripts/clients/python/requirements.txt
    cp scripts/clients/python/requirements.txt "$tools/venv/installed"
fi
schema=$python/src/firstcome_client/schema.py
"$tools/venv/bin/datamodel-codegen" --input "$typescript/openapi.json" --input-file-type openapi --output "$schema" \
    --output-model-type typing.TypedDict --target-python-version 3.11 --disable-timestamp --use-standard-collections \
    --use-union-operator --no-use-closed-typed-dict --formatters builtin
# The union of all messages of the outbox.
{
    printf '\n\nWebhookEvent: TypeAlias = (\n'
    sed -n 's/^class \(.*Webhook\)(TypedDict):/    \1/p' "$schema" | sed '1!s/^    /    | /'
    printf ')\n'
} >"$scratch/union"
cat "$scratch/union" >>"$schema"
(
    cd "$python"
    ../venv/bin/mypy --no-error-summary
    ../venv/bin/hatchling build -d dist >/dev/null 2>&1
)

export FIRSTCOME__OUTBOX__ALLOW_PRIVATE_NETWORKS=127.0.0.0/8
start
export FIRSTCOME_PUBLIC=http://$public FIRSTCOME_ADMIN=http://$admin
echo "-- the journey with the TypeScript client"
(cd "$typescript" && npx --no-install tsc --project tsconfig.test.json && node --test --test-reporter=dot built/test/*.test.js)
echo "-- the journey with the Python client"
(cd "$python" && PYTHONPATH=src PYTHONDONTWRITEBYTECODE=1 ../venv/bin/python -W error -m unittest discover --start-directory tests)
stop
ls "$typescript"/*.tgz "$python"/dist/*.whl
