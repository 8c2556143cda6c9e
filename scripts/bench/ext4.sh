#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# ext4.sh OUT -- what ext4 writes for metadata operations, for the scenario vmfs-speed to replay.
#
# Debian's cloud kernel, straight in QEMU, does them on an ext4; QEMU's filter blklogwrites keeps every
# write and flush in OUT (the format of Linux' dm-log-writes). A write to the disk's last MB, behind the
# file system, ends a part: mounting; 1000 files and one sync; 500 files with an fsync each.
set -eu
[ "${1-}" != --help ] || exec sed -n '4,/^[^#]/s/^# \{0,1\}//p' "$0"
BUILD=${BUILD:-build}
cache=${ORRERY_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/orrery}
here=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
[ $# = 1 ] || {
    echo "usage: ext4.sh OUT" >&2
    exit 2
}

cat >"$work/cmd" <<'CMD'
mkdir -p /mnt
mount -t ext4 /dev/vda /mnt || exit 9
mkdir /mnt/d /mnt/s
# QEMU's queue is empty at a mark: sync waits, and dd is alone, with one request.
mark() { sync; dd if=/dev/zero of=/dev/vda bs=4k seek=524032 count=1 oflag=direct 2>/dev/null || exit 8; }
mark
n=0
while [ $n -lt 1000 ]; do : >/mnt/d/file-$n; n=$((n + 1)); done
mark
n=0
while [ $n -lt 500 ]; do dd if=/dev/null of=/mnt/s/safe-$n conv=fsync 2>/dev/null; n=$((n + 1)); done
mark
umount /mnt
echo EXT4 done
CMD
truncate -s 2G "$work/disk"
mke2fs -q -F -t ext4 -E lazy_itable_init=0 "$work/disk" 2047M
"$here/guest-initramfs.sh" --overlay "$work/cmd.gz" "$work/cmd"
"$here/guest-initramfs.sh" --disk "$work/disk.gz"
cat "$BUILD/guest/initrd.gz" "$work/disk.gz" "$work/cmd.gz" >"$work/initrd"
: >"$1"
timeout 250 qemu-system-x86_64 -nodefaults -display none -no-reboot -accel tcg -cpu max -M q35 -m 512 -smp 1 \
    -kernel "$cache/guest/vmlinuz" -initrd "$work/initrd" -append "console=ttyS0 quiet panic=-1" \
    -device isa-debug-exit,iobase=0xf4,iosize=4 -serial stdio \
    -blockdev driver=file,node-name=image,filename="$work/disk" \
    -blockdev driver=file,node-name=log,filename="$1" \
    -blockdev driver=blklogwrites,node-name=both,file=image,log=log \
    -device virtio-blk-pci,drive=both </dev/null >"$BUILD/bench-ext4.txt" 2>&1 || :
grep -q '^EXT4 done' "$BUILD/bench-ext4.txt" || {
    echo "ext4.sh: the guest failed, see $BUILD/bench-ext4.txt" >&2
    exit 1
}
