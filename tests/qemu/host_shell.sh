# SPDX-License-Identifier: BSD-2-Clause
#
# host_shell.sh -- somebody types at the host shell: login, line editing, signals, jobs, vi, less, top, esxtop,
# a VM's console, and poweroff; and --host-cmd, the shell without anybody.
platform=qemu
. tests/lib.sh

prefix='host shell:'
terminal "$results/out-host-shell.txt" 600 'scripts/run.sh --vcpus 1 --timeout 500'
step='login says that there is no password'
await 200 'root has no password' '\]# ' && echo 'PASS host shell: login says that there is no password'
run 'commands' 'echo answer $((6*7)); tty; id -un' 'answer 42'
run 'cursor keys and backspace edit the line' 'exho\033[D\033[D\177c\005 $((2+3))x' '^5x'
run 'history' '\033[A\033[A' 'answer 42'
run 'tab completes names' 'cat /etc/hostn\t | tr a-z A-Z' '^ORRERY'
type_much
say 'Ctrl-C ends a program' 'sleep 1000\r' 'sleep 1000'
key 'and the shell goes on' '\003' '\]# '
run 'its status' 'echo status $?' 'status 130'
say 'Ctrl-Z stops it' 'sleep 1001\r' 'sleep 1001'
key 'stopped' '\032' '\]# '
run 'jobs, bg' 'bg; jobs' 'Running'
say 'fg and Ctrl-C' 'fg\r' 'sleep 1001'
key 'gone' '\003' '\]# '
run 'no jobs left' 'jobs | wc -l | sed s/^/jobs:/' '^jobs:0'
say 'a program that reads' 'cat >/tmp/typed; echo $((3*3))done\r' 'done'
key 'reads lines' 'a line\r' 'a line'
key 'until Ctrl-D' '\004' '^9done'
say 'vi opens' 'vi /tmp/typed\r' 'a line'
say 'vi inserts' 'oanother 2' 'another 2'
key 'vi leaves insert mode' '\033' '\[K- '
say 'vi writes' ':wq\r' '\]# '
run 'what vi wrote' 'sed s/^/file:/ /tmp/typed' '^file:another'
say 'less shows a page' 'seq 1 200 | less\r' '\[K23$'
say 'less goes on' ' ' '\[K45$'
say 'less searches' '/17[0]\r' '170'
key 'less ends' 'q' '\]# '
say 'more' 'seq 1 60 | more\r' 'More'
key 'more ends' 'q' '\]# '
say 'top' 'top -d 1\r' 'Load average'
say 'top refreshes' '' 'Mem: '
key 'top ends' 'q' '\]# '
# watch ignores Ctrl-C while its command runs: the key comes half a second behind a refresh, and the next
# is two seconds away.
say 'watch' 'watch -n 2 "echo w$((5*5))"\r' 'w25'
say 'watch refreshes' '' 'w25'
key 'watch ends' '\003' '\]# '
say 'esxtop' 'esxtop -d 1\r' 'PCPU USED'
key 'its memory page' 'm' 'PMEM'
key 'its fields' 'f' 'Fields of the memory page'
key 'back from them' 'x' 'PMEM'
key 'esxtop ends' 'q' '\]# '
run 'stty' 'stty -a | head -n 1' 'rows 24; columns 80'
run 'nice becomes shares' 'nice -n 5 sh -c "nice; exit 4"; echo st$?' '^5'
run 'and its status passes' 'nice -n 5 sh -c "exit 4"; echo st$?' '^st4'
run 'the VM runs beside the shell' 'ls /dev/vm/*/console' '^/dev/vm/demo/console'
say 'its console' 'vm-console demo\r' 'guest:.*# ' 300
say 'typing at the guest' 'echo guest $((7*6)) $(hostname)\r' 'guest 42 guest'
say 'Ctrl-] comes back' '\035' 'demo: left'
run 'the guest went on' 'ls /dev/vm | sed s/^/vm:/' '^vm:demo'
say 'the console again, with what was there' 'vm console demo\r' 'guest 42 guest'
say 'poweroff in the guest' 'poweroff\r' 'the VM has ended' 120
run 'its exits are in its log' 'sleep 1; grep -c "vCPU 0: .* us in the guest" /vms/demo/vmware.log | sed s/^/ends:/' '^ends:1'
run 'its run, ready and wait times are in the kernel log' \
    'grep -c "VM: demo: vCPU 0: run .*, ready .*, wait " /var/log/vmkernel.log | sed s/^/times:/' '^times:1'
run 'and its exits by reason' \
    'grep -c "VM: demo: vCPU 0: HLT  *[1-9]" /var/log/vmkernel.log | sed s/^/halts:/' '^halts:1'
say 'passwd' 'passwd -a sha512\r' 'New password: '
say 'typed twice' 'correct horse 9\r' 'Retype'
say 'is changed' 'correct horse 9\r' 'changed'
run 'a SHA-512 one' 'cut -c 1-8 /etc/shadow | head -n 1' '^root:\$6\$'
say 'logout asks for it' 'exit\r' 'orrery login: '
say 'login' 'root\r' 'Password: '
say 'wrong' 'wrong\r' 'incorrect'
say 'right one' 'root\r' 'Password: '
say 'is let in' 'correct horse 9\r' 'root@orrery:~\]# '
run 'the VM once more' 'vm start /vms/demo/demo.vmx; echo started $?' '^started 0'
step='poweroff ends the VM too, and shows its times'
printf 'poweroff\r' >&3
await 120 'VM: demo: vCPU 0: run .*, ready .*, wait ' 'Boot: powering off' && pass "$step"
terminal_end && echo "PASS host shell: the emulator ended" || echo "FAIL host shell: the emulator's status"

# ---- Ctrl-a x ----

terminal "$results/out-host-shell-leave.txt" 300 'scripts/run.sh --vms 0 --timeout 200'
say 'a host without VMs' '' 'root has no password' 100
printf '\001x' >&3
terminal_end
verdict 'Ctrl-a x leaves' $? 0 "$out" 'QEMU: Terminated'

# ---- without anybody ----

# host NAME STATUS COMMANDS PATTERN...: run.sh --host-cmd.
host() {
    h_file=$results/out-host-cmd-$1.txt h_name=$1 h_status=$2 h_commands=$3
    shift 3
    scripts/run.sh --vms 0 --host-cmd "$h_commands" --log "${h_file%.txt}.log" --timeout 300 \
        >"$h_file" 2>"${h_file%.txt}.err" </dev/null
    verdict "host-cmd $h_name" $? "$h_status" "$h_file" "$@"
}
host status 7 'uname -s; exit 7' '^VMkernel'
host output 0 'echo only this'
[ "$(tr -d '\r' <"$results/out-host-cmd-output.txt")" = 'only this' ] &&
    echo 'PASS host-cmd prints the output only' || echo 'FAIL host-cmd prints more than the output'
