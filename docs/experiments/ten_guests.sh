#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# ten_guests.sh -- memory saved by sharing with 1 to 10 identical idle Debian guests, on the image in QEMU.
#
# Ten guests boot and do nothing, the scanner compares their pages (all with all: mem.salting=0, and faster than
# it does by default); when nothing more is found, one guest after the other is killed, and each time the host is
# asked. So one run gives the whole curve, from ten down to one. Shared is what guest memory is backed by a machine
# page in the table, saved is what of that takes no memory; both as a part of what the guests have touched. Published, for
# Linux guests of 40 MB in the ESX memory paper: about 67 % shared at ten, some 60 % of memory saved, an eighth for one alone.
#
# usage: docs/experiments/ten_guests.sh [OUT]      BUILD=build VMS=10 MEMORY=128; writes OUT/ten_guests.{dat,png,svg,txt,log}
set -eu
# shellcheck source=docs/experiments/lib.sh
. "$(dirname "$0")/lib.sh"

vms=${VMS:-10} memory=${MEMORY:-128}
commands=$(
    cat <<'COMMANDS'
field() { esxcli sched memory get | awk -v f="$1" -F ': ' '$1 ~ "^ *" f "$" { print $2 }'; }
granted() { esxcli --formatter=csv sched memory list | awk -F, 'NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i; next }
    { sum += $at["Granted"] } END { print sum }'; }
before=0 still=0 seconds=0
while [ $still -lt 3 ] && [ $seconds -lt 900 ]; do
    sleep 20
    seconds=$((seconds + 20))
    saved=$(field 'Saved by Sharing')
    echo "after $seconds s: saved $saved MB of $(granted) MB, $(field 'Pages Scanned') pages looked at, $(field 'Pages Joined') joined"
    # Nothing more: less than 1 % of it in 20 s, three times, and there is something.
    still=$(awk -v a="$before" -v b="$saved" -v s=$still 'BEGIN { print (b > 20 && b - a < b / 100) ? s + 1 : 0 }')
    before=$saved
done
count=$(esxcli --formatter=csv vm process list | awk 'NR > 1' | wc -l)
while [ "$count" -gt 0 ]; do
    echo "row $count $(granted) $(field Shared) $(field 'Saved by Sharing') $(field Zero) $(field Common)"
    world=$(esxcli --formatter=csv vm process list | awk -F, 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == "WorldID") w = i; next } { last = $w } END { print last }')
    esxcli vm process kill -t force -w "$world"
    until [ "$(esxcli --formatter=csv vm process list | awk 'NR > 1' | wc -l)" -lt "$count" ]; do usleep 200000; done
    sleep 2
    count=$((count - 1))
done
exit 0
COMMANDS
)
status=0
scripts/run.sh --host-cmd "$commands" --vms "$vms" --vcpus 1 --memory "$memory" --log "$out/ten_guests.log" --timeout "${TIMEOUT:-1500}" \
    --kernel-args "mem.salting=0 mem.large=0 mem.sample=0 mem.share.rate=${RATE:-4000}" >"$out/ten_guests.txt" 2>&1 </dev/null || status=$?
# number, touched, shared, saved, zero, common MB; shared and saved in %
tr -d '\r' <"$out/ten_guests.txt" | awk '$1 == "row" && $3 > 0 {
    printf "%d %.1f %.1f %.1f %.1f %.1f %.1f %.1f\n", $2, $3, $4, $5, $6, $7, 100 * $4 / $3, 100 * $5 / $3 }' |
    sort -n >"$out/ten_guests.dat"
[ $status -eq 0 ] && [ "$(wc -l <"$out/ten_guests.dat")" -eq "$vms" ] ||
    { echo "FAIL: status $status; see $out/ten_guests.txt and .log"; exit 1; }
# The published curve by its points: one VM alone, the level that ten approach.
printf '1 12.5\n10 60\n' >"$out/ten_guests-published.dat"
awk '{ printf "%2d guests: %6.1f MB touched, %5.1f %% shared, %5.1f %% saved (zero pages: %.1f MB)\n", $1, $2, $7, $8, $5 }' "$out/ten_guests.dat"
draw ten_guests 700,440 <<END
set title 'Identical idle Debian guests in QEMU'
set xlabel 'number of VMs'
set ylabel '% of the memory that they touched'
set yrange [0:100]
set xrange [0.5:$vms.5]
set key bottom right
plot '$out/ten_guests.dat' using 1:7 with linespoints lw 2 pt 7 lc rgb '#009e73' title 'shared', \
     '' using 1:8 with linespoints lw 2 pt 5 lc rgb '#0072b2' title 'saved', \
     67 with lines dt 2 lc rgb '#009e73' title 'published: shared, many VMs', \
     '$out/ten_guests-published.dat' using 1:2 with points pt 2 ps 2 lc rgb '#0072b2' title 'published: saved'
END
awk -v vms="$vms" 'END { if (vms >= 10 && $7 < 67) { printf "FAIL: %.1f %% shared, published are 67 %%\n", $7; exit 1 }
    print "PASS: at least the published part is shared" }' "$out/ten_guests.dat"
