#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# guest-initramfs.sh OUT [CMDFILE] -- pack a busybox initramfs for a Linux guest.
#
# Without CMDFILE the guest gives an interactive shell on ttyS0. With it, the guest runs the file
# with sh, writes its exit status to I/O port 0xf4 and powers off; the VMkernel reads a byte V
# written there as "the VM ends with status V" (QEMU's isa-debug-exit does about the same).
#
# `guest-initramfs.sh --disk OUT` packs what a guest with disks needs besides: drivers, which the
# init of the base loads, and mke2fs and e2fsck with their libraries.
#
# `guest-initramfs.sh --overlay OUT CMDFILE` packs the command file alone. A kernel reads
# archives laid end to end, so `cat` of the base and an overlay is as good as a whole one.
set -eu
[ "${1-}" != --help ] || exec sed -n '4,/^[^#]/s/^# \{0,1\}//p' "$0"

cache=${ORRERY_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/orrery}
here=$(cd "$(dirname "$0")" && pwd)
overlay='' disk='' least=1 most=2
case ${1:-} in
--overlay) overlay=yes least=2 ;;
--disk) overlay=yes disk=yes most=1 ;;
esac
[ -z "$overlay" ] || shift
if [ $# -lt $least ] || [ $# -gt $most ]; then
    echo "usage: guest-initramfs.sh [--overlay] OUT [CMDFILE] | --disk OUT" >&2
    exit 2
fi
out=$1
command=${2:-}
[ -z "$command" ] || [ -r "$command" ] || {
    echo "guest-initramfs: cannot read $command" >&2
    exit 2
}

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
trap 'exit 1' HUP INT TERM
chmod 755 "$root"

if [ -z "$overlay" ]; then
    [ -x "$cache/guest/busybox" ] || {
        echo "guest-initramfs: no $cache/guest/busybox; run scripts/deps.sh" >&2
        exit 1
    }
    mkdir "$root/bin" "$root/dev" "$root/proc" "$root/sys" "$root/etc" "$root/tmp" "$root/root"
    cp "$cache/guest/busybox" "$root/bin/busybox"
    ln -s busybox "$root/bin/sh"
    cat >"$root/init" <<'INIT'
#!/bin/busybox sh
# The first process of the guest; it prints nothing of its own.
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sys /sys
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox --install -s /bin
export PATH=/bin:/usr/sbin HOME=/root TERM="${TERM:-vt100}" PS1='guest:\w\$ '
hostname guest
cd /root
for module in $(cat /lib/modules/order 2>/dev/null); do
    insmod "/lib/modules/$module"
done

if [ -e /etc/batch-cmd ]; then
    setsid sh /etc/batch-cmd
    status=$?
    # Setting a terminal waits until its output has left, or the end of it would be lost.
    stty -F /dev/console -echo 2>/dev/null
    guest-exit $status
else
    stty -F /dev/console rows 24 cols 80 2>/dev/null  # a serial line has no size
    # What busybox tells process 1 without -f. A trap waits for what runs in front, so the shell does not.
    trap 'poweroff -f' USR1 USR2
    trap 'reboot -f' TERM
    setsid cttyhack sh </dev/console &
    wait
fi
poweroff -f
INIT
    chmod 755 "$root/init"
    for program in guest-exit guest-clock; do
        ${CC:-cc} -O2 -static -nostdlib -fno-stack-protector -fno-pie -Wl,--build-id=none -s \
            -o "$root/bin/$program" "$here/$program.c"
    done
fi
if [ -n "$disk" ]; then
    [ -r "$cache/guest/modules/order" ] || {
        echo "guest-initramfs: no $cache/guest/modules; run scripts/deps.sh" >&2
        exit 1
    }
    mkdir -p "$root/lib" "$root/usr/sbin"
    cp -r "$cache/guest/modules" "$root/lib/modules"
    for program in mke2fs e2fsck; do
        file=$(command -v $program || echo /sbin/$program)
        cp "$file" "$root/usr/sbin/"
        ldd "$file" | awk '$2 == "=>" { print $3 } $1 ~ /^\// { print $1 }'
    done | sort -u | while read -r file; do
        mkdir -p "$root${file%/*}"
        cp -L "$file" "$root$file"
    done
fi
if [ -n "$command" ]; then
    mkdir -p "$root/etc"
    cp "$command" "$root/etc/batch-cmd"
    chmod 755 "$root/etc/batch-cmd"
fi
find "$root" -exec touch -h -d @0 {} +
(cd "$root" && find . | LC_ALL=C sort | cpio -o -H newc -R 0:0 --reproducible --quiet |
    gzip -1 -n) >"$out.tmp.$$"
mv "$out.tmp.$$" "$out"
