#!/usr/bin/env bash
# Checks dashboards/alerts.yml with Debian's promtool: the rules parse, and they fire and end for the test series; and
# dashboards/alertmanager.yml with Debian's amtool: it is valid, and each severity reaches its receiver.
set -euo pipefail
cd "$(dirname "$0")/.."

. scripts/prometheus.sh
"$promtool" check rules dashboards/alerts.yml
"$promtool" test rules dashboards/alerts_test.yml

find_amtool
config=dashboards/alertmanager.yml
"$amtool" check-config "$config"
for severity in page ticket none; do
    receiver=$("$amtool" config routes test --config.file="$config" "severity=$severity" instance=a alertname=A 2>/dev/null)
    expected=$severity
    [ "$severity" != none ] || expected=ticket # the test alert of preflight
    if [ "$receiver" != "$expected" ]; then
        echo "severity $severity reaches '$receiver' instead of '$expected'" >&2
        exit 1
    fi
done
