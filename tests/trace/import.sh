#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# import.sh -- foreign recordings: run time per task as perf counts it, self-replay, replay.
#
# One recording is kept in tests/golden. Where perf may record, a fresh one is made too, and its
# text and CTF must give the same; so must our own traces exported as ftrace text and as LTTng's.
. tests/lib.sh
tool=$BUILD/orrery-trace
sim=$BUILD/orrery-sim
scratch
prefix=import

# same_times NAME TIMES TABLE LEAST: perf_run_ms of each task within 0.1 % (and the microsecond that perf prints), of
# so many tasks at least.
same_times() {
    said=$(awk -v least="$4" '
        /^#/ { next }
        NR == FNR { want[$1] = $2; next }
        $1 ~ /-[0-9]+$/ {
            id = $1; sub(/.*-/, "", id)
            if (!(id in want)) next
            n++
            d = $2 - want[id]; if (d < 0) d = -d
            if (d > 0.001 * want[id] + 0.001) bad = bad " " $1 " " $2 " for " want[id] ";"
        }
        END { if (bad) print "run times:" bad; else if (n < least) print "only " n + 0 " tasks compared" }' "$2" "$3")
    if [ -n "$said" ]; then fail "$1" "$said"; else pass "$1: run times are timehist's"; fi
}

# small_error NAME OUTPUT: the self-replay error is at most 1 %.
small_error() {
    said=$(awk '/self-replay error:/ { n++; if ($5 > 1 || $8 > 1) print $0 }
        END { if (!n) print "no self-replay error was printed" }' "$2")
    if [ -n "$said" ]; then fail "$1" "$said"; else pass "$1: self-replay within 1 %"; fi
}

# replays NAME FILE.wl: the workload runs to its end.
replays() {
    if "$sim" replay "$2" --worlds 1 >"$dir/replay" 2>&1; then
        pass "$1: the workload runs"
    else
        fail "$1" "replay: $(tail -n 1 "$dir/replay")"
    fi
}

gzip -dc tests/golden/perf-sched.txt.gz >"$dir/golden.txt"
if "$tool" import perf "$dir/golden.txt" -o "$dir/golden.wl" --tasks 2>"$dir/golden.out"; then
    same_times "golden perf text" tests/golden/perf-sched.times "$dir/golden.out" 5
    small_error "golden perf text" "$dir/golden.out"
    replays "golden perf text" "$dir/golden.wl"
else
    fail "golden perf text" "$(head -n 1 "$dir/golden.out")"
fi
# Half a recording, cut in the middle of a line, is refused or is shorter; it does not crash.
head -c 30001 "$dir/golden.txt" >"$dir/half.txt"
"$tool" import perf "$dir/half.txt" -o "$dir/half.wl" >"$dir/half.out" 2>&1
[ $? -le 3 ] && pass "a recording cut off" || fail "a recording cut off" "$(tail -n 1 "$dir/half.out")"

# Time, CPU, task id, wait time, sch delay and run time of each line of timehist.
timehist_rows() {
    awk '/^ *[0-9]+\.[0-9]+ \[/ && !/<idle>/ && match($0, /\[-?[0-9\/]+\] +[0-9]/) {
        id = substr($0, RSTART + 1); sub(/[\/\]].*/, "", id)
        print $1, $2, id, $(NF - 2), $(NF - 1), $NF }'
}

# fresh NAME COMMAND...: a recording made now, its text and its CTF. One of which perf lost a part, as it may on a
# loaded machine, is made again; what perf itself guesses of the third is not compared.
fresh() {
    what=$1
    shift
    for try in 1 2 3; do
        recorded "$@" || return
        grep -q 'PERF_RECORD_LOST\|lost [0-9]* events\|[Pp]rocessed .* lost' "$dir/fresh.txt" "$dir/perf.out" "$dir/perf.err" || break
        echo "perf lost events of $what, recording $try"
        [ $try -lt 3 ] || return
    done
    compared
}

