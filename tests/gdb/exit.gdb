# exit.gdb -- one VM exit, driven by tests/qemu/gdb.sh; docs/gdb.md explains the same by hand.
set pagination off
hbreak exit_cpuid
continue
vmk-worlds
vmk-runq
vmk-locks
vmk-vcpu
vmk-vmcs
vmk-ept 0x100000
vmk-log 400
bt
kill
quit
