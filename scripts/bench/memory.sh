#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# memory.sh -- nested faults by kind and the sharing scan, in instructions of the host (QEMU, -icount).
#
# Lines of bench.sh's CSV on stdout, the scan's beside Linux' KSM on the same emulator (ksm.c in Debian's kernel). The scan's figure is what its world ran for each page it looked at,
# joins and grace periods included; a page that is shared or hinted at costs 16 bytes of table.
#
# usage: scripts/bench/memory.sh      BUILD=build
set -eu
cd "$(dirname "$0")/../.."
BUILD=${BUILD:-build}
cache=${ORRERY_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/orrery}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
share='mem.large=0 mem.share.rate=400000 mem.period=5 mem.sample=0'

run() { # run KIND KERNEL-ARGS
    out=$BUILD/bench-memory-$1.txt
    scripts/run.sh --batch --icount --cpus 1 --guest "$BUILD/guest/bench.elf" --memory 64 \
        --append "memory=$1" --kernel-args "$2" --timeout 300 --log "$out.log" >"$out" 2>"$out.err" \
        </dev/null || {
        echo "memory.sh: the bench guest failed, see $out and $out.err" >&2
        exit 1
    }
    tr -d '\r' <"$out" | awk '$1 == "bench" && NF == 3 {
        printf "nested fault %s,qemu,%d,instructions,,,\n", $2, $3 }'
}

run large 'mem.share.rate=0 mem.sample=0'
run small "$share"
mkdir "$work/root"
${CC:-cc} -O2 -static -o "$work/root/init" scripts/bench/ksm.c
(cd "$work/root" && find . | cpio -o -H newc 2>/dev/null | gzip) >"$work/initrd"
timeout 250 qemu-system-x86_64 -nodefaults -display none -no-reboot -accel tcg -cpu max -M q35 -m 512 -smp 1 \
    -icount shift=0,sleep=off -serial stdio -kernel "$cache/guest/vmlinuz" -initrd "$work/initrd" \
    -append "console=ttyS0 quiet panic=-1 slub_nomerge" </dev/null 2>&1 | tr -d '\r' >"$BUILD/bench-memory-ksm.txt"
tr -d '\r' <"$out.log" | cat "$BUILD/bench-memory-ksm.txt" - | awk '
$1 == "bench" && NF == 3 { ksm[$2] = $3 }
/ pages looked at, / {
    for (i = 1; i < NF; i++) {
        if ($i == "pages" && $(i + 1) == "looked") scanned = $(i - 1)
        if ($i == "joined,") joined = $(i - 1)
        if ($i == "ran") us = $(i + 1)
    }
    ours = us * 1000 / scanned
    if (!ksm["ksm-merge"] || !ksm["ksm-bytes"]) { print "memory.sh: no figures of KSM, see bench-memory-ksm.txt" >"/dev/stderr"; exit 1 }
    peer = "Linux 6.1 KSM in the same emulator"
    printf "sharing scan a page,qemu,%d,instructions,%s,%d,%.2f\n", ours, peer, ksm["ksm-merge"], ours / ksm["ksm-merge"]
    printf "sharing scan at 1e9 instructions/s,qemu,%d,pages/s,%s,%d,%.2f\n", 1e9 / ours, peer, 1e9 / ksm["ksm-merge"], ksm["ksm-merge"] / ours
    printf "sharing joined,qemu,%d,pages,,,\n", joined
    printf "sharing table a page,,16,bytes,%s,%d,%.2f\n", peer, ksm["ksm-bytes"], 16 / ksm["ksm-bytes"]
}'
