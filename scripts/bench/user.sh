#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# user.sh -- rows for bench.sh: what system calls, switches and processes cost a program in the image,
# in emulated instructions, beside Debian's kernel in the same emulator; and the host's memory by owner
# with init, a shell and logging up.
#
# The same static program (user.c) is process 1 of both, and Debian's busybox their `true`. QEMU, one CPU, -icount shift=0: one tick is one
# instruction. Linux has its default mitigations and no other process.
set -eu
[ "${1-}" != --help ] || exec sed -n '4,/^[^#]/s/^# \{0,1\}//p' "$0"
cd "$(dirname "$0")/../.."
BUILD=${BUILD:-build}
cache=${ORRERY_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/orrery}
work=$(mktemp -d "${TMPDIR:-/tmp}/orrery-bench.XXXXXX")
trap 'rm -rf "$work"' EXIT

${CC:-gcc} -std=gnu17 -O2 -static -o "$work/init" scripts/bench/user.c
cp "$cache/guest/busybox" "$work/true"
(cd "$work" && printf "init\ntrue\n" | cpio -o -H newc --quiet -R 0:0 | gzip -1 >initrd.gz)
scripts/tardisk.sh --file "$work/bench.v01" "init=$work/init" "true=$work/true"
(cd "$work" && tar --format=ustar -cf modules.tar bench.v01)

machine() {
    timeout 600 qemu-system-x86_64 -nodefaults -display none -no-reboot -M q35 -cpu max -m 512 -smp 1 \
        -accel tcg -icount shift=0,sleep=off "$@" </dev/null | tr -d '\r'
}
machine -kernel "$cache/guest/vmlinuz" -initrd "$work/initrd.gz" \
    -append "console=ttyS0 quiet panic=-1 rdinit=/init" -serial stdio >"$work/linux"
machine -kernel "$BUILD/metal/orrery.elf" -initrd "$work/modules.tar" \
    -append "log=com2 init=/init" -serial stdio -serial "file:$work/log" >"$work/orrery"
sed -n 's/^bench //p' "$work/orrery" | while IFS='|' read -r name value; do
    peer=$(sed -n "s/^bench $name|//p" "$work/linux")
    awk -v name="$name" -v value="$value" -v peer="${peer:-0}" 'BEGIN {
        printf "%s of a user world,qemu,%d,instructions,Linux in the same emulator,%d,%.2f\n", name, value,
            peer, peer ? value / peer : 0 }'
done >"$work/rows"
[ "$(wc -l <"$work/rows")" = 7 ] || {
    echo "user.sh: the program did not finish:" >&2
    tail -n 5 "$work/linux" "$work/orrery" "$work/log" >&2
    exit 1
}
cat "$work/rows"

scripts/run.sh --vms 0 --timeout 300 --log "$work/host.log" \
    --host-cmd 'cat /proc/vmware/stats' >"$work/stats" </dev/null
tr -d '\r' <"$work/stats" | awk '
    $1 == "free" { free = $2 }
    $1 == "total" { printf "memory used with init shell and logging,qemu,%d,bytes,,,\n", ($2 - free) * 4096 }
    NF == 3 && $2 ~ /^[0-9]+$/ && $2 + $3 { printf "memory of %s with init shell and logging,qemu,%d,bytes,,,\n", $1, $2 * 4096 + $3 }'
