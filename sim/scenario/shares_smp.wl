# Shares 1:2:4 on four CPUs: twelve worlds, so that nobody can use more than one CPU and yet the
# parts are as on one; each weight within 2 % of its part in every second, wherever
# it begins (one each millisecond), each world within 4 %, and within 3 % in seconds end to end: of
# 12,000 worlds of 1,000 seeds all but 2 are within 2 % there.
workload shares_smp
duration 10s
host cpus=4
world a[0..3] shares=1000 start=uniform(0,20ms)
  run uniform(3ms,40ms) ; loop
world b[0..3] shares=2000 start=uniform(0,20ms)
  run uniform(3ms,40ms) ; loop
world c[0..3] shares=4000 start=uniform(0,20ms)
  run uniform(3ms,40ms) ; loop
expect share(a0) = 1/28 within 3% each 1s from 1s by share
expect share(a0) = 1/28 within 4% each 1s step 1ms from 1s by share
expect share(a1) = 1/28 within 3% each 1s from 1s by share
expect share(a1) = 1/28 within 4% each 1s step 1ms from 1s by share
expect share(a2) = 1/28 within 3% each 1s from 1s by share
expect share(a2) = 1/28 within 4% each 1s step 1ms from 1s by share
expect share(a3) = 1/28 within 3% each 1s from 1s by share
expect share(a3) = 1/28 within 4% each 1s step 1ms from 1s by share
expect share(b0) = 2/28 within 3% each 1s from 1s by share
expect share(b0) = 2/28 within 4% each 1s step 1ms from 1s by share
expect share(b1) = 2/28 within 3% each 1s from 1s by share
expect share(b1) = 2/28 within 4% each 1s step 1ms from 1s by share
expect share(b2) = 2/28 within 3% each 1s from 1s by share
expect share(b2) = 2/28 within 4% each 1s step 1ms from 1s by share
expect share(b3) = 2/28 within 3% each 1s from 1s by share
expect share(b3) = 2/28 within 4% each 1s step 1ms from 1s by share
expect share(c0) = 4/28 within 3% each 1s from 1s by share
expect share(c0) = 4/28 within 4% each 1s step 1ms from 1s by share
expect share(c1) = 4/28 within 3% each 1s from 1s by share
expect share(c1) = 4/28 within 4% each 1s step 1ms from 1s by share
expect share(c2) = 4/28 within 3% each 1s from 1s by share
expect share(c2) = 4/28 within 4% each 1s step 1ms from 1s by share
expect share(c3) = 4/28 within 3% each 1s from 1s by share
expect share(c3) = 4/28 within 4% each 1s step 1ms from 1s by share
expect share(a*) = 1/7 within 2% each 1s step 1ms from 1s by share
expect share(b*) = 2/7 within 2% each 1s step 1ms from 1s by share
expect share(c*) = 4/7 within 2% each 1s step 1ms from 1s by share
expect jain(a*) >= 0.99 from 1s by share credit2
expect jain(c*) >= 0.99 from 1s by share
expect share(a*) = 1/7 within 20% each 1s from 1s by credit2
expect share(b*) = 2/7 within 20% each 1s from 1s by credit2
expect share(c*) = 4/7 within 20% each 1s from 1s by credit2
expect jain(b*) >= 0.9 from 1s by edf
