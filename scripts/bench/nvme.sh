#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# nvme.sh -- lines for bench.csv: instructions per 4 KB read from an NVMe disk, beside Linux.
#
# The kernel (boot option diskbench=) and Debian's cloud kernel read the same disk in QEMU with
# -icount, where a nanosecond is an instruction, on one CPU, while a loop of known length takes what is
# left over. A ratio below 1 means fewer instructions than Linux. The kernel's own reads come from the kernel;
# Linux' from a program, with direct I/O, as a VM's do.
set -eu
[ "${1-}" != --help ] || exec sed -n '4,/^[^#]/s/^# \{0,1\}//p' "$0"
BUILD=${BUILD:-build}
cache=${ORRERY_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/orrery}
count=5000
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

truncate -s 64M "$work/disk"
boot() {
    timeout 250 qemu-system-x86_64 -nodefaults -display none -no-reboot -accel tcg -cpu max -M q35 \
        -m 512 -smp 1 -icount shift=0,sleep=off -serial stdio \
        -drive "id=n,if=none,format=raw,file=$work/disk" -device nvme,serial=bench,drive=n \
        "$@" </dev/null 2>&1 | tr -d '\r'
}

boot -kernel "$BUILD/metal/orrery.elf" -append "diskbench=$count" >"$BUILD/bench-nvme.txt"
mkdir "$work/root" "$work/root/proc" "$work/root/dev"
${CC:-cc} -O2 -static -o "$work/root/init" "$(dirname "$0")/nvme.c"
(cd "$work/root" && find . | cpio -o -H newc 2>/dev/null | gzip) >"$work/initrd"
boot -kernel "$cache/guest/vmlinuz" -initrd "$work/initrd" \
    -append "console=ttyS0 quiet panic=-1 count=$count" >"$BUILD/bench-nvme-linux.txt"
cat "$BUILD/bench-nvme.txt" "$BUILD/bench-nvme-linux.txt" | awk '
    /DiskBench: .* reads of 4096 bytes/ {
        for (i = 1; i < NF; i++) {
            if ($(i + 1) == "in" && $(i + 2) == "flight:") depth = $i
            if ($(i + 1) == "instructions") ours[depth] = $i
        }
    }
    $1 == "bench" { sub("depth", "", $2); linux[$2] = $3 }
    END {
        for (i = 1; i <= 32; i += 31) {
            if (!ours[i] || !linux[i]) { print "nvme.sh: no figures, see bench-nvme*.txt" >"/dev/stderr"; exit 1 }
            printf "NVMe 4 KB read at depth %d,qemu,%d,instructions,Linux 6.1 in the same emulator,%d,%.2f\n",
                i, ours[i], linux[i], ours[i] / linux[i]
        }
    }'
