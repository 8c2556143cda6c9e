# SPDX-License-Identifier: BSD-2-Clause
#
# first_boot.sh -- an empty disk becomes datastore1, and a Debian guest lives on it through a power cut.
#
# Boot 1: of three disks the empty one gets partitions and a datastore; one with a file system and one
# with a few bytes in its middle stay as they are, to the bit. Then vmfs-tool puts a VM there: a bootable
# VMDK and two empty ones. Boot 2: a vmx starts it, SeaBIOS and GRUB boot it from PVSCSI; the guest makes
# an ext4, tries both kinds of disk, and writes files with checksums until the emulator is killed. Boot 3:
# the datastore is mounted again (replay), the same VM looks at what it had synced, and the host
# panics. Boot 4: the panic's dump is found.
# A fourth disk, which boot 2 is told to take, is large enough for a scratch partition, which gets the logs: the power cut takes
# the last seconds of them.
platform=qemu
. tests/lib.sh

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tool=$BUILD/vmfs-tool
out=$results/out-qemu-first-boot
volume=/vmfs/volumes/datastore1

# boot N COMMANDS [OPTION...]: the host shell's output goes to $out-N.txt, the log to $out-N.log.
boot() {
    b_n=$1 b_commands=$2
    shift 2
    scripts/run.sh --vms 0 --host-disk "$work/ext4" --host-disk "$work/empty" --host-disk "$work/bytes" \
        --timeout 400 --log "$out-$b_n.log" --host-cmd "$b_commands" "$@" \
        >"$out-$b_n.txt" 2>"$out-$b_n.err" </dev/null
}

fsck_vmfs() {
    f_start=$("$tool" "$work/empty" part-list | awk '$1 == 3 { print int($2 / 2048) }')
    dd if="$work/empty" of="$work/part" bs=1M skip="$f_start" conv=sparse status=none
    fsck.vmfs "$work/part" >"$work/fsck" 2>&1
    awk -F: '/^(Unallocated|Lost) blocks|^(Undefined|Orphaned) inodes|^Directory errors/ {
        n++; if ($2 + 0) { print; bad = 1 } } END { exit bad || n != 5 }' "$work/fsck"
}

# fsck_scratch: what fsck.fat says about the scratch partition; fails if that is more than space nobody owns.
fsck_scratch() {
    "$tool" "$work/large" part-list | awk '$1 == 2 { print int($2 / 2048) }' >"$work/scratch-at"
    dd if="$work/large" of="$work/scratch" bs=1M skip="$(cat "$work/scratch-at")" count=4096 conv=sparse status=none
    PATH=$PATH:/usr/sbin:/sbin fsck.fat -n "$work/scratch" >"$out-scratch.txt" 2>&1
    grep -q 'fsck.fat [0-9]' "$out-scratch.txt" && ! grep -q 'share clusters\|ontains a free\|Circular\|out of range\|eyond\|Duplicate\|Bad ' \
        "$out-scratch.txt" && ! grep -q 'chain length is [0-9]\|Start \|corrupt\. \|not a valid\|Expected\|not empty\|Entry' "$out-scratch.txt"
}

truncate -s 1400M "$work/empty" "$work/ext4" "$work/bytes"
truncate -s 17G "$work/large"
mke2fs -q -F -t ext4 "$work/ext4"
printf 'something' | dd of="$work/bytes" bs=1 seek=5000 conv=notrunc status=none
cksum <"$work/ext4" >"$work/before"
cksum <"$work/bytes" >>"$work/before"
boot 1 "echo kept >/etc/hostname; rm /etc/motd; mkdir /etc/new; echo of mine >/etc/new/file
ls /vmfs/volumes; echo first >$volume/first.txt && mkdir $volume/vm; esxcli storage filesystem list"
verdict 'first boot makes datastore1' $? 0 "$out-1.txt" 'datastore1.*VMFS-5'
{ cksum <"$work/ext4" && cksum <"$work/bytes"; } >"$work/after"
check 'disks with content are left alone' cmp "$work/before" "$work/after"
check 'partitions as ESXi numbers them' sh -c "'$tool' '$work/empty' part-list | tee '$work/parts' |
    awk '\$1 == 3 && /vmfs/ { v = 1 } \$1 == 7 && /vmkcore/ { d = 1 } END { exit !(v && d) }'"
check 'fsck.vmfs of the first datastore' fsck_vmfs

check 'the state of the host is on the datastore' sh -c "'$tool' '$work/empty@p3' ls /.locker | grep -q 'state.tgz'"

