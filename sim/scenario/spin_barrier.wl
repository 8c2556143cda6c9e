# Threads that meet at a spinning barrier every 200 us: four vCPUs, four hogs, four CPUs. A vCPU that
# waits for a CPU makes its siblings burn theirs. Relaxed co-scheduling does at least twice the
# work of none, and at least 80 % of strict gangs.
workload spin_barrier
duration 10s
host cpus=4 llc=4
variant uncoordinated cosched=off
variant gang cosched=strict
vm vm1 shares=4000
barrier b n=4 spin=100s
world vm1.v[0..3] vm=vm1 start=uniform(0,5ms)
  run exp(200us) ; barrier b ; count ; loop
# A little noise, or the phases of the CPUs stay for ever as chance began them.
world noise
  run exp(500us) ; sleep exp(200ms) ; loop
world hog[0..3] start=uniform(0,5ms)
  run exp(20ms) ; loop
expect ops(vm1) >= 2 * uncoordinated.ops(vm1) by share rr
expect ops(vm1) >= 0.8 * gang.ops(vm1) by share credit2
expect share(vm1) = 50% within 5% from 1s by share credit2
