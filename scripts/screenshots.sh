#!/usr/bin/env bash
# Makes the pictures of src/web/pictures: every page of a shop that looks like one, during a storm of `firstcome rush`, on a phone
# and on a desktop. Needs node, npm and Debian's chromium; looks best with Debian's fonts-inter.
#
#   scripts/screenshots.sh [DIR]     default: src/web/pictures
set -euo pipefail
cd "$(dirname "$0")/.."

. scripts/server.sh

pictures=${1:-src/web/pictures}
mkdir -p "$pictures"
if [ ! -d scripts/browser/node_modules/playwright-core ] || [ ! -d scripts/browser/node_modules/axe-core ]; then
    npm ci --prefix scripts/browser --ignore-scripts --no-audit --no-fund
fi
# The system font of most visitors is no font of this machine: Inter is nearer to it than Debian's default.
cat >"$scratch/fonts.conf" <<'FONTS'
<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  <include>/etc/fonts/fonts.conf</include>
  <match target="pattern"><test qual="any" name="family"><string>sans-serif</string></test><edit name="family" mode="prepend" binding="strong"><string>Inter</string></edit></match>
  <match target="pattern"><test qual="any" name="family"><string>system-ui</string></test><edit name="family" mode="prepend" binding="strong"><string>Inter</string></edit></match>
</fontconfig>
FONTS
export FIRSTCOME__STOREFRONT__NAME="North Pier" FIRSTCOME__OUTBOX__ALLOW_PRIVATE_NETWORKS=127.0.0.0/8
start
owner=$("$program" token create --role owner --name Ines --data "$scratch/data" 2>/dev/null | grep -o 'fc_[0-9a-f_]*' | head -1)
FONTCONFIG_FILE=$scratch/fonts.conf OWNER=$owner PUBLIC=$public ADMIN=$admin PROGRAM=$program PICTURES=$pictures SCRATCH=$scratch \
    node scripts/browser/screenshots.mjs
stop
du --apparent-size -ch "$pictures"/*.webp | tail -1
