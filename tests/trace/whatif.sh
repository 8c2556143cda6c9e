#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# whatif.sh -- what-if: a simulated trace replays to its own hash, a changed one does not; every
# kind of input gives a table with the self-replay error first, and the files that --out promises.
. tests/lib.sh
tool=$BUILD/orrery-trace
sim=$BUILD/orrery-sim
scratch

# wants NAME STATUS PATTERN COMMAND...: that status, and a line with the pattern.
wants() {
    name=$1 status=$2 pattern=$3
    shift 3
    "$@" >"$dir/out" 2>&1
    got=$?
    if [ $got != "$status" ]; then
        echo "FAIL whatif $name: status $got, wanted $status: $(head -n 2 "$dir/out" | tr '\n' ' ')"
    elif ! grep -q -e "$pattern" "$dir/out"; then
        echo "FAIL whatif $name: no '$pattern' in: $(head -n 2 "$dir/out" | tr '\n' ' ')"
    else
        echo "PASS whatif $name"
    fi
}

for scenario in limits spin_barrier pools; do
    "$sim" replay sim/scenario/$scenario.wl --duration 1s --seed 3 --trace "$dir/$scenario" >/dev/null 2>&1
    wants "of the trace of $scenario" 0 '^self-replay error: 0, hash equal' \
        "$tool" whatif "$dir/$scenario" --seeds 2
done
"$sim" replay sim/scenario/spin_barrier.wl --variant gang --duration 1s --trace "$dir/gang" >/dev/null 2>&1
wants "of the trace of a variant" 0 'hash equal' "$tool" whatif "$dir/gang" --seeds 1 --policy share
# The same trace with another workload beside it must be noticed.
sed 's/sleep exp(1ms)/sleep exp(2ms)/' "$dir/limits/run/workload.wl" >"$dir/changed"
cp "$dir/changed" "$dir/limits/run/workload.wl"
wants "of a trace whose workload was changed" 1 'differs' "$tool" whatif "$dir/limits" --seeds 1 --policy rr

wants "of a workload, with pictures" 0 'hash equal' \
    "$tool" whatif sim/scenario/sleeper.wl --seeds 3 --policy share,rr --out "$dir/files"
for f in workload.wl whatif.csv whatif.dat whatif.gp whatif.png whatif.svg; do
    [ -s "$dir/files/$f" ] || echo "FAIL whatif files: no $f"
done
# Round robin knows no sleeper: its wake-ups take longer than under shares. If not, what is compared?
awk -F, '$2 == "wake_p99" { v[$1] = $4 } END { exit !(v["rr"] > 2 * v["share"] && v["share"] > 0) }' \
    "$dir/files/whatif.csv" && echo "PASS whatif tells share from rr" ||
    echo "FAIL whatif tells share from rr: $(grep wake_p99 "$dir/files/whatif.csv" | tr '\n' ' ')"

# A trace of the whole kernel has no workload: the demand comes from its records.
"$sim" run pingpong --trace "$dir/kernel" >/dev/null 2>&1
wants "of a trace of the kernel" 0 '^self-replay error: run 0\.[0-9]* %, ready 0\.[0-9]* %' \
    "$tool" whatif "$dir/kernel" --seeds 2 --policy share,rr
gzip -dc tests/golden/perf-sched.txt.gz >"$dir/golden.txt"
"$tool" import perf "$dir/golden.txt" -o "$dir/golden.wl" 2>/dev/null
wants "of an imported recording" 0 '^self-replay error: run 0\.[0-9]* %, ready 0\.[0-9]* %' \
    "$tool" whatif "$dir/golden.wl" --seeds 3
wants "of nothing" 3 'nothing' "$tool" whatif "$dir/nothing"
wants "of a policy that is none" 2 'mine' "$tool" whatif "$dir/golden.wl" --policy mine

# Memory: the tax is what moves memory from the idle VM to the busy one, and the model comes near the record.
"$sim" replay sim/scenario/idle_tax.wl --trace "$dir/tax" >/dev/null 2>&1
wants "memory under other settings" 0 'self-replay: [0-9.]* % of the worst' \
    "$tool" whatif "$dir/tax" --memory idle-tax=0,balloon=0,swap=0,shares:idle=10000
wants "memory as CSV" 0 'recorded,self-replay,error' "$tool" whatif "$dir/tax" --csv --memory idle-tax=0,balloon=0,swap=0,shares:idle=10000
awk -F, '{ v[$1 "," $2 "," $3] = $5 }
    function needs(ok, what) { print (ok ? "PASS" : "FAIL") " whatif memory: " what }
    END {
        needs(v["recorded,self-replay,error"] < 12, "self-replay within 12 %")
        needs(v["idle-tax=0,idle,held"] > v["recorded,idle,held"] + 15, "no tax leaves the idle VM its memory")
        needs(v["shares:idle=10000,idle,held"] > v["recorded,idle,held"] + 15, "shares do, too")
        needs(v["balloon=0,idle,balloon"] == 0 && v["balloon=0,idle,out"] > 20, "without balloons it is swapped")
        needs(v["swap=0,busy,held"] == "", "without swapping one is refused")
    }' "$dir/out"
wants "memory drawn" 0 'self-replay' "$tool" whatif "$dir/tax" --memory idle-tax=0,balloon=0 --out "$dir/drawn"
for format in png svg; do
    [ "$(wc -c <"$dir/drawn/whatif-memory.$format")" -gt 10000 ] && echo "PASS whatif memory as $format" ||
        echo "FAIL whatif memory as $format: no such picture"
done
for label in 'as recorded' 'recorded, modelled' 'idle-tax=0' 'busy holds' 'MB' 'time since boot (s)'; do
    grep -q -F "$label" "$dir/drawn/whatif-memory.svg" && echo "PASS whatif memory says: $label" ||
        echo "FAIL whatif memory says: $label"
done
# The record beside the model under the recorded settings: what one VM holds at the end, MB.
tail -n 1 "$dir/drawn/whatif-memory.dat" | awk '{ d = $2 - $3
    print (NF > 6 && d < 8 && d > -8 ? "PASS" : "FAIL") " whatif memory drawn beside the record: " $2 " and " $3 }'
wants "memory by a setting that is none" 2 'tax=0' "$tool" whatif "$dir/tax" --memory tax=0
wants "memory beyond a setting's range" 3 'out of range' "$tool" whatif "$dir/tax" --memory idle-tax=100
"$sim" replay sim/scenario/sleeper.wl --trace "$dir/nomem" >/dev/null 2>&1
wants "memory of a trace without any" 3 'no inputs of a memory scheduler' "$tool" whatif "$dir/nomem" --memory swap=0
