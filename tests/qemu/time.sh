# SPDX-License-Identifier: BSD-2-Clause
#
# time.sh -- while a guest is busy, its clocks run as fast as the host's: within 0.1 %.
#
# The guest's clocks (the TSC, then the ACPI PM timer, as Linux's clock source) are compared with the
# VMkernel's time, which the backdoor tells; the VMkernel's TSC clock is compared with the machine's
# PM timer when the host powers off. The machine counts instructions as time, so no clock of the
# computer that runs the test has a say. Two faults are planted to see that the test would notice:
# a guest that takes its TSC for 1 % faster than it is, and a VMkernel that measured it 1 % wrong.
platform=qemu
. tests/lib.sh

# clock NAME SECONDS WORD WORD [run.sh options]: the words are what the judges of the guest's TSC and
# of the host's clock must say, good or bad.
clock() {
    c_name=$1 c_seconds=$2 c_guest=$3 c_host=$4
    shift 4
    c_out=$results/out-qemu-time-$(echo "$c_name" | tr -c 'a-z0-9\n' -).txt
    scripts/run.sh --batch --vcpus 2 --cpus 2 --icount-shift 4 --timeout 600 \
        --log "${c_out%.txt}.log" \
        "$@" --cmd "source=/sys/devices/system/clocksource/clocksource0/current_clocksource
(while :; do :; done) &
echo segment \$(cat \$source)
guest-clock $c_seconds 1000
echo acpi_pm >\$source
echo segment \$(cat \$source)
guest-clock 5 1000" >"$c_out" 2>"${c_out%.txt}.err" </dev/null
    c_status=$?
    # All samples are tight brackets, so the slope from the first to the last is the drift.
    tr -d '\r' <"$c_out" | cat - "${c_out%.txt}.log" | awk '
        function judge(    off, real) {
            if (n < 3) { print source ": no samples: bad"; return }
            off = 1e6 * (mono - host * 1000) / (host * 1000)
            real = 1e6 * (wall - host * 1000) / (host * 1000)
            printf "guest %s ahead by %.1f ppm, its day by %.1f ppm, over %.1f s, within %.0f us: %s\n",
                source, off, real, host / 1e6, width / 1e3, \
                (off < 1000 && off > -1000 && real < 1000 && real > -1000 ? "good" : "bad")
        }
        $1 == "segment" { if (source) judge(); source = $2; n = 0; width = 0 }
        $1 == "clock" && $2 == "apart" {
            # Both read a clock of whole seconds when they started.
            printf "guest day ahead by %d ms: %s\n", $3, ($3 > -1100 && $3 < 1100 ? "good" : "bad")
        }
        $1 == "clock" && $2 != "apart" {
            n++; host = $2; mono = $3; wall = $4; if ($5 > width) width = $5
        }
        /Time: the TSC.s clock is ahead of the PM timer/ {
            for (i = 1; i < NF; i++) if ($(i + 1) == "ppm") ppm = $i
            seen = 1
        }
        END {
            judge()
            printf "host ahead by %d ppm: %s\n", ppm,
                (seen && ppm < 1000 && ppm > -1000 ? "good" : "bad")
        }' >>"$c_out"
    grep -a -E '(good|bad)$' "$c_out"
    verdict "clock $c_name" $c_status 0 "$c_out" "guest tsc .*: $c_guest\$" \
        'guest acpi_pm .*: good$' "host ahead .*: $c_host\$" 'guest day .*: good$'
}

clock 'guest and host, 60 s busy' 60 good good
clock 'planted: guest 1 % wrong' 5 bad good --append tsc_early_khz=1010000
clock 'planted: host 1 % wrong' 5 good bad --kernel-args tsc-error=10000

guest clock 'PIT: ' --icount
