# Lock-holder preemption: a VM of four vCPUs that share ticket locks, with hogs that want the same
# CPUs. Uncoordinated, the vCPU that holds the lock, or is next in line, is off its CPU while its
# siblings burn theirs. Relaxed co-scheduling does at least twice the work of none, and at least
# 80 % of strict gangs.
workload lock_holder
duration 10s
host cpus=4 llc=4
variant uncoordinated cosched=off
variant gang cosched=strict
vm vm1 shares=4000
lock l kind=ticket
world vm1.v[0..3] vm=vm1 start=uniform(0,5ms)
  run exp(20us) ; lock l ; run exp(15us) ; unlock l ; count ; loop
# A little noise, or the phases of the CPUs stay for ever as chance began them.
world noise
  run exp(500us) ; sleep exp(200ms) ; loop
world hog[0..3] start=uniform(0,5ms)
  run exp(20ms) ; loop
expect ops(vm1) >= 2 * uncoordinated.ops(vm1) by share credit2 edf
expect ops(vm1) >= 0.8 * gang.ops(vm1) by share credit2
expect share(vm1) = 50% within 5% from 1s by share credit2
