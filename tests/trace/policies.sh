#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# policies.sh -- each policy that is not the default keeps what the scenarios say that it claims.
. tests/lib.sh
sim=$BUILD/orrery-sim
tool=$BUILD/orrery-trace
scratch
prefix=policies

for policy in credit2 rr edf; do
    for scenario in changes cosched limits lock_holder numa policies pools reservations shares shares_smp sleeper \
        spin_barrier thief yield_storm; do
        "$sim" replay sim/scenario/$scenario.wl --policy $policy --seeds 3 >"$dir/out" 2>&1
        verdict "$scenario under $policy" $? 0 "$dir/out" '^PASS .* 0 failures$'
    done
done

# A claim that the policy does not make is told from one that fails.
"$sim" replay sim/scenario/shares.wl --policy rr >"$dir/out" 2>&1
verdict "shares are not claimed by rr" $? 0 "$dir/out" '^not claimed by rr: line 13: share(a)'
sed 's/ by [a-z0-9 ]*$//' sim/scenario/shares.wl >"$dir/claimed.wl"
"$sim" replay "$dir/claimed.wl" --policy rr >"$dir/out" 2>&1
verdict "a claim of all fails under rr" $? 1 "$dir/out" '^FAILS line 13: share(a)'

# The whole kernel runs the policy that the command line names, and `verify` decides by it too.
for policy in share credit2 edf; do
    "$sim" run shares --policy $policy --trace "$dir/$policy" >"$dir/out" 2>&1
    verdict "the kernel under $policy" $? 0 "$dir/out" '^PASS shares seed 1$'
    "$tool" verify "$dir/$policy" >>"$dir/out" 2>&1
    verdict "the kernel under $policy, verified" $? 0 "$dir/out" '^equal: '
done
"$sim" run shares --policy=rr >"$dir/out" 2>&1
verdict "the kernel under rr misses what share claims" $? 3 "$dir/out" '^again: .* --policy rr$'
"$sim" run shares --policy lottery >"$dir/out" 2>&1
verdict "a policy that there is not" $? 2 "$dir/out" 'lottery: share, credit2, rr or edf'
