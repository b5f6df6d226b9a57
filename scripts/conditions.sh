# Sourced by rehearse.sh: a function per condition that causes it, runs its runbook and checks the result.
# `fresh` starts a server, `made` records the time of the cause, `alert` waits for the alert, `types` runs blocks of its
# runbook, `over` waits for the alert's end.

rehearse_killed() {
    fresh
    made
    kill -KILL "$server"
    wait "$server" 2>/dev/null || exit_code=$?
    server=
    alert FirstcomeDown
    prometheus=$watch
    types FirstcomeDown 1 4
    grep -oE '"lastError":"([^"\\]|\\.)*"' "$typed" | tail -n 1 | sed 's/^/  Prometheus: /'
    types FirstcomeDown 5
    over FirstcomeDown
}

rehearse_hung() {
    fresh
    made
    kill -STOP "$server"
    alert FirstcomeDown
    prometheus=$watch
    types FirstcomeDown 1 2
    over FirstcomeDown
}

# With the features of the check's tests, whose build it then is.
build_with_failpoints() { cargo build --locked --quiet --features failpoints,otlp,cluster; }
rehearse_stalled() { # the writer stops after BEGIN, at a failpoint
    build_with_failpoints
    program=target/debug/firstcome
    mkdir -p "$scratch/stalled"
    fresh FIRSTCOME_PAUSE=AfterBegin:40 "FIRSTCOME_PAUSE_DIR=$scratch/stalled" FIRSTCOME__WRITER__QUEUE_CAPACITY=64 \
        FIRSTCOME__WRITER__QUEUE_RESERVE=4 FIRSTCOME__WRITER__BATCH_COMMANDS_MAX=16
    "$release" rush --public "$public" --admin "$admin" --buyers 20000 --units 20000 --connections 128 --deadline 60 \
        >"$scratch/rush" 2>&1 &
    local rush=$!
    others+=($rush)
    wait_until 20 "the writer to stop" test -e "$scratch/stalled/paused"
    made
    alert FirstcomeQueueFull
    local full=$before
    alert FirstcomeWriterStalled
    kill "$rush" 2>/dev/null || true
    types FirstcomeQueueFull 1
    types FirstcomeWriterStalled 1 2 3
    over FirstcomeWriterStalled
    before=$full
    over FirstcomeQueueFull
    program=$release
}

rehearse_endpoint() {
    fresh
    post /v1/webhook-endpoints "{\"url\":\"http://127.0.0.1:$sink_port/\",\"events\":[\"*\"]}" >"$scratch/answer"
    endpoint=$(sed 's/^{"id":\([0-9]*\).*/\1/' "$scratch/answer") url=http://127.0.0.1:$sink_port/
    made
    orders 8 late
    alert FirstcomeEndpointDead
    types FirstcomeEndpointDead 1
    from=$(curl -sS "http://$admin/v1/webhook-endpoints/$endpoint/deliveries?state=waiting" |
        grep -o '"seq":[0-9]*' | cut -d: -f2 | sort -n | head -n 1)
    sink
    types FirstcomeEndpointDead 2
    over FirstcomeEndpointDead
    wait_until 30 "an empty outbox" test_value 'firstcome_outbox_waiting' 0
    kill "$sink"
}

rehearse_dead-letters() {
    fresh FIRSTCOME__OUTBOX__RETRY_SECONDS=1
    post /v1/webhook-endpoints "{\"url\":\"http://127.0.0.1:$sink_port/\",\"events\":[\"*\"]}" >"$scratch/answer"
    endpoint=$(sed 's/^{"id":\([0-9]*\).*/\1/' "$scratch/answer")
    made
    orders 2 dead
    alert FirstcomeDeadLetters
    types FirstcomeDeadLetters 1
    sink
    types FirstcomeDeadLetters 2
    over FirstcomeDeadLetters
    kill "$sink"
}

