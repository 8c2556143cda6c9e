#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# sched.sh -- how fast the scheduler decides: rows for bench.csv.
#
# Inputs of the scheduler's state machine per second of CPU time on one core, with the kernel's recorder
# and the hash on, best of three; the peer is a fixed piece of work in the same process, a heap of 64
# events (orrery-sim replay --speed), since bare seconds mean little on a shared computer. Then the
# time per input as worlds grow from 10 to 10,000, all of it: pick, switch, records, the events.
#
# usage: scripts/bench/sched.sh >>bench.csv      BUILD=build
set -eu
[ "${1-}" != --help ] || exec sed -n '4,/^[^#]/s/^# \{0,1\}//p' "$0"
cd "$(dirname "$0")/../.."
BUILD=${BUILD:-build}
sim=$BUILD/orrery-sim

# speed FILE: inputs/s records/s yardstick ratio, of the fastest of three runs.
speed() {
    for turn in 1 2 3; do
        "$sim" replay "$1" --speed --worlds 1
    done | awk '/^speed/ { gsub(/;/, ""); if ($2 > best) { best = $2; line = $2 " " $4 " " $9 " " $12 } }
        END { print line }'
}
file=$(mktemp)
trap 'rm -f "$file"' EXIT
row() {
    # shellcheck disable=SC2046  # words
    set -- "$1" $(speed "$file")
    echo "sched inputs/s $1,,$2,1/s,heap of 64 events in the same run,$4,$5"
    echo "sched records/s $1,,$3,1/s,,,"
}
cat >"$file" <<END
duration 60s
host cpus=8 llc=4
world w[0..63] start=uniform(0,10ms)
  run exp(1ms) ; block io exp(4ms) ; loop
END
row '64 worlds 8 CPUs'
cat >"$file" <<END
duration 4s
host cpus=64 llc=8 package=16 numa=16
world w[0..1023] start=uniform(0,10ms)
  run exp(1ms) ; block io exp(8ms) ; loop
END
row '1024 worlds 64 CPUs'
for worlds in 10 100 1000 10000; do
    cat >"$file" <<END
duration 40s
host cpus=1
world w[1..$worlds] start=uniform(0,50ms)
  run exp(2ms) ; loop
END
    # shellcheck disable=SC2046  # words
    set -- $(speed "$file")
    echo "sched ns/input $worlds worlds,,$(awk -v s="$1" 'BEGIN { printf "%.0f", 1e9 / s }'),ns,yardstick operation,$(awk -v y="$3" 'BEGIN { printf "%.1f", 1e9 / y }'),$(awk -v s="$1" -v y="$3" 'BEGIN { printf "%.1f", y / s }')"
done
