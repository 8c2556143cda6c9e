# sim.gdb -- the same commands on the simulator, driven by tests/qemu/gdb.sh.
set pagination off
break world_exit
run
vmk-worlds
vmk-runq
vmk-locks
vmk-log 300
vmk-bt 1025
kill
quit
