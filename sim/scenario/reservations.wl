# Reservations: a world with few shares and a minimum is never short of it by more than a quantum
# in a second, though many worlds with large shares want the CPU.
workload reservations
duration 20s
host cpus=2
policy share quantum=10ms
world small shares=100 min=30% start=uniform(0,20ms)
  run uniform(1ms,50ms) ; loop
world tiny shares=10 min=10% start=uniform(0,20ms)
  run uniform(1ms,50ms) ; loop
world big[0..7] shares=4000 start=uniform(0,20ms)
  run uniform(1ms,50ms) ; loop
vm reserved min=50% shares=500
world reserved.v[0..1] vm=reserved start=uniform(0,20ms)
  run uniform(1ms,50ms) ; loop
expect run(small) >= 300ms within 10ms each 1s from 1s by share credit2
expect run(small) >= 270ms each 1s from 1s by edf
expect run(tiny) >= 100ms within 10ms each 1s from 1s
expect run(reserved) >= 500ms within 10ms each 1s from 1s by share credit2 edf
# And what is left is divided equally between equals, though the reserved take more of one CPU than of the
# other.
expect jain(big*) >= 0.99 from 1s by share edf
