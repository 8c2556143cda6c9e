# SPDX-License-Identifier: BSD-2-Clause
#
# balloon.sh -- memory goes from a Debian guest to the host by the guest's own vmw_balloon, and back.
#
# The VMkernel is told to want nearly all of its memory free, so that the level is `soft` at once;
# the driver's counters must agree with each other, and the guest's memory must shrink. (The disk is there
# for the modules that come with one.)
platform=qemu
. tests/lib.sh

linux balloon 'cd /lib/modules; dmesg | grep -i "hypervisor detected"
insmod ./vmw_vmci.ko && insmod ./vmw_balloon.ko || exit 1
mount -t debugfs d /sys/kernel/debug
before=$(awk "/MemFree/ { print \$2 }" /proc/meminfo)
i=0
while [ $i -lt 40 ]; do
    sleep 1
    i=$((i + 1))
    set -- $(awk "\$1 == \"target\" && !t { t = \$3 } \$1 == \"current\" { c = \$3 } END { print t, c }" \
        /sys/kernel/debug/vmmemctl)
    [ "$1" -gt 5000 ] && [ "$2" = "$1" ] && break
done
cat /sys/kernel/debug/vmmemctl
after=$(awk "/MemFree/ { print \$2 }" /proc/meminfo)
echo "target $1 current $2 pages, free before $before after $after kB"
[ "$2" -gt 5000 ] || exit 1
[ $((before - after)) -gt $(($2 * 3)) ] || exit 1
rmmod vmw_balloon || exit 1
sleep 1
again=$(awk "/MemFree/ { print \$2 }" /proc/meminfo)
echo "free again $again kB"
[ $((again - after)) -gt $(($2 * 3)) ] || exit 1
echo the balloon came and went' 0 'the balloon came and went' \
    --disk virtio0:0=1M --kernel-args 'mem.min-free=500 mem.clear-below=400 mem.soft-below=390 mem.goal=700'
# What the driver counted, when its balloon had its size, is what the VMM counted to the end. The target may move in the moment
# between the two: two commands of 2 MB.
check 'qemu balloon: the counters of driver and VMM agree' awk '{ gsub(/\r/, "") }
    FNR == NR { if ($1 == "current") current = $3
        if (/^used capabilities/) caps = $3 $4
        if ($1 == "2m-lock") large = $3
        if ($1 ~ /[lL]ock/) print; next }
    /balloon: .* pages given/ { for (i = 1; i < NF; i++) { if ($(i + 1) == "pages" && $(i + 2) == "given,") given = $i
        if ($(i + 1) == "taken") taken = $i } }
    END { print "driver", current, "caps", caps, "VMM", given, taken; exit !(current > 5000 && given - taken - current <= 1024 && current - given + taken <= 1024 && large > 0) }' \
    "$results/out-qemu-linux-balloon.txt" "$results/out-qemu-linux-balloon.log"