rehearse_disk() {
    if [ $may_mount = no ]; then
        rows+=("disk             skipped: mounting a small file system is not allowed here")
        return
    fi
    mounted=$scratch/disk
    mkdir -p "$mounted"
    mount -t tmpfs -o size=192m tmpfs "$mounted"
    fresh
    made
    victim=$mounted/filler
    dd if=/dev/zero of="$victim" bs=1M count=150 status=none
    alert FirstcomeReadOnly
    order buyer | grep -q '"code":"read-only"'
    types FirstcomeReadOnly 1 2 3
    over FirstcomeReadOnly
    order buyer | grep -q '"state":"reserved"'
    wait_until 20 "FirstcomeDiskLow, which a disk of 192 MB always causes" fires FirstcomeDiskLow
    done_with
    umount "$mounted"
    mounted=
}

rehearse_wal() {
    fresh
    mkfifo "$scratch/wal/questions"
    sqlite3 "$data/firstcome.db" <"$scratch/wal/questions" >/dev/null 2>&1 &
    others+=($!)
    exec 9>"$scratch/wal/questions"
    echo 'BEGIN; SELECT count(*) FROM orders;' >&9
    made
    for _ in 1 2 3 4 5 6 7 8; do # more rounds are needed if commits hold few orders
        "$release" rush --public "$public" --admin "$admin" --crowd plain --buyers 20000 --units 20000 --connections 8 \
            >"$scratch/rush" 2>&1
        sleep 2
        if [ "$(value 'firstcome_wal_bytes > bool 134217728')" = 1 ]; then break; fi
    done
    alert FirstcomeWalGrowing
    types FirstcomeWalGrowing 1 2
    exec 9>&-
    order buyer >/dev/null
    over FirstcomeWalGrowing
}

faketime() { # prints the path of libfaketime, which gives a process a clock of its own; downloads it if needed
    for library in /usr/lib/*/faketime/libfaketime.so.1 target/faketime/usr/lib/*/faketime/libfaketime.so.1; do
        if [ -e "$library" ]; then
            realpath "$library"
            return
        fi
    done
    mkdir -p target/faketime
    (cd target/faketime && { fetch_faketime || { apt-get update -qq && fetch_faketime; }; } >&2) &&
        dpkg-deb -x target/faketime/libfaketime_*.deb target/faketime &&
        realpath target/faketime/usr/lib/*/faketime/libfaketime.so.1
}
fetch_faketime() { apt-get download -qq -o "APT::Sandbox::User=$(id -un)" libfaketime; }
own_clock() {
    clock=$scratch/faked
    echo "$1" >"$clock"
    fresh "LD_PRELOAD=$(faketime)" "FAKETIME_TIMESTAMP_FILE=$clock" FAKETIME_NO_CACHE=1 FAKETIME_DONT_FAKE_MONOTONIC=1 \
        DONT_FAKE_MONOTONIC=1
}
rehearse_clock() {
    own_clock +0
    made
    echo +30 >"$clock"
    alert FirstcomeClockOff
    types FirstcomeClockOff 1 2
    over FirstcomeClockOff
}
rehearse_clock-at-start() { # the server starts while the clock is wrong; then the clock is corrected
    own_clock +10
    order early >/dev/null
    made
    echo +0 >"$clock"
    alert FirstcomeClockOff
    ahead=10
    types FirstcomeClockOff 3
    over FirstcomeClockOff
}

# Sets variables from the line of `verify` that reports the recount of the audit.
as_audited() {
    read -r drop total held sold < <("$program" verify --data "$data" 2>&1 | sed -n \
        's/.*drop \([0-9]*\): .*its audit rows say total \([0-9]*\), held \([0-9]*\), sold \([0-9]*\).*/\1 \2 \3 \4/p')
}
set_right() {
    types FirstcomeCountersDisagree 1
    as_audited
    types FirstcomeCountersDisagree 2
    admin=$admin_at
    wait_until 20 "the auditor's first look" test_value firstcome_mismatched_drops 0
    types FirstcomeCountersDisagree 3
    curl -sf "http://$public/v1/drops/1" | grep -q '"state":"live"'
}
plant() { # starts a server with a bug, which is right again after `dig_up` and a restart
    build_with_failpoints
    program=target/debug/firstcome
    fresh "FIRSTCOME_PLANTED=$1"
}
dig_up() { program=$release run_under=(env FIRSTCOME__AUDIT__COMPARE_INTERVAL_MS=1000); }
rehearse_counter() { # a planted bug: a server ends when another program writes its file
    plant UnitsCountedTwice
    made
    orders 3 counted
    alert FirstcomeUndersold
    local undersold=$before
    alert FirstcomeCountersDisagree
    types FirstcomeUndersold 1
    dig_up
    set_right
    over FirstcomeCountersDisagree
    before=$undersold
    over FirstcomeUndersold
}
rehearse_oversold() { # a planted bug, as above: of two units, the order of one takes both from the total
    plant UnitsLeaveTotal
    post /v1/drops/1/stock '{"delta":-9998,"expected_total":10000,"reason":"two units"}' | grep -q '"total":2'
    made
    orders 1 counted
    alert FirstcomeOversold
    types FirstcomeOversold 1
    dig_up
    set_right
    over FirstcomeOversold
}

