#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# stats.sh -- the figures agree with each other: CSV with JSON, parts with the whole, worlds with VMs.
. tests/lib.sh
tool=$BUILD/orrery-trace
scratch

# column NAME KIND CSV: the sum of a column over the rows of a kind.
column() {
    awk -F, -v name="$1" -v kind="$2" '
        NR == 1 { for (i = 1; i <= NF; i++) if ($i == name) c = i; next }
        $1 == kind { sum += $c; n++ } END { if (n && c) printf "%.0f\n", sum }' "$3"
}

"$BUILD/orrery-sim" replay sim/scenario/cosched.wl --duration 2s --trace "$dir/t" >/dev/null 2>&1
[ -f "$dir/t/metadata" ] || { echo "FAIL stats: nothing was recorded"; exit 1; }
"$tool" stats --csv "$dir/t" >"$dir/csv"
"$tool" stats --json --output "$dir/json" "$dir/t"
for name in run_ns ready_ns costop_ns wait_ns elapsed_ns wakes involuntary costops; do
    is "worlds sum up to the host: $name" "$(column $name world "$dir/csv")" "$(column $name host "$dir/csv")"
    is "JSON says the same: $name" "$(sed -n '/"worlds":\t*\[/,/"cpus":/s/.*"'$name'":[^0-9-]*\([-0-9.e+]*\).*/\1/p' "$dir/json" |
        awk '{ s += $1 } END { printf "%.0f\n", s }')" "$(column $name world "$dir/csv")"
done
is "VMs sum up to their worlds" "$(column run_ns vm "$dir/csv")" "$(awk -F, 'NR > 1 && $1 == "world" && $4 != "" { s += $11 } END { printf "%.0f\n", s }' "$dir/csv")"
is "co-scheduling shows" "$(awk -v n="$(column costops host "$dir/csv")" 'BEGIN { print (n > 0) }')" 1
is "CPUs are busy as long as worlds run" "$(sed -n 's/.*"busy_ns":[^0-9]*\([0-9]*\).*/\1/p' "$dir/json" | awk '{ s += $1 } END { printf "%.0f\n", s }')" "$(column run_ns host "$dir/csv")"

# Every part and the rest.
for cut in 0.3 0.7712345 1.5; do
    "$tool" stats --csv --to $cut "$dir/t" >"$dir/a"
    "$tool" stats --csv --from $cut "$dir/t" >"$dir/b"
    for name in run_ns ready_ns elapsed_ns; do
        is "parts at $cut s sum up: $name" "$(echo "$(column $name host "$dir/a") $(column $name host "$dir/b")" |
            awk '{ printf "%.0f\n", $1 + $2 }')" "$(column $name host "$dir/csv")"
    done
    is "ideal of the parts at $cut s" "$(echo "$(column ideal_ns host "$dir/a") $(column ideal_ns host "$dir/b") $(column ideal_ns host "$dir/csv")" |
        awk '{ d = $1 + $2 - $3; print (d < 1000 && d > -1000) }')" 1
done

world=$(awk -F, '$1 == "world" { print $2; exit }' "$dir/csv")
is "--world" "$("$tool" stats --csv --world "$world" "$dir/t" | grep -c '^world,')" 1
# VM/name, as the table has it.
label=$("$tool" stats "$dir/t" | awk '$1 == "world" && $3 ~ /\// { print $3; exit }')
is "--world VM/name" "$("$tool" stats --csv --world "$label" "$dir/t" | grep -c '^world,')" 1
"$tool" stats --world nobody "$dir/t" >/dev/null 2>&1
is "--world nobody: status" $? 3
is "--world VM: its worlds" "$("$tool" stats --csv --world vm1 "$dir/t" | grep -c '^world,')" 4
is "print --world NAME is --world ID" "$("$tool" print --world "$label" "$dir/t" | cksum)" "$("$tool" print --world "$world" "$dir/t" | cksum)"
"$tool" stats --from 20s "$dir/t" >/dev/null 2>&1
is "--from behind the end: status" $? 3
"$tool" stats --csv --json "$dir/t" >/dev/null 2>&1
is "--csv --json: status" $? 2
"$tool" export --lttng "$dir/t" "$dir/t" >/dev/null 2>&1
is "export --lttng onto the trace: status" $? 3
cp -r "$dir/t" "$dir/cut"
rm "$dir/cut/pcpu1"
is "a file is not there: said" "$("$tool" stats "$dir/cut" 2>&1 | grep -c "records.* missing\|records that no file")" 2
"$tool" stats --from 2 --to 1 "$dir/t" >/dev/null 2>&1
is "--from behind --to: status" $? 2
for command in stats print verify diff export plot import whatif; do
    "$tool" $command --help >"$dir/help" 2>&1
    is "$command --help" "$? $(head -n 1 "$dir/help" | cut -d' ' -f1-3)" "0 usage: orrery-trace $command"
    "$tool" $command >/dev/null 2>&1
    is "$command alone: status" $? 2
done

# 1:2:4 on one CPU: had and due are 1/7, 2/7, 4/7.
"$BUILD/orrery-sim" run shares --trace "$dir/s" >/dev/null 2>&1
"$tool" stats --csv --from 4 --to 10 "$dir/s" >"$dir/csv"
is "had within 1 % of due" "$(awk -F, 'NR == 1 { for (i = 1; i <= NF; i++) { if ($i == "run_ns") r = i; if ($i == "ideal_ns") d = i } next }
    $1 == "world" && $d > 1e8 { n++; e = $r / $d - 1; if (e > 0.01 || e < -0.01) bad++ } END { print (n > 2 && !bad) }' "$dir/csv")" 1
