#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# guest-disk.sh OUT [INITRD [CMDLINE]] -- make a disk image that a PC's BIOS boots into Linux.
#
# Without INITRD: the initramfs of `make`, which ends at a shell on ttyS0.
#
# One MBR partition with ext2 holds the kernel, the initramfs and GRUB's configuration. GRUB is put
# in by hand, as grub-install would: boot.img is the code of the master boot record, and core.img,
# which grub-mkimage makes, lies in the sectors between it and the partition. No root, no loop device.
set -eu
[ "${1-}" != --help ] || exec sed -n '4,/^[^#]/s/^# \{0,1\}//p' "$0"

if [ $# -lt 1 ] || [ $# -gt 3 ]; then
    echo "usage: guest-disk.sh OUT [INITRD [CMDLINE]]" >&2
    exit 2
fi
out=$1 initrd=${2:-${BUILD:-build}/guest/initrd.gz} cmdline=${3:-console=ttyS0}
cache=${ORRERY_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/orrery}
grub=/usr/lib/grub/i386-pc
for file in "$cache/guest/vmlinuz" "$initrd" "$grub/boot.img"; do
    [ -r "$file" ] || {
        echo "guest-disk: cannot read $file; run make" >&2
        exit 1
    }
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

mkdir -p "$work/root/boot/grub"
cp "$cache/guest/vmlinuz" "$work/root/boot/vmlinuz"
cp "$initrd" "$work/root/boot/initrd.gz"
cat >"$work/grub.cfg" <<GRUB
set root=(hd0,msdos1)
linux /boot/vmlinuz $cmdline
initrd /boot/initrd.gz
boot
GRUB
grub-mkimage -O i386-pc -d "$grub" -c "$work/grub.cfg" -p '(hd0,msdos1)/boot/grub' \
    -o "$work/core.img" biosdisk part_msdos ext2 linux normal configfile

first=2048  # sector of the partition
core=$((($(stat -c %s "$work/core.img") + 511) / 512))
[ "$core" -lt "$first" ] || {
    echo "guest-disk: core.img has $core sectors; there is room for $((first - 1))" >&2
    exit 1
}
kilobytes=$(du -sk "$work/root" | cut -f1)
sectors=$(((kilobytes + kilobytes / 8 + 2048) * 2))
image=$work/image
truncate -s $(((first + sectors) * 512)) "$image"
mke2fs -q -t ext2 -d "$work/root" -E offset=$((first * 512)) "$image" $((sectors / 2))k 2>"$work/log" || {
    cat "$work/log" >&2
    exit 1
}

# le32 NUMBER: its four bytes, for printf.
le32() {
    printf '\\%03o\\%03o\\%03o\\%03o' $(($1 & 255)) $(($1 >> 8 & 255)) $(($1 >> 16 & 255)) $(($1 >> 24))
}
dd if="$grub/boot.img" of="$image" bs=440 count=1 conv=notrunc status=none
dd if="$work/core.img" of="$image" bs=512 seek=1 conv=notrunc status=none
# The partition: active, type 83, by sector numbers alone; then the table's signature.
printf "\\200\\376\\377\\377\\203\\376\\377\\377$(le32 $first)$(le32 $sectors)" |
    dd of="$image" bs=1 seek=446 conv=notrunc status=none
printf '\125\252' | dd of="$image" bs=1 seek=510 conv=notrunc status=none
mv "$image" "$out"
