#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# idle_tax.sh -- two Debian guests of 192 MB on the image in QEMU, one idle with much memory, one that asks; with and without the tax.
#
# The idle guest fills 80 MB once, frees them and sleeps: the host still holds them for it. The busy one then fills 64 MB and reads
# them again and again with checksums. Both have the same shares, and the host cannot give both what they want. At a tax of 0 shares alone
# decide; at 75 % (the default) idle pages cost four times as much. A guest without swap space of its own that is ballooned below
# what it works on kills its own programs, so the busy one's balloon is at most 24 MB (sched.mem.maxmemctl): what else it must give
# goes by compression and swapping. The picture: memory held by both, over time. Printed: what each holds in the end, and how long
# the busy guest took to fill its files, how often it then read them. Published in the ESX memory paper (two VMs of 256 MB, 360 MB for both): the tax moves memory to the
# busy VM, whose throughput rises by more than 30 %. One instruction is 8 ns, so runs repeat; a wrong checksum fails.
#
# usage: docs/experiments/idle_tax.sh [--out DIR]      BUILD=build HOST_MEMORY=300 SPAN=25 (s); writes DIR/idle_tax.{png,svg}, DIR/idle_tax-{0,75}.{dat,txt,log}; some 4 minutes
set -eu
# shellcheck source=docs/experiments/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=docs/experiments/guests.sh
. docs/experiments/guests.sh

job='case $role in
idle)
    fill 80
    rm -f f* base
    echo READY
    sleep 100000 ;;
busy)
    fill 64
    sum=$(cat f* | md5sum)
    echo READY
    while [ "$(cat f* | md5sum)" = "$sum" ]; do echo ROUND; done
    echo WRONG; exit 3 ;;
esac'
host="start idle idle 192; said idle READY
start busy busy 192 'sched.mem.maxmemctl = \"24\"'; rows 240 busy READY; said busy READY
before=\$(grep -c ROUND busy.out); rows ${SPAN:-25}
echo \"rounds \$((\$(grep -c ROUND busy.out) - before))\"
grep WRONG busy.out && exit 6
exit 0"
: >"$out/idle_tax.dat"
for tax in 0 75; do
    guests idle_tax-$tax "${HOST_MEMORY:-300}" "$job" "$host" "mem.sample=5 mem.large=0 mem.idle-tax=$tax"
    awk -v tax=$tax '$1 == "event" && $3 == "busy" { at[$4] = $2 } $1 == "row" { held[$3] = $4; out[$3] = $7 + $8 + $9 }
        $1 == "rounds" { rounds = $2 }
        END { print tax, held["idle"], held["busy"], out["busy"], at["READY"] - at["starts"], rounds }' "$out/idle_tax-$tax.dat" |
        tee -a "$out/idle_tax.dat" | awk '{ printf "tax %2d %%: the idle guest holds %.0f MB, the busy one %.0f MB (%.0f MB taken from it); it needed %.0f s to fill its files and then read them %d times\n",
            $1, $2, $3, $4, $5, $6 }'
done
draw idle_tax 1000,430 <<END
set multiplot layout 1,2
set xlabel 'time, s'
set ylabel 'memory held, MB'
set yrange [0:200]
set key bottom right
do for [tax in '0 75'] {
    set title 'idle tax '.tax.' %'
    plot '< grep "^row .* idle " $out/idle_tax-'.tax.'.dat' using 2:4 with lines lw 2 lc rgb '#d55e00' title 'idle', \
         '' using 2:6 with lines dt 2 lc rgb '#d55e00' title 'idle, target', \
         '< grep "^row .* busy " $out/idle_tax-'.tax.'.dat' using 2:4 with lines lw 2 lc rgb '#0072b2' title 'busy', \
         '' using 2:6 with lines dt 2 lc rgb '#0072b2' title 'busy, target'
}
END
awk '{ held[$1] = $3; fill[$1] = $5 } END {
    printf "the busy guest: %+.0f MB by the tax, and it filled its files %+.0f %% faster (published: more than 30 %% throughput)\n",
        held[75] - held[0], 100 * (fill[0] / fill[75] - 1)
    if (held[75] <= held[0] || fill[75] >= fill[0]) { print "FAIL: the tax moved no memory to the busy guest"; exit 1 }
    print "PASS: idle memory went to the guest that works" }' "$out/idle_tax.dat"