cat >"$work/cmd" <<'CMD'
exec 2>&1
dmesg | grep -i 'hypervisor detected\|DMI: VMware'
fail() { echo "FAIL $*"; exit 9; }
mkdir -p /mnt
# Linux names disks in the order in which they answer: the one of 24 MB is ours.
data=sda
[ "$(cat /sys/block/sdb/size)" != 49152 ] || data=sdb
if dd if=/dev/$data bs=1k skip=1 count=1 2>/dev/null | od -An -tx2 -j56 -N2 | grep -q ef53; then
    # After the power cut: what was synced is there, and the file systems are sound.
    mount -t ext4 /dev/$data /mnt || fail "mount again"
    n=0
    while read -r sum name; do
        [ "$(md5sum <"$name" | cut -c 1-32)" = "$sum" ] || fail "$name"
        n=$((n + 1))
    done </mnt/list
    umount /mnt
    /usr/sbin/e2fsck -f -n /dev/$data >/tmp/fsck || { cat /tmp/fsck; fail "fsck"; }
    echo "HELD $n files"
    exit 5
fi
for disk in vda $data; do
    dd if=/dev/urandom of=/tmp/a bs=64k count=24 2>/dev/null
    dd if=/tmp/a of=/dev/$disk bs=12k seek=5 2>/dev/null || fail "$disk write"
    echo 3 >/proc/sys/vm/drop_caches
    dd if=/dev/$disk of=/tmp/b bs=4k skip=15 count=384 2>/dev/null
    cmp /tmp/a /tmp/b || fail "$disk data"
    /usr/sbin/mke2fs -q -F -t ext4 /dev/$disk || fail "$disk mkfs"
    /usr/sbin/e2fsck -f -n /dev/$disk >/tmp/fsck || { cat /tmp/fsck; fail "$disk fsck"; }
    echo "DISK $disk good"
done
mount -t ext4 /dev/$data /mnt || fail mount
n=0
while n=$((n + 1)); do
    name=/mnt/$((n % 40)).$n
    head -c $((n % 7 * 30000 + 1000)) /dev/urandom >$name
    md5sum $name >>/mnt/list
    sync
    echo "SYNCED $n"
    [ $n -lt 2000 ] || fail "nobody cut the power"
done
CMD
scripts/guest-initramfs.sh --overlay "$work/cmd.gz" "$work/cmd" &&
    scripts/guest-initramfs.sh --disk "$work/disk.gz" &&
    cat "$BUILD/guest/initrd.gz" "$work/disk.gz" "$work/cmd.gz" >"$work/initrd.gz" &&
    scripts/guest-disk.sh "$work/boot-flat.img" "$work/initrd.gz" 'console=ttyS0 panic=-1 quiet loglevel=1'
cat >"$work/boot.vmdk" <<END
# Disk DescriptorFile
version=1
CID=12345678
parentCID=ffffffff
createType="monolithicFlat"
RW $(($(stat -c %s "$work/boot-flat.img") / 512)) FLAT "boot-flat.img" 0
ddb.adapterType = "lsilogic"
END
cat >"$work/vm.vmx" <<'END'
displayName = "lives"
guestOS = "debian12-64"
memSize = "192"
numvcpus = "1"
firmware = "bios"
serial0.present = "TRUE"
serial0.fileType = "file"
serial0.fileName = "vm.out"
scsi0.present = "TRUE"
scsi0.virtualDev = "pvscsi"
scsi0:0.present = "TRUE"
scsi0:0.fileName = "boot.vmdk"
scsi0:1.present = "TRUE"
scsi0:1.fileName = "data.vmdk"
orrery.virtio0.present = "TRUE"
orrery.virtio0:0.present = "TRUE"
orrery.virtio0:0.fileName = "more.vmdk"
END
disk=$work/empty@p3
check 'a VM moved into the datastore' sh -e -c "
    '$tool' '$disk' vmkfstools -i '$work/boot.vmdk' -d thin :/vm/boot.vmdk
    '$tool' '$disk' vmkfstools -c 24M -d eagerzeroedthick :/vm/data.vmdk
    '$tool' '$disk' vmkfstools -c 16M -d thin :/vm/more.vmdk
    '$tool' '$disk' cp '$work/vm.vmx' :/vm/vm.vmx
    '$tool' '$disk' fsck"

