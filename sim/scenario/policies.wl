# The flat policies respect the tree: pools divide among siblings first, a reservation is kept, a limit
# holds. `share` is the base run and credit2 comes near to it. With edf each CPU divides by itself what budgets
# leave over, so on two CPUs pools are not claimed and a
# reservation is kept to a tenth; on one CPU see pools.wl.
workload policies
duration 20s
host cpus=2 speed=2000MHz
variant credit2 policy=credit2
variant edf policy=edf
pool prod shares=6000
pool test shares=3000
world p[0..1] pool=prod start=uniform(0,20ms)
  run uniform(1ms,50ms) ; loop
world t[0..5] pool=test start=uniform(0,20ms)
  run uniform(1ms,50ms) ; loop
world promised shares=10 min=30% start=uniform(0,20ms)
  run uniform(1ms,50ms) ; loop
world capped shares=9000 max=10% start=uniform(0,20ms)
  run uniform(1ms,50ms) ; loop
expect run(promised) >= 300ms within 10ms each 1s from 1s by share credit2
expect cpu(capped) <= 10% within 1% each 1s from 1s
expect run(prod) = 2 * run(test) within 5% from 1s by share credit2
expect credit2.cpu(promised) >= 29.5%
expect credit2.cpu(capped) <= 10% within 1%
expect credit2.run(prod) = 2 * credit2.run(test) within 10%
expect credit2.jain(t*) >= 0.99
expect edf.cpu(promised) >= 27%
expect edf.cpu(capped) <= 10% within 1%
expect edf.run(prod) > edf.run(test)
