#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# memory.sh -- the published experiments on ESX's memory: idle tax, balloon, sharing, a VM that boots when memory is short.
#
# The policy is the kernel's; guests and mechanisms are the models of docs/workloads.md, so amounts of
# memory are results and times are not. Idle tax: two VMs with equal shares, one idle, one at work, by the rate of
# the tax. Balloon: what a VM with a balloon of a size can still touch, against a VM made that much smaller.
# Sharing: 1 to 10 identical idle VMs, memory saved by the number of VMs. Boot: three VMs fill the host, a
# fourth boots at 60 s; picture of its trace.
#
# usage: docs/experiments/memory.sh [OUT]      BUILD=build; writes OUT/memory-{tax,balloon,share}.{png,svg,dat}, OUT/memory-boot/
set -eu
# shellcheck source=docs/experiments/lib.sh
. "$(dirname "$0")/lib.sh"

# means VM COLUMN: of a run's table (2 held, 3 target, 4 active, 5 true, 6 balloon, 7 shared, 11 work).
means() { awk -v vm="$1" -v column="$2" '/^memory, mean MB/ { on = 1 } on && $1 == vm { print $column }'; }

: >"$out/memory-tax.dat"
for tax in 0 10 25 50 75 90 99; do
    # Not the mean of the whole run: what an expectation says of its end.
    sed '/^expect/d' sim/scenario/idle_tax.wl >"$out/memory-tax.wl"
    printf 'expect mem_held(idle) = 0 from 300s\nexpect mem_held(busy) = 0 from 300s\n' >>"$out/memory-tax.wl"
    "$sim" replay "$out/memory-tax.wl" --memory idle-tax=$tax 2>&1 | awk -v tax=$tax '/^FAILS/ {
        match($0, /\([0-9.]+ against/); v[++n] = substr($0, RSTART + 1) + 0 } END { print tax, v[1], v[2] }' >>"$out/memory-tax.dat"
done

: >"$out/memory-balloon.dat"
for size in 48 64 80 96 112 128; do
    for balloon in yes no; do
        # The same memory: by a balloon in a VM of 128 MB on a short host, or as the VM's whole size.
        vm=128
        [ $balloon = no ] && vm=$size
        work=$("$sim" replay - <<END | means a 11
workload balloon
duration 200s
memory size=400MB swap=1GB minfree=4MB sample=10 share_rate=0KB
vm a
mem a size=${vm}MB max=${size}MB
vm rest
mem rest size=400MB min=300MB driver=no
world a.v vm=a
  touch used=${vm}MB active=44MB ; until 200s
world rest.v vm=rest
  touch used=350MB active=350MB ; until 200s
END
        )
        echo "$balloon $size $work" >>"$out/memory-balloon.dat"
    done
done

: >"$out/memory-share.dat"
for count in 1 2 3 4 5 6 7 8 9 10; do
    {
        echo "workload identical
duration 300s
memory size=1GB swap=1GB share_rate=1MB"
        for i in $(seq $count); do
            printf 'vm v%u\nmem v%u size=64MB share=67%%\nworld v%u.v vm=v%u\n  touch used=60MB active=256KB ; until 300s\n' $i $i $i $i
        done
        echo "expect mem_shared(v*) = 100000 from 280s"
    } >"$out/memory-share.wl"
    "$sim" replay "$out/memory-share.wl" | awk -v n=$count '/^FAILS/ { match($0, /\([0-9.]+ against/)
        v = substr($0, RSTART + 1) + 0; print n, n * 60, v, 100 * v / (n * 60) }' >>"$out/memory-share.dat"
done

"$sim" replay - --trace "$out/memory-boot.trace" >/dev/null <<END
workload boot
duration 300s
memory size=256MB swap=1GB sample=10 fill_rate=8MB balloon_rate=8MB swap_rate=4MB
vm web
vm mail
vm build
vm boots
mem web size=96MB
mem mail size=96MB
mem build size=96MB driver=no
mem boots size=96MB on=60s
world web.v vm=web
  touch used=90MB active=30MB ; until 300s
world mail.v vm=mail
  touch used=90MB active=20MB ; until 300s
world build.v vm=build
  touch used=70MB active=40MB ; until 300s
world boots.v vm=boots start=60s
  touch used=90MB active=80MB ; sleep 30s ; touch active=20MB ; until 300s
END
"$BUILD/orrery-trace" verify "$out/memory-boot.trace" | head -n 1
"$BUILD/orrery-trace" plot "$out/memory-boot.trace" --out "$out/memory-boot" >/dev/null 2>&1
rm -rf "$out/memory-boot.trace"

draw memory-tax 700,440 <<END
set title 'Two VMs of 128 MB, equal shares, 180 MB for both'
set xlabel 'idle tax, %'
set ylabel 'memory held, MB'
set yrange [0:140]
set xrange [-2:102]
set key center left
plot '$out/memory-tax.dat' using 1:3 with linespoints lw 2 pt 7 lc rgb '#0072b2' title 'busy', \
     '' using 1:2 with linespoints lw 2 pt 5 lc rgb '#d55e00' title 'idle'
END
draw memory-balloon 700,440 <<END
set title 'A working set of 44 MB in less memory'
set xlabel 'memory left to the VM, MB'
set ylabel 'touches that found memory, %'
set yrange [0:105]
set key bottom right
plot '< grep ^yes $out/memory-balloon.dat' using 2:3 with linespoints lw 2 pt 7 lc rgb '#0072b2' title 'ballooned from 128 MB', \
     '< grep ^no $out/memory-balloon.dat' using 2:3 with linespoints lw 2 dt 2 pt 4 ps 2 lc rgb '#d55e00' title 'VM of that size'
END
draw memory-share 700,440 <<END
set title 'Identical idle VMs of 60 MB, two thirds alike'
set xlabel 'number of VMs'
set ylabel 'MB'
set y2label 'saved, % of all VMs'' memory'
set ytics nomirror
set y2tics
set y2range [0:100]
set xrange [0.5:10.5]
set key top left
plot '$out/memory-share.dat' using 1:2 with linespoints lw 2 pt 5 lc rgb '#888888' title 'used by guests', \
     '' using 1:3 with linespoints lw 2 pt 7 lc rgb '#009e73' title 'saved by sharing', \
     '' using 1:4 axes x1y2 with linespoints lw 2 dt 2 pt 9 lc rgb '#d55e00' title 'saved, % (right)'
END
