#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# trace.sh -- rows of bench.csv about the trace recorder: a record's time and bytes beside LTTng-UST's in
# the same run, and its instructions in the image.
#
# LTTng's daemon and session are our own, in a folder that goes away; its buffers are overwritten in memory, 8 x
# 4 MiB, so that it too is measured without a disk.
# usage: scripts/bench/trace.sh      BUILD=build; prints CSV rows
set -eu
[ "${1-}" != --help ] || exec sed -n '4,/^[^#]/s/^# \{0,1\}//p' "$0"
cd "$(dirname "$0")/../.."
BUILD=${BUILD:-build}
work=$(mktemp -d "${TMPDIR:-/tmp}/orrery-bench.XXXXXX")
daemon=
cleanup() {
    trap - EXIT HUP INT TERM
    [ -z "$daemon" ] || kill "$daemon" 2>/dev/null || :
    rm -rf "$work"
}
trap cleanup EXIT
trap 'cleanup; exit 1' HUP INT TERM

${CC:-cc} -std=gnu17 -O2 -Isrc -I. -o "$work/trace" scripts/bench/trace.c "$BUILD/sim/liborrery.a" \
    -Wl,--as-needed -lunicorn -lm
"$work/trace" >"$work/ours"

: >"$work/peer"
if command -v lttng-sessiond >/dev/null && ${CC:-cc} -O2 -Iscripts/bench -o "$work/lttng" \
    scripts/bench/lttng.c -llttng-ust -ldl 2>"$work/lttng.err"; then
    "$work/lttng" disabled >>"$work/peer"
    export LTTNG_HOME="$work/home" LTTNG_RUNDIR="$work/run" LTTNG_UST_REGISTER_TIMEOUT=-1
    mkdir -p "$LTTNG_HOME" "$LTTNG_RUNDIR"
    lttng-sessiond --no-kernel >"$work/daemon.log" 2>&1 &
    daemon=$!
    n=0
    until lttng --no-sessiond create bench --output="$work/out" >/dev/null 2>&1 || [ $n = 50 ]; do
        n=$((n + 1))
        sleep 0.1
    done
    if lttng --no-sessiond enable-channel --userspace --overwrite --subbuf-size=4M --num-subbuf=8 \
        c >>"$work/daemon.log" 2>&1 &&
        lttng --no-sessiond enable-event --userspace --channel=c 'orrery_bench:*' >>"$work/daemon.log" 2>&1 &&
        lttng --no-sessiond start >>"$work/daemon.log" 2>&1; then
        "$work/lttng" enabled >>"$work/peer"
        lttng --no-sessiond stop >>"$work/daemon.log" 2>&1
        # Bytes per event, of a full sub-buffer.
        babeltrace2 "$work/out" 2>/dev/null | wc -l >"$work/events"
        du -sb "$work/out" | cut -f1 >"$work/bytes"
        lttng --no-sessiond destroy >>"$work/daemon.log" 2>&1
    else
        echo "bench/trace.sh: no LTTng session: $(tail -n 1 "$work/daemon.log")" >&2
    fi
else
    echo "bench/trace.sh: no LTTng-UST to compare with (scripts/deps.sh installs it)" >&2
fi

awk -v events="$(cat "$work/events" 2>/dev/null || echo 0)" -v bytes="$(cat "$work/bytes" 2>/dev/null || echo 0)" '
    function out(name, value, unit, peer, of) {
        printf "%s,host,%s,%s,%s,%s,%s\n", name, value, unit, peer, of, (of > 0 ? sprintf("%.2f", value / of) : "")
    }
    FILENAME ~ /peer$/ { peer[$1] = $2; next }
    { ns[$1] = $2; size[$1] = $3 }
    END {
        on = "LTTng-UST in the same run"
        out("trace_record", ns["trace_record"], "ns", on " (reads a clock)", peer["enabled"])
        out("trace_record_tsc", ns["trace_record_tsc"], "ns", on, peer["enabled"])
        out("trace_record_hash", ns["trace_record_hash"], "ns", on, peer["enabled"])
        out("trace_disabled", ns["trace_disabled"], "ns", on, peer["disabled"])
        out("trace_record_size", size["trace_record"], "bytes", on, (events > 0 ? sprintf("%.1f", bytes / events) : 0))
    }' "$work/peer" "$work/ours"

# The image: a CPUID exit writes two records, so half of what it costs more is one record. The same
# without recording is what the branch costs.
bench() {  # bench KERNEL-ARGUMENTS: instructions of a CPUID exit
    scripts/run.sh --batch --icount --cpus 1 --vcpus 2 --guest "$BUILD/guest/bench.elf" --timeout 300 \
        --kernel-args "$1" 2>/dev/null </dev/null | tr -d '\r' | awk '$1 == "bench" && $2 == "cpuid" { print $3 }'
}
if [ -r "$BUILD/guest/bench.elf" ]; then
    off=$(bench '') on=$(bench 'trace=vm')
    [ -z "$off" ] || [ -z "$on" ] ||
        echo "trace_record_image,qemu,$(((on - off) / 2)),instructions,,,"
fi
