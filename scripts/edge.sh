#!/usr/bin/env bash
# Tests scripts/edge/nginx.conf with Debian's nginx in front of the real server during a sale: the share of reads that
# nginx answers itself, their age, how often polls of a waiting room reach the server, and that all other requests pass
# unchanged. Loopback only.
#
#   scripts/edge.sh [SECONDS]     duration of the reads (10)
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:-10}
[[ $seconds =~ ^[1-9][0-9]{0,2}$ ]] || {
    sed -n '6s/^# *//p' "$0" >&2
    exit 64
}
nginx=$(command -v nginx || true)
if [ -z "$nginx" ]; then
    # Unpacks the program only: installing its package would start a service.
    fetch() { apt-get download -qq -o "APT::Sandbox::User=$(id -un)" nginx; }
    unpacked=$PWD/target/nginx nginx=$PWD/target/nginx/usr/sbin/nginx
    if [ ! -x "$nginx" ]; then
        mkdir -p "$unpacked"
        if ! (cd "$unpacked" && { fetch || { apt-get update -qq && fetch; }; }) ||
            ! dpkg-deb -x "$unpacked"/nginx_*.deb "$unpacked"; then
            echo "nginx is missing and could not be downloaded: apt-get install nginx" >&2
            exit 69
        fi
    fi
fi

. scripts/server.sh
edge_pid=
end() {
    if [ -n "$edge_pid" ]; then
        kill "$edge_pid" 2>/dev/null || true
        wait "$edge_pid" 2>/dev/null || true
    fi
    cleanup
}
trap end EXIT
start

edge=127.0.0.1:$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
mkdir "$scratch/edge"
# The recipe with two addresses replaced; in the foreground, so that it ends with this script; as the calling user, who owns
# the directory.
as_asked='daemon off;'
if [ "$(id -u)" = 0 ]; then as_asked="$as_asked user root;"; fi
sed -e "s/127\.0\.0\.1:8080/$public/" -e "s/127\.0\.0\.1:8090/$edge/" scripts/edge/nginx.conf >"$scratch/edge/nginx.conf"
"$nginx" -p "$scratch/edge/" -c "$scratch/edge/nginx.conf" -g "$as_asked" 2>"$scratch/edge/errors" &
edge_pid=$!
for _ in $(seq 100); do
    curl -sf "http://$edge/v1/drops/1" >/dev/null && break
    kill -0 "$edge_pid" 2>/dev/null || break
    sleep 0.05
done
python3 scripts/edge/measure.py "$public" "$edge" "$seconds" "$admin" || {
    head -n 5 "$scratch/edge/errors" >&2
    exit 1
}
stop
