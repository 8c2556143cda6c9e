#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# memory.sh -- what memory management costs, in instructions of the host (QEMU, -icount): lines of bench.sh's CSV.
#
#   nested fault KIND     a guest's first touch of a page in that state (tests/guest/bench_memory.c), the middle one of 512.
#                         "swapped": the store is a disk in the host's memory, so it is what the CPU does, without a device
#   sharing ...           the scanner's world's run time for each full look, in which it reads the page, beside Linux' KSM (ksm.c in
#                         Debian's kernel) over the same contents; looks at absent and shared pages are not counted, their cost is
#   compression ...       pages of a real Debian guest that was told to give its memory, out of the trace
#   reclaim, wait         /proc/vmware/sched/memlatency of that guest: a request until a page is free; vCPUs that waited
#   tracking ...          a load of fixed size with sampling and sharing on, beside the same with both off
#
# usage: scripts/bench/memory.sh [faults] [scan] [compression] [tracking]      BUILD=build; all of them by default
set -eu
[ "${1-}" != --help ] || exec sed -n '4,/^[^#]/s/^# \{0,1\}//p' "$0"
cd "$(dirname "$0")/../.."
BUILD=${BUILD:-build}
cache=${ORRERY_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/orrery}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
[ $# -gt 0 ] || set -- faults scan compression tracking

quiet='mem.share.rate=0 mem.sample=0'
share='mem.large=0 mem.share.rate=400000 mem.period=5 mem.sample=0'
# From the start as if the host were that short: everything above the reservation is to go, by one way or the other.
short='mem.large=0 mem.share.rate=0 mem.sample=0 mem.period=20 mem.min-free=500 mem.clear-below=400 mem.soft-below=390 mem.goal=700'
hard="$short mem.hard-below=380 mem.low-below=1"

fail() {
    echo "memory.sh: $*" >&2
    exit 1
}

# run NAME KIND MEMORY KERNEL-ARGS [run.sh options]: the guest's rows are in $out, the VMkernel's log in $out.log
run() {
    out=$BUILD/bench-memory-$1.txt kind=$2 memory=$3 args=$4
    shift 4
    scripts/run.sh --batch --icount --cpus 1 --guest "$BUILD/guest/bench_memory.elf" --memory "$memory" --host-memory 256 \
        --append "memory=$kind" --kernel-args "$args" --timeout 300 --log "$out.log" "$@" >"$out" 2>"$out.err" \
        </dev/null || fail "the bench guest failed, see $out and $out.err"
}

# fault KIND KERNEL-ARGS
fault() {
    run "$1" "$1" 64 "$2"
    tr -d '\r' <"$out" | awk '$1 == "bench" && NF == 3 {
        printf "nested fault %s,qemu,%d,instructions,,,\n", $2, $3 }'
}

faults() {
    fault large "$quiet"
    fault small "$share"
    fault zero "$share"
    fault sampled 'mem.large=0 mem.share.rate=0 mem.sample=1 mem.period=20'
    fault ballooned "$short mem.hard-below=2 mem.low-below=1 mem.swap=0"
    fault compressed "$hard mem.compress=50"
    fault swapped "$hard mem.compress=0 mem.swap.space=ramdisk:64M"
}

scan() {
    mkdir -p "$work/root"
    ${CC:-cc} -O2 -static -o "$work/root/init" scripts/bench/ksm.c
    (cd "$work/root" && find . | cpio -o -H newc 2>/dev/null | gzip) >"$work/initrd"
    timeout 250 qemu-system-x86_64 -nodefaults -display none -no-reboot -accel tcg -cpu max -M q35 -m 512 -smp 1 \
        -icount shift=0,sleep=off -serial stdio -kernel "$cache/guest/vmlinuz" -initrd "$work/initrd" \
        -append "console=ttyS0 quiet panic=-1 slub_nomerge" </dev/null 2>&1 | tr -d '\r' >"$BUILD/bench-memory-ksm.txt"
    for kind in unlike alike; do
        run $kind $kind 96 "$share"
        tr -d '\r' <"$out.log" | cat "$BUILD/bench-memory-ksm.txt" "$out" - | tr -d '\r' | awk -v kind=$kind '
        $1 == "bench" && NF == 3 { v[$2] = $3 }
        / pages looked at, / {
            for (i = 1; i < NF; i++) {
                if ($i == "joined,") joined = $(i - 1)
                if ($i == "full") looks = $(i - 1)
                if ($i == "of" && $(i + 2) ~ /^bytes/) bytes = $(i + 1)
                if ($i == "ran") us = $(i + 1)
            }
        }
        END {
            look = v["ksm-" kind "-look"]
            if (!look || !looks || !v["scanned_pages"]) exit 1
            ours = us * 1000 / looks
            peer = "Linux 6.1 KSM in the same emulator"
            text = kind == "alike" ? "half of the pages have a twin" : "no page has a twin"
            printf "sharing scan a full look (%s),qemu,%d,instructions,%s,%d,%.2f\n", text, ours, peer, look, ours / look
            printf "sharing scan at 1e9 instructions/s (%s),qemu,%d,pages/s,%s,%d,%.2f\n", text, 1e9 / ours, peer, 1e9 / look, look / ours
            printf "sharing books a page (%s),qemu,%.1f,bytes,%s,%d,%.2f\n", text, bytes / v["scanned_pages"], peer,
                v["ksm-" kind "-bytes"], bytes / v["scanned_pages"] / v["ksm-" kind "-bytes"]
            if (kind == "alike")
                printf "sharing pages joined,qemu,%d,pages,%s,%d,%.2f\n", joined, peer, v["ksm-alike-sharing"], joined / v["ksm-alike-sharing"]
        }' || fail "no figures of the scan, see $out.log and $BUILD/bench-memory-ksm.txt"
    done
}

