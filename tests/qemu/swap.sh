# SPDX-License-Identifier: BSD-2-Clause
#
# swap.sh -- a Debian guest with more memory than its host: the rest is compressed or on a disk.
#
# The guest fills a tmpfs with pages that no packing makes smaller, each different, and reads them
# again. The host's log must say that pages went out and came back without an error. With swapping
# switched off the same guest is refused. (The disk has a few bytes in it: an empty one would become a datastore.)
platform=qemu
. tests/lib.sh

disk=$(mktemp)
trap 'rm -f "$disk"' EXIT
truncate -s 256M "$disk"
printf 'swap space' | dd of="$disk" bs=1 seek=5000 conv=notrunc status=none
space=mem.swap.space=host:mpx.vmhba0:C0:T0:L0

linux swap 'mkdir /t && mount -t tmpfs -o size=100% t /t && cd /t || exit 1
dmesg | grep -i "hypervisor detected"
dd if=/dev/urandom of=base bs=1M count=4 2>/dev/null
sum=$(md5sum <base)
for i in 1 2 3 4; do
    { tail -c +$((i * 37 + 1)) base; head -c $((i * 37)) base; } >f$i || exit 1
done
for i in 1 2 3 4; do
    again=$({ tail -c $((i * 37)) f$i; head -c $((4194304 - i * 37)) f$i; } | md5sum)
    [ "$again" = "$sum" ] || exit 1
done
echo all checksums right' 0 'all checksums right' --memory 256 --vcpus 1 --host-memory 104 \
    --host-disk "$disk" --kernel-args "$space" --vmx "sched.mem.min = \"40\""
verdict 'qemu host swapped' 0 0 "$results/out-qemu-linux-swap.log" \
    'Mem: demo: [1-9][0-9]* pages compressed.* [1-9][0-9]* swapped out .* [1-9][0-9]* in;.* 0 errors'
# Whatever was taken, and at whatever moment: the reservation was left to it, and to the host its floor.
check 'qemu swapping leaves the reservation, and the host memory' awk '/Mem: demo ends: it held/ {
    for (i = 1; i < NF; i++) {
        if ($i == "held") held = $(i + 1)
        if ($i == "reserved") min = $(i + 1)
        if ($i == "had") free = $(i + 1)
        if ($i == "floor") floor = $(i + 2)
    }
    print held, min, free, floor
    good = held >= min && min == 40960 && free >= floor && floor > 0
} END { exit !good }' "$results/out-qemu-linux-swap.log"

scripts/run.sh --batch --cmd true --memory 256 --vcpus 1 --host-memory 96 --host-disk "$disk" \
    --kernel-args "$space mem.swap=0" --log "$results/out-qemu-swap-off.log" --timeout 300 \
    >"$results/out-qemu-swap-off.txt" 2>&1 </dev/null
verdict 'qemu without swapping the guest is refused' $? 125 "$results/out-qemu-swap-off.log" \
    'Mem: demo is not admitted: .* has no 258 MB left to reserve, only [0-9]* MB'
