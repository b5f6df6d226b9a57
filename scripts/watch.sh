#!/usr/bin/env bash
# Runs Debian's Prometheus beside a running server, without Docker and without a service, with the alerts of
# dashboards/alerts.yml. Ctrl-C ends it; the recorded series stay in target/watch.
#
#   scripts/watch.sh [ADMIN [ADDRESS]]   the server's admin listener (127.0.0.1:8081), and the address of Prometheus
#                                        (127.0.0.1:9090)
#
# TOKEN_FILE: a file with a viewer's token, if the server requires one.
set -euo pipefail
cd "$(dirname "$0")/.."

admin=${1:-127.0.0.1:8081}
address=${2:-127.0.0.1:9090}
. scripts/prometheus.sh
if ! curl -s -o /dev/null "http://$admin/healthz"; then
    echo "no server answers on http://$admin: start one (firstcome serve), or pass the address of its admin listener" >&2
    exit 69
fi

# Its pages need JavaScript libraries that Debian packages separately.
assets=()
if [[ $prometheus == "$PWD"/target/* ]]; then
    unpacked=${prometheus%/bin/prometheus}
    assets=(--web.local-assets="$unpacked/share/prometheus/web/")
    if [ ! -e "$unpacked/share/javascript/jquery" ]; then
        fetched=$(mktemp -d)
        mapfile -t packages < <(apt-cache depends prometheus | sed -nE 's/.*Depends: ((libjs|fonts)-.*)/\1/p')
        if (cd "$fetched" && apt-get download -qq -o "APT::Sandbox::User=$(id -un)" "${packages[@]}" libjs-d3); then
            for package in "$fetched"/*.deb; do dpkg-deb -x "$package" "${unpacked%/usr}"; done
        else
            echo "the pages of Prometheus lack graphs: JavaScript libraries could not be downloaded" >&2
        fi
        rm -rf "$fetched"
    fi
fi

watch=$PWD/target/watch
mkdir -p "$watch/data"
{
    echo "global: { scrape_interval: 1s, evaluation_interval: 1s }"
    [ ! -e dashboards/alerts.yml ] || echo "rule_files: ['$PWD/dashboards/alerts.yml']"
    echo "scrape_configs:"
    echo "  - job_name: firstcome"
    [ -z "${TOKEN_FILE:-}" ] || echo "    authorization: { credentials_file: '$(realpath "$TOKEN_FILE")' }"
    echo "    static_configs: [{ targets: ['$admin'] }]"
} >"$watch/prometheus.yml"
"$promtool" check config "$watch/prometheus.yml" >/dev/null

echo "Prometheus watches $admin: http://$address/classic/alerts, http://$address/graph"
echo "Grafana: add the data source http://$address, and import dashboards/*.json (Dashboards, New, Import)"
exec "$prometheus" --config.file="$watch/prometheus.yml" --storage.tsdb.path="$watch/data" --storage.tsdb.retention.time=15d \
    --web.listen-address="$address" "${assets[@]}" --log.level=warn
