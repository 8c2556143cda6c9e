# Limits: nobody passes his own, overshoot at most 1 % in any second, and what he leaves the other
# gets. One limit is in MHz of a 2000 MHz CPU, one a part of a CPU, one is a VM's for both vCPUs.
workload limits
duration 20s
host cpus=2 speed=2000MHz
vm capped max=1000MHz
world capped.v[0..1] vm=capped start=uniform(0,5ms)
  run exp(20ms) ; loop
world quarter max=25% start=uniform(0,5ms)
  run exp(5ms) ; sleep exp(1ms) ; loop
world burst max=10% start=uniform(0,5ms)
  run 300ms ; sleep exp(700ms) ; loop
world hog[0..1] start=uniform(0,5ms)
  run exp(30ms) ; loop
expect cpu(capped) <= 50% within 1% each 1s from 1s
expect cpu(quarter) <= 25% within 1% each 1s from 1s
expect cpu(burst) <= 10% within 1% each 1s from 1s
expect cpu(capped) >= 48% from 1s by share credit2
expect cpu(quarter) >= 24% from 1s by share credit2
expect cpu(capped) >= 35% from 1s by edf
expect cpu(quarter) >= 15% from 1s by edf
expect cpu(*) >= 199.9% from 1s
expect limited(capped) > 0s
