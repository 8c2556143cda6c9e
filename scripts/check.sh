#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# check.sh LANE... -- run test lanes and count; the last line is "N passed, N failed".
#
#   unit   build/test/test_*         Check programs; their own summaries are counted
#   sim    build/orrery-sim          each scenario, workload and test guest twice with one seed:
#                                    status 0, equal output; a scenario named canary* must fail, to
#                                    test the alarm
#   trace  tests/trace/*.sh          each prints lines "PASS name" or "FAIL name"
#   qemu   tests/qemu/*.sh           the same
#   tools  tests/tools/*.sh          formats judged by programs that are not ours: the same lines
#   bochs  tests/bochs/*.sh          the same; as many at once as there are CPUs
#   soak   build/orrery-sim          all scenarios with fresh seeds, until one fails
#
# A test's output is kept in build/results/LANE-NAME.log; a failed one's is shown, and what failed
# in it once more before the last line.
set -u
[ "${1-}" != --help ] || exec sed -n '4,/^[^#]/s/^# \{0,1\}//p' "$0"
cd "$(dirname "$0")/.." || exit 1
BUILD=${BUILD:-build}
SEED=${SEED:-1}
SIM=$BUILD/orrery-sim
results=$BUILD/results
export BUILD SEED
LC_ALL=C
export LC_ALL

# One test of a lane; prints what to show, and leaves LANE-NAME.count with "passed failed".
run_one() {
    lane=$1 test=$2
    name=$(basename "$test" .sh)
    log=$results/$lane-$name.log
    case $lane in
    unit)
        CK_DEFAULT_TIMEOUT=300 timeout 900 "$test" >"$log" 2>&1 </dev/null
        status=$?
        # Check's summary: 100%: Checks: 5, Failures: 0, Errors: 0
        set -- $(sed -n 's/^[0-9]*%: Checks: \([0-9]*\), Failures: \([0-9]*\), Errors: \([0-9]*\).*/\1 \2 \3/p' "$log" |
            awk '{ c += $1; f += $2 + $3 } END { print c + 0, f + 0 }')
        passed=$(($1 - $2)) failed=$2
        if [ $status -ne 0 ] && [ "$failed" -eq 0 ] || [ "$1" -eq 0 ]; then
            failed=$((failed + 1))
            echo "status $status, and the summary does not say why" >>"$log"
        fi
        ;;
    sim)
        log2=$results/$lane-$name.again
        # guest:NAME:VCPUS is a guest of tests/guest, FILE.wl a workload that judges itself over
        # many seeds, anything else a scenario.
        case $test in
        *.wl) set -- replay "$test" --seeds 20 ;;
        guest:*)
            what=${test#guest:}
            set -- guest "$BUILD/guest/${what%:*}.elf" --vcpus "${what#*:}" --exits
            case $what in
            # One CPU: a vCPU that still had something to do when vCPU 0 runs again does it too late.
            reset:4) set -- "$@" --cpus 1 ;;
            # A host that is short from the start, so that pages go out and come back all the time.
            reclaim*)
                [ "${what#*:}" = 4 ] && cache=1 || cache=0
                set -- "$@" --memory 32 --host-options "mem.swap.space=ramdisk:32M \
mem.compress=$cache mem.period=1 mem.min-free=500 mem.clear-below=400 mem.soft-below=390 \
mem.hard-below=380 mem.low-below=1 mem.goal=900"
                ;;
            esac
            ;;
        *) set -- run "$test" ;;
        esac
        timeout 900 "$SIM" "$@" --seed="$SEED" >"$log" 2>&1 </dev/null
        status=$?
        timeout 900 "$SIM" "$@" --seed="$SEED" >"$log2" 2>&1 </dev/null
        passed=1 failed=0
        case $name in
        canary*) [ $status -ne 0 ] && status=0 || status=1 ;;
        esac
        if [ $status -ne 0 ]; then
            passed=0 failed=1
            echo "status $status; again: $SIM $* --seed=$SEED" >>"$log"
        elif ! cmp -s "$log" "$log2"; then
            passed=0 failed=1
            echo "two runs with seed $SEED differ: $log $log2" >>"$log"
        fi
        ;;
    *)
        timeout 1800 sh "$test" >"$log" 2>&1 </dev/null
        status=$?
        passed=$(grep -c '^PASS ' "$log")
        failed=$(grep -c '^FAIL ' "$log")
        if [ $status -ne 0 ] && [ "$failed" -eq 0 ] || [ $((passed + failed)) -eq 0 ]; then
            failed=$((failed + 1))
            echo "FAIL $name: status $status, $passed PASS lines" >>"$log"
        fi
        ;;
    esac
    echo "$passed $failed" >"$results/$lane-$name.count"
    if [ "$failed" -ne 0 ]; then
        sed "s/^/$lane $name: /" "$log" | tail -n 60
        # What failed, for the end of the whole run: Check's lines, ours, or the last ones.
        { grep -E '^FAIL |:[FE]:' "$log" || tail -n 3 "$log"; } | head -n 10 |
            sed "s/^/$lane $name: /" >"$results/$lane-$name.failed"
    fi
    echo "$lane $name: $passed passed, $failed failed"
}

