# SPDX-License-Identifier: BSD-2-Clause
#
# vmx.sh -- the process of a VM: its clock, and what is left when it is killed. Nothing may be.
#
# The test guests travel in the host's commands, packed. The vmx is killed while the guest runs, while a
# vCPU waits for an answer that will not come (the vmx is stopped first), and while the guest's memory is in a
# swap file and a balloon; each time memory by owner must be what it was, and no swap file is left. At the end the
# list of machines that start by themselves.
platform=qemu
. tests/lib.sh

out=$results/out-qemu-vmx.txt
pack() {
    objcopy --strip-all "$BUILD/guest/$1.elf" "$BUILD/guest/$1.stripped" &&
        echo "echo $(gzip -9nc "$BUILD/guest/$1.stripped" | base64 -w 0) | base64 -d | gunzip >$1.elf"
}
commands=$(
    echo 'mkdir -p /vms && cd /vms || exit 9'
    pack rpc && pack rtc
    cat <<'COMMANDS'
vmx_file() { # NAME GUEST WORDS MB [MORE]
    mkdir -p $1
    ln -sf ../$2.elf $1/$2.elf
    printf 'displayName = "%s"\nmemSize = "%s"\norrery.kernel = "%s.elf"\norrery.cmdline = "%s"\n%s\n' \
        $1 $4 $2 "$3" "$5" >$1/$1.vmx
    printf 'serial0.fileType = "file"\nserial0.fileName = "out"\n' >>$1/$1.vmx
}
# Pages and bytes of those who hold what a VM is made of. Its worlds are counted by name: the stacks of all
# worlds together change with the programs of this very script.
owners() { esxcli --formatter=csv hardware memory owners list | grep -E ',(guest|page-tables|vmm|sched|swap),'; }
until_shows() { # SECONDS COMMAND...
    left=$(($1 * 10))
    shift
    until "$@" >/dev/null 2>&1 || [ $left -le 0 ]; do
        usleep 100000
        left=$((left - 1))
    done
}
shows() { grep -q "$1" "$2"; }
gone() { ! esxcli vm process list | grep -q "^$1\$"; }
cartel() { vm list | awk -v name=$1 '$3 == name { print $2 }'; }
kill_it() { # NAME HOW
    kill -9 "$(cartel $1)"
    until_shows 30 gone $1
    gone $1 && echo "$2: gone" || echo "$2: still there"
    until_shows 10 same
    if esxcli system process list | grep ":$1\$"; then
        echo "$2: a world is left"
    elif same; then
        echo "$2: nothing is left"
    else
        diff /vms/before /vms/after
    fi
}
# The programs that looked may still be ending.
same() { owners >/vms/after; cmp -s /vms/before /vms/after; }
# Into /vms/before, when two looks in a row agree.
steady() {
    owners >/vms/before
    for try in 1 2 3 4 5 6 7 8 9 10; do
        sleep 1
        ! same || return 0
        mv /vms/after /vms/before
    done
}

vmx_file rtc rtc '' 16
vmx rtc/rtc.vmx; echo "rtc ends $?"
tr -d '\r' <rtc/out; grep 'Calls' rtc/vmware.log
steady; cat /vms/before

vmx_file run rpc spin 16
vm start run/run.vmx; until_shows 30 shows spinning run/out
kill_it run 'while it runs'

vmx_file hammer rtc hammer 16
vm start hammer/hammer.vmx; until_shows 30 shows hammering hammer/out
kill -STOP "$(cartel hammer)"
sleep 1
echo "its vmx is $(awk '/^State/ { print $2 }' /proc/$(cartel hammer)/status)"
kill_it hammer 'while a vCPU waits'

cd /vmfs/volumes/datastore1 && cp /vms/rpc.elf . || exit 9
vmx_file press rpc press 32 'sched.mem.max = "16"'
swapped() { vm info press | grep -q ' [1-9][0-9]* swapped'; }
vm start press/press.vmx; until_shows 60 shows giving press/out; until_shows 60 swapped
vm info press | grep Memory; ls press/*.vswp
kill_it press 'while it swaps'
ls press/*.vswp 2>/dev/null || echo 'no swap file'
cd /vms

vmx_file second rpc stay 16 'autostart = "poweron"'
vmx_file first rpc stay 16 'autostart = "poweron"'
vmx_file never rpc stay 16
vmx_file broken rpc stay 16 'autostart = "perhaps"'
for name in first never broken second; do vm register $name/$name.vmx; done
cat /etc/vmware/vm-list
vm autostart; echo "autostart $?"
vm list | awk '$4 == "on" { print "runs", $3 }'
exit 7
COMMANDS
)
disk=$(mktemp)
trap 'rm -f "$disk"' EXIT
truncate -s 1400M "$disk"
# Without sharing: its table grows with what it saw, and keeps that.
scripts/run.sh --kernel-args mem.share=0 --host-disk "$disk" --platform "$platform" --vms 0 --host-cmd "$commands" --log "${out%.txt}.log" \
    --timeout 500 >"$out" 2>"${out%.txt}.err" </dev/null
verdict 'qemu vmx' $? 7 "$out" '^rtc ends 0' '^PASS rtc' 'Calls answered here' \
    '^while it runs: nothing is left' '^its vmx is T' '^while a vCPU waits: nothing is left' \
    'press.*vswp' '^while it swaps: nothing is left' '^no swap file'
tr -d '\r' <"$out" | awk '/^runs / { names = names " " $2 } END { exit names != " first second" }' &&
    grep -q 'broken.*autostart' "$out" && echo 'PASS autostart in the order of the list' ||
    echo "FAIL autostart (see $out)"
