#!/usr/bin/env bash
# Installs the Debian package as an operator does, under a real systemd: starts the unit, sells, upgrades over the running
# server, kills it, removes and purges.
#
#   scripts/package-check.sh [PACKAGE]   default: makes one from the release program
#
# Nothing on this machine changes: the root file system is an overlay in memory over the machine's own, and processes, network,
# mounts and control groups are namespaces that end with the script. systemd is process 1 in there. Needs root, and the
# packages systemd and dpkg; says that it did nothing on a machine that does not let it, such as a container without rights.
set -euo pipefail
cd "$(dirname "$0")/.."

# --- the first process of the namespaces: mounts the file systems and becomes systemd -----------------------------------------
if [ "${1:-}" = --boot ]; then
    box=$2 root=$2/root
    mount -t tmpfs -o size=2g box "$box"
    mkdir "$box/upper" "$box/work" "$root"
    mount -t overlay overlay -o "lowerdir=/,upperdir=$box/upper,workdir=$box/work" "$root"
    mount -t proc proc "$root/proc"
    mount -t sysfs sysfs "$root/sys"
    if [ -d /sys/fs/cgroup/unified ]; then
        mount -t tmpfs -o mode=755 tmpfs "$root/sys/fs/cgroup"
        mkdir "$root/sys/fs/cgroup/unified" "$root/sys/fs/cgroup/systemd"
        mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup/unified"
        mount -t cgroup -o none,name=systemd cgroup "$root/sys/fs/cgroup/systemd"
    else
        mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
    fi
    mount -t tmpfs -o mode=755 tmpfs "$root/dev"
    for device in null zero full random urandom tty; do
        touch "$root/dev/$device"
        mount --bind "/dev/$device" "$root/dev/$device"
    done
    mkdir "$root/dev/pts" "$root/dev/shm"
    mount -t devpts -o newinstance,ptmxmode=666 devpts "$root/dev/pts"
    ln -s pts/ptmx "$root/dev/ptmx"
    ln -s /proc/self/fd "$root/dev/fd"
    for place in dev/shm run tmp var/log; do mount -t tmpfs -o mode=1777 tmpfs "$root/$place"; done
    cp "$3" "$4" "$root/srv" # /tmp is emptied at the start
    # Units for hardware, clocks and caches of the machine.
    for unit in systemd-{udevd,udev-trigger,remount-fs,fsck-root,modules-load,sysctl,random-seed,update-utmp,timesyncd}.service \
        systemd-{binfmt,tmpfiles-setup-dev}.service systemd-udevd-{kernel,control}.socket timers.target \
        proc-sys-fs-binfmt_misc.automount; do
        ln -sf /dev/null "$root/etc/systemd/system/$unit"
    done
    # Images of containers forbid services to start, and make no caches of man pages here.
    rm -f "$root/usr/sbin/policy-rc.d" "$root/var/lib/man-db/auto-update"
    export container=package-check
    exec chroot "$root" /lib/systemd/systemd --system --unit=basic.target --log-target=journal --show-status=0
fi

# --- outside ---------------------------------------------------------------------------------------------------------------
skipped() {
    echo "skipped, nothing was checked: $1"
    exit 0
}
failed() {
    echo "$1" >&2
    exit 1
}

[ "$(id -u)" = 0 ] || skipped "an overlay of the root file system needs root"
[ -x /lib/systemd/systemd ] || skipped "systemd is missing (apt-get install systemd)"
if dpkg-query --show firstcome >/dev/null 2>&1; then
    failed "dpkg knows a package firstcome on this machine already, whose files would be seen in the check"
fi
package=${1:-$(scripts/package.sh release | tail -n 1)}
scratch=$(mktemp -d)
groups=/sys/fs/cgroup
[ ! -d $groups/unified ] || groups=$groups/systemd
group=$groups/firstcome-package-$$
init=
end() {
    local code=$?
    trap '' INT TERM
    if [ -n "$init" ]; then
        [ $code = 0 ] || inside journalctl --no-pager --lines 40 --unit firstcome >&2 || true
        # The first process of a namespace takes all others with it, and its mounts.
        kill -KILL "$init" 2>/dev/null || true
        wait 2>/dev/null || true
    fi
    for _ in $(seq 50); do
        [ -d "$group" ] || break
        find "$group" -depth -type d -exec rmdir {} + 2>/dev/null || sleep 0.1
    done
    rm -rf "$scratch"
}
trap end EXIT
trap 'exit 130' INT TERM
mkdir "$group" 2>/dev/null || skipped "it may make no control group"
inside() { # runs a command beside systemd, as root
    timeout 120 nsenter --target "$init" --mount --pid --net --uts --ipc --cgroup --root --wd "$@"
}

