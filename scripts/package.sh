#!/usr/bin/env bash
# Makes a Debian package of the program, with cargo-deb: unit, settings, man pages, completions, dashboards, runbooks.
#
#   scripts/package.sh [PROFILE [VERSION]]   `dist` by default, and the version of Cargo.toml
#
# The last line on standard output is the package. It has all features but `failpoints`, and the C library of the machine that
# builds it: build for a Debian release on that release. Needs dpkg-dev, binutils and git; protobuf-compiler and
# libprotobuf-dev for `cluster`. cargo-deb is installed below target/ unless this version of it is there.
set -euo pipefail
cd "$(dirname "$0")/.."

profile=${1:-dist} version=${2:-}
cargo_deb=3.8.0
case $profile in release | dist) ;; *)
    echo "usage: scripts/package.sh [release|dist [VERSION]]" >&2
    exit 64
    ;;
esac
for tool in dpkg-shlibdeps strip xz git; do
    command -v $tool >/dev/null || {
        echo "$tool is missing: apt-get install dpkg-dev binutils xz-utils git" >&2
        exit 69
    }
done
export PATH=$PWD/target/tools/bin:$PATH
if [ "$(cargo-deb --version 2>/dev/null)" != "cargo-deb $cargo_deb" ]; then
    # A debug build of it is made in half a minute. It leaves compression to the tools of the system.
    CARGO_TARGET_DIR=target/tools/build CARGO_PROFILE_DEV_DEBUG=0 cargo install --quiet --force --locked --debug \
        --no-default-features --root target/tools "cargo-deb@$cargo_deb" >&2
    rm -rf target/tools/build
fi

cargo build --locked --profile "$profile" --features otlp,cluster >&2
program=target/$profile/firstcome staged=target/package
rm -rf "$staged"
mkdir -p "$staged/man" "$staged/runbooks"
cp scripts/firstcome.service scripts/package/firstcome.sysusers "$staged"
cp dashboards/runbooks/*.md "$staged/runbooks"
"$program" man --to "$staged/man"
for shell in bash zsh fish; do "$program" completions "$shell" >"$staged/firstcome.$shell"; done
"$program" serve --print-config >"$staged/example.toml"
package=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
cat >"$staged/changelog" <<END
firstcome (${version:-$package-1}) unstable; urgency=medium

  * Revision $("$program" --version | sed 's/.*(\(.*\))/\1/') of the sources; git has the history.

 -- The firstcome authors <firstcome@localhost>  $(git log -1 --format=%cD 2>/dev/null || date -R)
END

# The same sources and program make the same package.
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct 2>/dev/null || echo 0)
export SOURCE_DATE_EPOCH
compressed=(--compress-system)
[ "$profile" = dist ] || compressed=(--fast --compress-type gz --compress-system)
cargo-deb deb --locked --no-build --profile "$profile" --strip --output "$staged/" ${version:+--deb-version "$version"} \
    "${compressed[@]}" --quiet
ls "$PWD/$staged/"*.deb
