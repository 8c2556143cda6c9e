#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# shares.sh -- how exactly CPU time follows shares: ratio wanted against ratio got, and over time.
#
# Left, the figure of the lottery and stride scheduling papers: two worlds with shares 1:R, for R from
# 1 to 10; each point is one seed's ratio over 60 s. Right: error of each of three worlds 1:2:4 in every
# window, by the window's length: what an allocation is worth over short times. The error of a stride
# scheduler does not grow with time, so in percent it falls with the length of the window.
#
# usage: docs/experiments/shares.sh [OUT]      BUILD=build; writes OUT/shares.{png,svg,dat}
set -eu
# shellcheck source=docs/experiments/lib.sh
. "$(dirname "$0")/lib.sh"
: >"$out/shares-ratio.dat"
for ratio in 1 2 3 4 5 6 7 8 9 10; do
    for seed in 1 2 3 4 5; do
        "$sim" replay - --seed $seed --csv <<END | awk -F, -v r=$ratio '$1 == "a" { a = $3 } $1 == "b" { b = $3 }
            END { print r, b / a }' >>"$out/shares-ratio.dat"
duration 60s
world a shares=1000 start=uniform(0,20ms)
  run exp(20ms) ; loop
world b shares=${ratio}000 start=uniform(0,20ms)
  run exp(20ms) ; loop
END
    done
done
# The largest error of any window: the claim is widened until it holds.
: >"$out/shares-error.dat"
for policy in share credit2 rr; do
    for window in 50 100 200 500 1000 2000 5000; do
        worst=$("$sim" replay - --policy $policy <<END | awk '
            /line/ { match($0, /\([0-9.e+-]* against/); v = substr($0, RSTART + 1) + 0
                match($0, /against [0-9.e+-]*/); w = substr($0, RSTART + 8) + 0
                d = 100 * (v / w - 1); if (d < 0) d = -d; if (d > m) m = d }
            END { print m }'
duration 40s
world a shares=1000
  run exp(20ms) ; loop
world b shares=2000
  run exp(20ms) ; loop
world c shares=4000
  run exp(20ms) ; loop
expect share(a) = 1/7 within 100s each ${window}ms from 1s
expect share(b) = 2/7 within 100s each ${window}ms from 1s
expect share(c) = 4/7 within 100s each ${window}ms from 1s
END
        )
        echo "$policy $window $worst" >>"$out/shares-error.dat"
    done
done
draw shares 1100,460 <<END
set multiplot layout 1,2
set key top left
set title 'Ratio of CPU time, two worlds, 60 s, 5 seeds'
set xlabel 'ratio of shares'
set ylabel 'ratio of run time'
set xrange [0:11]
set yrange [0:11]
plot x with lines lc rgb '#888888' title 'ideal', \
     '$out/shares-ratio.dat' with points pt 7 ps 0.8 lc rgb '#0072b2' title 'policy share'
set title 'Largest error of any window, shares 1:2:4, 40 s'
set xlabel 'length of the window, ms'
set ylabel 'error of a world, % of its due'
set logscale xy
set xrange [40:6000]
set yrange [0.01:10000]
set key top right
plot for [i=1:3] '< grep ^'.word('share credit2 rr', i).' $out/shares-error.dat' using 2:3 with linespoints \
     lw 2 pt (word('7 5 9', i)+0) lc rgb (word('#0072b2 #e69f00 #009e73', i)) title word('share credit2 rr', i)
END