rehearse_refund() { # a payment for a cancelled order
    local secret=$scratch/sandbox.secret body now key signature
    (umask 077 && echo "whsec_$(openssl rand -base64 32)" >"$secret")
    fresh "FIRSTCOME__PAYMENTS__SANDBOX_SECRET_FILES=$secret"
    order=$(order buyer | sed 's/^{"id":"\([^"]*\).*/\1/') reference=pay_1
    curl -sf -o /dev/null -X POST "http://$public/v1/orders/$order/cancel"
    body='{"type":"payment.succeeded","timestamp":"2026-01-01T00:00:00Z","data":{"order_id":"'$order'","reference":"pay_1","amount":14900,"currency":"EUR"}}'
    now=$(date +%s)
    key=$(sed 's/^whsec_//' "$secret" | base64 -d | od -An -tx1 | tr -d ' \n')
    signature=$(printf %s "msg_1.$now.$body" | openssl dgst -sha256 -mac HMAC -macopt "hexkey:$key" -binary | base64)
    made
    curl -sf "http://$public/v1/payments/sandbox" -H 'webhook-id: msg_1' -H "webhook-timestamp: $now" \
        -H "webhook-signature: v1,$signature" -d "$body" >>"$typed"
    alert FirstcomeRefundsDue
    types FirstcomeRefundsDue 1 2
    over FirstcomeRefundsDue
}

rehearse_certificate() { # a new certificate that does not match its key
    certificate=$scratch/shop.crt key=$scratch/shop.key
    self_signed "$key" "$certificate"
    self_signed "$scratch/other.key" "$scratch/other.crt"
    fresh "FIRSTCOME__WIRE__TLS_CERTIFICATE=$certificate" "FIRSTCOME__WIRE__TLS_KEY=$key"
    made
    cp "$scratch/other.crt" "$certificate"
    alert FirstcomeCertificateNotTaken
    types FirstcomeCertificateNotTaken 1
    cp "$scratch/other.key" "$key"
    over FirstcomeCertificateNotTaken
}
self_signed() { # key, certificate
    (umask 077 && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$1" -out "$2" -days 2 \
        -subj /CN=localhost 2>/dev/null)
}

room() { # key, seconds until the start, members of the room: creates a drop of ten units and prints its number
    local starts
    starts=$(date -u -d "+$2 seconds" +%Y-%m-%dT%H:%M:%SZ)
    post /v1/drops '{"sku":"R","name":"'"$1"'","currency":"EUR","unit_price":100,"total":10,"starts_at":"'"$starts"'",
        "room":{"opens_at":"2020-01-01T00:00:00Z","admit_per_second":1000,"order_seconds":3600'"$3"'}}' |
        sed -n 's/^{"id":\([0-9]*\).*/\1/p'
}
tickets() { # drop, buyers
    local drop=$1 buyer
    shift
    for buyer; do
        curl -sf -o /dev/null "http://$public/v1/drops/$drop/tickets" -H 'Content-Type: application/json' -d "{\"buyer\":\"$buyer\"}"
    done
}
rehearse_rooms() { # three rooms at the same time: a paused one, one without its beacon, and one whose buyers do not order
    local paused beacon idle moving drawn drop
    fresh
    paused=$(room paused 0 '')
    beacon=$(room drawn 1 ',"draw":"random","beacon":"required","beacon_seconds":3600')
    idle=$(room idle 0 '')
    post "/v1/drops/$paused/pause" '{"reason":"a mistake"}' | grep -q '"state":"paused"'
    made
    tickets "$paused" ann bob eve
    tickets "$beacon" ann bob
    tickets "$idle" ann bob eve
    alert FirstcomeBeaconMissing
    drawn=$before
    alert FirstcomeRoomNotMoving
    moving=$before
    alert_within=90 alert FirstcomeAdmittedIdle
    drop=$idle
    types FirstcomeAdmittedIdle 1
    curl -sf -o /dev/null "http://$public/v1/drops/$idle/orders" -H 'Content-Type: application/json' -H 'Idempotency-Key: ann' \
        -d '{"buyer":"ann","quantity":1}'
    over FirstcomeAdmittedIdle
    drop=$beacon
    types FirstcomeBeaconMissing 1
    post "/v1/drops/$beacon/room/beacon" '{"value":"c0ffee","source":"a die","reason":"as announced"}' | grep -q '"beacon":"c0ffee"'
    before=$drawn
    over FirstcomeBeaconMissing
    drop=$paused
    types FirstcomeRoomNotMoving 1 2
    before=$moving
    over FirstcomeRoomNotMoving
}

