# SPDX-License-Identifier: BSD-2-Clause
#
# disks.sh -- the disk drivers: one disk on each controller at once, under the boot option disktest=.
#
# The kernel writes and reads every disk with many requests in flight, so that what is on a disk at
# the end depends on the seed alone. The images then have to be equal byte for byte, and have the
# checksum the kernel read back. Errors are injected by QEMU's blkdebug; a disk that does not answer
# is QEMU's null device with seconds of latency. Names, sizes and the driver map are looked at too.
platform=qemu
. tests/lib.sh

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
size=$((4 << 20)) # disktest-mb

# boot NAME CPUS KERNEL-ARGS QEMU-ARGS...: the log goes to $out.
boot() {
    b_name=$1 b_cpus=$2 b_args=$3
    shift 3
    out=$results/out-qemu-disks-$b_name.txt
    rm -f "$out.raw"
    timeout 600 qemu-system-x86_64 -nodefaults -display none -no-reboot \
        -accel tcg,thread=multi -cpu max -M q35 -m 512 -smp "$b_cpus" -serial "file:$out.raw" \
        -kernel "$BUILD/metal/orrery.elf" -append "$b_args" "$@" </dev/null >"$out.err" 2>&1
    tr -d '\r' <"$out.raw" >"$out"
}

# image N: a fresh disk of 16 MB.
image() {
    rm -f "$work/$1.img"
    truncate -s 16M "$work/$1.img"
}

# drive N [MORE]: QEMU's words for it.
drive() {
    echo "-drive id=$1,if=none,format=raw,file=$work/$1.img,cache=unsafe${2:-}"
}

# faulty N KIND SECTOR ONCE: the same with an error when that sector is read or written.
faulty() {
    echo "-blockdev driver=raw,node-name=$1,file.driver=blkdebug,file.image.driver=file,\
file.image.filename=$work/$1.img,file.inject-error.0.event=none,file.inject-error.0.iotype=$2,\
file.inject-error.0.sector=$3,file.inject-error.0.once=$4,file.inject-error.0.errno=5"
}

# crc FILE: the CRC-32 of its first $size bytes, as gzip knows it.
crc() {
    head -c $size "$1" | gzip -c | tail -c 8 | od -An -tx4 -N4 | tr -d ' '
}

# same NAME FILE...: all equal the first in what was tested.
same() {
    s_name=$1 s_first=$2
    shift 2
    for s_file; do
        cmp -n $size "$s_first" "$s_file" >/dev/null || {
            echo "FAIL $s_name: $s_file differs from $s_first"
            return 1
        }
    done
    echo "PASS $s_name"
}

four="-device virtio-blk-pci,drive=v -device ide-hd,bus=ide.0,drive=a -device nvme,serial=nv1,drive=n
    -device piix3-ide,id=pata -device ide-hd,bus=pata.1,unit=1,drive=p"

for cpus in 1 4; do
    for d in v a n p; do image $d; done
    # shellcheck disable=SC2046,SC2086
    boot "four-$cpus" $cpus "disktest=$cpus disktest-mb=4 disktest-requests=50" \
        $(drive v) $(drive a) $(drive n) $(drive p) $four
    sum=$(crc "$work/v.img")
    verdict "disks on $cpus CPUs" 0 0 "$out" 'DiskTest: 4 disks, 0 failed' \
        "mpx.vmhba0:C0:T0:L0: .*crc32 $sum: good" "t10.NVMe____QEMU_.*crc32 $sum: good" \
        "t10.ATA_____QEMU_HARDDISK.*crc32 $sum: good" 'path vmhba2:C1:T1:L0, 32768 blocks of 512' \
        'Boot: powering off'
    same "disk images after $cpus CPUs" "$work/v.img" "$work/a.img" "$work/n.img" "$work/p.img"
done
cp "$work/v.img" "$work/good"

# One error each; whoever asked is told or never notices, and the contents are right in the end. The
# virtio disk is a modern one without a legacy half.
for d in v a n p; do image $d; done
# shellcheck disable=SC2046,SC2086
boot errors 2 "disktest=4 disktest-mb=4 disktest-requests=50" \
    $(faulty v read 700 on) $(faulty a write 1500 on) $(faulty n write 2500 on) \
    $(faulty p read 3500 on) -device virtio-blk-pci,disable-legacy=on,disable-modern=off,drive=v,rerror=report,werror=report \
    -device ide-hd,bus=ide.0,drive=a,rerror=report,werror=report \
    -device nvme,serial=nv1,drive=n \
    -device piix3-ide,id=pata -device ide-hd,bus=pata.0,drive=p,rerror=report,werror=report
verdict 'disks with errors' 0 0 "$out" 'mpx.vmhba0:C0:T0:L0: medium error, read at block' \
    't10.NVMe____.*: medium error, write at block' 'Storage: 0000:00:1f.2:0: reset' \
    't10.ATA_____.*, 0 errors, [1-9][0-9]* retries, .*: good' 'Boot: powering off'