# A Debian guest that boots, fills a file system in memory and reads it again, while all it has above 40 MB is to go.
compression() {
    out=$BUILD/bench-memory-linux.txt
    rm -rf "$work/trace"
    scripts/run.sh --batch --icount --cpus 1 --vcpus 1 --memory 128 --trace "$work/trace" --trace-classes mem \
        --kernel-args "$hard mem.period=200 mem.compress=25 mem.swap.space=ramdisk:128M" --vmx 'sched.mem.min = "40"' \
        --cmd 'mkdir /t && mount -t tmpfs -o size=100% t /t && for i in 1 2 3; do cat /bin/busybox /proc/kallsyms >/t/$i; done
            cat /t/* | md5sum; ls -lR / >/t/ls 2>/dev/null; cat /t/* | md5sum' \
        --timeout 600 --log "$out.log" >"$out" 2>"$out.err" </dev/null ||
        fail "the Debian guest failed, see $out and $out.err"
    "$BUILD/orrery-trace" print "$work/trace" | awk '
        function field(name,   i, v) { for (i = 1; i <= NF; i++) if (index($i, name "=") == 1) { v = $i; sub(/.*=/, "", v); return v + 0 } return -1 }
        / compress[: ]/ { bytes += field("bytes_out"); print "out", field("ns"); packed++ }
        / decompress[: ]/ { print "in", field("ns") }
        / swap_out[: ]/ { whole++ }
        END { print "ratio", 4096 * packed / bytes, 100 * packed / (packed + whole), packed }' | sort -k1,1 -k2,2n >"$work/list"
    awk '{ v[$1, ++n[$1]] = $2 } $1 == "ratio" { share = $3; pages = $4 }
        END {
            if (!n["out"] || !n["in"]) exit 1
            printf "compression ratio of pages of a Debian guest that pack,qemu,%.2f,of 1,,,\n", v["ratio", 1]
            printf "compression pages that pack to half or less,qemu,%.0f,%%,,,\n", share
            split("out in", way)
            for (w = 1; w <= 2; w++) {
                k = way[w]
                printf "compression a page %s p50,qemu,%d,instructions,,,\n", k, v[k, int((n[k] + 1) / 2)]
                printf "compression a page %s p99,qemu,%d,instructions,,,\n", k, v[k, int(n[k] * 0.99)]
            }
        }' "$work/list" || fail "no page was compressed, see $out.log"
    tr -d '\r' <"$out.log" | awk '/ latency / {
        for (i = 1; i < NF; i++) {
            if ($i == "latency") { name = $(i + 1); sub(/:/, "", name) }
            if ($i == "p50") p50 = $(i + 1)
            if ($i == "p99") p99 = $(i + 1)
        }
        text["freed"] = "reclaim request to free page"
        text["memory-wait"] = "wait of a vCPU for memory"
        text["page-wait"] = "wait of a vCPU for a swapped page"
        printf "%s p50,qemu,%d,ns of emulated time,,,\n%s p99,qemu,%d,ns of emulated time,,,\n", text[name], p50, text[name], p99 }'
}

# Sixteen ns an instruction, so that a minute of the samplers is 4e9 of them: what they cost counts sixteen times as much as
# on a processor that does one in a ns.
tracking() {
    for large in 1 0; do
        for mode in on off; do
            args="mem.large=$large"
            [ $mode = on ] || args="$args mem.share.rate=0 mem.sample=0"
            run work-$large-$mode "work:${ROUNDS:-1000}" 96 "$args" --icount-shift 4
            awk -v mode=$mode -v large=$large '$1 == "bench" { print mode, $3 + 0 }' "$out"
        done | awk -v large=$large '{ v[$1] = $2 } END {
            if (!v["on"] || !v["off"]) exit 1
            printf "tracking a load with sampling and sharing%s,qemu,%d,us,the same without,%d,%.4f\n",
                large ? "" : " (4 KB pages)", v["on"], v["off"], v["on"] / v["off"] }' || fail "no figures of the load, see $out"
    done
}

for part; do
    case $part in
    faults | scan | compression | tracking) $part ;;
    *) echo "memory.sh: no part $part: faults, scan, compression or tracking" >&2 && exit 2 ;;
    esac
done
