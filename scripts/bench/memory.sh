#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# memory.sh -- nested faults by kind and the sharing scan, in instructions of the host (QEMU, -icount).
#
# Lines of bench.sh's CSV on stdout. The scan's figure is what its world ran for each page it looked at,
# joins and grace periods included; a page that is shared or hinted at costs 16 bytes of table.
#
# usage: scripts/bench/memory.sh      BUILD=build
set -eu
cd "$(dirname "$0")/../.."
BUILD=${BUILD:-build}
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
tr -d '\r' <"$out.log" | awk '/ pages looked at, / {
    for (i = 1; i < NF; i++) {
        if ($i == "pages" && $(i + 1) == "looked") scanned = $(i - 1)
        if ($i == "joined,") joined = $(i - 1)
        if ($i == "ran") us = $(i + 1)
    }
    printf "sharing scan a page,qemu,%d,instructions,,,\n", us * 1000 / scanned
    printf "sharing joined,qemu,%d,pages,,,\n", joined
    print "sharing table a page,,16,bytes,,,"
}'
