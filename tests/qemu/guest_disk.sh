# SPDX-License-Identifier: BSD-2-Clause
#
# guest_disk.sh -- Debian's own drivers on the guest's disks, on AMD-V.
#
# The kernel is started directly: vmw_pvscsi and virtio_blk move data with checksums, mkfs.ext4, mount,
# write and fsck, all after a reset of the VM in the middle of writes; nothing in dmesg may be a warning.
# Interrupts go by lines; by messages, and with a boot by SeaBIOS, in first_boot.sh.
platform=qemu
. tests/lib.sh

cat >"$results/guest-disk.cmd" <<'CMD'
fail() { echo "FAIL $*"; exit 9; }
if ! dd if=/dev/sda bs=512 count=1 2>/dev/null | grep -q RESET-MARK; then
    echo RESET-MARK | dd of=/dev/sda conv=sync bs=512 count=1 2>/dev/null
    sync
    dd if=/dev/zero of=/dev/vda bs=64k seek=16 2>/dev/null &
    dd if=/dev/zero of=/dev/sda bs=64k seek=16 2>/dev/null &
    sleep 0.2
    sync &
    reboot -f  # with writes under way; the disks keep what they have
fi
mkdir -p /mnt
for disk in sda vda; do
    dd if=/dev/urandom of=/tmp/a bs=64k count=40 2>/dev/null
    dd if=/tmp/a of=/dev/$disk bs=12k seek=5 2>/dev/null || fail "$disk write"
    echo 3 >/proc/sys/vm/drop_caches
    dd if=/dev/$disk of=/tmp/b bs=4k skip=15 count=640 2>/dev/null
    cmp /tmp/a /tmp/b || fail "$disk data"
    /usr/sbin/mke2fs -q -t ext4 /dev/$disk || fail "$disk mkfs"
    mount -t ext4 /dev/$disk /mnt || fail "$disk mount"
    for i in 1 2 3 4 5 6; do cp /tmp/a /mnt/$i & done
    wait
    umount /mnt
    /usr/sbin/e2fsck -f -n /dev/$disk >/tmp/fsck 2>&1 || { cat /tmp/fsck; fail "$disk fsck"; }
    mount -t ext4 /dev/$disk /mnt
    for i in 1 2 3 4 5 6; do cmp /tmp/a /mnt/$i || fail "$disk file $i"; done
    umount /mnt
    echo "DISK $disk good"
done
dmesg | grep -i 'hypervisor detected'
dmesg -r | grep '^<[0-4]>' | grep -v -i 'hrtimer: interrupt took\|spectre\|retbleed\|clocksource\|reset' && exit 8
exit 7
CMD
linux "disks lines" "$(cat "$results/guest-disk.cmd")" 7 'DISK vda good' \
    --disk scsi0:0=48M --disk virtio0:0=48M --vcpus 2 --append pci=nomsi
grep -a -q "reset: reset register" "$results/out-qemu-linux-disks-lines.log" || echo "FAIL disks: no reset happened"