# recorded COMMAND...: false if perf cannot.
recorded() {
    if ! perf sched record -o "$dir/data" -- "$@" >"$dir/perf.out" 2>&1 ||
        ! perf script -i "$dir/data" --ns --show-lost-events -F comm,pid,tid,cpu,time,event,trace >"$dir/fresh.txt" 2>"$dir/perf.err" ||
        ! rm -rf "$dir/ctf" || ! perf data convert -i "$dir/data" --to-ctf="$dir/ctf" >/dev/null 2>&1; then
        echo "perf cannot record here: $(head -n 1 "$dir/perf.out" 2>/dev/null); the recording of $what is skipped"
        return 1
    fi
}

# The recording against perf sched timehist.
compared() {
    perf sched timehist -i "$dir/data" --summary 2>/dev/null | awk 'match($0, /\[[0-9\/]+\]/) {
        id = substr($0, RSTART + 1, RLENGTH - 2); sub(/\/.*/, "", id)
        split(substr($0, RSTART + RLENGTH), f, " ")
        if (f[3] ~ /^[0-9.]+$/) print id, f[3] }' >"$dir/fresh.times"
    perf sched timehist -i "$dir/data" >"$dir/fresh.lines" 2>/dev/null
    timehist_rows <"$dir/fresh.lines" >"$dir/fresh.rows"
    "$tool" import perf "$dir/fresh.txt" --timehist 2>/dev/null | cmp - "$dir/fresh.lines" &&
        pass "$what: timehist as printed" || fail "$what" "is not what perf sched timehist prints"
    for format in "perf $dir/fresh.txt" "ctf $dir/ctf"; do
        name="$what, perf ${format%% *}"
        # shellcheck disable=SC2086  # two words
        if "$tool" import $format -o "$dir/fresh.wl" --tasks 2>"$dir/fresh.out"; then
            same_times "$name" "$dir/fresh.times" "$dir/fresh.out" 2  # a quiet machine has few
            # shellcheck disable=SC2086  # two words
            "$tool" import $format --timehist 2>/dev/null | timehist_rows | diff "$dir/fresh.rows" - >"$dir/fresh.diff"
            if [ -s "$dir/fresh.rows" ] && [ ! -s "$dir/fresh.diff" ]; then
                pass "$name: each line of timehist"
            else
                fail "$name" "timehist: $(head -n 3 "$dir/fresh.diff" | tr "\n" " ")"
            fi
            small_error "$name" "$dir/fresh.out"
            replays "$name" "$dir/fresh.wl"
        else
            fail "$name" "$(head -n 1 "$dir/fresh.out")"
        fi
    done
}
if command -v perf >/dev/null; then
    fresh "a shell with children" sh -c \
        'for i in 1 2 3; do (for j in 1 2 3 4; do sleep 0.01; ls / >/dev/null; done) & done; wait'
    # Bursts shorter than a switch costs; and threads that end, whose last samples perf gives to nobody.
    fresh "two that signal each other" perf bench sched pipe -l 500
    fresh "many threads" perf bench sched messaging -t -g 1 -l 10
fi

# Odd but legal, and wrong: an error names line and field.
# wrong NAME FORMAT PATTERN: standard input is refused with status 3 and a message like that.
wrong() {
    cat >"$dir/odd"
    "$tool" import "$2" "$dir/odd" -o "$dir/odd.wl" >"$dir/odd.out" 2>&1
    status=$?
    if [ $status -eq 3 ] && grep -q "$3" "$dir/odd.out"; then
        pass "$1"
    else
        fail "$1" "status $status: $(head -n 1 "$dir/odd.out")"
    fi
}
head='prev_prio=1 prev_state=S ==> next_comm=b'
printf ' a 7 [000] 5.1: sched:sched_switch: prev_comm=a prev_pid=7 %s next_pid=8 next_prio=1\n a 8 [000] 5.2: sched:sched_switch: prev_comm=a prev_pid=8 %s next_pid=x next_prio=1\n' \
    "$head" "$head" | wrong "perf text, a field is no number" perf 'odd:2: sched_switch without a number behind next_pid='
printf ' a 7 5.1: sched:sched_switch: prev_comm=a prev_pid=7 %s next_pid=8\n' "$head" |
    wrong "perf text without a CPU" perf 'odd:1: no CPU in brackets'
printf '10\n\n20\n' | wrong "planetlab, a blank line" planetlab 'odd:3: a line is a number from 0 to 100'
printf 'head\n1;4;11703.99;10912;93.2;67108864;6129274\n2;4;11703.99;10912;zz;67108864;6129274\n' |
    wrong "bitbrains, a column is no number" bitbrains 'odd:3: CPU usage in percent: a row has'
