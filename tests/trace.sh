# SPDX-License-Identifier: BSD-2-Clause
#
# trace.sh -- for the trace scripts of tests/qemu and tests/bochs: is what came out whole?
#
# Sourced after tests/lib.sh.

# whole_trace NAME DIR MORE-THAN EVENT...: babeltrace2 reads it without a word, counts what the image
# counted, more than that many, nothing was lost, and each event is there.
whole_trace() {
    t_name=$1 t_dir=$2 t_least=$3
    shift 3
    t_text=$results/trace-text-$platform t_said=$results/trace-said-$platform
    babeltrace2 "$t_dir" >"$t_text" 2>"$t_said"
    t_status=$?
    t_count=$(wc -l <"$t_text")
    t_wanted=$(sed -n 's/^records=//p' "$t_dir/run/run.env")
    t_lost=$(sed -n 's/^discarded=//p' "$t_dir/run/run.env")
    for t_event; do
        grep -q " $t_event: " "$t_text" || {
            echo "FAIL $t_name: no $t_event among $t_count records of $t_dir"
            return 1
        }
    done
    if [ $t_status != 0 ] || [ -s "$t_said" ]; then
        echo "FAIL $t_name: babeltrace2 (status $t_status) says: $(head -n 1 "$t_said")"
    elif [ "$t_count" != "$t_wanted" ]; then
        echo "FAIL $t_name: babeltrace2 reads $t_count records, the image wrote $t_wanted"
    elif [ "$t_lost" != 0 ]; then
        echo "FAIL $t_name: $t_lost records were lost"
    elif [ "$t_count" -le "$t_least" ]; then
        echo "FAIL $t_name: only $t_count records"
    else
        echo "PASS $t_name: $t_count records"
        rm -f "$t_text"
        return 0
    fi
    return 1
}