# A newer version: the same program, and settings whose shipped text has changed.
echo "== $(basename "$package"): $(du -h "$package" | cut -f 1)"
cp "$package" "$scratch/first.deb"
dpkg-deb --raw-extract "$package" "$scratch/newer"
sed -i 's/^Version: .*/Version: 99.0.0-1/' "$scratch/newer/DEBIAN/control"
echo "# A line of the newer package." >>"$scratch/newer/etc/firstcome/firstcome.toml"
(cd "$scratch/newer" && find . -path ./DEBIAN -prune -o -type f -print0 | sort -z | xargs -0 md5sum | sed 's|\./||') >"$scratch/md5sums"
mv "$scratch/md5sums" "$scratch/newer/DEBIAN/md5sums"
dpkg-deb -Zgzip -z1 --build "$scratch/newer" "$scratch/newer.deb" >/dev/null

mkdir "$scratch/box"
(
    echo "$BASHPID" >"$group/cgroup.procs"
    exec unshare --mount --pid --fork --kill-child --net --uts --ipc --cgroup \
        "$PWD/scripts/package-check.sh" --boot "$scratch/box" "$scratch/first.deb" "$scratch/newer.deb"
) </dev/null >"$scratch/boot.log" 2>&1 &
outer=$!
booted() {
    init=$(tr -d ' ' 2>/dev/null <"/proc/$outer/task/$outer/children") && [ -n "$init" ] &&
        [ "$(cat "/proc/$init/comm")" = systemd ] && inside systemctl --quiet is-active basic.target 2>/dev/null
}
for _ in $(seq 300); do
    kill -0 $outer 2>/dev/null || break
    ! booted || break
    sleep 0.1
done
# Nothing of the package is in there yet: what fails here is a right that this machine does not give.
booted || skipped "systemd does not start in namespaces of this machine: $(tail -n 3 "$scratch/boot.log")"

