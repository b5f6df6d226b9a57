#!/usr/bin/env bash
# Makes the picture of the README: `firstcome top` in a terminal (tmux) while `firstcome rush` sells a drop, as an SVG.
# Loopback only; ends by itself.
#
#   scripts/picture.sh [FILE]     default: dashboards/top.svg
set -euo pipefail
cd "$(dirname "$0")/.."

. scripts/server.sh
file=${1:-dashboards/top.svg}
command -v tmux >/dev/null || {
    echo "tmux is missing: apt-get install tmux" >&2
    exit 69
}
program=$(realpath "$program")

load=
end() {
    # q first: top restores its terminal and ends.
    if tmux send-keys -t top q 2>/dev/null; then sleep 0.5; fi
    tmux kill-server 2>/dev/null || true
    if [ -n "$load" ]; then kill "$load" 2>/dev/null || true; fi
    cleanup
}
trap end EXIT
tmux() { command tmux -u -L "firstcome-$$" -f /dev/null "$@"; }

start
"$program" rush --public "$public" --admin "$admin" --buyers 60000 --units 20000 --rate 2000 --connections 64 \
    >"$scratch/rush.out" 2>&1 &
load=$!
tmux new-session -d -s top -x 100 -y 25 "$program" top --admin "$admin"
# Eight seconds fill the rates and percentiles, which cover five.
sleep 8
tmux capture-pane -e -p -t top >"$scratch/screen"
python3 scripts/picture.py "$scratch/screen" >"$scratch/picture.svg"
cp "$scratch/picture.svg" "$file"
echo "$file: $(wc -c <"$file") bytes"
