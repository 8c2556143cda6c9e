# Pools: shares divide among siblings first. `prod` has twice the shares of `test`, whatever is in
# them: one world there, ten here. Inside a pool its worlds' shares count. Moved shares take effect
# at once.
workload pools
duration 20s
host cpus=1
variant credit2 policy=credit2
variant edf policy=edf
pool prod shares=8000
pool test shares=4000
pool nested parent=test shares=3000
world p0 pool=prod start=uniform(0,10ms)
  run uniform(2ms,30ms) ; loop
world t[0..4] pool=test shares=200 start=uniform(0,10ms)
  run uniform(2ms,30ms) ; loop
world n[0..4] pool=nested start=uniform(0,10ms)
  run uniform(2ms,30ms) ; loop
at 10s set test shares=16000
expect share(prod) = 2/3 within 20ms each 1s from 1s to 10s by share credit2 edf
expect share(test) = 1/3 within 20ms each 1s from 1s to 10s by share credit2 edf
expect share(nested) = 1/4 within 20ms each 1s from 1s to 10s by share credit2 edf
expect share(prod) = 1/3 within 20ms each 1s from 11s by share credit2 edf
expect share(test) = 2/3 within 20ms each 1s from 11s by share credit2 edf
expect jain(n*) >= 0.99 from 1s
# The other policies, over both halves of the run: twice the other one's time, then half of it.
expect credit2.share(prod) = 1/2 within 2%
expect edf.share(prod) = 1/2 within 2%
expect credit2.jain(n*) >= 0.99
expect edf.jain(n*) >= 0.99
