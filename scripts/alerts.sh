#!/usr/bin/env bash
# Checks dashboards/alerts.yml with Debian's promtool: the rules parse, and they fire and end for the test series.
set -euo pipefail
cd "$(dirname "$0")/.."

. scripts/prometheus.sh
"$promtool" check rules dashboards/alerts.yml
"$promtool" test rules dashboards/alerts_test.yml
