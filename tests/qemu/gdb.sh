# SPDX-License-Identifier: BSD-2-Clause
#
# gdb.sh -- the debugger's commands on the running image, stopped in a CPUID exit.
platform=qemu
. tests/lib.sh

out=$results/out-gdb.txt
GDB_SCRIPT=tests/gdb/exit.gdb timeout 600 scripts/gdb.sh --cpus 2 --guest "$BUILD/guest/hello.elf" \
    >"$out" 2>&1 </dev/null
verdict 'gdb commands' 0 0 "$out" 'Breakpoint 1, exit_cpuid' 'SCHED_STATE_RUN' 'cpu0: running' \
    'vCPU 0, world 10' 'VM_EXIT_CPUID' 'exit_code' 'level 2 index   0 .*maps 2 MB .*0x100000 is MPN 0x[0-9a-f]*00$' 'VM: guest: powered on' \
    'vm_exit_dispatch\|vcpu_main'
is 'a backtrace ends where its world began' "$(grep -A 1 "in context_start" "$out" | grep -c "^#")" 1

out=$results/out-gdb-sim.txt
timeout 600 gdb -q -iex "add-auto-load-safe-path ." -batch -x tests/gdb/sim.gdb \
    --args "$BUILD/orrery-sim" run pingpong >"$out" 2>&1 </dev/null
verdict 'gdb commands, simulator' 0 0 "$out" 'Breakpoint 1, world_exit' 'SCHED_STATE_RUN' \
    'cpu0: running' 'Sched: policy'
