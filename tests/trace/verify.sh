#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# verify.sh -- each scenario recorded: babeltrace2 counts what we count, verify passes, times add up.
#
# Scenarios of the whole kernel (orrery-sim run) and of the scheduler alone (orrery-sim replay), under
# every policy. The long ones are cut: what is asked here is about records, not about shares.
. tests/lib.sh
sim=$BUILD/orrery-sim
tool=$BUILD/orrery-trace
scratch

# check NAME TRACE: everything that is asked of a trace.
check() {
    # The whole state is checked after every input, but for the longest.
    how=--check
    [ "$(cat "$2"/pcpu* | wc -c)" -lt 4000000 ] || how=
    # shellcheck disable=SC2086  # may be nothing
    if ! "$tool" verify $how "$2" >"$dir/out" 2>&1; then
        fail "$1" "verify: $(head -n 1 "$dir/out")"
        return
    fi
    ours=$("$tool" print --count "$2" | awk '$1 == "all" { print $2 }')
    theirs=$(babeltrace2 "$2" 2>"$dir/err" | wc -l)
    if [ "$ours" != "$theirs" ]; then
        fail "$1" "we count $ours records, babeltrace2 $theirs"
        return
    fi
    if [ -s "$dir/err" ]; then
        fail "$1" "babeltrace2: $(head -n 1 "$dir/err")"
        return
    fi
    error=$("$tool" stats --csv --no-ideal "$2" | awk -F, '
        NR == 1 { for (i = 1; i <= NF; i++) if ($i == "identity_error_ns") c = i; next }
        { n++; if ($c != 0) print $1, $3, "is off by", $c, "ns" }
        END { if (!n || !c) print "no rows" }' | head -n 1)
    [ -z "$error" ] || { fail "$1" "stats: $error"; return; }
    pass "$1"
}

# traces NAME: the trace of a run, or one for each of its hosts.
traces() {
    if [ -f "$dir/trace/metadata" ]; then
        check "$1" "$dir/trace"
    else
        for host in "$dir"/trace/*/; do
            if [ -f "$host/metadata" ]; then
                check "$1 $(basename "$host")" "${host%/}"
            else
                fail "$1" "no trace"
            fi
        done
    fi
    rm -rf "$dir/trace"
}

for scenario in $("$sim" list | awk 'NF { print $1 }'); do
    case $scenario in canary*) continue ;; esac
    rm -rf "$dir/trace"
    if ! timeout 300 "$sim" run "$scenario" --trace "$dir/trace" >"$dir/out" 2>&1; then
        fail "record $scenario" "$(grep -m 1 FAIL "$dir/out")"
        continue
    fi
    traces "verify $scenario"
done
# What verify says of how soon CPUs answer: in virtual time at once, so no lead is over the threshold.
"$sim" replay sim/scenario/cosched.wl --duration 2s --trace "$dir/trace" >"$dir/out" 2>&1
"$tool" verify "$dir/trace" >"$dir/out" 2>&1
if grep -q "deadlines: .* at most 0.0 us late" "$dir/out" && grep -q "kicks: .* at most 0.0 us late" "$dir/out" &&
    grep -q "co-stops, the lead 2[0-9]*\.[0-9] us at most; 0 over" "$dir/out"; then
    pass "verify knows how late CPUs are"
else
    fail "verify knows how late CPUs are" "$(tail -n 3 "$dir/out")"
fi
rm -rf "$dir/trace"
for file in sim/scenario/*.wl; do
    for policy in share credit2 rr edf; do
        name="$(basename "$file" .wl) under $policy"
        rm -rf "$dir/trace"
        # Cut short its expectations need not hold: status 1.
        timeout 300 "$sim" replay "$file" --policy "$policy" --duration 500ms --trace "$dir/trace" \
            >"$dir/out" 2>&1
        status=$?
        if [ $status -gt 1 ]; then
            fail "record $name" "status $status: $(tail -n 1 "$dir/out")"
            continue
        fi
        traces "verify $name"
    done
done
