#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# bench.sh -- what an exit costs, in instructions of the host, beside KVM's figures.
#
# Runs the bench guest in QEMU with -icount (AMD-V) and in Bochs (VT-x), where one TSC tick is one
# instruction, writes $BUILD/bench.csv and prints it as a table. The peer is KVM 6.1 on the same
# emulated CPU (QEMU `max`, default mitigations; Bochs corei7_skylake_x, mitigations=off), measured
# once and kept here as constants; a ratio below 1 means fewer instructions than KVM. Rows of KVM
# that go to its user space are compared with what Orrery does inside the kernel, and say so.
#
# Beside exits: instructions from the kernel's entry to the first VM entry, the image's size, and what
# memory each part of the kernel owns with the demo VM on (in QEMU; it does not depend on the machine).
#
# usage: scripts/bench.sh [qemu] [bochs]      BUILD=build
set -eu
[ "${1-}" != --help ] || exec sed -n '4,/^[^#]/s/^# \{0,1\}//p' "$0"
cd "$(dirname "$0")/.."
BUILD=${BUILD:-build}
csv=$BUILD/bench.csv
failed=0
[ $# -gt 0 ] || set -- qemu bochs
for platform in "$@"; do
    case $platform in
    qemu | bochs) ;;
    *)
        echo "bench.sh: $platform: there are qemu and bochs (try --help)" >&2
        exit 2
        ;;
    esac
done

# guest row, KVM's row, QEMU AMD-V, Bochs VT-x
peers='cpuid|CPUID|2792|969
vmcall|VMCALL|3029|1009
vmmcall|VMMCALL|3029|1009
rdmsr_apic_base|RDMSR APIC_BASE|2859|1089
in_kernel_port|IN to user space|3107|3029
out_nobody|OUT to user space|3081|2988
mmio_write_tpr|MMIO write to user space|5209|5368
x2apic_hlt_wake|HLT to user space|4162|2556
fresh_page|fault on a fresh page|10226|6898
x2apic_self_ipi|x2APIC self-IPI and EOI|7812|4219
ipi_ping_pong|IPI ping-pong round trip|32569|52499'

echo 'name,platform,value,unit,peer,peer_value,ratio' >"$csv"
for platform; do
    out=$BUILD/bench-$platform.txt
    options='' column=3
    [ "$platform" = qemu ] && options=--icount || column=4
    # One CPU for all vCPUs, as the peer had it; small pages, as the row fresh_page always was.
    if ! scripts/run.sh --batch --platform "$platform" $options --cpus 1 --vcpus 2 --kernel-args mem.large=0 \
        --guest "$BUILD/guest/bench.elf" --timeout 900 --log "$out.log" >"$out" 2>"$out.err" </dev/null; then
        echo "bench.sh: the bench guest failed on $platform, see $out and $out.err" >&2
        failed=1
        continue
    fi
    tr -d '\r' <"$out" | awk -v peers="$peers" -v column=$column -v platform="$platform" '
        BEGIN {
            n = split(peers, line, "\n")
            for (i = 1; i <= n; i++) {
                split(line[i], f, "|")
                peer[f[1]] = f[2]; value[f[1]] = f[column]
            }
        }
        $1 == "bench" && NF == 3 && !done[$2]++ {  # a run that Bochs broke off comes twice
            printf "%s,%s,%d,instructions", $2, platform, $3
            if ($2 in peer)
                printf ",KVM 6.1 on the same emulated CPU: %s,%d,%.2f\n", peer[$2], value[$2], $3 / value[$2]
            else
                print ",,,"
        }' >>"$csv"
    tr -d '\r' <"$out.log" | sed -n 's/.*first VM entry \([0-9]*\) ticks.*/\1/p' |
        sed "s/.*/entry to first guest instruction,$platform,&,instructions,,,/" >>"$csv"
done
if [ -r "$BUILD/sim/liborrery.a" ]; then
    scripts/bench/trace.sh >>"$csv" || failed=1
fi
if [ -f "$BUILD/metal/orrery.elf" ]; then
    scripts/bench/nvme.sh >>"$csv" || failed=1
    scripts/bench/memory.sh >>"$csv" || failed=1
fi
if [ -x "$BUILD/orrery-sim" ]; then
    scripts/bench/sched.sh >>"$csv" || failed=1
    scripts/bench/ext4.sh "$BUILD/bench-ext4.log" || failed=1
    ORRERY_WRITES=$BUILD/bench-ext4.log "$BUILD/orrery-sim" run vmfs-speed | grep ",simulation," >>"$csv" || failed=1
fi
if [ -x "$BUILD/orrery-sim" ] && [ -r "$BUILD/user/bench.elf" ]; then
    "$BUILD/orrery-sim" engine-bench "$BUILD/user/bench.elf" >>"$csv" || failed=1
    ORRERY_PROGRAM=$BUILD/user/bench.elf "$BUILD/orrery-sim" run user-speed |
        grep ",simulation," >"$BUILD/bench-user.txt" || failed=1
    # The null calls of a whole host have the peer of those of the engine, which ran the same program.
    awk -F , -v OFS=, 'NR == FNR { if ($1 == "null system call to the kernel") { peer = $5; value = $6 } next }
        /^null system call/ && value { $5 = peer; $6 = value; $7 = sprintf("%.2f", $3 / value) }
        { print }' "$csv" "$BUILD/bench-user.txt" >"$BUILD/bench-user.csv"
    cat "$BUILD/bench-user.csv" >>"$csv"
fi
scripts/bench/user.sh >>"$csv" || failed=1
# Pages and heap of each owner with the demo VM on.
out=$BUILD/bench-memory.txt
if scripts/run.sh --cmd 'exit 0' --timeout 900 --log "$out.log" >"$out" 2>"$out.err" </dev/null; then
    tr -d '\r' <"$out.log" | awk '
        /Mem: end of owners/ { exit }
        on && / pages / && / heap bytes/ {
            for (i = 2; i < NF; i++)
                if ($(i + 1) == "pages") printf "memory %s,qemu,%d,bytes,,,\n", $(i - 1), $i * 4096 + $(i + 2)
        }
        /Mem: owners with a VM there/ { on = 1 }' >>"$csv"
else
    echo "bench.sh: the demo VM failed, see $out and $out.err" >&2
    failed=1
fi
for file in metal/orrery.elf orrery.iso; do
    [ ! -f "$BUILD/$file" ] || echo "size $file,,$(wc -c <"$BUILD/$file"),bytes,,," >>"$csv"
done
if [ -f "$BUILD/metal/orrery.elf" ]; then
    echo "size orrery.elf gzip,,$(gzip -9c "$BUILD/metal/orrery.elf" | wc -c),bytes,,," >>"$csv"
fi
awk -F , '{ printf "%-32s %-6s %9s %-13s %9s %6s  %s\n", $1, $2, $3, $4, $6, $7, $5 }' "$csv"
exit $failed
