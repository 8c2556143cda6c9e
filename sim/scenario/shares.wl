# Shares 1:2:4 on one CPU: each world gets its part within 1 % of that part in every second, wherever
# the second begins (one each millisecond), and within a thousandth over the whole run. In a tenth of
# a second the lightest may be a granularity off, 3 % of the CPU at most.
workload shares
duration 20s
host cpus=1
world a shares=1000 start=uniform(0,20ms)
  run uniform(3ms,40ms) ; loop
world b shares=2000 start=uniform(0,20ms)
  run uniform(3ms,40ms) ; loop
world c shares=4000 start=uniform(0,20ms)
  run uniform(3ms,40ms) ; loop
expect share(a) = 1/7 within 1% each 1s step 1ms from 20ms by share
expect share(b) = 2/7 within 1% each 1s step 1ms from 20ms by share
expect share(c) = 4/7 within 1% each 1s step 1ms from 20ms by share
expect share(a) = 1/7 within 1% each 1s step 1ms from 1s by credit2 edf
expect share(b) = 2/7 within 1% each 1s step 1ms from 1s by credit2 edf
expect share(c) = 4/7 within 1% each 1s step 1ms from 1s by credit2 edf
expect share(a) = 1/7 within 30ms each 100ms from 1s by share credit2 edf
expect share(b) = 2/7 within 30ms each 100ms from 1s by share credit2 edf
expect share(c) = 4/7 within 30ms each 100ms from 1s by share credit2 edf
expect run(b) = 2 * run(a) within 0.5% from 1s by share credit2 edf
expect run(c) = 4 * run(a) within 0.5% from 1s by share credit2 edf
