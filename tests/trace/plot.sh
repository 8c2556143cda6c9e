#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# plot.sh -- every picture is drawn, in both formats, without a complaint of gnuplot; data is bounded.
. tests/lib.sh
tool=$BUILD/orrery-trace
scratch

"$BUILD/orrery-sim" replay sim/scenario/cosched.wl --duration 3s --trace "$dir/t" >/dev/null 2>&1
[ -f "$dir/t/metadata" ] || { echo "FAIL plot: nothing was recorded"; exit 1; }
env -u DISPLAY "$tool" plot "$dir/t" --out "$dir/new/pictures" >"$dir/out" 2>"$dir/err"
status=$?
[ $status -eq 0 ] && echo "PASS plot" || echo "FAIL plot: status $status: $(head -n 1 "$dir/err")"
[ -s "$dir/err" ] && echo "FAIL gnuplot is silent: $(head -n 1 "$dir/err")" || echo "PASS gnuplot is silent"
for name in timeline-cpu timeline-world share states latency; do
    # Of the PNG: its first bytes; of the SVG: that it ends.
    if [ "$(head -c 4 "$dir/new/pictures/$name.png" | tail -c 3)" = PNG ] &&
        [ "$(wc -c <"$dir/new/pictures/$name.png")" -gt 10000 ] &&
        grep -q '</svg>' "$dir/new/pictures/$name.svg" && [ -s "$dir/new/pictures/$name.dat" ]; then
        echo "PASS $name"
    else
        echo "FAIL $name: no such picture"
    fi
done
for label in 'time since boot (s)' 'percent of a CPU' 'points of a CPU'; do
    grep -q -F "$label" "$dir/new/pictures/share.svg" && echo "PASS share says: $label" || echo "FAIL share says: $label"
done
# A timeline has at most a box per pixel column and lane.
rows=$(wc -l <"$dir/new/pictures/timeline-cpu.dat")
[ "$rows" -lt 20000 ] && echo "PASS timeline is bounded" || echo "FAIL timeline is bounded: $rows boxes"
# Boxes of a lane do not overlap.
bad=$(grep -v '^#' "$dir/new/pictures/timeline-cpu.dat" | sort -k1,1n -k3,3n |
    awk '{ if ($1 == lane && $3 < end - 1e-9) n++; lane = $1; end = $4 } END { print n + 0 }')
[ "$bad" = 0 ] && echo "PASS boxes stand side by side" || echo "FAIL boxes stand side by side: $bad overlap"
# Shares of all worlds in one window are no more than the CPUs, and states are 100 %.
bad=$(grep -v '^#' "$dir/new/pictures/states.dat" | awk '{ for (g = 0; 2 + g * 6 + 5 <= NF; g++) { s = 0; nan = 0
        for (i = 0; i < 6; i++) { v = $(2 + g * 6 + i); if (v == "NaN") nan = 1; s += v }
        if (!nan && (s < 99.9 || s > 100.1)) n++ } } END { print n + 0, NR }')
case $bad in "0 "[1-9]*) echo "PASS states are 100 %" ;; *) echo "FAIL states are 100 %: $bad" ;; esac
# Memory: a panel for each VM, with its unit.
"$BUILD/orrery-sim" replay sim/scenario/memory_limits.wl --trace "$dir/m" >/dev/null 2>&1
env -u DISPLAY "$tool" plot "$dir/m" --out "$dir/new/memory" >"$dir/out" 2>"$dir/err"
status=$?
[ $status -eq 0 ] && [ "$(wc -c <"$dir/new/memory/memory.png")" -gt 10000 ] && echo "PASS memory" ||
    echo "FAIL memory: status $status: $(head -n 1 "$dir/err")"
for label in ballooned shared compressed swapped active target held MB 'time since boot (s)' 'Free memory of the host'; do
    grep -q -F "$label" "$dir/new/memory/memory.svg" && echo "PASS memory says: $label" || echo "FAIL memory says: $label"
done
"$tool" plot "$dir/t" --out /dev/null/x >/dev/null 2>"$dir/err"
status=$?
[ $status -eq 3 ] && grep -q 'cannot make the directory' "$dir/err" && echo "PASS no place for pictures" ||
    echo "FAIL no place for pictures: status $status, $(head -n 1 "$dir/err")"
# refused OPTION VALUE PATTERN: an option that makes no sense is usage, and says what it takes.
refused() {
    "$tool" plot "$dir/t" --out "$dir/refused" "$1" "$2" >/dev/null 2>"$dir/err"
    status=$?
    [ $status -eq 2 ] && grep -q "$3" "$dir/err" && echo "PASS $1 $2 is refused" ||
        echo "FAIL $1 $2: status $status, $(head -n 1 "$dir/err")"
}
refused --format bmp 'takes svg, png, svg,png or none, not "bmp"'
refused --timeline 2s:1s 'takes A:B, two times, the earlier first, not "2s:1s"'
