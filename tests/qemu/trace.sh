# SPDX-License-Identifier: BSD-2-Clause
#
# trace.sh -- traces of the image: streamed, waited for, and what is left after a panic.
platform=qemu
. tests/lib.sh
. tests/trace.sh

# traced NAME STATUS run.sh-options...: runs with --trace; the directory is $dir, the log $log.
traced() {
    dir=$results/trace-$1 log=$results/out-qemu-trace-$1.log
    out=$results/out-qemu-trace-$1.txt wanted=$2
    rm -rf "$dir"
    shift 2
    scripts/run.sh --batch --trace "$dir" --log "$log" "$@" >"$out" 2>&1 </dev/null
    verdict "trace $(basename "$dir") runs" $? "$wanted" "$out"
}

# Small pages, because they make more exits.

# A Linux guest with two vCPUs on four CPUs, every class.
traced linux 0 --cpus 4 --vcpus 2 --timeout 300 --kernel-args mem.large=0 \
    --cmd 'i=0; while [ $i -lt 50 ]; do i=$((i + 1)); cat /proc/stat >/dev/null; done' &&
    whole_trace "trace of Linux on 4 CPUs" "$dir" 20000 vm_exit vm_entry ept_fault timer_fire ipi \
        world_name sched_switch sched_input

# And the decisions in it are the scheduler's: the recorded inputs, given again, make the same ones.
if [ -x "$BUILD/orrery-trace" ]; then
    "$BUILD/orrery-trace" verify "$dir" >"$results/out-trace-verify.txt" 2>&1
    verdict "trace of Linux on 4 CPUs verifies" $? 0 "$results/out-trace-verify.txt" "^equal: [0-9]* inputs"
fi

# A ring far too small, but the writers wait: still nothing is lost.
traced lossless 0 --cpus 2 --guest "$BUILD/guest/memory.elf" --trace-lossless --trace-buffer 128 \
    --kernel-args mem.large=0 &&
    whole_trace "trace without loss through 128 KiB" "$dir" 1000 vm_exit

# A ring far too small and nobody waits: what is lost is counted, and babeltrace2 is told.
traced lossy 0 --cpus 2 --guest "$BUILD/guest/memory.elf" --trace-buffer 128 --kernel-args mem.large=0 &&
    if [ "$(sed -n "s/^discarded=//p" "$dir/run/run.env")" = 0 ]; then
        whole_trace "trace through 128 KiB, nothing lost this time" "$dir" 1000 vm_exit
    else
        babeltrace2 "$dir" >"$results/trace-lossy.txt" 2>"$results/trace-lossy.err"
        verdict "trace that lost records says so" $? 0 "$results/trace-lossy.err" "Tracer discarded"
        grep -c . "$results/trace-lossy.txt" | grep -qx "$(sed -n "s/^records=//p" "$dir/run/run.env")"
        verdict "trace that lost records has the others" $? 0 "$results/trace-lossy.txt" " lost: "
    fi

# Over the serial line that the log is on.
log=$results/out-qemu-trace-com2.log dir=$results/trace-com2
rm -rf "$dir"
scripts/run.sh --batch --cpus 2 --guest "$BUILD/guest/hello.elf" --log "$log" \
    --kernel-args "trace=all trace.mode=stream trace.to=com2 trace.lossless debug" \
    >"$results/out-qemu-trace-com2.txt" 2>&1 </dev/null
verdict "trace over COM2 runs" $? 0 "$results/out-qemu-trace-com2.txt" "^PASS hello"
${CC:-cc} -O2 -Isrc -o "$results/trace-split" scripts/trace-split.c
"$results/trace-split" "$log" "$dir" >"$results/out-trace-split.txt" 2>&1
verdict "trace over COM2 is taken out of the log" $? 0 "$log" "Boot: powering off" &&
    whole_trace "trace over COM2" "$dir" 100 vm_exit world_name

# Only one class.
traced classes 0 --cpus 2 --guest "$BUILD/guest/hello.elf" --trace-classes vm &&
    whole_trace "trace of class vm" "$dir" 100 vm_exit &&
    if babeltrace2 "$dir" | grep -q timer_fire; then
        echo "FAIL trace classes: timer_fire is of class sched"
    else
        echo "PASS trace classes: nothing of another class"
    fi

# A panic: the last records as lines, and the packets of the flight recorder on the disk.
traced panic 125 --cpus 2 --guest "$BUILD/guest/hello.elf" --trace-mode flight --timeout 300 \
    --kernel-args 'fault=0xdead000000 blueScreenTimeout=2'
verdict "trace in a panic" 0 0 "$log" '^PANIC: #PF' 'trace: the last [0-9]* of [0-9]* records' \
    ' sys  world_name id=[0-9]* kind=WORLD .* name="init"' 'bytes of packets sent'
whole_trace "trace after a panic" "$dir" 0 world_name

# Wrong options are said, with the right ones.
scripts/run.sh --batch --guest "$BUILD/guest/hello.elf" --log "$results/out-qemu-trace-bad.log" \
    --kernel-args "trace=sched,disk trace.mode=tape trace.to=floppy" >/dev/null 2>&1 </dev/null
verdict "trace options that are wrong" $? 0 "$results/out-qemu-trace-bad.log" \
    '"disk" is no class; there are sched, vm' 'there are flight and stream' \
    'trace.to=floppy: no such device' 'Trace: recording'

# The simulator: with files and without, the run is the same.
for scenario in shares-smp two-vms; do
    dir=$results/trace-sim-$scenario
    rm -rf "$dir"
    "$BUILD/orrery-sim" run $scenario --seed 3 >"$results/trace-sim-a.txt" 2>&1
    "$BUILD/orrery-sim" run $scenario --seed 3 --trace "$dir" >"$results/trace-sim-b.txt" 2>&1
    if cmp -s "$results/trace-sim-a.txt" "$results/trace-sim-b.txt"; then
        whole_trace "trace of scenario $scenario" "$dir" 1000 sched_switch sched_input world_name checkpoint
    else
        echo "FAIL trace of scenario $scenario: the run differs when it is written"
    fi
done

# The rings in the debugger.
cat >"$results/trace.gdb" <<'GDB'
set pagination off
break world_exit
run
vmk-trace 3
kill
quit
GDB
gdb -q -iex "add-auto-load-safe-path ." -batch -x "$results/trace.gdb" --args "$BUILD/orrery-sim" run shares \
    >"$results/out-trace-gdb.txt" 2>&1 </dev/null
verdict 'trace in gdb' $? 0 "$results/out-trace-gdb.txt" '[0-9]\.[0-9]* cpu0  sched_[a-z]* ' \
    ' sys   world_name id=[0-9]* kind=WORLD .* name="burner"'