if [ "${1:-}" = --one ]; then
    run_one "$2" "$3"
    exit 0
fi

mkdir -p "$results"

list_of() {
    case $1 in
    unit) for f in tests/unit/test_*.c; do
        [ ! -f "$f" ] || echo "$BUILD/test/$(basename "$f" .c)"
    done ;;
    sim)
        "$SIM" list | awk 'NF { print $1 }'
        ls sim/scenario/*.wl
        for guest in hello exceptions apic io msr memory mmio_nowhere vectors triple reset burn; do
            echo "guest:$guest:1"
        done
        for vcpus in 1 2 4; do
            echo "guest:smp:$vcpus"
            echo "guest:reclaim:$vcpus"
        done
        echo guest:reset:4
        for guest in lapic ioapic; do
            echo "guest:$guest:1"
            echo "guest:$guest:2"
        done
        ;;
    *) for f in tests/"$1"/*.sh; do
        case $f in
        */lib.sh | */common.sh) ;;
        *) [ ! -f "$f" ] || echo "$f" ;;
        esac
    done ;;
    esac
}

if [ "${1:-}" = soak ]; then
    [ "$SEED" = 1 ] && seed=$(date +%s) || seed=$SEED
    while :; do
        for scenario in $(list_of sim); do
            case $scenario in canary* | guest:*) continue ;; esac
            command=run
            case $scenario in
            *.wl) command=replay ;;
            vmfs-crash) command="run --ops 3000" ;;
            esac
            "$SIM" $command "$scenario" --seed="$seed" >"$results/soak.log" 2>&1 || {
                cat "$results/soak.log"
                echo "failed: $SIM $command $scenario --seed=$seed"
                exit 1
            }
        done
        echo "seed $seed: all scenarios passed"
        seed=$((seed + 1))
    done
fi

passed=0 failed=0
for lane in "$@"; do
    if [ "$lane" = sim ] && [ ! -x "$SIM" ]; then
        echo "sim: no $SIM; run make sim"
        failed=$((failed + 1))
        continue
    fi
    rm -f "$results/$lane"-*
    case $lane in
    qemu) at_once=1 ;;  # QEMU uses a thread a CPU already
    *) at_once=$(nproc) ;;
    esac
    list_of "$lane" >"$results/$lane.list"
    if [ ! -s "$results/$lane.list" ]; then
        echo "$lane: no tests"
        failed=$((failed + 1))
        continue
    fi
    xargs -P "$at_once" -n 1 sh scripts/check.sh --one "$lane" <"$results/$lane.list"
    # A test that left no count was killed: it counts as failed.
    counts=$(cat "$results/$lane"-*.count 2>/dev/null | awk -v n="$(wc -l <"$results/$lane.list")" \
        '{ p += $1; f += $2 } END { print p + 0, f + (n > NR ? n - NR : 0) }')
    passed=$((passed + ${counts% *}))
    failed=$((failed + ${counts#* }))
done
for lane in "$@"; do
    cat "$results/$lane"-*.failed 2>/dev/null
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