# Runs every block of the runbooks that no condition above runs, against a healthy server: each must succeed. Left out are
# pages that change the machine's services and limits or need a cluster, and one line that calls a payment provider.
of_the_machine=(FirstcomeDescriptorsLow FirstcomeKeysForgotten FirstcomeMemoryHigh FirstcomeNotWatched)
of_the_machine+=(FirstcomeNoLeader FirstcomeLeaderChanges FirstcomeNodeBehind FirstcomeEtcdMemberLost FirstcomeEtcdNearlyFull)
of_the_machine+=(FirstcomeEtcdSlow FirstcomeNodeClockOff FirstcomeRouterNoLeader FirstcomeRouterNodeMisplaced ReplaceNode)
of_the_machine+=(UpgradeCluster)
is_counted() {
    curl -s "http://$admin/metrics" >"$scratch/metrics"
    for metric in reads problems provider_events; do grep -q "^firstcome_${metric}_total" "$scratch/metrics" || return 1; done
}
rehearse_pages() {
    fresh
    post /v1/webhook-endpoints "{\"url\":\"http://127.0.0.1:$sink_port/\",\"events\":[\"*\"]}" >"$scratch/answer"
    endpoint=$(sed 's/^{"id":\([0-9]*\).*/\1/' "$scratch/answer") drop=1
    order=$(order buyer | sed 's/^{"id":"\([^"]*\).*/\1/')
    orders 2 typed
    # A read, a problem and a forged event, so that their metrics exist.
    curl -s -o /dev/null "http://$public/v1/drops/1"
    curl -s -o /dev/null "http://$public/v1/orders/none"
    curl -s -o /dev/null "http://$public/v1/payments/sandbox" -H 'webhook-id: forged' -H "webhook-timestamp: $(date +%s)" \
        -H 'webhook-signature: v1,AAAA' -d '{}'
    wait_until 20 "the metrics of these requests" is_counted
    # UndoOrders, the last of the pages, asks the operator for an order range.
    run=$(curl -s "http://$admin_at/v1/drops/$drop/remedy?last=2" | sed -n 's/.*"run":"\([0-9-]*\)".*/\1/p') orders=2
    local page alert blocks typed_pages=0 from
    for page in dashboards/runbooks/*.md; do
        alert=$(basename "$page" .md)
        if grep -q "types $alert " scripts/conditions.sh || [[ " ${of_the_machine[*]} " == *" $alert "* ]]; then continue; fi
        blocks=$(grep -c '^```sh' "$page") from=1
        if [ "$alert" = FirstcomeSessionsFailing ]; then from=2; fi
        echo "  $alert"
        # shellcheck disable=SC2046 # numbers
        types "$alert" $(seq "$from" "$blocks")
        typed_pages=$((typed_pages + 1))
    done
    rows+=("pages            $typed_pages pages without a condition of their own: every command succeeds")
}
