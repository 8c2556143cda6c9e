#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# thief.sh -- the world that gives up its CPU just before a tick would charge it.
#
# A scheduler that charges whole ticks to whoever runs when the tick comes never sees a world that
# computes for 9.5 ms of each 10 ms and then halts until the tick is over; it was reported to take some
# 95 % of a CPU in that way (Xen commit 78c9b2a6). Here time is charged by the nanosecond. The
# picture: what the thief gets against an equal honest world, as it works a larger part of each tick. The
# curve of a tick-charging scheduler is drawn as reckoned: it gets all it asks for.
#
# usage: docs/experiments/thief.sh [OUT]      BUILD=build; writes OUT/thief.{png,svg,dat}
set -eu
# shellcheck source=docs/experiments/lib.sh
. "$(dirname "$0")/lib.sh"
: >"$out/thief.dat"
for part in 1 2 3 4 5 6 7 8 9 9.5 9.9; do
    for seed in 1 2 3 4 5; do
        "$sim" replay - --seed $seed --csv <<END | awk -F, -v part=$part '
            $1 == "thief" { t = $10 } $1 == "honest" { h = $10 } END { print part * 10, t, h }' >>"$out/thief.dat"
duration 20s
world thief start=uniform(0,10ms)
  run ${part}ms ; align 10ms ; loop
world honest start=uniform(0,10ms)
  run exp(30ms) ; loop
END
    done
done
draw thief 700,460 <<END
set key top left
set title 'A world that halts before each tick, against an equal honest one (20 s, 5 seeds)'
set xlabel 'part of each 10 ms tick that the thief wants, %'
set ylabel 'CPU time, %'
set xrange [0:100]
set yrange [0:100]
plot x with lines dt 2 lw 2 lc rgb '#d55e00' title 'thief, if ticks were charged (reckoned)', \
     50 with lines lc rgb '#888888' title 'its share', \
     '$out/thief.dat' using 1:2 with points pt 7 ps 0.8 lc rgb '#0072b2' title 'thief', \
     '' using 1:3 with points pt 6 ps 0.8 lc rgb '#009e73' title 'honest'
END
