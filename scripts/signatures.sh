#!/usr/bin/env bash
# Tests webhook signatures against other implementations, the Python packages stripe and standardwebhooks: the server
# accepts what they sign, refuses what they refuse, they verify what the server signs, and Stripe's requests a refund as the
# server does. Loopback only.
#
#   scripts/signatures.sh [PROGRAM]
set -euo pipefail
cd "$(dirname "$0")/.."

. scripts/server.sh
program=${1:-$program}
tools=target/signatures-venv
if ! cmp -s scripts/signatures.requirements.txt "$tools/installed"; then
    python3 -m venv --clear "$tools"
    "$tools/bin/pip" install --quiet --disable-pip-version-check --requirement scripts/signatures.requirements.txt
    cp scripts/signatures.requirements.txt "$tools/installed"
fi

# Two secrets each, as during a rotation.
umask 077
secret() { # FILE
    printf 'whsec_%s\n' "$(head -c 32 /dev/urandom | base64 -w 0)" >"$scratch/$1"
}
for name in standard standard-next stripe stripe-next sandbox; do secret "$name"; done
export FIRSTCOME__PAYMENTS__STANDARD_WEBHOOKS_SECRET_FILES=$scratch/standard,$scratch/standard-next
export FIRSTCOME__PAYMENTS__STRIPE_SECRET_FILES=$scratch/stripe,$scratch/stripe-next
export FIRSTCOME__PAYMENTS__SANDBOX_SECRET_FILES=$scratch/sandbox

# Refunds are made at a stand-in of Stripe, with the package beside it.
echo sk_test_stand_in >"$scratch/stripe-key"
stripe_port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
export FIRSTCOME__PAYMENTS__REFUNDS=automatic
export FIRSTCOME__PAYMENTS__STRIPE_API_KEY_FILE=$scratch/stripe-key
export FIRSTCOME__PAYMENTS__STRIPE_URL=http://127.0.0.1:$stripe_port

# Allows an endpoint on this machine, whose deliveries the package verifies.
export FIRSTCOME__OUTBOX__ALLOW_PRIVATE_NETWORKS=127.0.0.0/8
start
PYTHONDONTWRITEBYTECODE=1 "$tools/bin/python" scripts/signatures.py "http://$public" "$scratch" "http://$admin" "$stripe_port"
stop
