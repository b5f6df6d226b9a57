#!/usr/bin/env bash
# Debian's promtool checks the alerts, and plays series to them for which they must fire, stay silent, and end.
set -euo pipefail
cd "$(dirname "$0")/.."

. scripts/prometheus.sh
"$promtool" check rules dashboards/alerts.yml
"$promtool" test rules dashboards/alerts_test.yml
