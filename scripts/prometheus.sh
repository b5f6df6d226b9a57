# Sourced by scripts that need Debian's Prometheus: sets prometheus and promtool, and find_amtool sets amtool. What is not
# installed is unpacked below target/, so that no service is started.

unpack() { # PACKAGE FOLDER: unpacks a package of Debian
    local package=$1 folder=$2
    fetch() { apt-get download -qq -o "APT::Sandbox::User=$(id -un)" "$package"; }
    mkdir -p "$folder"
    if ! (cd "$folder" && { fetch || { apt-get update -qq && fetch; }; }) ||
        ! dpkg-deb -x "$folder/$package"_*.deb "$folder"; then
        echo "$package is missing and could not be downloaded: apt-get install $package" >&2
        exit 1
    fi
    rm -f "$folder/$package"_*.deb
}

find_amtool() {
    amtool=$(command -v amtool || true)
    if [ -z "$amtool" ]; then
        local unpacked=$PWD/target/alertmanager
        [ -x "$unpacked/usr/bin/amtool" ] || unpack prometheus-alertmanager "$unpacked"
        amtool=$unpacked/usr/bin/amtool
    fi
}

prometheus=$(command -v prometheus || true)
promtool=$(command -v promtool || true)
if [ -z "$prometheus" ] || [ -z "$promtool" ]; then
    unpacked=$PWD/target/prometheus
    [ -x "$unpacked/usr/bin/promtool" ] || unpack prometheus "$unpacked"
    prometheus=$unpacked/usr/bin/prometheus promtool=$unpacked/usr/bin/promtool
fi