# Killed with everything in flight, a while after so many files were synced.
wanted=$(($(date +%s) % 6 + 3))
run_vm="hostname; cat /etc/new/file; [ -e /etc/motd ] || echo no motd
cd $volume/vm && { vmx vm.vmx; echo \"vmx ends \$?\"; } &
until [ -e $volume/vm/vm.out ]; do usleep 100000; done; tail -n +1 -f $volume/vm/vm.out &
tick=0; while logger \"tick \$tick\"; do echo \"TICK \$tick\"; tick=\$((tick + 1)); sleep 1; done & wait %1"
boot 2 "$run_vm" --kernel-args autoPartition=TRUE --host-disk "$work/large" &
run=$!
wait_for "$out-2.txt" "SYNCED $wanted" $run
kill_qemu $run
wait $run
verdict 'guest on VMDKs of the datastore' 0 0 "$out-2.txt" 'Hypervisor detected: VMware' 'DMI: VMware' \
    '^kept' '^of mine' '^no motd' 'DISK vda good' 'DISK sd[ab] good' "SYNCED $wanted"

# One line a second is logged, and what is logged is made durable every 5 s; twice that is for a slow host.
ticks=$(LC_ALL=C tr -d '\r' <"$out-2.txt" | sed -n 's/^TICK \([0-9]*\)$/\1/p' | tail -n 1)
verdict 'a second disk is taken when told, with scratch' 0 0 "$out-2.log" 'datastore2 made' 'vmhba3.*:2 is /scratch'
check 'scratch is sound after the power cut' fsck_scratch

synced=$(LC_ALL=C tr -d '\r' <"$out-2.txt" | sed -n 's/.*SYNCED \([0-9]*\).*/\1/p' | tail -n 1)
printf damaged >"$work/damaged"
check 'a damaged state' "$tool" "$disk" cp "$work/damaged" :/.locker/state.tgz
boot 3 "hostname; ls $volume/.locker; cat $volume/first.txt; sed -n '/.* tick /s//LOGGED /p' /scratch/log/syslog.log | tail -n 1; cd $volume/vm && vmx vm.vmx; echo \"vmx ends \$?\"; cat vm.out; echo 1 >/proc/vmware/reliability/crashMe/Panic" --kernel-args blueScreenTimeout=1 --host-disk "$work/large"
verdict 'after the power cut' 0 0 "$out-3.txt" '^orrery' '^state.tgz.damaged' '^first' 'vmx ends 5' '^HELD'
held=$(LC_ALL=C tr -d '\r' <"$out-3.txt" | sed -n 's/^HELD \([0-9]*\).*/\1/p')
verdict 'a damaged state is refused by name' 0 0 "$out-3.log" 'state: /vmfs/volumes/datastore1/.locker/state.tgz is damaged'
logged=$(LC_ALL=C tr -d '\r' <"$out-3.txt" | sed -n 's/^LOGGED \([0-9]*\).*/\1/p')
check "the log up to the last seconds is on scratch ($ticks, $logged)" [ "${logged:-0}" -gt "$((${ticks:-99999} - 10))" ]
check 'scratch is sound after the panic' fsck_scratch
check "what was synced is held ($synced, $held)" [ "${held:-0}" -ge "${synced:-1}" ]

# Boot 3 ended in a panic. Its dump is read on the partition by Linux, and collected by the next boot.
{ "$tool" "$work/empty@p7" core-list; "$tool" "$work/empty@p7" core-get log; } >"$out-dump.txt" 2>&1
verdict 'the dump on the partition' $? 0 "$out-dump.txt" '^Reason: *CrashMe' '^State: *new' 'Section: worlds  *[1-9]' \
    'datastore1.*mounted\|Datastore: ' 'PANIC: CrashMe'
"$tool" "$work/bytes" part-create && "$tool" "$work/bytes" part-add vmfs >"$work/number"
third=mpx.vmhba2:C0:T0:L0:1
# A VM that ended with its host leaves its swap file, whose unwritten blocks are lost ones to fsck.vmfs.
boot 4 "ls $volume/vm; rm -f $volume/vm/*.vswp; ls -l /var/core; esxcli system coredump partition list; esxcli system coredump partition get
    cp /var/core/vmkernel-zdump.1 $volume/zdump; esxcli system coredump partition set --enable false
    esxcli system coredump partition get; esxcli system coredump file list
    vmkfstools -C vmfs5 -S second /vmfs/devices/disks/$third && echo there >/vmfs/volumes/second/file
    vmkfstools -C vmfs5 -S third $third; vmkfstools -C vmfs5 -S third mpx.vmhba1:C0:T0:L0:7
    esxcli storage vmfs extent list; esxcli storage core device list; esxcli storage core path list; dmesg | tail -n 5"
verdict 'the next boot has collected it' 0 0 "$out-4.txt" 'vmkernel-zdump.1' ':7 .*true  *false' 'Active: mpx.*:7' \
    'Active: .\?$' 'dumps to a partition'
verdict 'and says so' 0 0 "$out-4.log" 'Dump: .*the host panicked .*CrashMe' 'saved as /var/core/vmkernel-zdump.1'
verdict 'a volume made in the host shell' 0 0 "$out-4.txt" 'Successfully created new volume: ' \
    "$third: .*a volume is on it" 'is of type vmkcore' 'second .*vmhba2:C0:T0:L0  *1' 'datastore1 .*vmhba1:C0:T0:L0  *3' \
    'VAAI Status' 'Adapter Transport'
check 'and read by vmfs-tool' sh -c "'$tool' '$work/bytes@p1' cat /file | grep -q there && '$tool' '$work/bytes@p1' fsck"
check 'the file is what was on the partition' sh -c "'$tool' '$disk' cat /zdump >'$work/zdump' &&
    '$tool' '$work/zdump' core-get log >'$work/log' && grep -q 'PANIC: CrashMe' '$work/log' &&
    '$tool' '$work/empty@p7' core-list | grep -q '^State: *collected'"
check 'vmfs-tool fsck in the end' "$tool" "$disk" fsck
check 'fsck.vmfs in the end' fsck_vmfs
