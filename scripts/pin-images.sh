#!/usr/bin/env bash
# Adds the digests of the registry to the image tags in the Dockerfile and in docker-compose.yml, or renews them:
# `rust:1.95.0-bookworm` becomes `rust:1.95.0-bookworm@sha256:…`. Needs docker with buildx, and its registry.
set -euo pipefail
cd "$(dirname "$0")/.."

for file in scripts/Dockerfile dashboards/docker-compose.yml; do
    for image in $(sed -nE 's/^(FROM| *image:) ([^ @]+)(@[^ ]*)?( AS .*)?$/\2/p' "$file"); do
        digest=$(docker buildx imagetools inspect "$image" --format '{{.Manifest.Digest}}')
        if ! [[ $digest =~ ^sha256:[0-9a-f]{64}$ ]]; then
            echo "no digest of $image: $digest" >&2
            exit 1
        fi
        sed -i -E "s#^(FROM| *image:) ${image//./\\.}(@[^ ]*)?( AS .*)?\$#\1 $image@$digest\3#" "$file"
        echo "$file: $image@$digest"
    done
done
