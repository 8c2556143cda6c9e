#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# cosched.sh -- co-stop and skew of an SMP VM as the host gets busier.
#
# A VM of four vCPUs that meet at a spinning barrier every 200 us, on four CPUs, with 0 to 12 single
# worlds beside it. Under each way of co-scheduling: work done per second of the CPU time that the VM had,
# largest lead between siblings, and the time that vCPUs were stopped for it (esxtop's %CSTP). The VM
# has as many shares as its vCPUs, each other world those of one.
#
# usage: docs/experiments/cosched.sh [OUT]      BUILD=build; writes OUT/cosched.{png,svg,dat}
set -eu
# shellcheck source=docs/experiments/lib.sh
. "$(dirname "$0")/lib.sh"
: >"$out/cosched.dat"
for mode in off relaxed strict; do
    for hogs in 0 1 2 3 4 6 8 10 12; do
        for seed in 1 2 3 4 5; do
            {
                cat <<END
duration 10s
host cpus=4 llc=4
policy share cosched=$mode
vm vm1 shares=4000
barrier b n=4 spin=100s
world vm1.v[0..3] vm=vm1 start=uniform(0,5ms)
  run exp(200us) ; barrier b ; count ; loop
world noise
  run exp(500us) ; sleep exp(200ms) ; loop
END
                i=0
                while [ $i -lt $hogs ]; do
                    printf 'world hog%d start=uniform(0,5ms)\n  run exp(20ms) ; loop\n' $i
                    i=$((i + 1))
                done
                echo "expect skew(vm1) <= 100s"
                echo "expect ops(vm1) / run(vm1) >= 0"
                echo "expect costop(vm1) / (4 * elapsed()) >= 0"
            } | "$sim" replay - --seed $seed | awk -v mode=$mode -v hogs=$hogs '
                /line/ { match($0, /\([0-9.e+-]* against/); v[++n] = substr($0, RSTART + 1) + 0 }
                END { print mode, 100 * (4 + hogs) / 4, v[2] * 4, v[1] * 1000, v[3] * 100 }' >>"$out/cosched.dat"
        done
    done
done
# Median of the seeds.
for column in 3 4 5; do
    sort -k1,1 -k2,2n -k$column,${column}g "$out/cosched.dat" | awk -v c=$column '
        { key = $1 " " $2; if (key != last) { if (n) print last, v[int((n + 1) / 2)]; n = 0; last = key } v[++n] = $c }
        END { print last, v[int((n + 1) / 2)] }' >"$out/cosched-$column.dat"
done
draw cosched 1200,430 <<END
set multiplot layout 1,3
set xlabel 'vCPUs and worlds per CPU, %'
set xrange [90:410]
modes = 'off relaxed strict'
colors = '#d55e00 #0072b2 #009e73'
points = '5 7 9'
set key above horizontal samplen 2
set yrange [0:*]
set title 'Barriers passed per second of CPU time'
set ylabel '1/s'
plot for [i=1:3] '< grep ^'.word(modes, i).' $out/cosched-3.dat' using 2:3 with linespoints lw 2 \
     pt (word(points, i)+0) lc rgb word(colors, i) title word(modes, i)
set key above horizontal samplen 2
set title 'Largest lead of a vCPU over its slowest sibling'
set ylabel 'ms (0.1: that or less)'
set logscale y
set yrange [0.1:*]
plot for [i=1:3] '< grep ^'.word(modes, i).' $out/cosched-4.dat' using 2:(\$3 > 0.1 ? \$3 : 0.1) with linespoints lw 2 \
     pt (word(points, i)+0) lc rgb word(colors, i) title word(modes, i), 3 with lines dt 2 lc rgb '#888888' title 'costop, 3 ms'
unset logscale y
set yrange [0:*]
set title 'Time stopped for co-scheduling'
set ylabel '% of each vCPU (%CSTP)'
plot for [i=1:3] '< grep ^'.word(modes, i).' $out/cosched-5.dat' using 2:3 with linespoints lw 2 \
     pt (word(points, i)+0) lc rgb word(colors, i) title word(modes, i)
END
