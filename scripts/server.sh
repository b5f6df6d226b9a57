# Sourced by scripts that need a server: starts and stops the release binary on free loopback ports. Sets program, scratch (a
# directory that is removed at the end), public, admin and wire (addresses). The command in `run_under` precedes the server's.

program=${FIRSTCOME:-target/release/firstcome}
scratch=$(mktemp -d)
server=
run_under=()
cleanup() {
    if [ -n "$server" ]; then
        kill "$server" 2>/dev/null || true
        wait "$server" 2>/dev/null || true
    fi
    rm -rf "$scratch" 2>/dev/null || true
}
trap cleanup EXIT

start() { start_on "$scratch/data"; }

stop() { stop_on "$scratch/data"; }

start_on() { # data directory
    : >"$scratch/serve.out" # the server's shell may open it after the first look
    "${run_under[@]}" "$program" serve --demo --data "$1" --public 127.0.0.1:0 --admin "${admin_at:-127.0.0.1:0}" --wire 127.0.0.1:0 \
        >"$scratch/serve.out" 2>"$scratch/serve.err" &
    server=$!
    for _ in $(seq 1200); do # a minute: a large file on a busy machine
        public=$(sed -n 's|.*buyers *http://\([0-9.:]*\)/.*|\1|p' "$scratch/serve.out")
        admin=$(sed -n 's|.*operators *http://\([0-9.:]*\)/.*|\1|p' "$scratch/serve.out")
        wire=$(sed -n 's|.*wire *[a-z]*://\([0-9.:]*\).*|\1|p' "$scratch/serve.out")
        if [ -n "$public" ] && [ -n "$admin" ] && [ -n "$wire${older_program:-}" ] && curl -sf "http://$admin/readyz" >/dev/null; then return; fi
        kill -0 "$server" || break
        sleep 0.05
    done
    echo "the server did not start:" >&2
    cat "$scratch/serve.out" "$scratch/serve.err" >&2
    exit 1
}

stop_on() { # data directory
    kill -TERM "$server"
    local code=0
    wait "$server" || code=$?
    server=
    if [ "$code" != 0 ]; then
        echo "the server exited with $code instead of 0:" >&2
        cat "$scratch/serve.err" >&2
        exit 1
    fi
    "$program" verify --data "$1"
}
