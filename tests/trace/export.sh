#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# export.sh -- what the exports say is read back by others: protoc, babeltrace2, awk; counts agree.
. tests/lib.sh
tool=$BUILD/orrery-trace
scratch

"$BUILD/orrery-sim" replay sim/scenario/cosched.wl --duration 1s --trace "$dir/t" >/dev/null 2>&1
[ -f "$dir/t/metadata" ] || { echo "FAIL export: nothing was recorded"; exit 1; }
switches=$("$tool" print --count "$dir/t" | awk '$1 == "sched_switch" { print $2 }')
last=$("$tool" print --event sched_switch "$dir/t" | tail -n 1 | awk '{ sub(/\./, "", $1); print $1 + 0 }')
idle=$("$tool" print --event sched_input "$dir/t" | sed -n 's/.*op=CPU_ONLINE .* id=\([0-9]*\).*/\1/p' | tr '\n' ' ')

# --- Perfetto: by protoc, with the messages as their numbers say ----------------------------------
cat >"$dir/p.proto" <<'PROTO'
syntax = "proto2";
message Trace { repeated TracePacket packet = 1; }
message TracePacket {
    optional FtraceEventBundle ftrace_events = 1;
    optional ProcessTree process_tree = 2;
    optional uint64 timestamp = 8;
    optional uint32 trusted_packet_sequence_id = 10;
}
message FtraceEventBundle { optional uint32 cpu = 1; optional CompactSched compact_sched = 4; }
message CompactSched {
    repeated uint64 switch_timestamp = 1 [packed = true];
    repeated int64 switch_prev_state = 2 [packed = true];
    repeated int32 switch_next_pid = 3 [packed = true];
    repeated int32 switch_next_prio = 4 [packed = true];
    repeated string intern_table = 5;
    repeated uint32 switch_next_comm_index = 6 [packed = true];
    repeated uint64 waking_timestamp = 7 [packed = true];
    repeated int32 waking_pid = 8 [packed = true];
    repeated int32 waking_target_cpu = 9 [packed = true];
    repeated int32 waking_prio = 10 [packed = true];
    repeated uint32 waking_comm_index = 11 [packed = true];
}
message ProcessTree { repeated Process processes = 1; repeated Thread threads = 2; }
message Process { optional int32 pid = 1; optional int32 ppid = 2; repeated string cmdline = 3; }
message Thread { optional int32 tid = 1; optional string name = 2; optional int32 tgid = 3; }
PROTO
"$tool" export --perfetto "$dir/p.pb" "$dir/t" 2>/dev/null
is "perfetto: protoc --decode_raw reads it" "$(protoc --decode_raw <"$dir/p.pb" >"$dir/raw" 2>&1; echo $?)" 0
protoc --proto_path="$dir" --decode=Trace p.proto <"$dir/p.pb" >"$dir/p.txt"
is "perfetto: every switch" "$(grep -c ' switch_timestamp:' "$dir/p.txt")" "$switches"
for column in prev_state next_pid next_prio next_comm_index; do
    is "perfetto: column $column" "$(grep -c " switch_$column:" "$dir/p.txt")" "$switches"
done
is "perfetto: last switch" "$(awk '/compact_sched/ { t = 0 } / switch_timestamp:/ { t += $2; if (t > m) m = t } END { printf "%.0f", m }' "$dir/p.txt")" "$last"
is "perfetto: names are in the table" "$(awk '/compact_sched/ { n = 0 } / intern_table:/ { n++ }
    / (switch_next|waking)_comm_index:/ { want = $2 > want ? $2 : want }
    /^ *}$/ { if (want >= n && want) bad++; want = 0 } END { print bad + 0 }' "$dir/p.txt")" 0
grep -q 'cmdline: ' "$dir/p.txt" && echo "PASS perfetto: VMs are processes" || echo "FAIL perfetto: VMs are processes: none"
size=$(wc -c <"$dir/p.pb")
records=$("$tool" print --count "$dir/t" | awk '$1 == "all" { print $2 }')
[ "$size" -lt $((records * 24)) ] && echo "PASS perfetto: is smaller than the trace" ||
    echo "FAIL perfetto: is smaller than the trace: $size bytes of $records records"

# --- ftrace text ----------------------------------------------------------------------------------
"$tool" export --ftrace - --ns "$dir/t" 2>/dev/null >"$dir/f.txt"
is "ftrace: every switch" "$(grep -c ': sched_switch: ' "$dir/f.txt")" "$switches"
is "ftrace: who leaves is who came" "$(awk '/: sched_switch: / {
        cpu = $0; sub(/.*\[/, "", cpu); sub(/\].*/, "", cpu)
        p = $0; sub(/.* prev_pid=/, "", p); sub(/ .*/, "", p)
        n = $0; sub(/.* next_pid=/, "", n); sub(/ .*/, "", n)
        if (cpu in on && on[cpu] != p) bad++
        on[cpu] = n } END { print bad + 0 }' "$dir/f.txt")" 0
is "ftrace: time does not fall" "$(awk '/^#/ { next } { for (i = 1; i <= NF; i++) if ($i ~ /^[0-9]+\.[0-9]+:$/) { t = $i + 0; if (t < last) bad++; last = t; break } } END { print bad + 0 }' "$dir/f.txt")" 0
is "ftrace: idle is 0" "$(for i in $idle; do grep -c "next_pid=$i " "$dir/f.txt"; done | awk '{ n += $1 } END { print n + 0 }')" 0
"$tool" export --ftrace - "$dir/t" 2>/dev/null | grep -q ' [0-9]*\.[0-9]\{6\}: sched_switch' &&
    echo "PASS ftrace: microseconds as the kernel" || echo "FAIL ftrace: microseconds as the kernel"

# --- LTTng ----------------------------------------------------------------------------------------
"$tool" export --lttng "$dir/l" "$dir/t" 2>/dev/null
babeltrace2 "$dir/l" >"$dir/l.txt" 2>"$dir/l.err"
is "lttng: babeltrace2 has nothing to say" "$(wc -c <"$dir/l.err" | tr -d ' ')" 0
is "lttng: every switch" "$(grep -c ' sched_switch: ' "$dir/l.txt")" "$switches"
is "lttng: every wake-up" "$(grep -c ' sched_wakeup: ' "$dir/l.txt")" "$(grep -c ': sched_waking: ' "$dir/f.txt")"
is "lttng: fields of a switch" "$(grep -m 1 -o 'prev_comm = \|prev_tid = \|prev_prio = \|prev_state = \|next_comm = \|next_tid = \|next_prio = ' "$dir/l.txt" | sort -u | wc -l | tr -d ' ')" 7
grep -q 'tracer_name = "lttng-modules"' "$dir/l/metadata" && echo "PASS lttng: calls itself so" || echo "FAIL lttng: calls itself so"
