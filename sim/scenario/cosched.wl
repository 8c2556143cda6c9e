# Co-scheduling under more than twice the load: two VMs of four vCPUs and hogs on four CPUs. No vCPU
# gets more than 3 ms ahead of its slowest sibling, whether that one runs, waits for a CPU or for I/O, or
# has just woken up. A halted sibling holds nobody back.
workload cosched
duration 10s
host cpus=4 llc=4
policy share costop=3ms costart=2ms cosched-poll=1ms
vm vm1 shares=4000
vm vm2 shares=4000
barrier b1 n=4 spin=10s
world vm1.v[0..3] vm=vm1 start=uniform(0,5ms)
  run exp(500us) ; barrier b1 ; count ; loop
world vm2.v[0..1] vm=vm2 start=uniform(0,5ms)
  run exp(8ms) ; loop
world vm2.io vm=vm2
  run exp(5ms) ; block io exp(300us) ; loop
world vm2.idle vm=vm2
  run 20us ; sleep 100ms ; loop
world hog[0..3] start=uniform(0,5ms)
  run exp(20ms) ; loop
expect skew(vm1) <= 3ms
expect skew(vm2) <= 3ms
expect share(vm1) >= 1/3 within 5% from 1s
expect share(vm2) >= 1/3 within 5% from 1s by share credit2
