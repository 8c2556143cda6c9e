# SPDX-License-Identifier: BSD-2-Clause
#
# vms.sh -- two busy VMs of two vCPUs share one CPU, and two, one to one.
#
# Judged from the VMkernel's own figures ("run N us" of each vCPU): within 2 %. The first VM starts alone.
# Instructions count as time, so a computer that stalls under the emulator changes nothing.
platform=qemu
. tests/lib.sh

share() {
    s_name="vms share $1 CPU(s)" s_log=$results/out-qemu-vms-$1.log s_out=$results/out-qemu-vms-$1.txt
    scripts/run.sh --icount-shift 3 --guest "$BUILD/guest/burn.elf" --append 'burn 5000' --vms 2 --vcpus 2 --cpus "$1" \
        --timeout 300 --log "$s_log" >"$s_out" 2>&1 </dev/null
    s_status=$?
    # Each run time in percent of the time each VM would have alone: 2 vCPUs, at most N CPUs.
    tr -d '\r' <"$s_log" | awk -v cpus="$1" '
        / run [0-9]+ us / {
            for (i = 1; i <= NF; i++)
                if ($i == "run")
                    run[$(0) ~ / guest2: / ? 2 : 1] += $(i + 1)
        }
        END {
            if (!run[1] || !run[2]) { print "no figures"; exit }
            off = 200 * (run[1] - run[2]) / (run[1] + run[2])
            used = (run[1] + run[2]) / (5000000 * cpus)
            printf "ran %d and %d us: %.2f %% apart, %.1f %% of the CPUs: %s\n", run[1], run[2],
                off, 100 * used, (off < 2 && off > -2 && used > 0.95 ? "fair" : "unfair")
        }' >>"$s_out"
    grep ' us: ' "$s_out"
    verdict "$s_name" $s_status 0 "$s_out" '^PASS burn' ': fair$'
}

share 1
share 2
linux '2 VMs' 'dmesg | grep -i "hypervisor detected"; nproc' 0 '^1' --vms 2 --vcpus 1
