# SPDX-License-Identifier: BSD-2-Clause
#
# time.sh -- while a guest is busy, its clock runs as fast as the host's: within 0.1 %.
#
# The guest writes marks through its kernel's log, which stamps them; each line is stamped here as
# it arrives. Lines may be late, never early: so the least lateness of the first third of the marks
# is compared with that of the last. TIME_MARKS of them (36), about 0.4 s apart.
platform=qemu
. tests/lib.sh

marks=${TIME_MARKS:-36}
out=$results/out-qemu-time.txt
scripts/run.sh --vcpus 2 --cpus 2 --timeout $((60 + marks)) --log "${out%.txt}.log" --cmd "
cat /sys/devices/system/clocksource/clocksource0/current_clocksource
(while :; do :; done) &
i=0
while [ \$i -lt $marks ]; do
    i=\$((i + 1))
    echo \"<0>mark \$(cut -d' ' -f1 /proc/uptime) end\" >/dev/kmsg
    sleep 0.4
done" 2>&1 </dev/null | while IFS= read -r line; do
    printf '%s %s\n' "$(date +%s.%N)" "$line"
done >"$out"
tr -d '\r' <"$out" | awk -v marks="$marks" '
    /mark .* end/ {
        n++
        split($0, part, /[][]/)
        split($0, word, /mark /)
        host = $1; guest = part[2] + 0; uptime = word[2] + 0
        if (n == 1) { host0 = host; guest0 = guest; uptime0 = uptime }
        late = (host - host0) - (guest - guest0)
        if (n <= marks / 3 && (n == 1 || late < least1)) { least1 = late; at1 = guest }
        if (n > marks * 2 / 3 && (!seen++ || late < least2)) { least2 = late; at2 = guest }
    }
    END {
        if (n < marks) { print "only " n + 0 " marks"; exit }
        off = 100 * (least2 - least1) / (at2 - at1)
        apart = (guest - guest0) - (uptime - uptime0)
        printf "guest behind host by %.4f %% over %.1f s, uptime off by %.3f s: %s\n", off,
            guest - guest0, apart,
            (off < 0.1 && off > -0.1 && apart < 0.03 && apart > -0.03 ? "good" : "bad")
    }' >>"$out"
tail -n 1 "$out"
verdict 'guest clock' 0 0 "$out" ': good$'
