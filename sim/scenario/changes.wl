# What an administrator changes holds at once and without a restart: shares, limit, reservation,
# affinity and pool, each seen in the next whole second.
workload changes
duration 12s
host cpus=2 speed=2000MHz
pool p shares=1000
world a start=uniform(0,5ms)
  run exp(10ms) ; loop
world b start=uniform(0,5ms)
  run exp(10ms) ; loop
world c start=uniform(0,5ms)
  run exp(10ms) ; loop
world d start=uniform(0,5ms)
  run exp(10ms) ; loop
at 2s set a max=20%
at 4s set a max=200%
at 4s set b shares=100
at 4s set b min=60%
at 6s set b shares=1000
at 6s set b min=0%
at 6s set a affinity=0
at 6s set b affinity=0
at 6s set c affinity=0
at 8s set a affinity=0-1
at 8s set b affinity=0-1
at 8s set c affinity=0-1
at 8s set a pool=p
at 8s set b pool=p
expect cpu(a) = 50% within 3% each 1s to 2s from 1s
expect cpu(a) <= 20% within 1% each 1s from 3s to 4s
expect cpu(b) >= 59% each 1s from 5s to 6s by share credit2
expect cpu(d) = 100% within 1% each 1s from 7s to 8s
expect cpu(a) + cpu(b) = 2/3 within 3% each 1s from 9s by share credit2 edf
