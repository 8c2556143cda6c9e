# SPDX-License-Identifier: BSD-2-Clause
#
# entry.sh -- rules of VM entry broken for real: the CPU refuses, the checker names the rule.
#
# Each VM of a boot breaks the next row of vmx_faults.def, until there are no more: the last VM
# breaks none and shows that the host lives on. A host has at most 16 VMs, hence several boots.
platform=bochs
. tests/lib.sh

rows=$(grep -c '^VMX_FAULT(' src/vmm/vtx/vmx_faults.def)

# rules FIRST VMS: a boot in which the VMs break rows FIRST and up; PASS or FAIL for each row.
rules() {
    r_log=$results/out-bochs-entry-$1.log
    scripts/run.sh --batch --platform bochs --guest "$BUILD/guest/hello.elf" --vms "$2" --memory 16 \
        --kernel-args "entry-fault=$1" --log "$r_log" --timeout 300 \
        >"${r_log%.log}.txt" 2>"${r_log%.log}.err" </dev/null
    tr -d '\r' <"$r_log" | awk -v first="$1" -v vms="$2" -v rows="$rows" '
        function word_after(word,    i, w) {
            for (i = 1; i < NF; i++)
                if ($i == word) { w = $(i + 1); sub(/[:,)]$/, "", w); return w }
        }
        / breaking rule / { vm = $3; planted[vm] = word_after("rule"); wanted[vm] = $NF }
        / entry failed: .*: rule / {
            vm = $3; found[vm] = word_after("rule")
            answer[vm] = word_after("reason") == "0x80000021" ? 33 : word_after("error")
        }
        /: ended, status / { status[$3] = $NF; ended++ }
        END {
            left = first + vms > rows ? first + vms - rows : 0
            for (vm in status) {
                if (!(vm in planted)) {
                    if (status[vm] == "0" && left-- > 0) print "PASS entry of a VM beside the broken ones"
                    else print "FAIL entry of " vm " status " status[vm] " and no rule broken"
                    continue
                }
                name = "entry rule " planted[vm]
                if (found[vm] != planted[vm]) print "FAIL " name ": the checker says " found[vm]
                else if (answer[vm] != wanted[vm]) print "FAIL " name ": the CPU says " answer[vm]
                else if (status[vm] != "1") print "FAIL " name ": the VM ended with " status[vm]
                else print "PASS " name
            }
            if (ended != vms) print "FAIL entry rules from " first ": " ended + 0 " of " vms " VMs ended"
        }'
}

first=0
while [ $first -lt "$rows" ]; do
    vms=$((rows - first + 1))
    [ $vms -le 16 ] || vms=16
    rules $first $vms
    first=$((first + vms))
done
