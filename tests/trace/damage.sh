#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# damage.sh -- a trace cut, changed or mixed: status 3 and a message that names the file and where.
. tests/lib.sh
tool=$BUILD/orrery-trace
scratch

"$BUILD/orrery-sim" replay sim/scenario/cosched.wl --duration 10s --trace "$dir/good" >/dev/null 2>&1
[ -f "$dir/good/metadata" ] || { echo "FAIL damage: nothing was recorded"; exit 1; }

# refused NAME PATTERN COMMAND...: the command ends with 3 and says so.
refused() {
    r_name=$1 r_pattern=$2
    shift 2
    timeout 60 "$tool" "$@" >"$dir/out" 2>"$dir/err"
    status=$?
    if [ $status -ne 3 ]; then
        echo "FAIL $r_name: status $status, wanted 3"
    elif ! grep -q -- "$r_pattern" "$dir/err"; then
        echo "FAIL $r_name: no '$r_pattern' in: $(head -n 1 "$dir/err")"
    else
        echo "PASS $r_name"
    fi
}

fresh() {
    rm -rf "$dir/bad"
    cp -r "$dir/good" "$dir/bad"
}

# unsummed FILE OFFSET: that packet has no sum, so that what stands behind that check is tried.
unsummed() {
    printf '\0\0\0\0' | dd of="$dir/bad/$1" bs=1 seek=$(($2 + 60)) conv=notrunc 2>/dev/null
}

# patch FILE OFFSET OCTAL: one byte.
patch() {
    printf "\\$3" | dd of="$dir/bad/$1" bs=1 seek="$2" conv=notrunc 2>/dev/null
}

fresh
size=$(wc -c <"$dir/bad/pcpu0")
head -c $((size - 100)) "$dir/good/pcpu0" >"$dir/bad/pcpu0"
for command in stats print verify "export --ftrace -" "plot --format none --out $dir/plots"; do
    # shellcheck disable=SC2086  # a command and its options
    refused "cut short: $(echo "$command" | cut -d' ' -f1)" "bad/pcpu0: byte [0-9]*: .*truncated?" $command "$dir/bad"
done
refused "cut short: diff" "bad/pcpu0: byte" diff --all "$dir/good" "$dir/bad"

fresh
patch pcpu1 0 0
refused "no magic" "bad/pcpu1: byte 0: no packet begins here" stats "$dir/bad"
fresh
patch pcpu1 5 377
refused "uuid of another" "bad/pcpu1: byte 4: .*uuid" stats "$dir/bad"
fresh
patch pcpu1 64 0
unsummed pcpu1 0
refused "no such event" "bad/pcpu1: byte 64: no event has id 0" stats "$dir/bad"
fresh
sed -i 's/prev_tid/prev_pid/' "$dir/bad/metadata"
refused "other metadata" "event sched_switch: field 1 is prev_pid" stats "$dir/bad"
fresh
rm "$dir/bad/metadata"
refused "no metadata" "bad/metadata: No such file" stats "$dir/bad"
fresh
rm "$dir/bad/pcpu2"
refused "a CPU's file is gone: verify" "cannot be decided: .* inputs of the scheduler are missing" verify "$dir/bad"
fresh
head -c 65536 "$dir/good/pcpu0" >"$dir/bad/pcpu0"
timeout 60 "$tool" verify "$dir/bad" >"$dir/out" 2>&1
[ $? -ne 0 ] && echo "PASS whole packets are gone: verify does not pass" ||
    echo "FAIL whole packets are gone: verify does not pass: $(head -n 1 "$dir/out")"
fresh
patch pcpu0 $(($(stat -c %s "$dir/bad/pcpu0") - 65536 + 48)) 5  # in the last packet: it counts up
unsummed pcpu0 $(($(stat -c %s "$dir/bad/pcpu0") - 65536))
refused "records were lost: verify" "cannot be decided: 5 records and 0 packets were lost" verify "$dir/bad"
refused "no such trace" "nowhere: No such file" stats "$dir/nowhere"

# Every 97th byte turned over, one at a time: never a crash, and never unnoticed; without the sum
# whatever verify makes of it.
fresh
silent=0
crashed=0
noticed=0
tried=0
at=0
while [ $at -lt 6000 ]; do
    cp "$dir/good/pcpu0" "$dir/bad/pcpu0"
    patch pcpu0 $at 125
    timeout 120 "$tool" stats --no-ideal "$dir/bad" >/dev/null 2>&1
    [ $? -eq 3 ] || silent=$((silent + 1))
    unsummed pcpu0 0
    timeout 120 "$tool" verify "$dir/bad" >/dev/null 2>&1
    status=$?
    tried=$((tried + 1))
    [ $status -eq 0 ] || noticed=$((noticed + 1))
    [ $status -le 3 ] && [ $status -ne 2 ] || crashed=$((crashed + 1))
    at=$((at + 97))
done
[ $silent -eq 0 ] && echo "PASS a byte turned over: stats says so, $tried times" || echo "FAIL a byte turned over: $silent of $tried unnoticed"
[ $crashed -eq 0 ] && echo "PASS a byte turned over: no crash in $tried" || echo "FAIL a byte turned over: $crashed crashes"
[ $noticed -gt $((tried / 3)) ] && echo "PASS a byte turned over, no sum: noticed" || echo "FAIL a byte turned over: noticed $noticed of $tried"
