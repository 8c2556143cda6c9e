#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# overcommit.sh -- four Debian guests on the image in QEMU, with twice the machine's memory between them.
#
# Each fills a tmpfs with pages that are all different and reads them again with checksums; what the host does not
# have goes by compression cache and swap disk. Real guests and mechanisms, emulated CPUs: seconds mean
# nothing, counts do. Every guest must end with 0, with no swap error; none may ever have held less than its reservation of
# 40 MB, and the host's free memory never have been below its floor. The same machine without swapping must refuse to power them on.
#
# usage: docs/experiments/overcommit.sh [OUT]      BUILD=build; writes OUT/overcommit.{log,txt} and prints a table
set -eu
# shellcheck source=docs/experiments/lib.sh
. "$(dirname "$0")/lib.sh"

vms=4 memory=${MEMORY:-192} host=${HOST_MEMORY:-384} files=${FILES:-14}
disk=$(mktemp)
trap 'rm -f "$disk"' EXIT
truncate -s 2G "$disk"
printf 'swap space' | dd of="$disk" bs=1 seek=5000 conv=notrunc status=none  # an empty disk would become a datastore

job="mkdir /t && mount -t tmpfs -o size=100% t /t && cd /t || exit 1
dd if=/dev/urandom of=base bs=1M count=4 2>/dev/null
sum=\$(md5sum <base)
i=0
while [ \$i -lt $files ]; do
    i=\$((i + 1))
    { tail -c +\$((i * 37 + 1)) base; head -c \$((i * 37)) base; } >f\$i || exit 2
done
while [ \$i -gt 0 ]; do
    again=\$({ tail -c \$((i * 37)) f\$i; head -c \$((4194304 - i * 37)) f\$i; } | md5sum)
    [ \"\$again\" = \"\$sum\" ] || exit 3
    i=\$((i - 1))
done"

run() {
    scripts/run.sh --batch --cmd "$job" --vms $vms --vcpus 1 --memory "$memory" --host-memory "$host" --host-disk "$disk" \
        --vmx 'sched.mem.min = "40"' --log "$1.log" --timeout "${TIMEOUT:-1500}" --kernel-args "mem.swap.space=host:mpx.vmhba0:C0:T0:L0 ${ARGS:-} $2" >"$1.txt" 2>&1 </dev/null
}

echo "$vms guests of $memory MB, $files files of 4 MB each, on $host MB"
status=0
run "$out/overcommit" "" || status=$?
tr -d '\r' <"$out/overcommit.log" | grep -a 'Mem: .* pages compressed' | sed 's/^[^)]*)//'
errors=$(tr -d '\r' <"$out/overcommit.log" | grep -a -c ' 0 errors' || true)
[ $status -eq 0 ] && [ "$errors" -eq $vms ] || { echo "FAIL: status $status, $errors guests without errors; see $out/overcommit.log"; exit 1; }
resets=$(grep -a -c 'reset: triple fault' "$out/overcommit.log" || true)
[ "$resets" -eq 0 ] || { echo "FAIL: $resets resets by triple faults, though all checksums were right at last; see $out/overcommit.log"; exit 1; }
echo "PASS: all checksums right"
tr -d '\r' <"$out/overcommit.log" | awk -v vms=$vms '/Mem: .* ends: it held/ {
    for (i = 1; i < NF; i++) {
        if ($i == "held") held = $(i + 1)
        if ($i == "reserved") min = $(i + 1)
        if ($i == "had") free = $(i + 1)
        if ($i == "floor") floor = $(i + 2)
    }
    good += held >= min && min == 40960 && free >= floor && floor > 0
    if (!least || held < least) least = held
} END {
    printf "%s: every guest kept its reservation of %d KB (least held: %d KB), the host its floor of %d KB (least free: %d KB)\n",
        good == vms ? "PASS" : "FAIL", min, least, floor, free
    exit good != vms
}' || exit 1
run "$out/overcommit-off" mem.swap=0 || status=$?
grep -a -m 1 'is not admitted' "$out/overcommit-off.log" | sed 's/^[^)]*)//' && [ $status -eq 125 ] ||
    { echo "FAIL: without swapping: status $status; see $out/overcommit-off.log"; exit 1; }
echo "PASS: refused without swapping"
