#!/usr/bin/env bash
# Builds the pages' files that are part of the program: src/web/app into src/web/dist. Needs node and npm.
#
#   scripts/pages.sh build   checks the types and builds
#   scripts/pages.sh check   the same into a scratch directory, and compares with what is committed
set -euo pipefail
cd "$(dirname "$0")/.."

app=src/web/app
if [ ! -f $app/node_modules/.package-lock.json ] || [ $app/package-lock.json -nt $app/node_modules/.package-lock.json ]; then
    npm ci --prefix $app --ignore-scripts --no-audit --no-fund
fi
(cd $app && node_modules/.bin/tsc -p .)
case ${1:-} in
build) node $app/build.mjs ;;
check)
    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' EXIT
    node $app/build.mjs "$scratch/dist"
    diff -rq "$scratch/dist" src/web/dist || {
        echo "src/web/dist is not what src/web/app gives: run scripts/pages.sh build and commit src/web/dist" >&2
        exit 1
    }
    ;;
*)
    echo "usage: scripts/pages.sh build|check" >&2
    exit 64
    ;;
esac
