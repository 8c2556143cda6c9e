# Shares 1:2:4 on four CPUs: twelve worlds, so that nobody can use more than one CPU and yet the
# parts are as on one; within 2 % over every second.
workload shares_smp
duration 10s
host cpus=4
world a[0..3] shares=1000 start=uniform(0,20ms)
  run uniform(3ms,40ms) ; loop
world b[0..3] shares=2000 start=uniform(0,20ms)
  run uniform(3ms,40ms) ; loop
world c[0..3] shares=4000 start=uniform(0,20ms)
  run uniform(3ms,40ms) ; loop
expect share(a*) = 1/7 within 2% each 1s from 1s by share
expect share(b*) = 2/7 within 2% each 1s from 1s by share
expect share(c*) = 4/7 within 2% each 1s from 1s by share
expect jain(a*) >= 0.99 from 1s by share credit2
expect jain(c*) >= 0.99 from 1s by share
expect share(a*) = 1/7 within 20% each 1s from 1s by credit2
expect share(b*) = 2/7 within 20% each 1s from 1s by credit2
expect share(c*) = 4/7 within 20% each 1s from 1s by credit2
expect jain(b*) >= 0.9 from 1s by edf
