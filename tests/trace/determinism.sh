#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# determinism.sh -- each workload, 20 seeds, by gcc and clang, at -O0 and -O2: equal hashes.
#
# A decision that hangs on the order of evaluation, an uninitialised field, a pointer or the precision of a
# sum would differ between builds. Only what decides and records is compiled; the rest of the
# kernel is left out of the link (tests/trace/determinism.c).
BUILD=${BUILD:-build}
dir=$BUILD/determinism
mkdir -p "$dir"
sources="tests/trace/determinism.c
$(ls sim/workload/*.c | grep -v -e /replay.c)
$(ls src/sched/*.c | grep -v -F -e /sched/sched)
$(ls src/mem/memsched*.c)
src/lib/rng.c src/lib/format.c src/lib/prioq.c src/lib/hdr.c
src/core/trace.c src/core/trace_out.c src/core/trace_event.c src/core/trace_text.c src/core/status.c
sim/platform/trace_dir.c"
status=0
for cc in gcc clang; do
    command -v $cc >/dev/null || { echo "FAIL determinism $cc: not installed"; continue; }
    for level in O0 O2; do
        objects=
        for s in $sources; do
            o=$dir/$cc-$level-$(echo "$s" | tr / _).o
            objects="$objects $o"
            $cc -std=gnu17 -g -$level -ffunction-sections -Isrc -I. -c -o "$o" "$s" || status=1
        done
        # What is not reached may stay unresolved; -z now off, or it would be looked for at once.
        # shellcheck disable=SC2086  # a list of words
        $cc -no-pie -Wl,--gc-sections,--unresolved-symbols=ignore-all,-z,lazy -o "$dir/$cc-$level" \
            $objects -lm 2>"$dir/link.log" || status=1
        if [ $status != 0 ]; then
            echo "FAIL determinism $cc -$level: does not build"
            exit 1
        fi
        "$dir/$cc-$level" 20 sim/scenario/*.wl >"$dir/$cc-$level.txt" 2>"$dir/$cc-$level.err" || {
            echo "FAIL determinism $cc -$level: $(head -n 1 "$dir/$cc-$level.err")"
            continue
        }
        if cmp -s "$dir/gcc-O0.txt" "$dir/$cc-$level.txt"; then
            echo "PASS determinism $cc -$level: $(wc -l <"$dir/$cc-$level.txt") hashes"
        else
            echo "FAIL determinism $cc -$level: first difference: $(diff "$dir/gcc-O0.txt" "$dir/$cc-$level.txt" | sed -n 2p)"
        fi
    done
done