same 'disk images after errors' "$work/good" "$work/v.img" "$work/a.img" "$work/n.img" \
    "$work/p.img"

# Sectors that never get well: what touches them fails, the rest is written and read. The
# virtio disk is a legacy one here.
for d in v a n p; do image $d; done
# shellcheck disable=SC2046,SC2086
boot lasting 2 "disktest=4 disktest-mb=4 disktest-requests=50" \
    $(faulty v read 700 off) $(faulty a write 1500 off) $(faulty n write 2500 off) \
    $(faulty p read 3500 off) -device virtio-blk-pci,disable-modern=on,disable-legacy=off,drive=v,rerror=report,werror=report \
    -device ide-hd,bus=ide.0,drive=a,rerror=report,werror=report \
    -device nvme,serial=nv1,drive=n \
    -device piix3-ide,id=pata -device ide-hd,bus=pata.0,drive=p,rerror=report,werror=report
verdict 'disks with bad sectors' 0 0 "$out" 'DiskTest: 4 disks, 4 failed' \
    'DiskTest: mpx.vmhba0:C0:T0:L0: read at block .*: the device answered with an error' \
    't10.ATA_____.*failed 5 times, given up' 'Boot: powering off'

# A disk that does not answer: no end of the world, and an end.
image v
silent='driver=null-co,size=16777216,latency-ns=3000000000'
# shellcheck disable=SC2046
boot silent 2 "disktest=6 disktest-mb=4 disktest-requests=1 disk-timeout=100" $(drive v) \
    -device virtio-blk-pci,drive=v -blockdev $silent,node-name=n -device nvme,serial=nv1,drive=n \
    -blockdev $silent,node-name=a -device ide-hd,bus=ide.0,drive=a
verdict 'disks that do not answer' 0 0 "$out" 't10.NVMe____.*: no answer' \
    't10.ATA_____.*: no answer' 'the port is given up' \
    'ScsiDevice: t10.NVMe____.*: the device is gone' \
    'mpx.vmhba0:C0:T0:L0: 4096 KB, 32 requests .*: good' 'Boot: powering off'

# Two SCSI disks behind one adapter; one is pulled out under load, the other goes on.
image v
mkfifo "$work/monitor.in" "$work/monitor.out"
# shellcheck disable=SC2046
out=$results/out-qemu-disks-pulled.txt
rm -f "$out.raw"
(boot pulled 2 "disktest=4 disktest-mb=4 disktest-requests=50" \
    -device virtio-scsi-pci,id=scsi,num_queues=2 $(drive v) \
    -device scsi-hd,drive=v,bus=scsi.0,scsi-id=0,wwn=0x5000c500a1b2c3d4 \
    -object throttle-group,id=tg,x-iops-total=40 \
    -device scsi-hd,drive=slow,id=gone,bus=scsi.0,scsi-id=3,lun=5 \
    -blockdev driver=throttle,node-name=slow,throttle-group=tg,file.driver=null-co,file.size=16777216 \
    -chardev "pipe,id=mon,path=$work/monitor" -mon chardev=mon) &
exec 3<>"$work/monitor.in"
for _ in $(seq 1200); do
    grep -aq 'path vmhba0:C0:T3:L5' "$out.raw" 2>/dev/null && break
    sleep 0.1
done
sleep 1
echo 'device_del gone' >&3
wait
exec 3>&-
verdict 'a disk pulled out under load' 0 0 "$out" 'naa.5000c500a1b2c3d4: 4096 KB, .*: good' \
    'ScsiDevice: .*T3:L5: the device is gone' 'the device is gone or was never there' \
    'DiskTest: 2 disks, 1 failed' 'Boot: powering off'
same 'the disk beside it' "$work/good" "$work/v.img"

# A panic behind each driver, its requests forgotten and its controller reset, ends on the dump partition.
for controller in 'virtio-blk-pci,drive=v' 'ide-hd,drive=v,bus=ide.0' 'nvme,serial=nv1,drive=v' \
    'piix3-ide,id=pata -device ide-hd,drive=v,bus=pata.0' 'virtio-scsi-pci -device scsi-hd,drive=v'; do
    image v
    "$BUILD/vmfs-tool" "$work/v.img" part-create
    "$BUILD/vmfs-tool" "$work/v.img" part-add vmkcore 4M >"$work/number"
    name=${controller%%,*}
    # shellcheck disable=SC2046,SC2086
    boot "panic-$name" 2 'fault-late=0xdead000000 blueScreenTimeout=1' $(drive v) -device $controller
    { "$BUILD/vmfs-tool" "$work/v.img@p1" core-list; "$BUILD/vmfs-tool" "$work/v.img@p1" core-get panic; } >>"$out" 2>&1
    verdict "a panic is saved on $name" 0 0 "$out" 'Disk dump successful' '^Reason: *#PF page fault .*dead000000' \
        '^State: *new$' '^rip ffffffff8.*dead000000\|cr2 0*dead000000' 'Section: worlds  *[1-9]' 'init_world+0x'
done