printf 'head\n1;4;11703.99;10912\n' | wrong "bitbrains, columns are missing" bitbrains 'odd:2: CPU usage in percent: a row has'

# `perf script -F +period` has a number in front of the event.
sed -E 's/^(.*[0-9]: +)(sched:)/\1  50641 \2/' "$dir/golden.txt" >"$dir/period.txt"
"$tool" import perf "$dir/golden.txt" --timehist >"$dir/a" 2>/dev/null
if grep -q " 50641 sched:" "$dir/period.txt" && "$tool" import perf "$dir/period.txt" --timehist 2>/dev/null | cmp -s - "$dir/a"; then
    pass "perf text with periods"
else
    fail "perf text with periods" "is not the same as without"
fi

# With CRLF, samples of other events, a comment and a loss between, and names with blanks: the same.
sed -e 's/$/\r/' -e '20i # comment\r' -e '30i  x y:z 9 [001] 1.0: PERF_RECORD_LOST lost 5\r' "$dir/golden.txt" >"$dir/crlf.txt"
"$tool" import perf "$dir/golden.txt" -o "$dir/lf.wl" 2>/dev/null
"$tool" import perf "$dir/crlf.txt" -o "$dir/crlf.wl" 2>/dev/null
grep -v '^source\|^workload' "$dir/lf.wl" >"$dir/a"
if grep -v '^source\|^workload' "$dir/crlf.wl" | cmp -s - "$dir/a"; then
    pass "perf text with CRLF and other lines: the same"
else
    fail "perf text with CRLF and other lines" "another workload"
fi

# Our own trace, out as others' formats and in again: the same run time of each world.
"$sim" replay sim/scenario/limits.wl --duration 2s --trace "$dir/own" >/dev/null 2>&1
"$sim" replay sim/scenario/limits.wl --duration 2s --csv 2>/dev/null |
    awk -F, 'NR > 1 { print 1000 + NR - 2, $3 }' >"$dir/own.times"
if "$tool" export "$dir/own" --ftrace "$dir/own.txt" --ns >"$dir/own.err" 2>&1 &&
    "$tool" import ftrace "$dir/own.txt" -o "$dir/own.wl" --switch-cost 1500ns --tasks 2>"$dir/own.out"; then
    said=$(awk 'NR == FNR { want[$1] = $2; next }
        $1 ~ /-[0-9]+$/ { id = $1; sub(/.*-/, "", id); if (id in want) { n++
            d = $3 - want[id]; if (d < 0) d = -d
            # The last run is open when the trace ends.
            if (d > 0.001 * want[id] + 25) print $1, $3, "for", want[id] } }
        END { if (n < 5) print "only", n + 0, "worlds compared" }' "$dir/own.times" "$dir/own.out" | head -n 2)
    if [ -n "$said" ]; then fail "own trace as ftrace" "$said"; else pass "own trace as ftrace: run times"; fi
    small_error "own trace as ftrace" "$dir/own.out"
else
    fail "own trace as ftrace" "$(cat "$dir/own.err" "$dir/own.out" 2>/dev/null | head -n 1)"
fi
if "$tool" export "$dir/own" --lttng "$dir/lttng" >"$dir/own.err" 2>&1 &&
    "$tool" import ctf "$dir/lttng" -o "$dir/lttng.wl" --switch-cost 1500ns --tasks 2>"$dir/lttng.out"; then
    # The same trace by another way: the same run time of each world. Names are cut there.
    run_times() { awk "/-[0-9]+ / { sub(/.*-/, \"\", \$1); print \$1, \$3 }" "$1" | sort; }
    run_times "$dir/own.out" >"$dir/a"
    if run_times "$dir/lttng.out" | cmp -s - "$dir/a" && [ -s "$dir/a" ]; then
        pass "own trace as LTTng: as by ftrace"
    else
        fail "own trace as LTTng" "other run times than by ftrace text"
    fi
    small_error "own trace as LTTng" "$dir/lttng.out"
else
    fail "own trace as LTTng" "$(cat "$dir/own.err" "$dir/lttng.out" 2>/dev/null | head -n 1)"
fi