config=/etc/firstcome/firstcome.toml data=/var/lib/firstcome
is() { # a text, what it must be, what it is the text of
    [ "$1" = "$2" ] || failed "$3 is \`$1\` and not \`$2\`"
}
shown() { inside systemctl show firstcome --property "$1" --value; }
mode() { inside stat --format '%a %U:%G' "$1"; }
install() { # package: dpkg keeps changed settings without a question
    inside env DEBIAN_FRONTEND=noninteractive dpkg --force-confdef --force-confold --install "/srv/$1.deb" >"$scratch/dpkg" 2>&1 ||
        failed "dpkg: $(cat "$scratch/dpkg")"
}
says() { grep -q "$1" "$scratch/dpkg" || failed "dpkg did not say \`$1\`: $(cat "$scratch/dpkg")"; }
drop() { inside curl -sf http://127.0.0.1:8080/v1/drops/1; }
ready() { inside firstcome health --ready >/dev/null; }

echo "== installs, and waits for its operator"
install first
says "systemctl enable --now firstcome"
is "$(inside firstcome --version)" "$(target/release/firstcome --version)" "the installed program"
if [ -d .git ] || [ -f .git ]; then
    inside firstcome --version | grep -q "($(git rev-parse --short=12 HEAD)" || failed "the version has no revision: $(inside firstcome --version)"
fi
is "$(inside dpkg --verify firstcome)" "" "the list of files that differ from the package"
is "$(mode $config)" "640 root:firstcome" "$config"
is "$(mode $data)" "700 firstcome:firstcome" $data
is "$(inside systemctl is-enabled firstcome)$(inside systemctl is-active firstcome)" "disabledinactive" "the unit"
inside systemd-analyze verify /usr/lib/systemd/system/firstcome.service >"$scratch/unit" 2>&1 || true
! grep firstcome "$scratch/unit" || failed "the unit has mistakes"
for page in firstcome firstcome-serve firstcome-drop-create; do
    inside zcat "/usr/share/man/man1/$page.1.gz" | grep -q '^\.TH' || failed "no man page $page"
done
inside bash -c '. /usr/share/bash-completion/completions/firstcome && complete -p firstcome' >/dev/null
for file in zsh/vendor-completions/_firstcome fish/vendor_completions.d/firstcome.fish doc/firstcome/copyright \
    doc/firstcome/examples/firstcome.toml firstcome/dashboards/sale.json firstcome/runbooks/FirstcomeOversold.md; do
    inside test -s "/usr/share/$file" || failed "no /usr/share/$file"
done
inside firstcome serve --check --config /usr/share/doc/firstcome/examples/firstcome.toml --data $data/data >/dev/null

echo "== starts under systemd and sells"
# What the package tells its operator to type.
token=$(inside runuser -u firstcome -- firstcome token create --role owner --name check --data $data/data --before-first-start 2>/dev/null)
[ -n "$token" ] || failed "no token"
printf '[payments]\nsandbox = true\n' | inside tee -a $config >/dev/null
inside systemctl enable --now firstcome 2>/dev/null
# It has returned because the server said READY=1: no wait here.
ready || failed "systemd takes the server for started, and it is not ready"
is "$(shown Type) $(shown ActiveState) $(shown NRestarts)" "notify active 0" "the running unit"
is "$(inside stat --format %U "/proc/$(shown MainPID)")" firstcome "the server's user"
is "$(mode $data/data/firstcome.db)" "600 firstcome:firstcome" "the database"
rush() { inside env FIRSTCOME_TOKEN="$token" firstcome rush "$@"; }
rush --buyers 2000 --units 500 >"$scratch/rush" || failed "$(cat "$scratch/rush")"
before=$(drop)

echo "== upgrades over the running server, under load"
rush --buyers 3000 --units 3000 --rate 300 --deadline 60 >"$scratch/rush" 2>&1 &
load=$!
second() { inside curl -sf -o /dev/null http://127.0.0.1:8080/v1/drops/2; }
for _ in $(seq 300); do
    ! second || break
    sleep 0.1
done
first_pid=$(shown MainPID)
install newer
ready || failed "after the upgrade it is not ready"
[ "$(shown MainPID)" != "$first_pid" ] || failed "the upgrade has not restarted the server"
is "$(shown ActiveState) $(shown NRestarts) $(shown Result)" "active 0 success" "the unit after the upgrade"
inside journalctl --no-pager -u firstcome >"$scratch/journal"
grep -q "orderly=true" "$scratch/journal" || failed "the old server has not ended in order"
! grep -q "Failed with result" "$scratch/journal" || failed "systemd calls a stop of the upgrade a fault"
is "$(drop)" "$before" "the first drop after the upgrade"
wait $load || true # its connections ended with the old server
inside grep -q '^sandbox = true' $config || failed "the upgrade has overwritten the operator's settings"
! inside grep -q "newer package" $config || failed "the upgrade has mixed its settings with the operator's"
inside grep -q "newer package" $config.dpkg-dist || failed "the newer settings are nowhere"
is "$(mode $config)" "640 root:firstcome" "$config after the upgrade"

echo "== does not restart a server that would not start again"
second_pid=$(shown MainPID)
printf '[writer]\nqueue_capacity = 0\n' | inside tee -a $config >/dev/null
install newer
says "NOT restarted"
says "writer.queue_capacity"
is "$(shown MainPID)" "$second_pid" "the process after an upgrade that could not be started"
inside sed -i '/^\[writer\]/,$d' $config

echo "== kill -9, reload, stop"
inside kill -KILL "$second_pid"
for _ in $(seq 300); do
    ! { [ "$(shown NRestarts)" = 1 ] && ready 2>/dev/null; } || break
    sleep 0.1
done
is "$(shown NRestarts) $(drop)" "1 $before" "the unit and its first drop after kill -9"
third_pid=$(shown MainPID)
inside systemctl reload firstcome
is "$(shown MainPID) $(shown ActiveState)" "$third_pid active" "the unit after a reload"
inside systemctl stop firstcome
is "$(shown Result) $(shown ExecMainStatus)" "success 0" "the stopped unit"
inside runuser -u firstcome -- firstcome verify --data $data/data >"$scratch/verified" || failed "$(cat "$scratch/verified")"
sed -n '/^verified/p' "$scratch/verified"

echo "== is removed and installed again: orders and settings stay"
inside systemctl start firstcome
inside dpkg --remove firstcome >"$scratch/dpkg" 2>&1 || failed "$(cat "$scratch/dpkg")"
! inside test -e /usr/bin/firstcome || failed "the program is still there"
! inside pgrep -x firstcome >/dev/null || failed "the removed server still runs"
inside grep -q '^sandbox = true' $config || failed "a removal has taken the settings"
install newer
inside systemctl start firstcome
is "$(drop)" "$before" "the first drop after a removal"

echo "== is purged: orders stay"
inside dpkg --purge firstcome >"$scratch/dpkg" 2>&1 || failed "$(cat "$scratch/dpkg")"
says "was kept"
! inside test -e /etc/firstcome || failed "/etc/firstcome is still there"
inside test -s $data/data/firstcome.db || failed "a purge has taken the database"
left=$(inside find /etc /usr /var/lib/systemd -xdev -iname '*firstcome*' -not -path '/usr/share/mime/*' 2>/dev/null || true)
is "$left" "" "what a purge has left outside of $data"
! getent passwd firstcome >/dev/null || ! [ -e "$scratch/box/upper" ] || failed "the check has made a user on this machine"
echo "the package was installed, run, upgraded, removed and purged under systemd $(inside systemctl --version | sed -n '1s/systemd \([0-9]*\).*/\1/p')"
