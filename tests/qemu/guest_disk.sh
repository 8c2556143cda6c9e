# SPDX-License-Identifier: BSD-2-Clause
#
# guest_disk.sh -- Debian's own drivers on the guest's disks, and a boot from one by SeaBIOS, on AMD-V.
#
# Two runs. The first starts the kernel directly: vmw_pvscsi and virtio_blk move data with checksums,
# mkfs.ext4, mount, write and fsck, all after a reset of the VM in the middle of writes; nothing in
# dmesg may be a warning. Interrupts go by lines there, by messages in the second. The second is SeaBIOS, GRUB and the kernel from a PVSCSI disk with a virtio-blk
# disk beside it.
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

printf 'echo "ROOT $(cat /proc/partitions | grep -c "[sv]da$") disks"; dmesg | grep "DMI: VMware"
dmesg | grep -i "hypervisor detected"; exit 5\n' >"$results/guest-disk.boot"
boot() {
    b_name=$1 b_file=$results/out-qemu-boot-$2
    shift 2
    scripts/guest-initramfs.sh --overlay "$b_file.cmd.gz" "$results/guest-disk.boot" &&
        scripts/guest-initramfs.sh --disk "$b_file.disk.gz" &&
        cat "$BUILD/guest/initrd.gz" "$b_file.disk.gz" "$b_file.cmd.gz" >"$b_file.initrd.gz" &&
        scripts/guest-disk.sh "$b_file.img" "$b_file.initrd.gz" 'console=ttyS0 panic=-1 quiet loglevel=1'
    scripts/run.sh --batch --firmware bios "$@" --log "$b_file.log" --timeout 300 \
        >"$b_file.txt" 2>"$b_file.err" </dev/null
    verdict "$b_name" $? 5 "$b_file.txt" 'ROOT 2 disks' 'Hypervisor detected: VMware' 'DMI: VMware'
    rm -f "$b_file".*.gz "$b_file.img"
}
boot 'SeaBIOS from pvscsi' bios --disk "scsi0:0=$results/out-qemu-boot-bios.img" --disk virtio0:0=1M --vcpus 2
