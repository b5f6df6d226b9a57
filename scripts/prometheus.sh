# Sourced by scripts that need Debian's Prometheus: sets prometheus and promtool. If it is not installed, its package is
# unpacked below target/, so that no service is started.

prometheus=$(command -v prometheus || true)
promtool=$(command -v promtool || true)
if [ -z "$prometheus" ] || [ -z "$promtool" ]; then
    fetch() { apt-get download -qq -o "APT::Sandbox::User=$(id -un)" prometheus; }
    unpacked=$PWD/target/prometheus
    if [ ! -x "$unpacked/usr/bin/promtool" ]; then
        mkdir -p "$unpacked"
        if ! (cd "$unpacked" && { fetch || { apt-get update -qq && fetch; }; }) ||
            ! dpkg-deb -x "$unpacked"/prometheus_*.deb "$unpacked"; then
            echo "prometheus is missing and could not be downloaded: apt-get install prometheus" >&2
            exit 1
        fi
        rm -f "$unpacked"/prometheus_*.deb
    fi
    prometheus=$unpacked/usr/bin/prometheus promtool=$unpacked/usr/bin/promtool
fi
