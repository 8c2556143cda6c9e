#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# boot_short.sh -- a Debian guest boots on the image in QEMU when the others have nearly all its memory.
#
# Three guests of 144 MB fill 20 MB each; one of them frees them again, one sleeps, one reads them every second. Then a
# fourth boots, fills 8 MB and reads them. It pays more shares for its few pages than the others for their many, so they give and it does
# not. As none has swap space of its own, balloons are bounded by what each can spare (sched.mem.maxmemctl). The picture has, for each
# guest over time, what it holds, its target, the estimate of what it works with, and what was taken; and for the host what the mechanisms
# have taken together and how much is free. All checksums must be right, free memory must not fall below the floor, and
# the fourth guest must get through with next to none of its own pages taken. The ESX memory paper describes the order without figures: balloons
# first, compression and swapping while they are too slow, high again when they have caught up. One instruction is 8 ns, so runs
# repeat; the CPU is a slow one for its memory, which makes reclamation's time long.
#
# usage: docs/experiments/boot_short.sh [--out DIR]      BUILD=build HOST_MEMORY=440 SPAN=120 (s at most); writes DIR/boot_short.{png,svg,dat,txt,log}; some 3 minutes
set -eu
# shellcheck source=docs/experiments/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=docs/experiments/guests.sh
. docs/experiments/guests.sh

job='[ $role = late ] && fill 8 || fill 20
[ $role != web ] || { rm -f f*; echo READY; sleep 100000; }
sum=$(cat f* | md5sum)
echo READY
[ $role != mail ] || sleep 100000
while [ "$(cat f* | md5sum)" = "$sum" ]; do echo ROUND; sleep 1; done
echo WRONG; exit 3'
host="at_most() { echo \"sched.mem.maxmemctl = \\\"\$1\\\"\"; }
start web web 144 \"\$(at_most 60)\"; start mail mail 144 \"\$(at_most 32)\"; start build build 144 \"\$(at_most 24)\"
for n in web mail build; do said \$n READY; done
rows 6; start late late 144 \"\$(at_most 24)\"; rows ${SPAN:-120} late ROUND; rows 10
grep -q ROUND late.out || { echo 'the late guest did not get through'; cat late.out; exit 5; }
echo \"event \$(now) late ROUND\"
grep WRONG *.out && exit 6
esxcli sched memory get | awk -F ': ' '/^ *Floor/ { f = \$2 } /^ *Least Free/ { l = \$2 } END { print \"host\", f, l }'
exit 0"
guests boot_short "${HOST_MEMORY:-440}" "$job" "$host" "mem.sample=5 mem.large=0"
awk '$1 == "row" { held[$3] = $4; target[$3] = $6; balloon[$3] = $7; zip[$3] = $8; swap[$3] = $9
        if ($8 + $9 > most[$3]) most[$3] = $8 + $9 }
    $1 == "level" { if ($3 != was) print $2 " s: memory is " $3; was = $3 }
    $1 == "event" { print $2 " s: " $3, $4 }
    END { for (n in held) printf "%-5s holds %5.1f MB, target %5.1f; ballooned %5.1f, compressed %5.1f, swapped %5.1f (both together at most %.1f)\n",
        n, held[n], target[n], balloon[n], zip[n], swap[n], most[n] }' "$out/boot_short.dat"
draw boot_short 1100,1000 <<END
set multiplot layout 3,2
set xlabel 'time, s'
set ylabel 'MB'
set yrange [0:150]
set key top left maxrows 3
late = system("awk '\$1 == \"event\" && \$3 == \"late\" && \$4 == \"starts\" { print \$2 }' $out/boot_short.dat")
set arrow from late,graph 0 to late,graph 1 nohead dt 3
names = 'web mail build late'
what = 'has_freed_what_it_filled sleeps works_each_second boots_at_the_dotted_line,_then_works'
do for [i=1:4] {
    set title word(names, i).': '.system('echo '.word(what, i).' | tr _ " "')
    rows = '< grep "^row .* '.word(names, i).' " $out/boot_short.dat'
    plot rows using 2:4 with lines lw 2 lc rgb '#0072b2' title 'held', \
         '' using 2:6 with lines lw 2 dt 2 lc rgb '#000000' title 'target', \
         '' using 2:5 with lines lw 1 lc rgb '#009e73' title 'active', \
         '' using 2:7 with lines lw 2 lc rgb '#d55e00' title 'ballooned', \
         '' using 2:8 with lines lw 1 lc rgb '#e69f00' title 'compressed', \
         '' using 2:9 with lines lw 2 lc rgb '#cc79a7' title 'swapped'
}
set yrange [0:*]
set title 'the host: taken by all mechanisms, and free'
sum(c) = "< awk '\$1 == \"row\" { if (\$2 != t && t) print t, s; if (\$2 != t) s = 0; t = \$2; s += \$".c." } END { print t, s }' $out/boot_short.dat"
plot sum(7) using 1:2 with lines lw 2 lc rgb '#d55e00' title 'ballooned', \
     sum(8) using 1:2 with lines lw 1 lc rgb '#e69f00' title 'compressed', \
     sum(9) using 1:2 with lines lw 2 lc rgb '#cc79a7' title 'swapped', \
     '< grep ^level $out/boot_short.dat' using 2:4 with lines lw 1 lc rgb '#888888' title 'free'
END
awk '$1 == "event" && $3 == "late" { at[$4] = $2 } $1 == "host" { floor = $2; least = $3 }
    $1 == "row" && $3 == "late" { if ($8 + $9 > taken) taken = $8 + $9 }
    END { printf "the late guest was through after %.0f s; %.1f MB of it were taken at most; the host had %s MB free at least, its floor is %s\n",
        at["ROUND"] - at["starts"], taken, least, floor
    if (least + 0 < floor + 0 || !floor || taken > 8) { print "FAIL: the floor did not hold, or the late guest gave"; exit 1 }
    print "PASS: all checksums right, and the late guest got its memory from the others" }' "$out/boot_short.dat"
