# SPDX-License-Identifier: BSD-2-Clause
#
# trace.sh -- a trace of the image on VT-x, over Bochs' disk.
platform=bochs
. tests/lib.sh
. tests/trace.sh

dir=$results/trace-bochs
rm -rf "$dir"
scripts/run.sh --batch --platform bochs --cpus 2 --guest "$BUILD/guest/memory.elf" --trace "$dir" --kernel-args mem.large=0 \
    --log "$results/out-bochs-trace.log" >"$results/out-bochs-trace.txt" 2>&1 </dev/null
verdict "trace in Bochs runs" $? 0 "$results/out-bochs-trace.txt" '^PASS memory' &&
    whole_trace "trace of Bochs on 2 CPUs" "$dir" 1000 vm_exit vm_entry ept_fault timer_fire world_name
