# SPDX-License-Identifier: BSD-2-Clause
#
# user.sh -- user worlds in Bochs: the host shell alone, and beside a VT-x guest.
#
# Bochs checks what QEMU lets pass: reserved bits, canonical addresses, and system-call state that a VT-x
# guest left behind (STAR, LSTAR, FMASK, GS).
platform=bochs
. tests/lib.sh

# host NAME STATUS COMMANDS PATTERN -- run.sh options
host() {
    h_name=$1 h_status=$2 h_commands=$3 h_pattern=$4
    shift 4
    h_file=$results/out-bochs-host-$(echo "$h_name" | tr ' ' -).txt
    scripts/run.sh --platform bochs --host-cmd "$h_commands" --log "${h_file%.txt}.log" --timeout 600 "$@" \
        >"$h_file" 2>"${h_file%.txt}.err" </dev/null
    verdict "bochs host $h_name" $? "$h_status" "$h_file" "$h_pattern"
}

work='for i in 1 2 3; do echo $((i * i)); done | sort -r | tr "\n" " "; seq 1 300 | md5sum | cut -c 1-8
trap "echo caught" USR1; kill -USR1 $$; cat /etc/hostname | sed s/or/ar/'
host 'shell' 5 "$work; exit 5" '^arrery' --vms 0
host 'beside a guest' 0 "$work
i=0; while ls /dev/vm/guest >/dev/null 2>&1 && [ \$i -lt 300 ]; do sleep 0.1; i=\$((i+1)); done
grep -c 'VMX ends with status 0' /vms/guest/vmware.log | sed s/^/guests:/; echo done" '^guests:1' \
    --guest "$BUILD/guest/ring3.elf"

# Bochs holds nothing back: what nobody fetched from the UART in time is lost.
prefix='bochs shell:'
terminal "$results/out-bochs-shell.txt" 900 'scripts/run.sh --platform bochs --vms 0 --timeout 800'
step='a prompt'
await 600 'root has no password' '\]# ' && pass "$step"
type_much 120
say 'poweroff' 'poweroff\r' 'Boot: powering off' 300
terminal_end && pass 'the emulator ended' || fail 'the emulator ended' "status $?"
