#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# tardisk.sh OUT [PROGRAM...] -- the system tardisk: busybox, our own files of the root, our programs.
#
# A ustar archive in gzip, the same bytes for the same contents: names sorted, owner root, one date.
# /bin has busybox with a link for each applet and the programs; src/agents/root/ lies over that.
# /etc/shadow is root's alone, /usr/bin and /usr/sbin are the same folders again.
#
# `tardisk.sh --file OUT NAME=FILE...` packs just these files, mode 755, as a tardisk to load on top.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
cache=${ORRERY_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/orrery}

usage() {
    echo "usage: tardisk.sh OUT [PROGRAM...] | tardisk.sh --file OUT NAME=FILE..." >&2
    exit 2
}

[ "${1:-}" != --help ] || {
    sed -n 's/^# \{0,1\}//; 4,10p' "$0"
    exit 0
}
only_files=
if [ "${1:-}" = --file ]; then
    only_files=yes
    shift
    [ $# -ge 2 ] || usage
fi
[ $# -ge 1 ] || usage
out=$1
shift

root=$(mktemp -d "${TMPDIR:-/tmp}/orrery-tardisk.XXXXXX")
trap 'rm -rf "$root" "$out.tmp.$$"' EXIT
trap 'exit 1' HUP INT TERM
umask 022
chmod 755 "$root"

if [ -n "$only_files" ]; then
    for pair; do
        mkdir -p "$root/$(dirname "${pair%%=*}")"
        cp "${pair#*=}" "$root/${pair%%=*}"
        chmod 755 "$root/${pair%%=*}"
    done
else
    busybox=$cache/guest/busybox
    [ -x "$busybox" ] || {
        echo "tardisk.sh: no $busybox; run scripts/deps.sh" >&2
        exit 1
    }
    mkdir -p "$root/bin" "$root/sbin" "$root/etc" "$root/usr" "$root/root" "$root/home" "$root/mnt"
    cp "$busybox" "$root/bin/busybox"
    for applet in $("$busybox" --list); do
        [ "$applet" = busybox ] || ln -s busybox "$root/bin/$applet"
    done
    for applet in init getty halt poweroff reboot syslogd klogd nologin; do
        ln -s ../bin/busybox "$root/sbin/$applet"
    done
    ln -s ../bin "$root/usr/bin"
    ln -s ../sbin "$root/usr/sbin"
    for program; do
        rm -f "$root/bin/${program##*/}"
        cp "$program" "$root/bin/"
    done
    cp -R --remove-destination "$here/../src/agents/root/." "$root/"
    find "$root" -type d -exec chmod 755 {} +
    find "$root" -type f -perm -100 -exec chmod 755 {} +
    find "$root" -type f ! -perm -100 -exec chmod 644 {} +
    chmod 600 "$root/etc/shadow"
    chmod 700 "$root/root"
fi
tar --format=ustar --sort=name --owner=0 --group=0 --numeric-owner --mtime=@1700000000 \
    -cf - -C "$root" . | gzip -9n >"$out.tmp.$$"
mv "$out.tmp.$$" "$out"
