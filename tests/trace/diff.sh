#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# diff.sh -- a scheduler that breaks ties the other way is found: by diff and by verify, to the record.
#
# The simulator is linked a second time with one line of lib/prioq.c turned round: of two equal keys the
# later comes first. Whatever follows, the first differing record is the decision between two that tie.
. tests/lib.sh
CC=${CC:-gcc}
tool=$BUILD/orrery-trace
scratch

sed 's/return a->sequence < b->sequence;/return a->sequence > b->sequence;/' src/lib/prioq.c >"$dir/prioq.c"
if cmp -s src/lib/prioq.c "$dir/prioq.c"; then
    fail "plant a bug" "lib/prioq.c has no such line"
    exit 1
fi
# The library's own prioq.o is not taken, since its functions are there already.
objects=$(for f in sim/main.c sim/check/*.c sim/scenario/*.c; do [ ! -f "$f" ] || echo "$BUILD/sim/obj/$f.o"; done)
# shellcheck disable=SC2086  # a list of files
if ! $CC -std=gnu17 -O2 -ffreestanding -Isrc -I. -c -o "$dir/prioq.o" "$dir/prioq.c" ||
    ! $CC -O2 -o "$dir/sim" "$dir/prioq.o" $objects "$BUILD/sim/liborrery.a" -Wl,--as-needed -lunicorn \
        '-Wl,--export-dynamic-symbol=*_x86_64' -Wl,--export-dynamic-symbol=memory_mapping -lm 2>"$dir/err"; then
    fail "plant a bug" "$(head -n 1 "$dir/err")"
    exit 1
fi
record() { # record SIMULATOR DIR SEED
    "$1" replay sim/scenario/pools.wl --duration 2s --seed "$3" --trace "$2" >/dev/null 2>&1
    [ -f "$2/metadata" ] || { fail "record" "$1 left no trace"; exit 1; }
}
record "$BUILD/orrery-sim" "$dir/a" 7
record "$BUILD/orrery-sim" "$dir/b" 7
record "$dir/sim" "$dir/bug" 7

"$tool" diff "$dir/a" "$dir/b" >"$dir/out" 2>&1 && grep -q '^equal: ' "$dir/out" &&
    pass "one seed twice is equal" || fail "one seed twice is equal" "$(head -n 1 "$dir/out")"
"$tool" diff "$dir/a" "$dir/bug" >"$dir/out" 2>&1
status=$?
[ $status -eq 1 ] && grep -q '^first difference at record [0-9]*: sched_switch: field next_tid is ' "$dir/out" &&
    pass "diff finds the tie" || fail "diff finds the tie" "status $status: $(grep -m 1 . "$dir/out")"
by_diff=$(grep '^> ' "$dir/out" | tail -n 1 | cut -c3-)

"$tool" verify "$dir/a" >/dev/null 2>&1 && pass "verify passes without the bug" ||
    fail "verify passes without the bug" "$("$tool" verify "$dir/a" 2>&1 | head -n 1)"
"$tool" verify "$dir/bug" >"$dir/out" 2>&1
status=$?
[ $status -eq 1 ] && grep -q '^different: sched_switch: next_tid is ' "$dir/out" &&
    pass "verify finds the tie" || fail "verify finds the tie" "status $status: $(head -n 1 "$dir/out")"
by_verify=$(grep -m 1 '^> ' "$dir/out" | cut -c3-)
[ -n "$by_diff" ] && [ "$by_diff" = "$by_verify" ] && pass "both name the same record" ||
    fail "both name the same record" "diff: $by_diff; verify: $by_verify"
